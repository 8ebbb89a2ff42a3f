//! The arrows of ARCHITECTURE.md: which room may use which. A new arrow belongs into the map first.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOMS: [&str; 15] = [
    "benched", "broker", "cmd", "gate", "load", "measure", "record", "report", "scenario", "serve", "stack",
    "stats", "verify", "worker", "workload",
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
    check("broker", &[]);
    check("record", &[]);
    check("workload", &[]);
    check("broker", &[]);
    check("stack", &["broker"]);
    check("stats", &["record"]);
    check("benched", &["record", "stack"]);
    check("verify", &["record"]);
    check("report", &["record"]);
    check("gate", &["record"]);
    check("measure", &["record", "workload"]);
    check("worker", &["measure"]);
    check("serve", &["stack", "worker"]);
    check("load", &["measure", "workload"]);
    check(
        "scenario",
        &["gate", "load", "measure", "record", "stack", "stats", "verify", "worker", "workload"],
    );
}

#[test]
fn the_pipeline_never_imports_the_harness() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let text = std::fs::read_to_string(manifest).unwrap();
    let package = &text[text.find("[package]").unwrap()..];
    assert!(!package.contains("lanebench.workspace") && !package.contains("harness\""), "an arrow back");
}
