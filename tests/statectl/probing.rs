//! Which check of a reign holds on a mount: on ext4, tmpfs and overlayfs, where those are there.

use crate::tool::{Ran, Tool, bare, feed};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

fn probe(dir: &Path, more: &[&str]) -> Ran {
    feed(bare().args(["fs-probe", "--rounds", "20"]).arg(dir).args(more), b"")
}

fn mounted(args: &[&str], at: &Path) -> Option<Mounted> {
    std::fs::create_dir_all(at).unwrap();
    let mut command = Command::new("mount");
    command.args(args).arg(at).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success()).then(|| Mounted(at.to_owned()))
}

/// Unmounts what was mounted.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{}", self.0.display());
    }
}

fn verdicts(ran: &Ran) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ran.objects().iter().map(|line| (word(&line["check"]), word(&line["verdict"]))).collect()
}

#[test]
fn one_kernels_file_systems_hold_every_check_and_nothing_is_left_behind() {
    let tool = Tool::with_store();
    let before = tool.ok(&["du", "--by", "file", "-h"]);
    let ran = probe(&tool.dir(), &["--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let told = verdicts(&ran);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    let wanted =
        ["flushes", "claims", "replacing", "names", "marks", "pages", "locks", "authority"];
    assert_eq!(names, wanted);
    assert!(told[..7].iter().all(|(_, verdict)| verdict == "ok"), "{told:?}");
    let last = &ran.objects()[7];
    assert!(last["cost_us"].as_f64().unwrap() > 0.0, "{last}");
    assert_eq!(last["default"], "name", "{last}");
    assert_eq!(tool.ok(&["du", "--by", "file", "-h"]), before, "nothing is left behind");
    let said = probe(&tool.dir(), &[]).text();
    assert!(said.lines().last().unwrap().starts_with("use  "), "{said}");
}

#[test]
fn a_second_mount_of_a_tmpfs_and_an_overlay_are_probed_where_they_can_be_mounted() {
    let tool = Tool::new();
    let (one, two) = (tool.beside("one"), tool.beside("two"));
    let Some(_first) = mounted(&["-t", "tmpfs", "none"], &one) else {
        return crate::programs::cannot("fs-probe of a second mount: nothing can be mounted here");
    };
    let one_text = one.to_str().unwrap();
    let _second = mounted(&["--bind", one_text], &two).expect("what is mounted can be bound");
    let ran = probe(&one, &["--peer", two.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.text().contains("on tmpfs, with "), "{ran:?}");
    for name in ["lower", "upper", "work"] {
        std::fs::create_dir(one.join(name)).unwrap();
    }
    let options = format!("lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work", one.display());
    let over = tool.beside("over");
    match mounted(&["-t", "overlay", "-o", &options, "none"], &over) {
        None => crate::programs::cannot("fs-probe of an overlay: there is no overlayfs here"),
        Some(_third) => {
            let ran = probe(&over, &[]);
            assert_eq!(ran.code, 0, "{ran:?}");
            assert!(ran.text().contains("on overlay, "), "{ran:?}");
        }
    }
}

#[test]
fn what_cannot_be_probed_is_said_and_a_peer_elsewhere_is_noticed() {
    let tool = Tool::new();
    let missing = probe(&tool.dir(), &[]);
    assert_eq!(missing.code, 1, "{missing:?}");
    let (one, two) = (tool.beside("one"), tool.beside("two"));
    for dir in [&one, &two] {
        std::fs::create_dir(dir).unwrap();
    }
    // Another directory is no other mount of this one: nothing that the peer does is seen.
    let ran = probe(&one, &["--peer", two.to_str().unwrap()]);
    assert_eq!(ran.code, 9, "{ran:?}");
    assert!(ran.text().contains("fail claims"), "{ran:?}");
    let gone = probe(&one, &["--peer", "nowhere:/dir", "--rsh", "false"]);
    assert_eq!(gone.code, 8, "{gone:?}");
    let left: Vec<_> = std::fs::read_dir(&one).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
