//! Primaries on fake disks, and their logs cut into the groups that a replica is offered.

use crate::common::model::{Model, batch, changes};
use crate::common::{fake_disk, shared, tiny};
use statedir::base::{Chain, Id, Local, Lsn, SegmentId};
use statedir::disk::fake::{FakeDisk, Image};
use statedir::format::segment::FIRST_GROUP;
use statedir::format::{FileName, Group, SegmentHeader, group};
use statedir::{Options, Reader, Store};
use std::sync::Arc;

/// A group as a primary sends it.
#[derive(Clone)]
pub struct Offer {
    pub segment: Vec<u8>,
    pub id: SegmentId,
    pub offset: u64,
    pub bytes: Vec<u8>,
    /// Bytes of header and payload; what follows is padding.
    pub used: usize,
    /// Where it ends.
    pub end: u64,
    pub last: Lsn,
    pub link: Chain,
}

pub struct Primary {
    pub cluster: Id,
    pub incarnation: Id,
    pub model: Model,
    pub image: Image,
    pub offers: Vec<Offer>,
}

/// A store of some epochs, each with rotations and a group of several blocks.
pub fn primary(epochs: u64) -> Primary {
    let disk = fake_disk(512);
    Store::create_on(&disk).unwrap();
    lived(disk, Model::new(), epochs, 0)
}

/// The same history with more epochs; `twist` makes another future.
pub fn continued(primary: &Primary, epochs: u64, twist: u64) -> Primary {
    let disk = FakeDisk::from_image(&primary.image);
    lived(disk, primary.model.clone(), epochs, twist)
}

fn lived(disk: FakeDisk, mut model: Model, epochs: u64, twist: u64) -> Primary {
    for epoch in 0..epochs {
        // Nothing is ever superseded here.
        let options = Options { snapshot_min_bytes: u64::MAX, ..tiny(&disk) };
        let store = Store::open_on(shared(&disk), options, Arc::new(Local)).unwrap();
        for number in 0..4 {
            let bytes = if number == 2 { 9000 } else { 500 };
            let mut changes = changes(model.saves() + 1, bytes);
            changes[0].value.as_mut().expect("a put").extend(twist.to_le_bytes());
            model.push(&changes);
            store.save(batch(&changes)).unwrap();
            if (number + epoch) % 2 == 0 {
                store.maintain().unwrap();
            }
        }
        store.close().unwrap();
    }
    let image = disk.image();
    let offers = offers(&image);
    let reader = Reader::open_on(shared(&disk)).unwrap();
    let (cluster, incarnation) = (reader.control().cluster, reader.control().incarnation);
    assert_eq!(offers.last().map(|offer| offer.last.0), Some(model.saves()));
    Primary { cluster, incarnation, model, image, offers }
}

/// What a primary keeps that has lost all but the first `count` groups: nobody vouched for them.
pub fn cut(primary: &Primary, count: usize) -> Primary {
    let mut image = primary.image.clone();
    for offer in &primary.offers[count..] {
        image.zero(&FileName::Segment(offer.id).to_string(), offer.offset..offer.end);
    }
    let last = primary.offers[count - 1].last;
    // Both slots as they were when that was the end.
    let slot = |control: &mut statedir::format::Control| control.watermark = last;
    let mut bytes = image.read("CONTROL");
    for at in [0, 4096] {
        let mut control = statedir::format::Control::decode(&bytes[at..at + 4096]).unwrap();
        slot(&mut control);
        bytes[at..at + 4096].copy_from_slice(&control.encode());
    }
    image.write("CONTROL", 0, &bytes);
    let mut model = primary.model.clone();
    model.truncate(last.0);
    let offers = primary.offers[..count].to_vec();
    Primary { model, image, offers, ..*primary }
}

/// Every group, in the order of history.
pub fn offers(image: &Image) -> Vec<Offer> {
    let mut offers = Vec::new();
    for name in image.names().iter().filter(|name| name.starts_with("log-")) {
        let bytes = image.read(name);
        let segment = &bytes[..4096];
        let header = SegmentHeader::decode(segment).unwrap();
        let mut offset = FIRST_GROUP;
        while let Some(rest) = bytes.get(usize::try_from(offset).unwrap()..) {
            let Ok(found) = Group::decode(header.seed(offset), rest) else { break };
            let len = usize::try_from(found.header.disk_len()).unwrap();
            offers.push(Offer {
                segment: segment.to_vec(),
                id: header.id,
                offset,
                bytes: rest[..len].to_vec(),
                used: group::HEADER_LEN + found.payload().len(),
                end: offset + len as u64,
                last: found.header.last_lsn(),
                link: found.link(),
            });
            offset += len as u64;
        }
    }
    offers
}
