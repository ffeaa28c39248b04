//! Why a credential could not be made or is not believed, and what an operator does about it.

use crate::slurm::wire::WireError;
use std::path::PathBuf;

/// Why a credential could not be made, or was refused.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A scheme other than the configured one.
    #[error("the credential is of scheme {found}, not of the configured one, {wanted}")]
    Scheme {
        /// What the frame says.
        found: u32,
        /// What is configured here.
        wanted: u32,
    },
    /// The credential is for another body or another message.
    #[error("the credential is not for this message {kind}")]
    Digest {
        /// Number of the message.
        kind: u16,
    },
    /// The credential does not say what body it is for.
    #[error(
        "the credential is not bound to a message (hash {kind:?}, not K12): its sender is older \
         than Slurm 20.11.9, or has another hash plugin"
    )]
    WeakDigest {
        /// The kind of hash, if there is any.
        kind: Option<u8>,
    },
    /// libmunge is not there.
    #[error(
        "AuthType=auth/munge needs libmunge.so.2: {reason}. Install libmunge2, or set another \
         scheme in statedir.conf"
    )]
    Library {
        /// What the loader said.
        reason: String,
    },
    /// munge refused.
    #[error(
        "munge: {fault} ({what}{by}): {advice}",
        by = at(.socket),
        advice = fault.advice()
    )]
    Munge {
        /// Why.
        fault: MungeFault,
        /// What was being done.
        what: &'static str,
        /// The socket from AuthInfo, if it names one.
        socket: Option<PathBuf>,
    },
    /// The AuthInfo parameter is not understood.
    #[error(
        "AuthInfo: {part:?} is not understood: write socket=PATH, ttl=SECONDS, cred_expire=SECONDS"
    )]
    Info {
        /// The part that is not.
        part: String,
    },
    /// The key file cannot be used.
    #[error("key file {path}: {reason}", path = path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// A credential of ours that is not of the key.
    #[error("the credential was not made with this key for this message")]
    Forged,
    /// A credential of ours that is no longer, or not yet, valid.
    #[error(
        "the credential is {age_s} s old, at most {window_s} s are allowed either way: compare the \
         clocks of both hosts"
    )]
    Window {
        /// Now minus its time.
        age_s: i64,
        /// What is allowed.
        window_s: i64,
    },
    /// A credential from before this process began: it may have been used already.
    #[error(
        "the credential is older than this process, which cannot know if it was used: ask again"
    )]
    BeforeStart,
    /// A credential that was used already.
    #[error("the credential was used already")]
    Replayed,
    /// More requests within the window than are remembered.
    #[error("{0} requests within the replay window: no more are remembered, ask again later")]
    Crowded(usize),
    /// No randomness for a nonce.
    #[error("no random numbers from the system: {0}")]
    Random(std::io::Error),
    /// The credential's bytes are not as they should be.
    #[error(transparent)]
    Wire(WireError),
}

fn at(socket: &Option<PathBuf>) -> String {
    socket.as_ref().map_or(String::new(), |path| format!(" by {}", path.display()))
}

macro_rules! faults {
    ($($number:literal $name:ident, $what:literal, $advice:literal;)*) => {
        /// Why munge refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum MungeFault {
            $( #[doc = $what] $name, )*
            /// A number that this version of munge does not have.
            Unknown(i32),
        }

        impl MungeFault {
            /// From libmunge's number; 0 is none.
            #[must_use]
            pub fn from_number(number: i32) -> Option<MungeFault> {
                match number {
                    0 => None,
                    $( $number => Some(MungeFault::$name), )*
                    other => Some(MungeFault::Unknown(other)),
                }
            }

            /// What to do.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self {
                    $( MungeFault::$name => $advice, )*
                    MungeFault::Unknown(_) => "look into munged's log",
                }
            }
        }

        impl std::fmt::Display for MungeFault {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $( MungeFault::$name => f.write_str($what), )*
                    MungeFault::Unknown(number) => write!(f, "error {number}"),
                }
            }
        }
    };
}

faults! {
    1 Internal, "internal error", "look into munged's log";
    2 Argument, "invalid argument", "this is a defect here: please report it";
    3 Length, "payload too long", "munge takes 1 MiB";
    4 Overflow, "buffer overflow", "look into munged's log";
    5 Memory, "out of memory", "free memory on this host";
    6 Socket, "munged does not answer",
        "start it (systemctl start munge), or correct socket= in AuthInfo";
    7 Timeout, "munged is too slow", "look at the load of this host";
    8 Format, "not a munge credential", "the sender uses another scheme, or the message is damaged";
    9 Version, "a credential of another munge version", "install the same munge on both hosts";
    10 Cipher, "a cipher unknown here", "install the same munge on both hosts";
    11 Mac, "a MAC unknown here", "install the same munge on both hosts";
    12 Zip, "a compression unknown here", "install the same munge on both hosts";
    13 Realm, "an unknown realm", "remove the realm from munge's configuration";
    14 Invalid, "invalid credential",
        "the hosts have different keys: copy /etc/munge/munge.key and restart munge";
    15 Expired, "expired credential", "synchronize the clocks, or raise ttl= in AuthInfo";
    16 Rewound, "credential from the future", "synchronize the clocks of both hosts";
    17 Replayed, "replayed credential", "nothing: it was used already, whoever sent it again";
    18 Unauthorized, "credential for another user",
        "it is not for the user of this process: compare SlurmUser on both hosts";
}
