//! Notes which sources and which compiler the program is made of. Never fails the build: what can't be learnt is "unknown".
//!
//! Where git can't be asked, as in an image's build, `LANEBENCH_COMMIT` of the environment says the commit, in the words of
//! `git describe --always --abbrev=40 --dirty`.

use std::env;
use std::path::Path;
use std::process::Command;

/// The crates beside this one; a test compares them with the workspace's members.
const CRATES: [&str; 14] = [
    "broker",
    "gate",
    "load",
    "measure",
    "proxy",
    "redis-stub",
    "report",
    "result",
    "scenario",
    "scenarios",
    "settings",
    "stats",
    "verify",
    "workload",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=../src");
    println!("cargo::rerun-if-changed=../Cargo.toml");
    for name in CRATES {
        println!("cargo::rerun-if-changed={name}");
    }
    println!("cargo::rerun-if-changed=../Cargo.lock");
    println!("cargo::rerun-if-env-changed=LANEBENCH_COMMIT");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    note("RUSTC", run(&rustc, &["--version"]));
    note("PROFILE", env::var("PROFILE").ok());
    let (commit, dirty) = if is_our_repository() { by_git() } else { by_environment() };
    let changed = if dirty == Some(true) { ", with uncommitted changes" } else { "" };
    note("BUILT_FROM", commit.as_ref().map(|commit| format!("commit {commit}{changed}")));
    note("COMMIT", commit);
    note("DIRTY", dirty.map(|dirty| dirty.to_string()));
}

/// The commit, and whether something was changed since.
fn by_git() -> (Option<String>, Option<bool>) {
    // Their paths are asked for, since in a linked worktree `.git` is a file. One that doesn't exist would
    // make cargo build again every time.
    for name in ["HEAD", "index", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    // What the program is made of: a changed page or a new result does not make it another program.
    let sources = ["../src", "../Cargo.toml", "../Cargo.lock", "."];
    let changes = git(&[&["status", "--porcelain", "--"], &sources[..]].concat());
    (git(&["rev-parse", "HEAD"]), changes.map(|changes| !changes.is_empty()))
}

fn by_environment() -> (Option<String>, Option<bool>) {
    let told = env::var("LANEBENCH_COMMIT").ok().filter(|told| !told.is_empty() && told != "unknown");
    let dirty = told.as_ref().map(|told| told.ends_with("-dirty"));
    (told.map(|told| told.trim_end_matches("-dirty").to_owned()), dirty)
}

/// Whether git knows the workspace itself, and not some repository around an unpacked archive.
fn is_our_repository() -> bool {
    let top = git(&["rev-parse", "--show-toplevel"]).and_then(|top| Path::new(&top).canonicalize().ok());
    let workspace = Path::new("..").canonicalize().ok();
    top.is_some() && top == workspace
}

fn git(args: &[&str]) -> Option<String> {
    // Without the option, `status` may rewrite the index, and cargo would build again.
    run("git", &[&["--no-optional-locks"], args].concat())
}

/// What a command prints, if it succeeds.
fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn note(name: &str, value: Option<String>) {
    println!("cargo::rustc-env=LANEBENCH_{name}={}", value.unwrap_or_else(|| "unknown".into()));
}
