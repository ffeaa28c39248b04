//! slurm.conf with what it includes, and statedir.conf: any text is a configuration or an error;
//! what is read can be asked for everything.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::slurm::conf::Conf;
use statedir::slurm::conf::own::Own;
use statedir::slurm::conf::parameters::{Kind, PARAMETERS};
use std::io;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    // Files are parted by a form feed; the first is slurm.conf, the others are what is included.
    let files: Vec<&str> = text.split('\x0c').collect();
    let mut next = 0;
    let mut read = |_: &Path| {
        let file = files.get(next).ok_or(io::ErrorKind::NotFound)?;
        next += 1;
        Ok((*file).to_owned())
    };
    let _ = Own::read(Path::new("/etc/statedir.conf"), &mut |_| Ok(files[0].to_owned()));
    let Ok(conf) = Conf::read(Path::new("/etc/slurm.conf"), &mut read) else { return };
    for row in PARAMETERS {
        match row.kind {
            Kind::Text => drop((conf.text(row.name), conf.bits(row.name))),
            Kind::Flag => drop(conf.flag(row.name)),
            Kind::Removed => {}
            Kind::U16 | Kind::U32 | Kind::U64 => drop(conf.number(row.name)),
        }
    }
    let (first, count) = conf.ports();
    assert!(first > 0 && count > 0);
    for at in 0..conf.partitions.len() {
        assert!(conf.members(at).iter().all(|node| *node < conf.nodes.len()));
    }
});
