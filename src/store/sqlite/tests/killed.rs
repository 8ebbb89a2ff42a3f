//! A process killed in the middle of its writing: what it was told is stored, the rest whole or not there.

use std::collections::BTreeSet;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::{Field, SqliteOptions, SqliteStore, apply};
use crate::store::contract::{holds, row};
use crate::store::{DeliveryStore, Effect};

/// Names the file to the process that is killed.
const FILE: &str = "PAYMENT_DELIVERY_TEST_FILE";

/// What each order's events come in as: parks, a drain, a run, a drain in the middle.
const DELIVERED: [u32; 8] = [1, 4, 3, 2, 5, 7, 8, 6];

#[tokio::test]
async fn applies_are_atomic_when_killed() {
    let field = Field::new();
    let path = field.0.path().join("store.db");
    // The one writer after the other on the same file, so that each meets what the kill before left.
    for answers in [1, 50, 333, 1_000] {
        let store = field.store().await;
        store.clear().await.expect("the tables are emptied");
        store.close().await;

        let told = killed_after(answers, &path).await;
        assert!(told.len() >= answers, "{} answers", told.len());

        let store = field.store().await;
        let rows = store.deliveries().await.expect("the rows are read");
        let parked = store.parked().await.expect("the parked events are read");
        for found in &rows {
            assert_eq!(*found, row(found.order_id.as_str(), found.revision));
        }
        for (order, revision) in &told {
            let applied = rows.iter().any(|row| row.order_id.as_str() == order && row.revision >= *revision);
            let waits =
                parked.iter().any(|parked| parked.order_id.as_str() == order && parked.last == *revision);
            assert!(applied || waits, "{order} at {revision} was told to be stored");
        }
        // The redelivery, as from the last committed offset, brings every order to its end.
        let orders: BTreeSet<&str> = told.iter().map(|(order, _)| order.as_str()).collect();
        for order in orders {
            for revision in DELIVERED {
                apply(&store, order, revision).await;
            }
            holds(&store, order, 8, &[]).await;
        }
        store.close().await;
    }
}

/// Starts a writer, kills it when it has told `answers` of its messages stored, and returns all that it told.
async fn killed_after(answers: usize, path: &std::path::Path) -> Vec<(String, u32)> {
    let program = std::env::current_exe().expect("the test knows its program");
    let mut writer = Command::new(program)
        .args(["--exact", "store::sqlite::tests::killed::writes_until_killed", "--ignored", "--nocapture"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the writer starts");
    let mut lines = BufReader::new(writer.stdout.take().expect("its output is piped")).lines();
    let mut told = Vec::new();
    while let Some(line) = lines.next_line().await.expect("its output is text") {
        // The test harness speaks too.
        if let Some((order, revision)) = line.strip_prefix("stored ").and_then(|rest| rest.split_once(' ')) {
            told.push((order.to_owned(), revision.parse().expect("a revision")));
        }
        if told.len() == answers {
            writer.start_kill().expect("the writer is killed");
        }
    }
    let ended = writer.wait().await.expect("the writer ends");
    assert!(!ended.success(), "it was to be killed: {ended}");
    told
}

/// The process of [`killed_after`].
#[tokio::test]
#[ignore = "started, and killed, by applies_are_atomic_when_killed"]
async fn writes_until_killed() {
    let path = std::env::var_os(FILE).expect("the test that starts this names the file");
    let store = SqliteStore::open(path.as_ref(), SqliteOptions::default()).await.expect("the store opens");
    for order in 0.. {
        let order = format!("o-{order}");
        for revision in DELIVERED {
            assert_ne!(apply(&store, &order, revision).await, Effect::Ignored);
            println!("stored {order} {revision}");
        }
    }
}
