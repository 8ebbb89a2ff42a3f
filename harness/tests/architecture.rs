//! The arrows of ARCHITECTURE.md: which room may use which. A new arrow belongs into the map first.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Rooms of `src/`, and the crates beside it that it gives on under the same names.
const ROOMS: [&str; 23] = [
    "benched",
    "broker",
    "cmd",
    "contender",
    "error",
    "gate",
    "job",
    "load",
    "measure",
    "progress",
    "record",
    "redis_stub",
    "report",
    "rounds",
    "scenario",
    "serve",
    "stack",
    "stats",
    "trial",
    "verify",
    "worker",
    "workload",
    "workspace",
];

/// Rooms that the sources of one room mention as `crate::room`.
fn used_by(room: &str) -> BTreeSet<&'static str> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (file, folder) = (source.join(format!("{room}.rs")), source.join(room));
    let mut texts = Vec::new();
    let mut left: Vec<PathBuf> = [file, folder].into_iter().filter(|path| path.exists()).collect();
    assert!(!left.is_empty(), "there is no room `{room}`");
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
    let mentions = |other: &str| texts.iter().any(|text| text.contains(&format!("crate::{other}")));
    ROOMS.into_iter().filter(|other| *other != room && mentions(other)).collect()
}

#[track_caller]
fn check(room: &str, may_use: &[&str]) {
    let used = used_by(room);
    let odd: Vec<_> = used.iter().filter(|other| !may_use.contains(other)).collect();
    assert!(odd.is_empty(), "{room} uses {odd:?}; it may use {may_use:?}");
}

#[test]
fn arrows_point_one_way() {
    check("stack", &["broker", "scenario"]);
    check("benched", &["record", "stack"]);
    check("worker", &["measure"]);
    check("serve", &["stack", "worker"]);
    check("contender", &["stack"]);
    check("error", &["contender", "load", "measure", "record", "stack", "workload"]);
    check("progress", &[]);
    check("workspace", &["contender", "error", "measure", "progress", "stack", "verify"]);
    check(
        "trial",
        &[
            "contender",
            "error",
            "load",
            "measure",
            "progress",
            "record",
            "scenario",
            "stack",
            "stats",
            "verify",
            "worker",
            "workload",
            "workspace",
        ],
    );
    check(
        "rounds",
        &[
            "contender",
            "error",
            "measure",
            "progress",
            "record",
            "scenario",
            "stack",
            "trial",
            "worker",
            "workload",
            "workspace",
        ],
    );
    check(
        "job",
        &[
            "contender",
            "error",
            "gate",
            "load",
            "measure",
            "progress",
            "record",
            "rounds",
            "scenario",
            "stack",
            "stats",
            "trial",
            "verify",
            "worker",
            "workload",
            "workspace",
        ],
    );
}

/// Between crates the compiler keeps the arrows; this keeps them from being drawn.
#[test]
fn crates_know_no_more_than_their_part() {
    let beside: [(&str, &[&str]); 13] = [
        ("broker", &[]),
        ("proxy", &[]),
        ("result", &[]),
        ("stats", &["lanebench-result"]),
        ("settings", &[]),
        ("scenario", &["lanebench-settings"]),
        ("gate", &["lanebench-result", "lanebench-settings"]),
        ("report", &["lanebench-result"]),
        ("redis-stub", &["payment-delivery"]),
        ("workload", &["payment-delivery"]),
        ("verify", &["lanebench-result", "payment-delivery"]),
        ("measure", &["lanebench-result", "lanebench-workload", "payment-delivery"]),
        ("load", &["lanebench-measure", "lanebench-workload", "payment-delivery"]),
    ];
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
    let build = std::fs::read_to_string(build).unwrap();
    let dockerfile = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Dockerfile");
    let dockerfile = std::fs::read_to_string(dockerfile).unwrap();
    for (name, may_use) in beside {
        assert!(build.contains(&format!("\"{name}\"")), "build.rs does not look at {name}");
        let copied = format!("COPY harness/{name}/Cargo.toml harness/{name}/\n");
        assert!(dockerfile.contains(&copied), "the Dockerfile lacks {name}'s manifest");
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let used: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.split(['.', ' ']).next())
            .filter(|word| word.starts_with("lanebench") || *word == "payment-delivery")
            .collect();
        assert_eq!(used, may_use.iter().copied().collect(), "{}", manifest.display());
    }
}

/// Files that a tool leaves behind when it wants a decision: a snapshot to accept, a merge to settle, a patch to apply.
#[test]
fn no_file_waits_for_a_decision() {
    let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..")];
    let mut seen = 0;
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_symlink() || name == "target" || name == ".git" {
                continue;
            }
            if path.is_dir() {
                left.push(path);
                continue;
            }
            seen += 1;
            let undecided =
                [".snap.new", ".orig", ".rej", ".pending-snap"].iter().any(|end| name.ends_with(end));
            assert!(
                !undecided,
                "{} waits for a decision: accept it (cargo insta) or remove it",
                path.display()
            );
        }
    }
    assert!(seen > 300, "only {seen} files were looked at");
}

#[test]
fn the_pipeline_never_imports_the_harness() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let text = std::fs::read_to_string(manifest).unwrap();
    let package = &text[text.find("[package]").unwrap()..];
    assert!(!package.contains("lanebench.workspace") && !package.contains("harness\""), "an arrow back");
}

/// Files that sources and guides cite are there.
#[test]
fn what_is_cited_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut left = ["src", "harness", "benches", "ci"].map(|name| root.join(name)).to_vec();
    let mut cited = 0;
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                for name in cited_in(&text) {
                    assert!(root.join(name).exists(), "{} cites {name}, which is not there", path.display());
                    cited += 1;
                }
            }
        }
    }
    assert!(cited > 20, "{cited} citations");
}

/// Tests that the method names for its rules are there.
#[test]
fn the_tests_that_hold_the_method_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = String::new();
    let mut left = ["src", "harness", "benches"].map(|name| root.join(name)).to_vec();
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let method = std::fs::read_to_string(root.join("docs/method.md")).unwrap();
    let (_, table) = method.split_once("## Which tests hold these rules").unwrap();
    let named: Vec<&str> = table.split('`').skip(1).step_by(2).collect();
    assert!(named.len() > 40, "{}", named.len());
    for test in named {
        assert!(
            sources.contains(&format!("fn {test}(")),
            "docs/method.md names `{test}`, and there is no such test"
        );
    }
}

/// Guides by their path, and the documents at the root by their name.
fn cited_in(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "._-/".contains(c)));
    let documents = words.map(|word| word.trim_matches('.')).filter(|word| word.ends_with(".md"));
    documents.filter(|word| {
        let name = word.trim_end_matches(".md");
        let at_root = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase());
        word.starts_with("docs/") || at_root
    })
}
