//! Who a message comes from. That is what its credential says, never what its body says.
//!
//! | scheme | credential | who may ask |
//! |---|---|---|
//! | [`munge`] | made and checked by the munged of each host | every user of the cluster |
//! | [`key`] | keyed BLAKE3, from a 0600 key file | the owner of the key file |
//!
//! Invariants:
//! - The scheme is configured. One that cannot work is an error; nobody falls back to another, and
//!   a message under another scheme is refused.
//! - A message is believed only after its credential fits its number and its whole body.
//! - A reply is believed only if it is for who asked: munge restricts it to the caller's uid, the
//!   key scheme binds it to the request's nonce.

pub mod configured;
mod error;
mod hash;
pub mod key;
pub mod munge;

pub use error::{AuthError, MungeFault};
pub use hash::{Digest, digest, fits};

use crate::slurm::wire::WireError;
use crate::slurm::wire::constants::auth;
use crate::slurm::wire::frame;
use crate::slurm::wire::frame::Frame;
use crate::slurm::wire::frame::Head;
use crate::slurm::wire::frame::Header;

/// A user that a credential stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The user's group.
    pub gid: u32,
}

/// Who may read what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Whoever is a user of the cluster.
    Anybody,
    /// This user alone (and root, as munge has it).
    Uid(u32),
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It asks.
    Request,
    /// It answers the request that had this nonce.
    Reply(Nonce),
}

/// What makes a request unlike every other; all zeros where the scheme (munge) has none.
pub type Nonce = [u8; 16];

/// The configured scheme, ready to work.
#[derive(Debug)]
pub enum Auth {
    /// `auth/munge`.
    Munge(munge::Munge),
    /// `auth/key`.
    Key(key::Key),
}

/// A credential that is genuine, for a body that has not been looked at.
#[derive(Debug)]
#[must_use = "the body has to fit it"]
pub struct Opened {
    identity: Identity,
    nonce: Nonce,
    digest: Digest,
}

/// A message whose credential fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Who sent it.
    pub identity: Identity,
    /// What a reply is bound to, with [`Role::Reply`].
    pub nonce: Nonce,
}

/// A frame that can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its bytes, with the length in front.
    pub bytes: Vec<u8>,
    /// What its reply will be bound to.
    pub nonce: Nonce,
}

impl Auth {
    /// Number of the scheme in a frame.
    #[must_use]
    pub fn plugin(&self) -> u32 {
        match self {
            Auth::Munge(_) => auth::MUNGE,
            Auth::Key(_) => auth::KEY,
        }
    }

    /// Whether making and checking credentials waits for a daemon.
    #[must_use]
    pub fn asks_daemon(&self) -> bool {
        matches!(self, Auth::Munge(_))
    }

    /// Makes the frame of a body, with its credential.
    ///
    /// # Errors
    /// The scheme cannot make one: munged does not answer, no randomness.
    pub fn seal(
        &self,
        header: &Header,
        body: &[u8],
        role: Role,
        to: To,
    ) -> Result<Sealed, AuthError> {
        let (credential, nonce) = match self {
            Auth::Munge(munge) => (munge.encode(&digest(header.kind, body), to)?, Nonce::default()),
            Auth::Key(key) => key.sign(&header.pack(), body, role)?,
        };
        let bytes = frame::pack(header, self.plugin(), &credential, body);
        Ok(Sealed { bytes, nonce })
    }

    /// Checks the credential of a head, before its body is there.
    ///
    /// # Errors
    /// It is of another scheme, forged, expired, replayed, for somebody else.
    pub fn open(&self, head: &Head<'_>, role: Role) -> Result<Opened, AuthError> {
        match self {
            _ if head.plugin != self.plugin() => {
                Err(AuthError::Scheme { found: head.plugin, wanted: self.plugin() })
            }
            Auth::Munge(munge) => {
                let decoded = munge.decode(&head.credential)?;
                let digest = Digest::from_payload(&decoded.payload)?;
                Ok(Opened { identity: decoded.identity, nonce: Nonce::default(), digest })
            }
            Auth::Key(key) => key.open(head, role),
        }
    }

    /// What a reply to this head is bound to, where nobody looks who asks: a refusal tells nobody
    /// anything, and has to be believed by him who asked.
    #[must_use]
    pub fn claimed_nonce(&self, head: &Head<'_>) -> Nonce {
        match self {
            Auth::Munge(_) => Nonce::default(),
            Auth::Key(_) => key::Key::claimed(head),
        }
    }

    /// Checks a whole frame.
    ///
    /// # Errors
    /// As [`Auth::open`] and [`Opened::prove`].
    pub fn verify(&self, frame: &Frame<'_>, role: Role) -> Result<Proved, AuthError> {
        self.open(&frame.head, role)?.prove(frame.head.header.kind, frame.body)
    }

    /// What a controller signs a permission with, so that agents believe it: `cred/munge`. Under
    /// `auth/key` likewise a keyed digest.
    ///
    /// # Errors
    /// The scheme cannot make one.
    pub fn sign_permission(&self, packed: &[u8]) -> Result<Vec<u8>, AuthError> {
        match self {
            Auth::Munge(munge) => {
                let mut signature = munge.encode(packed, To::Anybody)?;
                signature.push(0);
                Ok(signature)
            }
            Auth::Key(key) => Ok(key.sign_permission(packed)),
        }
    }

    /// Who signed a permission; whether he may is the caller's question.
    ///
    /// # Errors
    /// It is forged, or for another permission.
    pub fn check_permission(&self, packed: &[u8], signature: &[u8]) -> Result<Identity, AuthError> {
        match self {
            Auth::Munge(munge) => {
                let decoded = munge.decode(signature.strip_suffix(&[0]).unwrap_or(signature))?;
                if decoded.payload == packed {
                    Ok(decoded.identity)
                } else {
                    Err(AuthError::Forged)
                }
            }
            Auth::Key(key) => key.check_permission(packed, signature),
        }
    }
}

impl Opened {
    /// Who made the credential: enough to refuse him, not to serve him.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Checks that the credential is for this message.
    ///
    /// # Errors
    /// [`AuthError::Digest`].
    pub fn prove(self, kind: u16, body: &[u8]) -> Result<Proved, AuthError> {
        if fits(&self.digest, kind, body) {
            Ok(Proved { identity: self.identity, nonce: self.nonce })
        } else {
            Err(AuthError::Digest { kind })
        }
    }
}

impl From<WireError> for AuthError {
    fn from(error: WireError) -> Self {
        AuthError::Wire(error)
    }
}
