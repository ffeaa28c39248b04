//! stdout: data, and nothing else. stderr: lines for people.
//!
//! Invariant: neither a reader that left nor a closed stderr makes the tool panic.

use crate::ctl::failure::Failure;
use serde::Serialize;
use std::fmt;
use std::io::{self, BufWriter, StdoutLock, Write};

/// stdout, buffered. What is not flushed is lost where a command fails.
#[derive(Debug)]
pub struct Output {
    writer: BufWriter<StdoutLock<'static>>,
}

impl Output {
    /// Takes stdout.
    #[must_use]
    pub fn new() -> Output {
        Output { writer: BufWriter::with_capacity(64 << 10, io::stdout().lock()) }
    }

    /// Writes one line.
    ///
    /// # Errors
    /// Those of stdout.
    pub fn line(&mut self, line: impl fmt::Display) -> Result<(), Failure> {
        Ok(writeln!(self.writer, "{line}")?)
    }

    /// Writes one object on a line of its own.
    ///
    /// # Errors
    /// Those of stdout.
    pub fn object(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.writer, object).map_err(io::Error::from)?;
        Ok(self.writer.write_all(b"\n")?)
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// Those of stdout.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.writer.write_all(bytes)?)
    }

    /// Hands everything to whoever reads.
    ///
    /// # Errors
    /// Those of stdout.
    pub fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.writer.flush()?)
    }
}

/// Writes one line to stderr. Nobody is left to be told where that fails.
pub fn say(line: impl fmt::Display) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// Shows a line on stderr that the next one replaces; an empty one leaves nothing behind.
pub fn show(line: impl fmt::Display) {
    drop(write!(io::stderr(), "\r{line}\x1b[K"));
}

impl Default for Output {
    fn default() -> Output {
        Output::new()
    }
}
