//! Reads saves from stdin in a thread of its own, so that no acknowledgement waits for input.
//!
//! Invariants: lines come in order and are counted from 1; what is read ahead, and the longest
//! line, are bounded; whoever takes the lines is woken when there are more, and at the end.

use crate::base::limits::SAVE_MAX;
use crate::ctl::save_line;
use crate::format::Batch;
use std::io::{self, BufRead, BufReader, Read};
use std::mem;
use std::sync::mpsc::{Receiver, SendError, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, Thread};

/// Longest line. Base64 takes 4 bytes for 3, JSON escapes more: twice the largest save is ample.
pub const LINE_MAX: usize = 2 * SAVE_MAX;

/// Bytes that are read at once; their lines go on together.
const READ: usize = 256 << 10;

/// Reads that may wait to be taken.
const AHEAD: usize = 2;

/// One line of input.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1.
    pub number: u64,
    /// The save, or why it is none.
    pub save: Result<Batch, String>,
}

type Chunk = io::Result<Vec<Line>>;

/// The lines as they come.
#[derive(Debug)]
pub struct Intake {
    chunks: Receiver<Chunk>,
    ready: std::vec::IntoIter<Line>,
}

/// What there is.
#[derive(Debug)]
pub enum Next {
    /// A line.
    Line(Line),
    /// Nothing yet: the thread is woken when there is.
    Later,
    /// The end of the input.
    End,
}

impl Intake {
    /// Reads `input` to its end. The calling thread is unparked when there is something to take.
    pub fn start(input: impl Read + Send + 'static) -> Intake {
        let (sender, chunks) = sync_channel(AHEAD);
        let wake = Wake(thread::current());
        thread::spawn(move || {
            let mut lines = Lines::new(LINE_MAX, save_line::parse);
            // The taker may have given up: then nobody wants the rest.
            drop(read(input, &mut lines, &sender, &wake.0));
            // Before the waker: the end shows when the thread is woken.
            drop(sender);
            drop(wake);
        });
        Intake { chunks, ready: Vec::new().into_iter() }
    }

    /// The next line, if it is there.
    ///
    /// # Errors
    /// Those of the input.
    pub fn next(&mut self) -> io::Result<Next> {
        loop {
            if let Some(line) = self.ready.next() {
                return Ok(Next::Line(line));
            }
            match self.chunks.try_recv() {
                Ok(chunk) => self.ready = chunk?.into_iter(),
                Err(TryRecvError::Empty) => return Ok(Next::Later),
                Err(TryRecvError::Disconnected) => return Ok(Next::End),
            }
        }
    }
}

/// Wakes the taker once more at the end, however that comes.
struct Wake(Thread);

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

fn read(
    input: impl Read,
    lines: &mut Lines,
    chunks: &SyncSender<Chunk>,
    taker: &Thread,
) -> Result<(), SendError<Chunk>> {
    let mut input = BufReader::with_capacity(READ, input);
    loop {
        let (chunk, taken) = match input.fill_buf() {
            Ok([]) => return chunks.send(Ok(lines.end())),
            Ok(bytes) => (lines.take(bytes), bytes.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return chunks.send(Err(error)),
        };
        input.consume(taken);
        if !chunk.is_empty() {
            chunks.send(Ok(chunk))?;
            taker.unpark();
        }
    }
}

/// Cuts bytes into lines.
#[derive(Debug)]
struct Lines {
    max: usize,
    parse: fn(&[u8]) -> Result<Batch, String>,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// Bytes of that line so far, kept or not.
    partial_len: usize,
    number: u64,
}

impl Lines {
    fn new(max: usize, parse: fn(&[u8]) -> Result<Batch, String>) -> Lines {
        Lines { max, parse, partial: Vec::new(), partial_len: 0, number: 0 }
    }

    /// The lines that end in `bytes`.
    fn take(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            lines.push(self.line(&rest[..end]));
            rest = &rest[end + 1..];
        }
        self.keep(rest);
        lines
    }

    /// The last line, if it has no end of its own.
    fn end(&mut self) -> Vec<Line> {
        if self.partial_len == 0 { Vec::new() } else { vec![self.line(b"")] }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.partial_len = self.partial_len.saturating_add(bytes.len());
        if self.partial_len <= self.max {
            self.partial.extend_from_slice(bytes);
        } else {
            // It is refused anyway: only its length still counts.
            self.partial = Vec::new();
        }
    }

    fn line(&mut self, tail: &[u8]) -> Line {
        self.number += 1;
        let number = self.number;
        if self.partial_len == 0 && tail.len() <= self.max {
            return Line { number, save: (self.parse)(tail) };
        }
        self.keep(tail);
        let len = mem::take(&mut self.partial_len);
        let line = mem::take(&mut self.partial);
        let save = if len <= self.max {
            (self.parse)(&line)
        } else {
            Err(format!("line of {len} bytes: at most {} are possible; split the save", self.max))
        };
        Line { number, save }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(input: &[u8], piece: usize) -> Vec<(u64, String)> {
        let mut lines = Lines::new(4, |line| Err(String::from_utf8_lossy(line).into_owned()));
        let mut out: Vec<Line> = Vec::new();
        for bytes in input.chunks(piece) {
            out.extend(lines.take(bytes));
        }
        out.extend(lines.end());
        out.into_iter().map(|line| (line.number, line.save.unwrap_err())).collect()
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let whole = cut(b"ab\n\nabcd\nabcde\nxy", 100);
        let texts: Vec<&str> = whole.iter().map(|(_, text)| text.as_str()).collect();
        let long = "line of 5 bytes: at most 4 are possible; split the save";
        assert_eq!(texts, ["ab", "", "abcd", long, "xy"]);
        assert!(whole.iter().map(|(number, _)| *number).eq(1..=5));
        for piece in 1..17 {
            assert_eq!(cut(b"ab\n\nabcd\nabcde\nxy", piece), whole, "{piece}");
        }
    }

    #[test]
    fn input_ends_with_its_last_line() {
        let mut intake = Intake::start(&b"[]\nx"[..]);
        let mut seen = Vec::new();
        loop {
            match intake.next().unwrap() {
                Next::Line(line) => seen.push((line.number, line.save.is_ok())),
                Next::Later => thread::park(),
                Next::End => break,
            }
        }
        assert_eq!(seen, [(1, true), (2, false)]);
    }
}
