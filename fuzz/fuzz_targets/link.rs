//! What comes on the standing connection between controllers: frames behind one another, each with
//! its length. Reading never panics and never asks for more than a word may take; a word that was
//! read packs to bytes that read the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::slurm::wire::frame::{Frame, LENGTH_LEN, length};
use statedir::slurm::wire::limits::{HEAD_MAX, SMALL_MAX};
use statedir::slurm::wire::{Message, Version};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Some((head, behind)) = rest.split_first_chunk::<LENGTH_LEN>() {
        let Ok(len) = length(*head) else { return };
        if len > SMALL_MAX + HEAD_MAX || len > behind.len() {
            return;
        }
        let (frame, next) = behind.split_at(len);
        rest = next;
        let Ok(frame) = Frame::unpack(frame) else { continue };
        let header = frame.head.header;
        let Ok(message) = Message::unpack(header.kind, header.version, frame.body) else {
            continue;
        };
        if let Message::Peer(_) = &message {
            let again = message.pack(Version::NEWEST).expect("a few bytes");
            assert_eq!(Message::unpack(header.kind, Version::NEWEST, &again), Ok(message));
        }
    }
});
