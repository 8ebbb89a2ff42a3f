//! What a worker can't begin with: a clear error, what to do, and the exit code.

use payment_delivery::store::sqlite::{SqliteOptions, SqliteStore};
use tokio::process::Command;

use crate::bed::Bed;

#[track_caller]
fn check(output: &std::process::Output, exit: i32, says: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{told}");
    assert!(output.stdout.is_empty(), "stdout is for data");
    for part in says {
        assert!(told.contains(part), "`{part}` is not in: {told}");
    }
}

async fn refused(mut command: Command, exit: i32, says: &[&str]) {
    check(&command.output().await.unwrap(), exit, says);
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_said_with_what_to_do() {
    let bed = Bed::new().await;
    let with = |name: &str, value: &str| {
        let mut command = bed.worker("run", &[]);
        command.env(name, value);
        command
    };
    refused(with("LANEBENCH_TOPIC", "nowhere"), 1, &["there is no topic nowhere", "hint: create it"]).await;
    let file = |name: &str| format!("sqlite:{}", bed.path(name).display());
    let none = with("LANEBENCH_DATABASE_URL", &file("none.db"));
    refused(none, 1, &["there is no database", "none.db", "hint: a worker creates no tables"]).await;
    assert!(!bed.path("none.db").exists(), "nor a file");
    SqliteStore::open(&bed.path("empty.db"), SqliteOptions::default()).await.unwrap().close().await;
    let empty = with("LANEBENCH_DATABASE_URL", &file("empty.db"));
    refused(empty, 1, &["no such table", "hint: a worker creates no tables"]).await;
    let away = with("LANEBENCH_DATABASE_URL", "postgres://user:s3cret@127.0.0.1:1/db");
    let output = { away }.output().await.unwrap();
    check(&output, 1, &["store: ", "hint: check the database URL"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("s3cret"));
    refused(with("LANEBENCH_REDIS_URL", "redis://127.0.0.1:1"), 1, &["view: ", "hint: check the Redis"])
        .await;
    assert!(!bed.path("run").exists(), "a refused start leaves no run file");
    std::fs::write(bed.path("run"), "mine").unwrap();
    refused(bed.worker("run", &[]), 1, &["never written over", "hint: name another file"]).await;
    assert_eq!(std::fs::read(bed.path("run")).unwrap(), b"mine");
    bed.stop().await;
}

/// No server is asked: these are told before.
#[tokio::test]
async fn bad_usage_exits_with_2() {
    let bare = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LANEBENCH_")) {
            command.env_remove(name);
        }
        command.arg("worker").args(arguments);
        command
    };
    refused(bare(&[]), 2, &["needs --bootstrap, --topic, --group, --database-url, --redis-url", "hint: "])
        .await;
    let but_group = [
        "--bootstrap",
        "127.0.0.1:1",
        "--topic",
        "t",
        "--redis-url",
        "redis://127.0.0.1:1",
        "--database-url",
        "mysql://root:s3cret@db",
    ];
    refused(bare(&but_group), 2, &["a worker needs --group\n", "hint: ", "LANEBENCH_GROUP"]).await;
    let mysql = [&but_group[..], &["--group", "g"]].concat();
    refused(bare(&mysql), 2, &["`postgres://…` or `sqlite:PATH`", "not by `mysql:`", "hint: "]).await;
    refused(bare(&["--consumers", "0"]), 2, &["--consumers"]).await;
    refused(bare(&["--handicap", "ram:1%"]), 2, &["`ram:1%` is no handicap", "cpu:10%"]).await;
    refused(bare(&["--service-time", "fast"]), 2, &["write it like 5s"]).await;
}
