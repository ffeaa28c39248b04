//! The house is in order: who imports whom, how files begin, how long lines are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Module, and what it may import besides itself.
const LAYERS: [(&str, &[&str]); 14] = [
    ("base", &[]),
    ("disk", &["base"]),
    ("format", &["base"]),
    ("log", &["base", "disk", "format"]),
    ("snapshot", &["base", "disk", "format"]),
    ("store", &["base", "disk", "format", "log", "snapshot"]),
    ("role", &["base", "disk", "format"]),
    // A backup holds a snapshot byte for byte, so that it names its header and its errors.
    ("export", &["base", "disk", "format", "snapshot", "store"]),
    ("slurm", &["base", "disk"]),
    ("agent", &["base", "disk", "slurm"]),
    ("client", &["base", "disk", "slurm"]),
    // Errors of the lower layers are named where a request comes to them.
    ("controller", &["base", "disk", "format", "role", "slurm", "snapshot", "store"]),
    // The cluster is run as programs; its place is made here.
    ("drill", &["agent", "slurm", "store"]),
    // The tool names values of the lower layers (LSNs, ops, a snapshot's error), and opens the
    // directories of repositories.
    // It asks controllers in their protocol how they stand.
    ("ctl", &["base", "disk", "export", "format", "role", "slurm", "snapshot", "store"]),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn all(of: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(of), &mut found);
    assert!(!found.is_empty());
    found
}

/// The part of a source before its unit tests, which may use what they like.
fn production(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn modules_import_only_what_their_layer_allows() {
    let mut seen = 0;
    for (module, allowed) in LAYERS {
        for path in all(&format!("src/{module}")) {
            let inside = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
            if inside.components().any(|part| part.as_os_str() == "tests") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (at, _) in production(&text).match_indices("crate::") {
                let rest = &text[at + "crate::".len()..];
                let name: String =
                    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let known = LAYERS.iter().any(|(layer, _)| *layer == name);
                let fine = !known || name == module || allowed.contains(&name.as_str());
                // Docs of the lowest layer may point at the face of the engine.
                let line = text[..at].rsplit('\n').next().unwrap_or("").trim_start();
                assert!(fine || line.starts_with("//"), "{}: imports {name}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "the search finds imports");
}

#[test]
fn no_thread_or_task_of_the_controller_is_begun_whose_panic_nobody_hears_of() {
    // They are waited for where they are begun (scopes, sets), or say what a panic does.
    let ways =
        ["thread::spawn(", "thread::Builder::", "tokio::spawn(", ".spawn_on(", "spawn_local("];
    let begin = |file: &str| matches!(file, "vital.rs" | "pipeline.rs");
    let mut seen = 0;
    for path in all("src/controller") {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_str().unwrap();
        if path.components().any(|part| part.as_os_str() == "tests") || file == "tests.rs" {
            continue;
        }
        let found = ways.iter().find(|way| production(&text).contains(*way));
        assert!(found.is_none() || begin(file), "{}: {found:?}: use vital", path.display());
        seen += usize::from(found.is_some());
    }
    assert_eq!(seen, 2, "the search finds them");
}

#[test]
fn files_say_what_they_are_for_and_lines_fit() {
    for path in ["src", "tests"].into_iter().flat_map(all) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{}: does not open with //!", path.display());
        let lines = text.lines().count();
        assert!(lines <= 800, "{}: {lines} lines: is it one idea?", path.display());
        for (number, line) in text.lines().enumerate() {
            // A row of a table cannot be broken.
            if line.starts_with("//! |") {
                continue;
            }
            let width = line.chars().count();
            assert!(width <= 100, "{}:{}: {width} columns", path.display(), number + 1);
        }
    }
}

/// The rows of the table under that heading: the cells of each.
fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let section = document.split(heading).nth(1).expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::to_owned).collect()).collect()
}

/// Whether a file of that name, or one below a folder of that name, has a test that begins so.
fn is_there(file: &str, name: &str, sources: &[(PathBuf, String)]) -> bool {
    let begins = format!("\nfn {name}");
    sources.iter().any(|(path, text)| {
        let mut parts = path.iter().filter_map(|part| Path::new(part).file_stem()?.to_str());
        parts.any(|part| part == file) && text.contains(&begins)
    })
}

/// The words of a sentence or of a name that say something; `SlurmctldTimeout` is two.
fn words(text: &str) -> BTreeSet<String> {
    let mut parted = String::new();
    let mut before = ' ';
    for c in text.chars() {
        if before.is_lowercase() && c.is_uppercase() {
            parted.push(' ');
        }
        parted.push(c);
        before = c;
    }
    let words = parted.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| word.len() > 3).collect()
}

#[test]
fn every_sentence_of_the_handbook_has_tests_that_exist_and_one_with_its_words_in_the_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("docs/testing.md")).unwrap();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap().replace("\n    fn ", "\nfn ");
        (path.strip_prefix(root).unwrap().to_owned(), text)
    };
    let sources: Vec<_> = ["src", "tests"].into_iter().flat_map(all).map(read).collect();
    let rows = rows(&document, "## The handbook, sentence by sentence");
    assert!(rows.len() > 30, "{} sentences", rows.len());
    for row in rows {
        let named: Vec<&str> = row[1].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test: {}", row[0]);
        let said = words(&row[0]);
        let says = |test: &&str| words(test.split_once(": ").unwrap().1);
        let shared = named.iter().map(|test| says(test).intersection(&said).count()).max();
        assert!(shared >= Some(2), "no test has its words: {}", row[0]);
        for test in named {
            let (file, name) = test.split_once(": ").expect("file: test");
            assert!(name.len() > 20 && is_there(file, name, &sources), "{}: no {test}", row[0]);
        }
    }
}

#[test]
fn the_code_map_in_the_docs_is_what_layers_allow() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("docs/ARCHITECTURE.md")).unwrap();
    let rows = rows(&document, "## Code map");
    let told = rows.iter().map(|row| {
        let module = row[0].trim_matches([' ', '`']);
        let allowed = row[2].trim().trim_end_matches(" |").trim();
        let allowed = match allowed {
            "–" => Vec::new(),
            "all above" => LAYERS.iter().map(|of| of.0).take_while(|of| *of != module).collect(),
            allowed => allowed.split(' ').collect::<Vec<_>>(),
        };
        (module, allowed)
    });
    let layers = LAYERS.map(|(module, allowed)| (module, allowed.to_vec()));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), BTreeMap::from(layers));
}

#[test]
fn files_that_documents_name_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).unwrap().map(|page| page.unwrap().path());
    let mut named = 0;
    for page in pages.chain([root.join("README.md")]) {
        let text = std::fs::read_to_string(&page).unwrap();
        let folder = page.parent().unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let links =
            links.filter(|to| !to.is_empty() && !to.contains(":")).map(|to| folder.join(to));
        let quoted = text.split('`').skip(1).step_by(2).filter(|quoted| {
            let ours = ["src/", "tests/", "tools/", "docs/", "benches/", "fuzz/", "controller/"];
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            ours.iter().any(|folder| quoted.starts_with(folder)) && quoted.chars().all(plain)
        });
        for path in links.chain(quoted.map(|quoted| root.join(quoted))) {
            assert!(path.exists(), "{} names {}", page.display(), path.display());
            named += 1;
        }
    }
    assert!(named > 50, "{named} found: does the search still fit the documents?");
}

/// What the controller reads of slurm.conf, other than to show it, is not told as without effect.
#[test]
fn parameters_that_the_controller_reads_are_listed_as_acted_on() {
    let table = std::fs::read_to_string("src/slurm/conf/parameters.rs").unwrap();
    let (_, table) = table.split_once("pub const ACTED_ON").unwrap();
    let (acted_on, _) = table.split_once("];").unwrap();
    let shown = |path: &Path| path.ends_with("config.rs") || path.ends_with("inform.rs");
    let mut read = 0;
    for path in all("src/controller").into_iter().filter(|path| !shown(path)) {
        let text = std::fs::read_to_string(&path).unwrap();
        let text = production(&text);
        for start in ["conf.text(\"", "conf.number(\"", "conf.flag(\""] {
            for behind in text.split(start).skip(1) {
                let name = behind.split('"').next().unwrap();
                let listed = acted_on.contains(&format!("\"{name}\""));
                assert!(listed, "{}: {name} is not in ACTED_ON", path.display());
                read += 1;
            }
        }
    }
    assert!(read > 20, "{read} found: does the search still fit the code?");
}
