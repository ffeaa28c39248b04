//! Damage to a store at rest is refused, or made good from a second copy; it is never passed on in
//! silence, and nothing panics.
//!
//! The store has two epochs, three segments and two snapshots. All of the log is there, so that
//! three things can give its state: the newer snapshot with the log behind it, the older one with
//! more of the log, and the log alone.
//!
//! `STATEDIR_DAMAGE=N` makes N damaged copies. Copy number n of seed s is copy 0 of seed s + n:
//! `STATEDIR_SEED=s+n STATEDIR_DAMAGE=1` walks through that one alone.

#[allow(dead_code, reason = "every test binary uses a part of it")]
mod common;
#[path = "damage/copies.rs"]
mod copies;
#[path = "damage/judge.rs"]
mod judge;
#[path = "damage/store.rs"]
mod store;

use copies::{Kind, damaged_copy};
use judge::{Depth, Verdict, judge};
use statedir::base::{Epoch, Lsn, SegmentId};
use statedir::disk::fake::{FakeDisk, Image};
use statedir::format::segment::HEADER_LEN;
use statedir::format::{FileName, names};
use statedir::store::{Level, verify_on};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use store::{Left, SEGMENT, Span, Subject, What, to_index};

/// Copies in a default run.
const COPIES: u64 = 50_000;

/// Threads that judge: as many as the smallest machine has cores.
const THREADS: u64 = 2;

/// What came out, by what was damaged.
#[derive(Debug, Default)]
struct Tally {
    all: u64,
    right: u64,
    told: u64,
    refused: u64,
    earlier_told: u64,
    earlier: u64,
    wrong: u64,
    panics: u64,
    /// Those where a second copy of everything damaged was there, and of these the right states.
    second: u64,
    second_right: u64,
}

impl Tally {
    fn add(&mut self, verdict: &Verdict, second: bool) {
        self.all += 1;
        *match verdict {
            Verdict::Right => &mut self.right,
            Verdict::Told => &mut self.told,
            Verdict::Refused(_) => &mut self.refused,
            Verdict::Earlier { told: true } => &mut self.earlier_told,
            Verdict::Earlier { told: false } => &mut self.earlier,
            Verdict::SilentChange(_) | Verdict::Breach(_) => &mut self.wrong,
            Verdict::Panic(_) => &mut self.panics,
        } += 1;
        self.second += u64::from(second);
        self.second_right += u64::from(second && verdict.is_right());
    }
}

/// Prints a row a kind of damage. *told*: the right state, and a word about the damage. *cut* and
/// *back*: the state after fewer saves, where nothing left says that there were more, with a word
/// about the damage and without ([`Verdict::Earlier`]).
fn print(tallies: &BTreeMap<&'static str, Tally>) {
    println!(
        "{:<30} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6}   second copy: right of",
        "damage", "copies", "right", "told", "refused", "cut", "back", "wrong", "panic"
    );
    for (name, t) in tallies {
        println!(
            "{name:<30} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6}   {} of {}",
            t.all,
            t.right,
            t.told,
            t.refused,
            t.earlier_told,
            t.earlier,
            t.wrong,
            t.panics,
            t.second_right,
            t.second
        );
    }
}

/// What [`each`] gathers.
#[derive(Debug, Default)]
struct Gathered {
    tallies: BTreeMap<&'static str, Tally>,
    broken: Vec<String>,
}

/// Calls `one` with every number below `count`, on two threads. It names the row that its verdict
/// belongs to, and says whether there was a second copy and which rule is broken, if one is.
fn each(
    count: u64,
    one: impl Fn(u64) -> (&'static str, Verdict, bool, Option<String>) + Sync,
) -> Gathered {
    let gathered = Mutex::new(Gathered::default());
    thread::scope(|scope| {
        for first in 0..THREADS {
            let (one, gathered) = (&one, &gathered);
            scope.spawn(move || {
                for number in (first..count).step_by(to_index(THREADS)) {
                    let (row, verdict, second, broken) = one(number);
                    let mut gathered = gathered.lock().expect("no panic under this lock");
                    gathered.tallies.entry(row).or_default().add(&verdict, second);
                    gathered.broken.extend(broken);
                }
            });
        }
    });
    gathered.into_inner().expect("no panic under this lock")
}

fn report(gathered: &Gathered) {
    print(&gathered.tallies);
    for one in gathered.broken.iter().take(20) {
        println!("BROKEN {one}");
    }
    let broken = gathered.broken.len();
    assert!(broken == 0, "{broken} broken; the first: {}", gathered.broken[0]);
}

/// Every bit of every file, one at a time.
#[test]
fn no_flipped_bit_of_a_closed_store_changes_the_state_in_silence() {
    let subject = Subject::new(Left::Closed);
    let bits = bits(&subject);
    println!("{} files, {} bits", subject.image.names().len(), bits.len());
    flip_each(&subject, &bits);
}

/// A killed writer's last saves are above every watermark. Bits that nothing reads are the same in
/// both stores: here are those that are read.
#[test]
fn no_flipped_bit_of_a_killed_store_changes_the_state_in_silence() {
    let subject = Subject::new(Left::Killed);
    let mut bits = bits(&subject);
    bits.retain(|bit| bit.span.is_some() || bit.in_tail);
    flip_each(&subject, &bits);
}

fn flip_each(subject: &Subject, bits: &[Bit]) {
    let doubled = doubled(subject);
    let gathered = each(bits.len() as u64, |number| {
        let bit = &bits[to_index(number)];
        let mut damaged = subject.image.clone();
        damaged.flip_bit(&bit.file, bit.number);
        let verdict = judge(subject, &damaged, bit.depth());
        let is_it = |span: &Span| doubled.iter().any(|other| std::ptr::eq(*other, span));
        let second = bit.span.is_none_or(is_it);
        let broken = bit.broken_rule(subject, &damaged, &verdict, second);
        let broken = broken.map(|rule| format!("{} bit {}: {rule}", bit.file, bit.number));
        (bit.row(), verdict, second, broken)
    });
    report(&gathered);
}

/// The parts of the store without which the whole state still stands there.
fn doubled(subject: &Subject) -> Vec<&Span> {
    let spans = subject.spans.iter();
    let without = |span: &&Span| {
        let mut damaged = subject.image.clone();
        damaged.flip_bit(&span.file, span.bytes.start * 8);
        subject.has_second_copy(&damaged)
    };
    spans.filter(without).collect()
}

/// One bit of a file, and what it is there for.
struct Bit<'a> {
    file: String,
    number: u64,
    span: Option<&'a Span>,
    /// It lies behind the last group of the last segment.
    in_tail: bool,
}

/// All bits of all files.
fn bits(subject: &Subject) -> Vec<Bit<'_>> {
    let mut bits = Vec::new();
    let last = subject.image.names().into_iter().rfind(|name| name.starts_with("log-"));
    for file in subject.image.names() {
        let spans: Vec<&Span> = subject.spans.iter().filter(|span| span.file == file).collect();
        let end = spans.iter().map(|span| span.bytes.end).max().unwrap_or(0);
        let tail = end.next_multiple_of(4096);
        for number in 0..subject.image.len(&file) * 8 {
            let byte = number / 8;
            let span = spans.iter().find(|span| span.bytes.contains(&byte)).copied();
            let in_tail = Some(&file) == last.as_ref() && byte >= tail;
            bits.push(Bit { file: file.clone(), number, span, in_tail });
        }
    }
    bits
}

impl Bit<'_> {
    fn depth(&self) -> Depth {
        // A writer recovers by the same code: where a flip of any bit does the same, one bit of
        // each byte suffices, and where nothing reads the bytes, one of eight of them.
        let one_in = |bits: u64| self.number % bits == self.number / bits % bits;
        let writer = match self.span.map(|span| span.what) {
            Some(What::Slot) => one_in(8),
            Some(_) => true,
            None => one_in(64),
        };
        if writer { Depth::Writer } else { Depth::Reader }
    }

    fn row(&self) -> &'static str {
        match (FileName::parse(&self.file), self.span.is_some(), self.in_tail) {
            (Some(FileName::Control), ..) => "control file",
            (Some(FileName::Segment(_)), true, _) => "segment, header and groups",
            (Some(FileName::Segment(_)), false, true) => "segment, behind the end",
            (Some(FileName::Segment(_)), false, false) => "segment, padding",
            (_, true, _) => "snapshot",
            (_, false, _) => "snapshot, padding",
        }
    }

    /// The rule that `verdict` breaks, if it does.
    fn broken_rule(
        &self,
        subject: &Subject,
        damaged: &Image,
        verdict: &Verdict,
        second: bool,
    ) -> Option<String> {
        let holds = match (verdict, self.span) {
            // Behind the end of the log: an unfinished group, as far as anybody can tell.
            (verdict, None) if self.in_tail => *verdict == Verdict::Told,
            // Padding of groups, of headers, of a segment that was rotated away: no decoder reads
            // it, no checksum covers it, and no writer ever writes there again.
            (verdict, None) => *verdict == Verdict::Right,
            (Verdict::Right, Some(_)) => return self.unseen_by_verify(damaged),
            (Verdict::Told, Some(_)) => true,
            (Verdict::Refused(text), Some(_)) => !second && text.contains(&self.file),
            // The last group, with nothing that vouches for it: it might be unfinished.
            (Verdict::Earlier { told: true }, Some(span)) => {
                span.what == What::Group(Lsn(subject.model.saves()))
                    && subject.vouched_for(damaged) < Lsn(subject.model.saves())
            }
            _ => false,
        };
        (!holds).then(|| format!("{:?}: {verdict:?}", self.span))
    }

    /// Damage that opening does not need to look at is found by the full verification.
    fn unseen_by_verify(&self, damaged: &Image) -> Option<String> {
        if self.number % 8 != self.number / 8 % 8 {
            return None;
        }
        let verified = verify_on(common::shared(&FakeDisk::from_image(damaged)), Level::Full);
        match verified {
            Ok(verified) if verified.findings.iter().any(|f| f.file == self.file) => None,
            other => Some(format!("{:?}: the full verification says {other:?}", self.span)),
        }
    }
}

/// Groups of zeros, as a disk leaves them that lost a write: nothing is wrong with what stands
/// there, and it must be missed all the same.
#[test]
fn no_group_that_turned_to_zeros_is_passed_over() {
    let subject = Subject::new(Left::Closed);
    for span in subject.spans.iter().filter(|span| matches!(span.what, What::Group(_))) {
        let mut damaged = subject.image.clone();
        damaged.zero(&span.file, span.bytes.clone());
        let verdict = judge(&subject, &damaged, Depth::Writer);
        match &verdict {
            Verdict::Right => {
                let disk = FakeDisk::from_image(&damaged);
                let verified = verify_on(common::shared(&disk), Level::Full).expect("it opens");
                assert!(!verified.findings.is_empty(), "{span:?}: nothing is found");
            }
            Verdict::Refused(_) => assert!(!subject.has_second_copy(&damaged), "{span:?}"),
            other => panic!("{span:?}: {other:?}"),
        }
    }
}

/// After a kill no watermark reaches the last saves, nor does that of an earlier control file. A
/// segment that can be seen to be cut, or that holds something nobody can read, must do.
#[test]
fn log_that_is_visibly_damaged_is_refused_though_no_watermark_reaches_there() {
    let closed = Subject::new(Left::Closed);
    for earlier in &closed.earlier {
        let mut stale = closed.image.clone();
        stale.write(names::CONTROL, 0, &earlier.read(names::CONTROL));
        damage_last_segment(&closed, &stale);
    }
    let killed = Subject::new(Left::Killed);
    damage_last_segment(&killed, &killed.image);
}

/// As above, where no snapshot leads into the segment either: it must not be taken for one that was
/// never used, nor the store for an empty one.
#[test]
fn log_that_nobody_can_read_is_not_taken_for_an_empty_one() {
    let killed = Subject::new(Left::Killed);
    let mut image = killed.image.clone();
    for file in killed.image.names().iter().filter(|name| name.starts_with("snap-")) {
        image.remove(file);
    }
    damage_first_block(&killed, &image);
    // The very first saves of a store, with nothing but zeros in the control file's watermark.
    let young = Subject::young();
    damage_first_block(&young, &young.image);
}

/// As above, where the log came into the segment by a rotation that nothing tells of.
#[test]
fn a_cut_segment_is_never_passed_over_without_a_word() {
    let subject = Subject::rotated();
    let last = last_segment(&subject);
    let begins = |span: &&Span| matches!(span.what, What::Group(_)) && span.file == last.file;
    assert!(subject.spans.iter().any(|span| begins(&span)), "it is in use");
    for len in (0..HEADER_LEN as u64).chain((512..SEGMENT).step_by(512)) {
        let mut damaged = subject.image.clone();
        damaged.truncate(&last.file, len);
        let verdict = judge(&subject, &damaged, Depth::Writer);
        // Less than a header is what a crash leaves of a segment in the making.
        let fine = match &verdict {
            Verdict::Refused(text) => text.contains(&last.file),
            Verdict::Earlier { told } => *told && len < HEADER_LEN as u64,
            _ => false,
        };
        assert!(fine, "cut to {len}: {verdict:?}");
    }
}

/// A segment's seal counted under whatever name it stood: it ended the history elsewhere.
#[test]
fn a_segment_under_another_name_says_nothing_of_the_history() {
    let subject = Subject::new(Left::Closed);
    for file in subject.image.names().iter().filter(|name| name.starts_with("log-")) {
        for (epoch, ordinal) in [(93, 0), (2, 99), (0, 0), (1, 50)] {
            let name = FileName::Segment(SegmentId { epoch: Epoch(epoch), ordinal });
            for mut damaged in [subject.image.clone(), subject.image.copy()] {
                damaged.rename(file, &name.to_string());
                let verdict = judge(&subject, &damaged, Depth::Writer);
                let fine = verdict.is_right() || matches!(verdict, Verdict::Refused(_));
                assert!(fine, "{file} as {name}: {verdict:?}");
            }
        }
    }
}

/// Cuts the last segment of `image` at every sector, and damages its first block.
fn damage_last_segment(subject: &Subject, image: &Image) {
    let last = last_segment(subject);
    for len in (0..SEGMENT).step_by(512) {
        let cut = |damaged: &mut Image| damaged.truncate(&last.file, len);
        must_be_refused(subject, image, &format!("cut to {len}"), cut);
    }
    damage_first_block(subject, image);
}

/// Flips every bit that counts of the last segment's first block, and makes it zeros.
fn damage_first_block(subject: &Subject, image: &Image) {
    assert!(judge(subject, image, Depth::Writer).is_right());
    let last = last_segment(subject);
    for bit in 0..last.bytes.end * 8 {
        let flip = |damaged: &mut Image| damaged.flip_bit(&last.file, bit);
        must_be_refused(subject, image, &format!("bit {bit}"), flip);
    }
    let zero = |damaged: &mut Image| damaged.zero(&last.file, last.bytes.clone());
    must_be_refused(subject, image, "zeros", zero);
}

fn last_segment(subject: &Subject) -> &Span {
    subject.spans.iter().rfind(|span| span.what == What::Segment).expect("there are segments")
}

fn must_be_refused(subject: &Subject, image: &Image, what: &str, damage: impl Fn(&mut Image)) {
    let mut damaged = image.clone();
    damage(&mut damaged);
    let verdict = judge(subject, &damaged, Depth::Writer);
    let file = &last_segment(subject).file;
    let named = matches!(&verdict, Verdict::Refused(text) if text.contains(file));
    assert!(named, "{what}: {verdict:?}");
}

/// Bits, sectors and files, at random.
#[test]
fn no_damaged_copy_changes_the_state_in_silence() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (seed, copies) = (number("STATEDIR_SEED", 1), number("STATEDIR_DAMAGE", COPIES));
    println!("STATEDIR_SEED={seed} STATEDIR_DAMAGE={copies}");
    let subject = Subject::new(Left::Closed);
    let gathered = each(copies, |number| {
        let copy_seed = seed.wrapping_add(number);
        let copy = damaged_copy(&subject, copy_seed);
        let verdict = judge(&subject, &copy.image, Depth::Writer);
        let second = subject.has_second_copy(&copy.image);
        let broken = if verdict.is_wrong() || second && !verdict.is_right() {
            Some(format!("STATEDIR_SEED={copy_seed} {:?}: {verdict:?}", copy.story))
        } else {
            None
        };
        (copy.kind.name(), verdict, second, broken)
    });
    report(&gathered);
    assert!(copies < COPIES || gathered.tallies.len() == Kind::ALL.len(), "a kind is missing");
}
