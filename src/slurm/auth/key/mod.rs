//! `auth/key`, our own scheme: one secret in a file that only its owner can read, and the owner is
//! who is served. For a cluster of one user, for drills, for tests where no munged runs.
//!
//! Credential, 89 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | form, 1 |
//! | 1 | 8 | time, big-endian milliseconds since 1970 |
//! | 9 | 16 | nonce, random |
//! | 25 | 32 | BLAKE3 of the body |
//! | 57 | 32 | keyed BLAKE3 of everything below |
//!
//! What is keyed: the words `statedir auth/key 1`, a byte 0 for a request or 1 for a reply, the
//! nonce of the request that a reply is for (zeros in a request), the length of the frame's header
//! as u32, the header, and bytes 0 to 57 of the credential. So nothing of a frame can be changed,
//! and the credential can be judged before the body is there.
//!
//! The key is `BLAKE3::derive_key("statedir auth/key 1", contents of the file)`.
//!
//! - A request is refused if its time differs from here by more than [`WINDOW_MS`], if its nonce
//!   was seen within that time, or if it is from before this process began (which cannot know what
//!   was seen before).
//! - A reply is refused if it is not for the request that was sent.

mod file;
mod replays;

pub use file::create;

use crate::slurm::auth::AuthError;
use crate::slurm::auth::Digest;
use crate::slurm::auth::Identity;
use crate::slurm::auth::Nonce;
use crate::slurm::auth::Opened;
use crate::slurm::auth::Role;
use crate::slurm::wire::frame::Head;
use replays::Replays;
use std::path::Path;
use std::sync::Arc;

/// How far the clocks of two hosts may be apart, with the time under way.
pub const WINDOW_MS: i64 = 30_000;

const CONTEXT: &str = "statedir auth/key 1";
const PERMISSION: &str = "statedir cred/key 1";
const FORM: u8 = 1;
const TIME: usize = 1;
const NONCE: usize = 9;
const DIGEST: usize = 25;
const MAC: usize = 57;
const LEN: usize = 89;

const _: () =
    assert!(NONCE + size_of::<Nonce>() == DIGEST && DIGEST + 32 == MAC && MAC + 32 == LEN);

/// Milliseconds since 1970, wherever they come from.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A loaded key.
pub struct Key {
    secret: [u8; 32],
    owner: Identity,
    clock: Clock,
    replays: Replays,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// The time of this host.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
    })
}

impl Key {
    /// Loads the key of a file.
    ///
    /// # Errors
    /// [`AuthError::KeyFile`]: others than its owner can read it, its owner is somebody else, it
    /// is too short, it is not there.
    pub fn load(path: &Path, clock: Clock) -> Result<Key, AuthError> {
        let (contents, owner) = file::read(path)?;
        let secret = blake3::derive_key(CONTEXT, &contents);
        let started = clock();
        Ok(Key { secret, owner, clock, replays: Replays::new(started) })
    }

    fn mac(&self, header: &[u8], role: Role, signed: &[u8]) -> blake3::Hash {
        let (role, asked) = match role {
            Role::Request => (0, Nonce::default()),
            Role::Reply(nonce) => (1, nonce),
        };
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(CONTEXT.as_bytes()).update(&[role]).update(&asked);
        hasher.update(&(header.len() as u32).to_be_bytes()).update(header).update(signed);
        hasher.finalize()
    }

    /// A credential, and the nonce that its reply is bound to.
    ///
    /// # Errors
    /// [`AuthError::Random`].
    pub(super) fn sign(
        &self,
        header: &[u8],
        body: &[u8],
        role: Role,
    ) -> Result<(Vec<u8>, Nonce), AuthError> {
        let mut nonce = Nonce::default();
        let filled = rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty());
        if filled.map_err(|error| AuthError::Random(error.into()))? != nonce.len() {
            return Err(AuthError::Random(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let mut bytes = vec![FORM];
        bytes.extend((self.clock)().to_be_bytes());
        bytes.extend(nonce);
        bytes.extend(blake3::hash(body).as_bytes());
        let mac = self.mac(header, role, &bytes);
        bytes.extend(mac.as_bytes());
        Ok((bytes, nonce))
    }

    /// Judges the credential of a head.
    ///
    /// # Errors
    /// [`AuthError::Forged`], [`AuthError::Window`], [`AuthError::BeforeStart`],
    /// [`AuthError::Replayed`], [`AuthError::Crowded`].
    pub(super) fn open(&self, head: &Head<'_>, role: Role) -> Result<Opened, AuthError> {
        let credential: &[u8; LEN] =
            head.credential.as_slice().try_into().map_err(|_| AuthError::Forged)?;
        let mac = self.mac(head.header_bytes, role, &credential[..MAC]);
        // Compared in constant time.
        if credential[0] != FORM || mac != blake3::Hash::from_bytes(part(credential, MAC)) {
            return Err(AuthError::Forged);
        }
        let time = i64::from_be_bytes(part(credential, TIME));
        let nonce = part(credential, NONCE);
        let now = (self.clock)();
        let age_ms = now.saturating_sub(time);
        if age_ms.saturating_abs() > WINDOW_MS {
            return Err(AuthError::Window { age_s: age_ms / 1000, window_s: WINDOW_MS / 1000 });
        }
        if role == Role::Request {
            self.replays.first(nonce, time, now)?;
        }
        let digest = Digest::Blake3(part(credential, DIGEST));
        Ok(Opened { identity: self.owner, nonce, digest })
    }

    /// The nonce that a credential claims, whoever made it.
    pub(super) fn claimed(head: &Head<'_>) -> Nonce {
        let credential: Result<&[u8; LEN], _> = head.credential.as_slice().try_into();
        credential.map_or(Nonce::default(), |credential| part(credential, NONCE))
    }

    fn permission(&self, packed: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(PERMISSION.as_bytes()).update(packed);
        hasher.finalize()
    }

    /// A signature of a permission to run a job.
    pub(super) fn sign_permission(&self, packed: &[u8]) -> Vec<u8> {
        self.permission(packed).as_bytes().to_vec()
    }

    /// Whether a permission was signed with this key.
    pub(super) fn check_permission(
        &self,
        packed: &[u8],
        signature: &[u8],
    ) -> Result<Identity, AuthError> {
        let found: [u8; 32] = signature.try_into().map_err(|_| AuthError::Forged)?;
        let fits = self.permission(packed) == blake3::Hash::from_bytes(found);
        if fits { Ok(self.owner) } else { Err(AuthError::Forged) }
    }
}

/// `N` bytes of the credential's fixed layout.
fn part<const N: usize>(bytes: &[u8; LEN], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the layout is fixed")
}

#[cfg(test)]
mod tests;
