//! Notes which sources and which compiler the program is made of. Never fails the build: what can't be learnt is "unknown".

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=../src");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    note("RUSTC", run(&rustc, &["--version"]));
    note("PROFILE", env::var("PROFILE").ok());
    if !is_our_repository() {
        note("COMMIT", None);
        note("DIRTY", None);
        return;
    }
    // Their paths are asked for, since in a linked worktree `.git` is a file. One that doesn't exist would
    // make cargo build again every time.
    for name in ["HEAD", "index", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    note("COMMIT", git(&["rev-parse", "HEAD"]));
    // What the program is made of: a changed page or a new result does not make it another program.
    let sources = ["../src", "../Cargo.toml", "../Cargo.lock", "."];
    let changes = git(&[&["status", "--porcelain", "--"], &sources[..]].concat());
    note("DIRTY", changes.map(|changes| (!changes.is_empty()).to_string()));
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
