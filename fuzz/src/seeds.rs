//! Writes the seed corpus: `seeds DIR` makes DIR/TARGET/NAME. Run it after a change of the format.

use statedir::base::{Chain, Epoch, Id, Lsn, Nanos, SegmentId};
use statedir::controller::entry::encode as encode_entry;
use statedir::controller::job::{Entry, Payload};
use statedir::controller::node::NodeRecord;
use statedir::controller::state::{Number, PartitionRecord};
use statedir::disk::fake::FakeDisk;
use statedir::disk::{Access, Disk};
use statedir::export::delta::{Place, make, sign};
use statedir::export::{Backup, Manifest, Repository, backup_on, write_archive};
use statedir::format::{Batch, Beat, Control, End, GroupHeader, Host, Kind, Member, Reason};
use statedir::format::{Reign, Seal, SegmentHeader, group};
use statedir::slurm::wire::constants::auth;
use statedir::slurm::wire::frame::{self, Header};
use statedir::slurm::wire::message::MESSAGES;
use statedir::slurm::wire::tables::Peer;
use statedir::slurm::wire::{Field, Message, Version};
use statedir_fuzz::seed_store;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn main() -> std::io::Result<()> {
    let target = std::env::args_os().nth(1).map(PathBuf::from).expect("usage: seeds DIR");
    let write = |name: &str, seed: &str, bytes: &[u8]| -> std::io::Result<()> {
        let dir = target.join(name);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join(seed), bytes)
    };
    let saves = saves();
    write("segment_header", "made", &header().encode())?;
    write("group", "saves", &saves)?;
    write("canary", "saves", &saves)?;
    write("group", "start", &start())?;
    write("batch", "ops", &batch().encode())?;
    // The rest of a slot is zeros, which the target adds.
    write("control", "slots", &control().encode()[..280])?;
    let image = seed_store().image();
    for name in image.names().iter().filter(|name| name.starts_with("snap-")).take(1) {
        let bytes = image.read(name);
        let footer_at = bytes.len().next_multiple_of(4096) - 4096;
        let len = u64::from_le_bytes(bytes[136..144].try_into().expect("eight bytes"));
        let footer = &bytes[footer_at_of(&bytes, footer_at)..][..len as usize];
        write("snapshot", "made", &[&bytes[..168], footer].concat())?;
    }
    for (seed, name) in [("control", "CONTROL"), ("lock", "LOCK")] {
        write("names", seed, name.as_bytes())?;
    }
    write("names", "segment", b"log-0000000001-0000000002")?;
    write("names", "snapshot", b"snap-0000000001-00000000000000000004")?;
    write_register(&target.join("register"))?;
    write_link(&target.join("link"))?;
    write_exports(&target)?;
    write_messages(&target.join("wire"))?;
    write_texts(&target)?;
    write_entries(&target.join("entry"))?;
    write_programs(&target)
}

/// One of each block of the register, without the zeros behind it; two slots of a heartbeat.
fn write_register(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let member = |host: &str| Member {
        host: host.to_owned(),
        address: format!("{host}:6817"),
        nonce: Id([1; 16]),
        handle: vec![6; 12],
    };
    let (cluster, epoch, nonce) = (Id([2; 16]), Epoch(4), Id([5; 16]));
    let members = vec![member("a"), member("b")];
    let reign = Reign {
        cluster,
        epoch,
        nonce,
        claimed: Nanos(6),
        reason: Reason::Silent,
        primary: Some("b".to_owned()),
        members: members.clone(),
    };
    let end = End { epoch, host: "b".to_owned() };
    let said = Host { cluster, epoch, echo: nonce, written: Nanos(7), member: member("b") };
    let beat = |ordinal| Beat {
        cluster,
        epoch,
        ordinal,
        written: Nanos(8),
        agents: 9,
        stopping: false,
        members: members.clone(),
    };
    let short = |block: Vec<u8>| block[..240].to_vec();
    let slots = [short(beat(3).encode()), short(beat(2).encode())].concat();
    let blocks = [
        ("reign", short(reign.encode())),
        ("end", short(end.encode())),
        ("host", short(said.encode())),
        ("beats", slots),
    ];
    blocks.into_iter().try_for_each(|(name, bytes)| std::fs::write(dir.join(name), bytes))
}

/// Words of controllers, one and several behind one another.
fn write_link(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let word = |what, epoch| {
        let word = Peer { what, host: "mgmt01".into(), epoch, ready: 1 };
        let message = Message::Peer(Box::new(word));
        let body = message.pack(Version::NEWEST).expect("small");
        let header = Header::new(Version::NEWEST, message.kind(), body.len());
        frame::pack(&header, auth::MUNGE, b"MUNGE:x:", &body)
    };
    let all = (0..8).flat_map(|what| word(what, 7)).collect::<Vec<u8>>();
    std::fs::write(dir.join("word"), word(1, 3))?;
    std::fs::write(dir.join("words"), all)
}

/// Archives with and without a snapshot, compressed and not, their manifests, and deltas.
fn write_exports(target: &Path) -> std::io::Result<()> {
    let write = |name: &str, seed: &str, bytes: &[u8]| -> std::io::Result<()> {
        std::fs::create_dir_all(target.join(name))?;
        std::fs::write(target.join(name).join(seed), bytes)
    };
    for (seed, compressed) in [("plain", false), ("zst", true)] {
        let (manifest, archive) = archive(&small_store(), compressed);
        write("archive", seed, &archive)?;
        write("manifest", "parts", &manifest.encode())?;
    }
    let (manifest, archive) = archive(&seed_store(), true);
    write("archive", "snapshot", &archive)?;
    write("manifest", "base", &manifest.encode())?;

    let disk = FakeDisk::new(4096);
    let base: Vec<u8> = (0..5000_u32).map(|i| (i * i / 7) as u8).collect();
    let put = |name: &str, bytes: &[u8]| {
        let file = disk.open(name, Access::Create).expect("a disk in memory");
        file.write_at(bytes, 0).expect("a disk in memory");
    };
    put("base", &base);
    put("new", &[&base[2000..], b"new", &base[..3000]].concat());
    let at = |name| Place { disk: &disk, name };
    sign(at("base"), at("sig")).expect("a disk in memory");
    make(at("base"), at("new"), at("delta")).expect("a disk in memory");
    for (kind, name) in [(0, "delta"), (1, "sig"), (2, "delta.b3")] {
        write("delta", name, &[&[kind], disk.image().read(name).as_slice()].concat())?;
    }
    Ok(())
}

/// One save, so that an archive of it is short.
fn small_store() -> FakeDisk {
    let disk = FakeDisk::new(4096);
    statedir::Store::create_on(&disk).expect("an empty disk");
    let store = statedir_fuzz::open(&disk).expect("sound");
    store.save(statedir_fuzz::put("jobs", b"key", b"value")).expect("room");
    store.close().expect("room");
    disk
}

/// A backup of a store, as an archive.
fn archive(store: &FakeDisk, compressed: bool) -> (Manifest, Vec<u8>) {
    let shared = |disk: &FakeDisk| -> Arc<dyn Disk> { Arc::new(disk.clone()) };
    let repository = Repository::create(shared(&FakeDisk::new(4096))).expect("an empty disk");
    let wanted = Backup { now: Nanos(1_700_000_000_000_000_000), ..Backup::default() };
    let done = backup_on(&shared(store), &repository, &wanted, &mut |_| {}).expect("sound");
    let out = FakeDisk::new(4096);
    write_archive(&repository, &done.manifest, &out, "a", compressed, &mut |_| {}).expect("room");
    (done.manifest, out.image().read("a"))
}

/// One of each message, and one frame.
fn write_messages(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut state = 1_u64;
    // An LCG is enough: the fuzzer changes it all anyway.
    let mut choose = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 33
    };
    for row in MESSAGES {
        let body = (row.sample)(&mut choose).pack(Version::NEWEST).expect("small");
        let seed = [&row.kind.to_be_bytes(), &body[..]].concat();
        std::fs::write(dir.join(row.name), seed)?;
    }
    let header = Header::new(Version::NEWEST, 1008, 0);
    let frame = frame::pack(&header, auth::MUNGE, b"MUNGE:x:", b"");
    std::fs::write(dir.join("frame"), &frame[frame::LENGTH_LEN..])
}

/// Configurations, hostlists, and lists about jobs, by hand.
fn write_texts(target: &Path) -> std::io::Result<()> {
    let conf = "ClusterName=c\nSlurmctldHost=h(10.0.0.1)\nInclude nodes.conf\nUsePAM=yes # x\n\
        SlurmctldPort=6817-6819\nDebugFlags=Steps,Agent\nPrologFlags=Contain\n\
        PreemptExemptTime=1-2:3\nMaxJobCount=1k\nMaxMemPerNode=INFINITE\n\x0c\
        NodeName=DEFAULT CPUs=2\nNodeName=n[1-4],m3 NodeAddr=a[1-5] \\\n RealMemory=1000\n\
        NodeSet=s Nodes=n1\nDownNodes=n2 State=DRAIN Reason=\"a b\"\n\
        PartitionName=p,q Nodes=s,m3 Default=YES MaxTime=1-0 State=UP OverSubscribe=FORCE:2\n";
    let own = "AuthKeyFile=/etc/key\nHistory=7-0\nHistoryRatio=2.5 # x\nMode=alone\n";
    let lists = [
        "afterok:12:13_4,after:14+5,singleton",
        "afterany:7_[1-3]?afternotok:9",
        "0-15:4,20%3",
        "[1,3-7]",
        "aftercorr:7_*(unfulfilled)",
        "8?8?8",
    ];
    let hosts = [
        "n[1-4],m3",
        "a[1-2]b[03-05],x",
        "r2n[9-11]",
        "n[1",
        "\0\0\0\0\\w2n\0\0\0\\w2n[8-171][8-171]",
    ];
    let write = |name: &str, seed: &str, text: &str| -> std::io::Result<()> {
        std::fs::create_dir_all(target.join(name))?;
        std::fs::write(target.join(name).join(seed), text)
    };
    write("conf", "slurm", conf)?;
    write("conf", "statedir", own)?;
    for (at, text) in lists.iter().enumerate() {
        write("lists", &at.to_string(), text)?;
    }
    for (at, text) in hosts.iter().enumerate() {
        write("hostlist", &at.to_string(), text)?;
    }
    Ok(())
}

/// One entry of each table of the controller, behind the table's place in the target.
fn write_entries(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut state = 1_u64;
    let mut choose = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 33
    };
    let entries = [
        ("number", encode_entry(&Number::sample(&mut choose))),
        ("node", encode_entry(&NodeRecord::sample(&mut choose))),
        ("partition", encode_entry(&PartitionRecord::sample(&mut choose))),
        ("job", encode_entry(&Entry::sample(&mut choose))),
        ("script", encode_entry(&Payload::sample(&mut choose))),
    ];
    for (table, (name, bytes)) in (0_u8..).zip(entries) {
        std::fs::write(dir.join(name), [&[table], bytes.as_slice()].concat())?;
    }
    Ok(())
}

/// Programs of changes and of steps, by hand: each kind once.
fn write_programs(target: &Path) -> std::io::Result<()> {
    let directory: [(&str, &[u8]); 7] = [
        ("sound", &[0]),
        ("copy", &[1]),
        ("torn", &[0, 3, 0, 5, 100, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("mended", &[2, 3, 0, 2, 100, 0, 2, 9, 9, 9]),
        ("cut", &[0, 3, 4, 3, 10, 0]),
        ("lost", &[0, 3, 5, 0, 0, 0]),
        ("renamed", &[1, 3, 7, 0, 0, 0, 251, 252, 0, 4, 7, 0, 0, 0, 2, 255, 2]),
    ];
    for (name, bytes) in directory {
        std::fs::create_dir_all(target.join("directory"))?;
        std::fs::write(target.join("directory").join(name), bytes)?;
    }
    let model: [(&str, &[u8]); 3] = [
        ("saves", &[0, 0, 2, 1, 3, 20, 17, 2, 200, 1, 1, 0, 3, 9, 1, 11, 2, 1, 1, 1, 5]),
        ("snapshots", &[1, 0, 1, 1, 1, 99, 6, 7, 0, 1, 33, 2, 255, 6, 7, 9, 1, 10, 9, 2, 11]),
        ("large", &[0, 0, 1, 1, 1, 255, 0, 1, 1, 1, 255, 8, 0, 1, 1, 1, 255, 11, 6, 10]),
    ];
    for (name, bytes) in model {
        std::fs::create_dir_all(target.join("model"))?;
        std::fs::write(target.join("model").join(name), bytes)?;
    }
    Ok(())
}

/// Where the footer starts: behind the records, whose length the header says.
fn footer_at_of(bytes: &[u8], limit: usize) -> usize {
    let len = u64::from_le_bytes(bytes[128..136].try_into().expect("eight bytes"));
    (4096 + (len as usize).next_multiple_of(4096)).min(limit)
}

fn header() -> SegmentHeader {
    SegmentHeader {
        cluster: Id([1; 16]),
        incarnation: Id([2; 16]),
        id: SegmentId { epoch: Epoch(1), ordinal: 2 },
        nonce: 3,
        created: Nanos(4),
        prewritten: 16384,
    }
}

fn batch() -> Batch {
    let mut batch = Batch::new();
    batch.put("jobs", b"key", b"value").expect("valid");
    batch.delete("jobs", b"gone").expect("valid");
    batch
}

fn encode(kind: Kind, saves: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; group::HEADER_LEN];
    bytes.extend(payload);
    let header = GroupHeader {
        kind,
        payload_len: payload.len() as u32,
        saves,
        epoch: Epoch(1),
        first_lsn: Lsn(5),
        time: Nanos(6),
        watermark: Lsn(4),
        prev: Chain([7; 16]),
    };
    header.encode_into(7, &mut bytes);
    bytes
}

fn saves() -> Vec<u8> {
    encode(Kind::Saves, 2, &[batch().encode(), batch().encode()].concat())
}

fn start() -> Vec<u8> {
    let seal = Seal {
        segment: SegmentId { epoch: Epoch(1), ordinal: 1 },
        offset: 8192,
        lsn: Lsn(4),
        chain: Chain([7; 16]),
        incarnation: Id([2; 16]),
    };
    encode(Kind::EpochStart, 0, &seal.encode())
}

fn control() -> Control {
    Control {
        sequence: 2,
        cluster: Id([1; 16]),
        incarnation: Id([2; 16]),
        epoch: Epoch(1),
        watermark: Lsn(4),
        shared: false,
        replica: false,
        written: Nanos(5),
        handle: vec![6; 20],
        ancestors: vec![statedir::format::Ancestor {
            incarnation: Id([7; 16]),
            last_epoch: Epoch(1),
        }],
    }
}
