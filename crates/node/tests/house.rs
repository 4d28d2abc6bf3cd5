//! The rules of the house, as far as a program can read them: floors, purity, captions, sizes, names.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Lower floors know nobody above them; crates of one floor do not know each other.
const FLOORS: [(&str, u8); 18] = [
    ("jackfield-model", 1),
    ("jackfield-documents", 2),
    // It knows nobody, so that whoever asks other servers may know it; it is not pure.
    ("jackfield-fetch", 2),
    ("jackfield-framing", 2),
    ("jackfield-dialects", 2),
    ("jackfield-hub", 3),
    ("jackfield-session", 4),
    ("jackfield-bridge", 4),
    ("jackfield-cluster", 4),
    ("jackfield-tls", 4),
    ("jackfield-worker", 5),
    ("jackfield-brokers", 5),
    ("jackfield-connectors", 5),
    ("jackfield-log", 5),
    ("jackfield-api", 5),
    ("jackfield-jwks", 5),
    ("jackfield", 6),
    // Its commands are the binary's, so it lies just below; it knows the server by its sockets; `inside`
    // drives hub and sessions without any.
    ("jackfield-bench", 5),
];
/// Beside the house, for tests only: it may know the floors below the brokers, and only tests may know it.
const TESTKIT: (&str, u8) = ("jackfield-testkit", 5);

const PURE: [&str; 6] = [
    "jackfield-model",
    "jackfield-documents",
    "jackfield-framing",
    "jackfield-dialects",
    "jackfield-hub",
    "jackfield-session",
];
const IMPURE: [&str; 9] = ["async-nats", "axum", "hyper", "lapin", "mio", "redis", "reqwest", "socket2", "tokio"];

const FILE_LINES: usize = 600;
/// Files that may hold `unsafe`; empty, and a line here needs a reason.
const UNSAFE: [&str; 0] = [];
const EMPTY_NAMES: [&str; 4] = ["common", "helpers", "misc", "utils"];
const EMPTY_ENDINGS: [&str; 5] = ["Handler", "Helper", "Manager", "Processor", "Service"];

/// Dependencies of each crate of the workspace, by name and kind.
fn dependencies() -> BTreeMap<String, Vec<(String, DependencyKind)>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let of = |package: cargo_metadata::Package| {
        let all = package.dependencies.into_iter().map(|one| (one.name, one.kind)).collect();
        (package.name.to_string(), all)
    };
    metadata.packages.into_iter().map(of).collect()
}

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().chain([&TESTKIT]).find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

/// One Rust file, and the part of it that is no test.
struct Source {
    path: PathBuf,
    text: String,
    code: String,
}

impl Source {
    fn place(&self) -> String {
        self.path.strip_prefix(crates()).unwrap().display().to_string()
    }

    /// Files of tests, and the crates that only tests and the load generator are made of.
    fn is_test(&self) -> bool {
        let place = self.place();
        let name = self.path.file_stem().unwrap().to_str().unwrap();
        place.contains("/tests/") || place.starts_with("testkit/") || name.starts_with("tests")
    }
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources() -> Vec<Source> {
    fn walk(directory: &Path, into: &mut Vec<Source>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    walk(&path, into);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = without_tests(&text);
                into.push(Source { path, text, code });
            }
        }
    }
    let mut all = Vec::new();
    walk(&crates(), &mut all);
    assert!(all.len() > 100, "the house is elsewhere");
    all
}

/// Tests stand last in a file; comments and what stands in quotes is no code.
fn without_tests(text: &str) -> String {
    let is_module =
        |at: usize| text[at..].lines().nth(1).is_some_and(|line| line.contains("mod ") && line.ends_with('{'));
    let mut marks = text.match_indices("#[cfg(test)]").map(|(at, _)| at);
    let end = marks.find(|at| is_module(*at)).unwrap_or(text.len());
    let line = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        code.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
    };
    text[..end].lines().map(line).collect::<Vec<_>>().join("\n")
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

fn nothing(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn every_crate_has_a_floor_and_knows_only_those_below() {
    let mut found = Vec::new();
    for (name, dependencies) in dependencies() {
        let Some(own) = floor(&name) else {
            found.push(format!("{name} has no floor: give it one in this test and in docs/architecture.md"));
            continue;
        };
        for (other, kind) in dependencies {
            let Some(below) = floor(&other) else { continue };
            let is_test = kind == DependencyKind::Development;
            if other == TESTKIT.0 && !is_test {
                found.push(format!("{name} depends on {other} outside of its tests"));
            } else if below >= own && !(is_test && other == TESTKIT.0) {
                found.push(format!("{name} (floor {own}) depends on {other} (floor {below})"));
            }
        }
    }
    nothing("dependencies that do not run downward", &found);
}

#[test]
fn the_pure_crates_are_pure() {
    let all = dependencies();
    let mut found = Vec::new();
    for name in PURE {
        let (mut ahead, mut seen) = (vec![name.to_owned()], BTreeSet::new());
        while let Some(next) = ahead.pop() {
            for (other, kind) in all.get(&next).into_iter().flatten() {
                if *kind == DependencyKind::Development || !seen.insert(other.clone()) {
                    continue;
                }
                if IMPURE.contains(&other.as_str()) {
                    found.push(format!("{name} depends on {other}, by way of {next}"));
                }
                ahead.push(other.clone());
            }
        }
    }
    nothing("pure crates with a socket, a thread or a clock", &found);
}

#[test]
fn the_pure_crates_look_at_no_clock_and_start_no_thread() {
    let rooms = ["model/src", "framing/src", "dialects/src", "hub/src", "session/src"];
    let mut found = Vec::new();
    for source in sources() {
        if !rooms.iter().any(|room| source.place().starts_with(room)) || source.is_test() {
            continue;
        }
        for word in ["Instant", "SystemTime", "TcpStream", "async", "await", "spawn"] {
            if words(&source.code).any(|one| one == word) {
                found.push(format!("{} says `{word}`", source.place()));
            }
        }
    }
    nothing("what a pure crate must be handed", &found);
}

#[test]
fn every_file_has_a_caption() {
    let has = |text: &str| text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 12);
    let found: Vec<_> = sources().iter().filter(|source| !has(&source.text)).map(Source::place).collect();
    nothing("files that do not open with a `//!` sentence", &found);
}

#[test]
fn no_file_is_too_long_to_read() {
    let long = |source: &Source| {
        let lines = source.code.lines().count();
        (!source.is_test() && lines > FILE_LINES).then(|| format!("{}: {lines} lines", source.place()))
    };
    nothing("files above the cap", &sources().iter().filter_map(long).collect::<Vec<_>>());
}

#[test]
fn nothing_is_unsafe() {
    let is_unsafe = |source: &&Source| {
        words(&source.code).any(|word| word == "unsafe") && !UNSAFE.contains(&source.place().as_str())
    };
    let found: Vec<_> = sources().iter().filter(is_unsafe).map(Source::place).collect();
    nothing("unsafe code", &found);
}

#[test]
fn nothing_unwraps_outside_of_tests() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (nth, line) in source.code.lines().enumerate() {
            if line.contains(".unwrap()") || line.contains(".expect(") {
                found.push(format!("{}:{}: {}", source.place(), nth + 1, line.trim()));
            }
        }
    }
    nothing("unwraps", &found);
}

#[test]
fn names_say_something() {
    let mut found = Vec::new();
    for source in sources() {
        let name = source.path.file_stem().unwrap().to_str().unwrap();
        let folder = source.path.parent().and_then(Path::file_name).unwrap().to_str().unwrap();
        if EMPTY_NAMES.contains(&name) || EMPTY_NAMES.contains(&folder) {
            found.push(source.place());
        }
        let all: Vec<&str> = words(&source.code).collect();
        for pair in all.windows(2) {
            let is_type = ["enum", "struct", "trait", "type"].contains(&pair[0]);
            if is_type && EMPTY_ENDINGS.iter().any(|ending| pair[1].ends_with(ending)) {
                found.push(format!("{} in {}", pair[1], source.place()));
            }
            if pair[0] == "fn" && pair[1].starts_with("get_") {
                found.push(format!("{} in {}", pair[1], source.place()));
            }
        }
    }
    nothing("names that say nothing", &found);
}

#[test]
fn tests_comments_and_quotes_are_no_code() {
    let text = "a(); // b\n#[cfg(test)]\nmod tests;\nc(\"d\");\n#[cfg(test)]\npub(super) mod tests {\ne();\n}\n";
    let code = without_tests(text);
    let all: Vec<&str> = words(&code).collect();
    assert_eq!(all, ["a", "cfg", "test", "mod", "tests", "c"]);
}
