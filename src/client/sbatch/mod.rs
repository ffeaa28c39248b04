//! `sbatch`: submits a script.
//!
//! `options` are read three times, a later one over an earlier: those in the `script`, those in
//! the environment, those of the command line. `request` makes a description of them, with the
//! `environment` that the job will have; `submit` sends it, again while the controller can take
//! none (code 11 and the like: nothing was acknowledged), never after an answer went missing.

mod environment;
mod help;
mod options;
mod request;
mod script;
mod submit;
mod values;

use crate::client::cluster::Cluster;
use crate::client::getopt::Getopt;
use crate::client::{Call, VERSION, env, text};
use options::{LONGS, Options, SHORTS};
pub use values::{count, mail_type};

/// The exit code of what the command line, or the script, has wrong.
const WRONG: u8 = 255;

/// The exit code of everything else that fails.
fn error_exit() -> u8 {
    let asked = env("SLURM_EXIT_ERROR").map(|text| text::leading_number(&text).0);
    asked.and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(1)
}

/// Options in the order of their words, and what follows them.
struct Words {
    options: Vec<(char, Option<String>)>,
    rest: Vec<String>,
}

fn words(zero: &str, words: Vec<String>) -> Result<Words, u8> {
    let mut reader = Getopt::new(zero, SHORTS, LONGS, words);
    let mut options = Vec::new();
    for found in reader.by_ref() {
        match found {
            Ok(found) => options.push(found),
            Err(why) => {
                text::complain(&format!("{why}\nTry \"sbatch --help\" for more information\n"));
                return Err(WRONG);
            }
        }
    }
    Ok(Words { options, rest: reader.rest() })
}

/// What must be known before anything else is done.
fn early(words: &Words) -> Option<u8> {
    for (option, _) in &words.options {
        match *option {
            'V' => text::print(&format!("{VERSION}\n")),
            'h' => text::print(help::HELP),
            options::USAGE => text::print(help::USAGE),
            _ => continue,
        }
        return Some(0);
    }
    None
}

fn prepare(call: &Call) -> Result<(Options, Vec<u8>), u8> {
    let line = words(&call.zero, call.args.clone())?;
    if let Some(code) = early(&line) {
        return Err(code);
    }
    let wrap = line.options.iter().rev().find(|(option, _)| *option == options::WRAP);
    let wrap = wrap.and_then(|(_, value)| value.clone());
    if wrap.is_some() && !line.rest.is_empty() {
        call.error("Script arguments not permitted with --wrap option");
        return Err(error_exit());
    }
    let chdir = line.options.iter().rev().find(|(option, _)| *option == 'D');
    let chdir = chdir.and_then(|(_, value)| value.clone());
    let mut argv = line.rest;
    if let Some(first) = argv.first_mut() {
        *first = script::found(first, &options::full(&chdir.unwrap_or_default()));
    }
    let body = match &wrap {
        Some(command) => script::wrapped(command),
        None => script::read(call, argv.first())?,
    };
    let mut options = Options::new(argv, wrap);
    let name =
        options.argv.first().map_or("stdin", |path| path.rsplit('/').next().unwrap_or_default());
    let directives = script::directives(call, name, &body)?;
    let inside = words("sbatch", directives)?;
    if let Some(code) = early(&inside) {
        return Err(code);
    }
    if let Some(word) = inside.rest.first() {
        call.error(&format!("Invalid directive found in batch script: {word}"));
        return Err(WRONG);
    }
    for (option, value) in inside.options {
        options.set(call, option, value)?;
    }
    for (name, option) in options::VARIABLES {
        if let Some(value) = env(name) {
            options.set(call, *option, Some(value))?;
        }
    }
    for (option, value) in line.options {
        options.set(call, option, value)?;
    }
    options.verify(call)?;
    Ok((options, body))
}

/// Runs `sbatch`.
#[must_use]
pub fn main(call: &Call) -> u8 {
    let (options, body) = match prepare(call) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let Some(cluster) = Cluster::of(call) else { return error_exit() };
    let line = [std::slice::from_ref(&call.zero), &call.args[..]].concat().join(" ");
    let desc = match request::describe(call, &cluster.conf, &options, &body, &line) {
        Ok(desc) => desc,
        Err(code) => return code,
    };
    submit::submit(call, &cluster, &options, desc)
}
