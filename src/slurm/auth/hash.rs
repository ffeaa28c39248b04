//! What ties a credential to its message. For munge, in its payload, as Slurm has it since
//! 20.11.9: a byte 2 and 32 bytes of KangarooTwelve over the body, customized with the message's
//! number, big-endian. The weaker forms (nothing, or only the number) are refused: with them a
//! credential that somebody saw would serve for a body of his own.

use crate::slurm::auth::AuthError;
use k12::CustomRefKt128;
use k12::digest::ExtendableOutput;
use k12::digest::Update;

const K12: u8 = 2;
const LEN: usize = 32;

/// What a credential says of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digest {
    /// KangarooTwelve over the body, with the message's number.
    K12([u8; LEN]),
    /// BLAKE3 over the body.
    Blake3([u8; LEN]),
}

impl Digest {
    /// From a munge payload.
    ///
    /// # Errors
    /// [`AuthError::WeakDigest`] for every payload but a K12 digest.
    pub fn from_payload(payload: &[u8]) -> Result<Digest, AuthError> {
        let weak = || AuthError::WeakDigest { kind: payload.first().copied() };
        let (kind, digest) = payload.split_first().ok_or_else(weak)?;
        match digest.try_into() {
            Ok(digest) if *kind == K12 => Ok(Digest::K12(digest)),
            _ => Err(weak()),
        }
    }
}

fn k12(kind: u16, body: &[u8]) -> [u8; LEN] {
    let customization = kind.to_be_bytes();
    let mut hasher = CustomRefKt128::new_customized(&customization);
    hasher.update(body);
    let mut digest = [0; LEN];
    hasher.finalize_xof_into(&mut digest);
    digest
}

/// The payload of a munge credential for a message.
#[must_use]
pub fn digest(kind: u16, body: &[u8]) -> Vec<u8> {
    [&[K12], k12(kind, body).as_slice()].concat()
}

/// Whether a credential is for this message.
#[must_use]
pub fn fits(digest: &Digest, kind: u16, body: &[u8]) -> bool {
    match digest {
        Digest::K12(digest) => *digest == k12(kind, body),
        Digest::Blake3(digest) => *digest == *blake3::hash(body).as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_digest_of_this_body_and_number_fits() {
        let payload = digest(4003, b"body");
        let found = Digest::from_payload(&payload).unwrap();
        assert!(fits(&found, 4003, b"body"));
        assert!(!fits(&found, 4003, b"bodY"));
        assert!(!fits(&found, 4004, b"body"));
        for weak in [&b""[..], &[1, 0x0f, 0xa3], &payload[..32], &[&[3], &payload[1..]].concat()] {
            assert!(Digest::from_payload(weak).is_err(), "{weak:?}");
        }
    }
}
