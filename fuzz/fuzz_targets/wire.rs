//! Every message, and the frame around it: two bytes choose the message, the rest is its body.
//! Decoding never panics; what was decoded packs to bytes that decode to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use statedir::slurm::wire::frame::Frame;
use statedir::slurm::wire::message::{MESSAGES, row};
use statedir::slurm::wire::{Message, Version};

fuzz_target!(|bytes: &[u8]| {
    let _ = Frame::unpack(bytes);
    let Some((choice, body)) = bytes.split_first_chunk() else { return };
    let choice = u16::from_be_bytes(*choice);
    let row = row(choice).unwrap_or(&MESSAGES[usize::from(choice) % MESSAGES.len()]);
    let Ok(message) = Message::unpack(row.kind, Version::NEWEST, body) else { return };
    let again = message.pack(Version::NEWEST).expect("no longer than what came");
    assert_eq!(Message::unpack(row.kind, Version::NEWEST, &again), Ok(message));
});
