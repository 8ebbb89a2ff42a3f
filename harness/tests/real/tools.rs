//! The programs that the tests run: lanebench itself, Kafka's own tools, psql and redis-cli.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Output, Stdio};

use libtest_mimic::Failed;
use tokio::process::{Child, Command};

use crate::bed::Bed;

pub(crate) use crate::common::{describe_group, kafka_tool};

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

/// `lanebench compare` on a stack (`external` is the shared one), without a surge and without progress; its report goes
/// to `out`. `flags` are separated by blanks.
pub(crate) fn compare(bed: &Bed, stack: &str, out: &Path, flags: &str) -> Command {
    let mut command = lanebench(bed);
    command.args(["compare", "--quiet", "--no-surge", "--no-warm-up", "--stack", stack, "--out"]).arg(out);
    command.args(flags.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What `psql` answers, trimmed.
pub(crate) async fn psql(bed: &Bed, query: &str) -> Result<String, Failed> {
    psql_at(&bed.endpoints().database_url, query).await
}

/// The same of another database, or as another user.
pub(crate) async fn psql_at(url: &str, query: &str) -> Result<String, Failed> {
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
