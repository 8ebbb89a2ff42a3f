//! The native stack's Redis: in memory only, as a cache that can be rebuilt from the store needs no disk.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use super::ports::Reserved;
use super::process::{Deadline, Process, until_ready};
use super::scratch::Scratch;
use super::{Component, PartFacts, StackError, checks};

/// It tells of hashes that are written, by their keys: so a worker's statuses are seen from outside.
pub(super) const NOTIFY: &str = "Kh";

/// A running server.
#[derive(Debug)]
pub(super) struct Redis {
    pub(super) process: Process,
    pub(super) url: String,
    pub(super) facts: PartFacts,
}

/// Starts it and waits until it answers.
pub(super) async fn start(
    program: &Path,
    scratch: &Scratch,
    port: Reserved,
    deadline: Deadline,
) -> Result<Redis, StackError> {
    let directory = scratch.path().join("redis");
    fs::create_dir(&directory).map_err(|cause| StackError::Scratch { path: directory.clone(), cause })?;
    let mut command = scratch.command(program);
    let url = format!("redis://127.0.0.1:{}", port.port());
    command.args(["--port", &port.release().to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(&directory);
    command.args(["--notify-keyspace-events", NOTIFY]);
    let log = scratch.path().join("redis.log");
    // Nothing is saved, so SIGTERM ends it at once.
    let process = Process::spawn(Component::Redis, command, &log, Signal::SIGTERM)?;
    let facts = until_ready(&[&process], deadline, || checks::redis(&url)).await?;
    Ok(Redis { process, url, facts })
}
