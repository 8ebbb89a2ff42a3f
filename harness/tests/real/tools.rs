//! The programs that the tests run: lanebench itself, Kafka's own tools, psql and redis-cli.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use libtest_mimic::Failed;
use tokio::process::{Child, Command};

use crate::bed::Bed;

/// `lanebench` with the shared stack's addresses in its environment.
pub(crate) fn lanebench(bed: &Bed) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
    let endpoints = bed.endpoints();
    command
        .env("LANEBENCH_BOOTSTRAP", endpoints.bootstrap.join(","))
        .env("LANEBENCH_DATABASE_URL", &endpoints.database_url)
        .env("LANEBENCH_REDIS_URL", &endpoints.redis_url)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A class of Kafka's own, from the jars that the stack runs on.
pub(crate) fn kafka_tool(class: &str, arguments: &[&str]) -> Result<Command, Failed> {
    let mut command = Command::new("java");
    command
        .arg("-cp")
        .arg(jars()?.join("*"))
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", class])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    Ok(command)
}

fn jars() -> Result<PathBuf, Failed> {
    if let Some(home) = std::env::var_os("KAFKA_HOME") {
        return Ok(PathBuf::from(home).join("libs"));
    }
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    Ok(data.or(home).ok_or("no HOME")?.join("lanebench/kafka/libs"))
}

/// What `ConsumerGroupCommand --describe` prints for `group`, header and rows split into words.
pub(crate) async fn describe_group(bed: &Bed, group: &str) -> Result<Vec<Vec<String>>, Failed> {
    let bootstrap = bed.endpoints().bootstrap.join(",");
    let arguments = ["--bootstrap-server", &bootstrap, "--describe", "--group", group];
    let output = kafka_tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &arguments)?
        .output()
        .await?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter(|words| words.len() > 6)
        .collect())
}

/// What `psql` answers, trimmed.
pub(crate) async fn psql(bed: &Bed, query: &str) -> Result<String, Failed> {
    let url = &bed.endpoints().database_url;
    answer(Command::new("psql").args([url, "-X", "-A", "-t", "-c", query])).await
}

/// What `redis-cli` answers, trimmed.
pub(crate) async fn redis_cli<S: AsRef<OsStr>>(bed: &Bed, arguments: &[S]) -> Result<String, Failed> {
    answer(Command::new("redis-cli").arg("-u").arg(&bed.endpoints().redis_url).args(arguments)).await
}

async fn answer(command: &mut Command) -> Result<String, Failed> {
    let output = command.stdin(Stdio::null()).output().await?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Both streams of a finished program, for a message.
pub(crate) fn shown(output: &Output) -> String {
    format!(
        "exit {:?}\n--- stdout\n{}\n--- stderr\n{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Sends a signal to a process that the test started.
pub(crate) fn signal(child: &Child, signal: nix::sys::signal::Signal) -> Result<(), Failed> {
    let pid = child.id().ok_or("it has ended already")?;
    Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal)?)
}
