//! What the targets that need running brokers share.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use libtest_mimic::Failed;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// A token that the first SIGINT, SIGTERM or SIGHUP cancels: a test program that a signal ends would leave its brokers.
pub(crate) fn cancel_on_signal(runtime: &tokio::runtime::Runtime) -> CancellationToken {
    let interrupted = CancellationToken::new();
    let _inside = runtime.enter();
    lanebench::cmd::interrupt::cancel_on_signal(&interrupted).expect("handlers for signals");
    interrupted
}

/// What `test` returns, or its failure after `limit` or once `interrupted`.
pub(crate) async fn bounded<T>(
    test: impl Future<Output = Result<T, Failed>>,
    limit: Duration,
    interrupted: &CancellationToken,
) -> Result<T, Failed> {
    match interrupted.run_until_cancelled(tokio::time::timeout(limit, test)).await {
        Some(Ok(outcome)) => outcome,
        Some(Err(_)) => Err(format!("no end after {limit:?}").into()),
        None => Err("interrupted".into()),
    }
}

/// Asks again and again until `reached`, or fails with `what`.
pub(crate) async fn until(
    within: Duration,
    what: &str,
    mut reached: impl AsyncFnMut() -> Result<bool, Failed>,
) -> Result<(), Failed> {
    let deadline = tokio::time::Instant::now() + within;
    while !reached().await? {
        if tokio::time::Instant::now() > deadline {
            return Err(format!("{what} (after {within:?})").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Fails with `what` unless `holds`.
#[track_caller]
pub(crate) fn check(holds: bool, what: impl std::fmt::Display) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(format!("{what} ({})", std::panic::Location::caller()).into()) }
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
pub(crate) async fn describe_group(bootstrap: &[String], group: &str) -> Result<Vec<Vec<String>>, Failed> {
    let bootstrap = bootstrap.join(",");
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
