//! What a deposed primary wrote behind its seal is listed, shown and written out, and is no part of
//! the state.

use crate::tool::{Tool, put};
use statedir::base::Lsn;
use statedir::disk::{Disk, Real};
use statedir::format::Reason;
use statedir::role::{Check, Heart, Register};
use statedir::store::{Options, share_on};
use statedir::{Batch, Store};
use std::io;
use std::sync::Arc;

fn save(store: &Store, key: &str) -> bool {
    let mut batch = Batch::new();
    batch.put("jobs", key.as_bytes(), b"v").unwrap();
    store.save(batch).is_ok()
}

/// A store whose epoch 2 was ended by epoch 3 while it saved `lost`.
pub fn deposed(tool: &Tool) {
    let disk: Arc<dyn Disk> = Arc::new(Real::open(tool.dir()).unwrap());
    let door = |host: &str| {
        let door = Register::new(Arc::clone(&disk), host, "h:1").unwrap();
        door.checking(Check::Name)
    };
    let (first, second) = (door("a"), door("b"));
    let mut make = |cluster, epoch| match first.make(cluster, epoch) {
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    };
    share_on(disk.as_ref(), &mut make).unwrap();
    let open = |door: &Register| {
        let reigning = door.claim(Reason::Start).unwrap();
        let heart = Heart::start(&reigning).unwrap();
        let reigning = Arc::new(reigning);
        (Store::open(&tool.dir(), Options::default(), reigning).unwrap(), heart)
    };
    let (old, mut heart) = open(&first);
    second.join().unwrap();
    heart.beat(0, false).unwrap();
    assert!(save(&old, "kept"));
    let (new, _heart) = open(&second);
    assert!(!save(&old, "lost"), "it was deposed, and notices at once");
    assert!(save(&new, "next"));
    assert_eq!(new.view().lsn(), Lsn(2));
    drop(old);
    new.close().unwrap();
}

#[test]
fn what_nobody_acknowledged_is_listed_shown_and_exported_for_apply_and_is_not_in_the_state() {
    let tool = Tool::with_store();
    assert_eq!(tool.ok(&["orphans", "list", "-h"]), "");
    deposed(&tool);
    let listed = tool.run(&["orphans", "list", "--json"]).objects();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["saves"], &listed[0]["first_lsn"]), (&1.into(), &2.into()));
    let id = listed[0]["id"].as_str().unwrap();
    assert!(tool.ok(&["orphans", "list"]).contains(id));
    let shown = tool.ok(&["orphans", "show", id, "-h"]);
    assert!(shown.starts_with("2 ") && shown.ends_with("put jobs lost 1\n"), "{shown}");
    let state = tool.ok(&["ls", "jobs"]);
    assert!(state.contains("kept") && state.contains("next") && !state.contains("lost"));
    assert_eq!(tool.run(&["verify", "--full"]).code, 0, "it is no damage");

    let file = tool.beside("orphans.json");
    let path = file.to_str().unwrap();
    assert!(tool.ok(&["orphans", "export", path]).ends_with(" 1 save\n"));
    let lines = std::fs::read(&file).unwrap();
    let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&lines), value(put("jobs", "lost", "v").as_bytes()));
    let ran = tool.feed(&["apply", "--dry-run"], &lines);
    assert_eq!(ran.code, 0, "apply reads it: {ran:?}");
    let again = tool.run(&["orphans", "export", path]);
    assert_eq!(again.code, 9, "an older export stays as it is: {again:?}");
    let none = tool.run(&["orphans", "show", "9:9"]);
    assert_eq!(none.code, 5, "{none:?}");
    let bad = tool.run(&["orphans", "show", "9"]);
    assert_eq!(bad.code, 2, "{bad:?}");
}
