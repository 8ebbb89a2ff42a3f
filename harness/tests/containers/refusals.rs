//! What is wrong is said with a hint and within seconds, and leaves nothing.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use lanebench::stack::{ContainerOptions, ContainerStack, StackError};
use libtest_mimic::Failed;
use tokio_util::sync::CancellationToken;

use crate::Case;
use crate::bed::{Belongings, Runs, check, lanebench, shown};

pub(crate) const CASES: &[Case] = &[
    ("an image that is not to be had is named, with its variable", missing_image),
    ("a port that is taken is said before anything is started", taken_port),
    ("a container that ends early is shown by its log, and all logs are kept", early_end),
    ("a start that takes too long says what it waited for", too_long),
];

/// Nothing listens there, so no registry has to be reached to know.
const NOWHERE: &str = "127.0.0.1:1/lanebench-none:1";

fn missing_image() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let begun = Instant::now();
    for arguments in ["compare --stack containers", "stack up --stack containers"] {
        let mut command = lanebench(directory.path(), arguments);
        let runs = Runs::spawn({
            command.env("LANEBENCH_REDIS_IMAGE", NOWHERE);
            command
        })?;
        let pid = runs.pid();
        let ended = runs.ends()?;
        let told = String::from_utf8_lossy(&ended.stderr);
        check(ended.status.code() == Some(1), shown(&ended))?;
        for part in [NOWHERE, "can't be pulled", "hint: ", "LANEBENCH_REDIS_IMAGE", "ci/images/build"] {
            check(told.contains(part), format!("`{part}` is not in {}", shown(&ended)))?;
        }
        Belongings::gone(pid, &[])?;
    }
    check(begun.elapsed() < Duration::from_secs(30), format!("two refusals took {:?}", begun.elapsed()))?;

    let ended = lanebench(directory.path(), "stack check --stack containers")
        .env("LANEBENCH_REDIS_IMAGE", NOWHERE)
        .output()?;
    let told = String::from_utf8_lossy(&ended.stdout);
    check(ended.status.code() == Some(1), shown(&ended))?;
    check(told.contains("MISSING") && told.contains("ci/images/build"), shown(&ended))
}

fn taken_port() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let flags = format!("compare --stack containers --redis-port {port}");
    let runs = Runs::spawn(lanebench(directory.path(), &flags))?;
    let pid = runs.pid();
    let ended = runs.ends()?;
    let told = String::from_utf8_lossy(&ended.stderr);
    check(ended.status.code() == Some(1), shown(&ended))?;
    check(told.contains(&port.to_string()) && told.contains("--redis-port"), shown(&ended))?;
    Belongings::gone(pid, &[])
}

/// PostgreSQL's image has no `redis-server`.
fn early_end() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let postgres = ContainerOptions::default().images.postgres;
    let runs = Runs::spawn({
        let mut command = lanebench(directory.path(), "compare --stack containers");
        command.env("LANEBENCH_REDIS_IMAGE", postgres);
        command
    })?;
    let pid = runs.pid();
    let ended = runs.ends()?;
    let told = String::from_utf8_lossy(&ended.stderr);
    check(ended.status.code() == Some(1), shown(&ended))?;
    for part in ["Redis ended during its start", "redis-server", "whole logs: ", "hint: "] {
        check(told.contains(part), format!("`{part}` is not in {}", shown(&ended)))?;
    }
    let logs = told.lines().find_map(|line| line.strip_prefix("whole logs: ")).ok_or("no directory")?;
    let log = std::fs::read_to_string(std::path::Path::new(logs).join("redis.log"))?;
    check(log.contains("redis-server"), format!("the log that was kept: {log}"))?;
    Belongings::gone(pid, &[])
}

fn too_long() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = ContainerOptions { start_limit: Duration::from_millis(10), ..ContainerOptions::default() };
    let started = runtime.block_on(ContainerStack::start(options, &|_| {}, CancellationToken::new()));
    let error = started.err().ok_or("it was ready at once")?;
    let StackError::WithLogs { cause, directory } = &error else {
        return Err(format!("another error: {error}").into());
    };
    check(matches!(**cause, StackError::NotReady { .. }), &error)?;
    check(std::fs::read_dir(directory)?.count() > 0, "no logs were kept")?;
    std::fs::remove_dir_all(directory)?;
    Belongings::gone(std::process::id(), &[])
}
