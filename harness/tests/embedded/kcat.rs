//! librdkafka's view, through `kcat`. A machine without it says so and goes on; `ci/setup` installs it.

use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::*;

/// Runs `kcat -b BOOTSTRAP …` with `input`; `None` where there is no kcat.
async fn kcat(cluster: &Cluster, arguments: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new("kcat");
    command.args(["-b", &cluster.bootstrap().join(",")]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var_os("LANEBENCH_REQUIRE_REAL").is_none(), "there is no kcat: {error}");
            eprintln!("SKIPPED: no kcat on this machine ({error}); `apt-get install kcat` brings it");
            return None;
        }
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = timeout(PATIENCE * 2, child.wait_with_output()).await.expect("kcat hangs").unwrap();
    assert!(output.status.success(), "kcat {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output)
}

fn lines(output: &Output) -> Vec<String> {
    let mut lines: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn kcat_writes_reads_and_shares_a_group() {
    let (cluster, admin) = cluster(3).await;
    admin.create_topic(TOPIC, 3, 3, &[]).await.unwrap();
    let sent: Vec<String> = (100..400).map(|n| format!("k{n}:{}{n}", "payment ".repeat(20))).collect();
    let mut plain = 0;
    for (part, codec) in sent.chunks(60).zip(["none", "gzip", "snappy", "lz4", "zstd"]) {
        let before = cluster.log_bytes();
        let arguments = ["-P", "-t", TOPIC, "-K:", "-z", codec, "-X", "linger.ms=100"];
        if kcat(&cluster, &arguments, &part.join("\n")).await.is_none() {
            return;
        }
        let grown = cluster.log_bytes() - before;
        if codec == "none" {
            plain = grown;
        } else {
            assert!(grown < plain / 2, "{codec} came as {grown} bytes, against {plain}: not compressed");
        }
    }
    let all = ["-C", "-t", TOPIC, "-e", "-q", "-o", "beginning", "-f", "%k:%s\n"];
    assert_eq!(lines(&kcat(&cluster, &all, "").await.unwrap()), sent, "five codecs pass through");

    let range = "partition.assignment.strategy=range";
    let group =
        ["-G", GROUP, "-X", "auto.offset.reset=earliest", "-X", range, "-e", "-q", "-f", "%k:%s\n", TOPIC];
    assert_eq!(lines(&kcat(&cluster, &group, "").await.unwrap()), sent);
    assert_eq!(admin.group_members(GROUP).await.unwrap().state, "Empty", "it has left");
    let committed = admin.group_offsets(GROUP, TOPIC).await.unwrap();
    assert_eq!(committed, admin.end_offsets(TOPIC).await.unwrap(), "it has committed");
    cluster.stop().await;
}
