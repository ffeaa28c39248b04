//! `delta`: signatures and deltas of archives, as rdiff (librsync) reads and writes them.

use crate::ctl::exit::Exit;
use crate::ctl::failure::Failure;
use crate::ctl::output::Output;
use crate::ctl::session::Session;
use crate::ctl::text;
use crate::disk::Disk;
use crate::export::Sum;
use crate::export::delta::{self, Place};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Signatures and deltas of archives, as `rdiff -R rollsum -H md4` reads and writes them.
#[derive(Debug, Subcommand)]
pub enum Delta {
    /// Write the signature of a file: what a delta to it can be made from elsewhere.
    Sign(Sign),
    /// Make a file out of the one that a delta was made against, and the delta.
    Apply(Apply),
}

/// Writes the signature of a file.
#[derive(Debug, Args)]
pub struct Sign {
    /// The file, such as an archive that ends in .tar.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its signature.
    #[arg(value_name = "SIGNATURE")]
    signature: PathBuf,
}

/// Makes a file out of BASE and a delta.
///
/// What comes out is compared with the sum beside the delta (DELTA.b3), or, without one, must be
/// an archive that is whole.
#[derive(Debug, Args)]
pub struct Apply {
    /// What the delta was made against.
    #[arg(value_name = "BASE")]
    base: PathBuf,
    /// The delta.
    #[arg(value_name = "DELTA")]
    delta: PathBuf,
    /// What comes out.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Without a sum: no more than this many bytes may come out (default: four times BASE and
    /// DELTA).
    #[arg(long, value_name = "BYTES")]
    limit: Option<u64>,
}

impl Delta {
    /// Runs the command.
    pub fn run(self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        match self {
            Delta::Sign(sign) => sign.run(session, output),
            Delta::Apply(apply) => apply.run(session, output),
        }
    }
}

impl Sign {
    fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let (base, base_name) = session.place(&self.file)?;
        let (out, out_name) = session.place(&self.signature)?;
        let base = Place { disk: &base, name: &base_name };
        let out = Place { disk: &out, name: &out_name };
        let sum = delta::sign(base, out).map_err(|e| session.exporting(&e, &self.file))?;
        tell(session, output, "signature", &self.signature, sum)
    }
}

impl Apply {
    fn run(&self, session: &Session, output: &mut Output) -> Result<Exit, Failure> {
        let failed = |error| session.exporting(&error, &self.delta);
        let (base, base_name) = session.place(&self.base)?;
        let (delta, delta_name) = session.place(&self.delta)?;
        let (out, out_name) = session.place(&self.new)?;
        let len = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        let limit = (len(&self.base) + len(&self.delta)).saturating_mul(4);
        let applied = delta::apply(
            Place { disk: &base, name: &base_name },
            Place { disk: &delta, name: &delta_name },
            Place { disk: &out, name: &out_name },
            self.limit.unwrap_or(limit),
        );
        let (sum, proved) = applied.map_err(failed)?;
        if !proved {
            // Nothing else says what should have come out.
            session.check_archive(&self.new).inspect_err(|_| {
                drop(out.remove(&out_name));
            })?;
        }
        tell(session, output, "made", &self.new, sum)
    }
}

fn tell(
    session: &Session,
    output: &mut Output,
    what: &str,
    path: &Path,
    sum: Sum,
) -> Result<Exit, Failure> {
    let (bytes, digest) = (sum.bytes, sum.digest.to_string());
    if session.json() {
        let path = path.to_string_lossy();
        output.object(&json!({"path": path, "bytes": bytes, "blake3": digest}))?;
    } else {
        let (path, bytes) = (text::shell(path.as_os_str()), text::bytes(bytes));
        output.line(format_args!("{what} {path}, {bytes}, blake3 {digest}"))?;
    }
    Ok(Exit::Ok)
}
