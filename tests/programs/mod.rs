//! Real programs that some tests need. Where one is missing the test says so and passes, and
//! `tools/test` counts it as skipped; where `STATEDIR_REQUIRE=all` says that nothing may be
//! missing, the test fails.

use std::io::Write;
use std::path::PathBuf;

/// Where `program` is in `PATH`, or among the daemons; `None`: `test` is to be skipped, which has
/// been reported.
///
/// # Panics
/// Where `STATEDIR_REQUIRE=all` is set and the program is missing.
pub fn find(program: &str, test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut places = std::env::split_paths(&path).chain(daemons).map(|dir| dir.join(program));
    let found = places.find(|at| at.is_file());
    if found.is_none() {
        let required = std::env::var("STATEDIR_REQUIRE").is_ok_and(|what| what == "all");
        assert!(!required, "{program} is required and not in PATH");
        report(&format!("{test}: {program} is not in PATH"));
    }
    found
}

/// The file, if it is there; `None`: `test` is to be skipped, which has been reported.
///
/// # Panics
/// As [`find`].
#[allow(dead_code, reason = "most suites need programs only")]
pub fn file(path: &str, test: &str) -> Option<PathBuf> {
    let found = Some(PathBuf::from(path)).filter(|at| at.is_file());
    if found.is_none() {
        let required = std::env::var("STATEDIR_REQUIRE").is_ok_and(|what| what == "all");
        assert!(!required, "{path} is required and not there");
        report(&format!("{test}: {path} is not there"));
    }
    found
}

/// Something that no package brings is not possible here: a test is skipped.
#[allow(dead_code, reason = "most suites need programs only")]
pub fn cannot(what: &str) {
    report(what);
}

/// Whether this is root; if not, `test` is to be skipped, which has been reported.
///
/// # Panics
/// As [`find`].
#[allow(dead_code, reason = "most suites need programs only")]
pub fn root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let required = std::env::var("STATEDIR_REQUIRE").is_ok_and(|what| what == "all");
        assert!(!required, "root is required, and this is another user");
        report(&format!("{test}: this is not root"));
    }
    root
}

/// One line for whoever looks, and one in the file that `tools/test` counts.
fn report(line: &str) {
    eprintln!("skipped {line}");
    if let Some(path) = std::env::var_os("STATEDIR_SKIPPED") {
        let file = std::fs::File::options().append(true).create(true).open(path);
        let written = file.and_then(|mut file| writeln!(file, "{line}"));
        written.expect("tools/test gave a path that can be written");
    }
}
