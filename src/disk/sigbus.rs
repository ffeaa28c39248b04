//! Reading a mapping whose page cannot be had (a bad sector, a file cut by somebody else, ESTALE)
//! raises SIGBUS. For mappings registered here the handler puts a page of zeros in the hole and
//! raises a flag; the reader goes on, and the checksum over what it read fails.
//!
//! Invariants: a fault outside the registered ranges ends the process as it would have without
//! us; the handler takes no lock, allocates nothing and leaves `errno` alone; a range is
//! registered only while its mapping exists.

use std::io;
use std::mem;
use std::ops::Range;
use std::ptr;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Mappings guarded at a time: a store maps one file per snapshot it keeps or reads. Others are
/// read into memory instead.
const SLOTS: usize = 1024;

/// `start` of a slot that nobody uses.
const FREE: usize = 0;
/// `start` of a slot that is being filled in. No mapping begins at the second byte of memory.
const TAKEN: usize = 1;

static TABLE: Table<SLOTS> = Table::new();
static PAGE: AtomicUsize = AtomicUsize::new(0);
/// What handled SIGBUS before us.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static INSTALLED: Mutex<bool> = Mutex::new(false);

struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    faulted: AtomicBool,
}

struct Table<const N: usize>([Slot; N]);

impl<const N: usize> Table<N> {
    const fn new() -> Self {
        Table(
            [const {
                Slot {
                    start: AtomicUsize::new(FREE),
                    end: AtomicUsize::new(0),
                    faulted: AtomicBool::new(false),
                }
            }; N],
        )
    }

    fn take(&self, range: &Range<usize>) -> Option<&Slot> {
        let slot = self.0.iter().find(|slot| {
            let taken =
                slot.start.compare_exchange(FREE, TAKEN, Ordering::SeqCst, Ordering::SeqCst);
            taken.is_ok()
        })?;
        slot.faulted.store(false, Ordering::SeqCst);
        slot.end.store(range.end, Ordering::SeqCst);
        // Last: the handler believes a slot whose start is an address.
        slot.start.store(range.start, Ordering::SeqCst);
        Some(slot)
    }

    fn find(&self, address: usize) -> Option<&Slot> {
        self.0.iter().find(|slot| {
            let start = slot.start.load(Ordering::SeqCst);
            let end = slot.end.load(Ordering::SeqCst);
            // Read again: in between the slot may have gone to another mapping.
            let same = slot.start.load(Ordering::SeqCst) == start;
            start > TAKEN && (start..end).contains(&address) && same
        })
    }
}

/// A range of memory under guard, until dropped.
pub(super) struct Guard(&'static Slot);

impl Guard {
    /// Guards `range`, which is mapped from a file, read-only. `None` if the table is full.
    ///
    /// # Errors
    /// Those of `sigaction`.
    pub(super) fn new(range: &Range<usize>) -> io::Result<Option<Guard>> {
        install()?;
        Ok(TABLE.take(range).map(Guard))
    }

    /// Whether a page of the range could not be had, and reads as zeros now.
    pub(super) fn faulted(&self) -> bool {
        self.0.faulted.load(Ordering::SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.start.store(FREE, Ordering::SeqCst);
    }
}

/// Installs the handler, the first time.
fn install() -> io::Result<()> {
    let mut installed = INSTALLED.lock().expect("nothing panics under this lock");
    if *installed {
        return Ok(());
    }
    PAGE.store(rustix::param::page_size(), Ordering::SeqCst);
    // Known before our handler can run: it hands on to it.
    let previous = exchange(None)?;
    PREVIOUS.set(previous).map_err(|_| io::Error::other("SIGBUS: installed twice"))?;
    // SAFETY: all zeros is a valid sigaction: no flags, an empty mask.
    let mut ours: libc::sigaction = unsafe { mem::zeroed() };
    let function: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = handle;
    ours.sa_sigaction = function as libc::sighandler_t;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    exchange(Some(&ours))?;
    *installed = true;
    Ok(())
}

/// Sets the action for SIGBUS, or only asks for it; returns the one that held.
fn exchange(action: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    // SAFETY: as in `install`.
    let mut old: libc::sigaction = unsafe { mem::zeroed() };
    let new = action.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both pointers are null or point to live structures of the right type.
    if unsafe { libc::sigaction(libc::SIGBUS, new, &raw mut old) } == 0 {
        Ok(old)
    } else {
        Err(io::Error::last_os_error())
    }
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid siginfo to SA_SIGINFO handlers; si_addr is set for every
    // positive code of SIGBUS.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    let slot = if code > 0 { TABLE.find(address) } else { None };
    if let Some(slot) = slot {
        slot.faulted.store(true, Ordering::SeqCst);
        if zero_page(address) {
            return;
        }
    }
    hand_on(signal, code, info, context);
}

/// Maps zeros over the page of `address`.
fn zero_page(address: usize) -> bool {
    let page = PAGE.load(Ordering::SeqCst);
    let start = address - address % page;
    // SAFETY: errno belongs to this thread; the interrupted code must not see it change.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: the page lies in a registered range, that is in a read-only file mapping that lives
    // while it is registered; the kernel replaces exactly this page.
    let mapped = unsafe {
        libc::mmap(
            ptr::without_provenance_mut(start),
            page,
            libc::PROT_READ,
            libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
    mapped != libc::MAP_FAILED
}

/// Does with a signal that is not ours what would have happened without us.
fn hand_on(
    signal: libc::c_int,
    code: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let previous = PREVIOUS.get();
    let handler = previous.map_or(libc::SIG_DFL, |action| action.sa_sigaction);
    // The kernel ignores no fault: SIG_IGN counts for signals that somebody sent.
    if handler == libc::SIG_IGN && code <= 0 {
        return;
    }
    if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
        // SAFETY: sigaction and raise may be called in handlers. A fault happens again when we
        // return and then ends the process; a sent signal has to be sent again.
        unsafe {
            let mut default: libc::sigaction = mem::zeroed();
            default.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(signal, &raw const default, ptr::null_mut());
            if code <= 0 {
                libc::raise(signal);
            }
        }
        return;
    }
    let with_info = previous.is_some_and(|action| action.sa_flags & libc::SA_SIGINFO != 0);
    // SAFETY: the address came from sigaction, which says by SA_SIGINFO what it takes.
    unsafe {
        if with_info {
            let function: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                mem::transmute(handler);
            function(signal, info, context);
        } else {
            let function: extern "C" fn(libc::c_int) = mem::transmute(handler);
            function(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[test]
    fn full_table_refuses_and_freed_slots_come_back() {
        let table: &'static Table<2> = Box::leak(Box::new(Table::new()));
        let first = Guard(table.take(&(0x1000..0x3000)).expect("empty table"));
        let second = Guard(table.take(&(0x8000..0x9000)).expect("one slot left"));
        assert!(table.take(&(0xa000..0xb000)).is_none());
        assert!(table.find(0x2fff).is_some_and(|slot| ptr::eq(slot, first.0)));
        assert!(table.find(0x3000).is_none());
        drop(first);
        assert!(table.find(0x2fff).is_none());
        assert!(table.take(&(0xa000..0xb000)).is_some());
        drop(second);
    }

    /// Not a test of its own: what the children below run.
    #[test]
    fn child() {
        let Ok(what) = std::env::var("STATEDIR_SIGBUS_CHILD") else { return };
        let file = tempfile::tempfile().unwrap();
        file.set_len(8192).unwrap();
        // SAFETY: the file is cut below, which is the point; nobody else knows it.
        let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
        // Some other range is guarded, so that the handler is installed.
        let _guard = Guard::new(&(0x1000..0x2000)).unwrap().expect("room in the table");
        if what == "fault" {
            file.set_len(0).unwrap();
            std::hint::black_box(map[4096]);
        } else {
            // Twice: the handler of Rust's runtime, which was there before ours, swallows the
            // first and restores the default action.
            // SAFETY: sends a signal to this thread.
            unsafe { libc::raise(libc::SIGBUS) };
            // SAFETY: as above.
            unsafe { libc::raise(libc::SIGBUS) };
        }
        std::process::exit(0);
    }

    #[test]
    fn signal_outside_our_ranges_still_kills() {
        for what in ["fault", "sent"] {
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "disk::sigbus::tests::child", "--test-threads=1"])
                .env("STATEDIR_SIGBUS_CHILD", what)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .status()
                .unwrap();
            assert_eq!(status.signal(), Some(libc::SIGBUS), "{what}: {status}");
        }
    }
}
