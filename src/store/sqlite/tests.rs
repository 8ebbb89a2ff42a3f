//! The contract of every store, and what [`SqliteStore`] must hold beyond it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnection;
use tempfile::TempDir;

use super::{SqliteOptions, SqliteStore};
use crate::store::contract::{
    self, a_call_ends_as_unavailable_within, fold, holds, origin, the_same_message_succeeds_within,
};
use crate::store::model::ModelStore;
use crate::store::payments::{self, PaymentLog};
use crate::store::{DeliveryStore, Effect, Outcome, StoreError};

mod cancelled;
mod killed;

/// A directory with the file of one test, on the disk as long as this lives.
struct Field(TempDir);

impl Field {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a scratch directory is made"))
    }

    async fn opened(&self, options: SqliteOptions) -> SqliteStore {
        SqliteStore::open(&self.0.path().join("store.db"), options).await.expect("the store opens")
    }

    /// A store of its own on this field's file, its tables made.
    async fn store(&self) -> SqliteStore {
        let store = self.opened(SqliteOptions::default()).await;
        store.prepare().await.expect("the tables are made");
        store
    }

    /// Several such stores, as a worker, its zombie and others in processes of their own would have them.
    async fn stores(&self, count: usize) -> Vec<Arc<dyn DeliveryStore>> {
        let mut stores: Vec<Arc<dyn DeliveryStore>> = Vec::new();
        for _ in 0..count {
            stores.push(Arc::new(self.store().await));
        }
        stores
    }
}

/// A session beside the store's, with the same settings.
async fn session(store: &SqliteStore) -> SqliteConnection {
    store.connections.options().connect().await.expect("a second session opens")
}

async fn run(session: &mut SqliteConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(session).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn apply(store: &SqliteStore, order: &str, revision: u32) -> Effect {
    let outcome = store.apply(&fold(order, revision, revision), origin(revision)).await;
    outcome.expect("the store takes it").effect
}

#[tokio::test]
async fn it_holds_the_contract() {
    let field = Field::new();
    let store = field.store().await;
    for (_, check) in contract::CHECKS {
        check(&store).await;
    }
    contract::clear_empties_both_tables(&store).await;
}

/// Consumers of one process share a store; a zombie and its successor have one each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_at_once_hold_the_contract_on_one_store_and_on_several() {
    let field = Field::new();
    let shared: Arc<dyn DeliveryStore> = Arc::new(field.store().await);
    let shared: Vec<_> = (0..3).map(|_| Arc::clone(&shared)).collect();
    contract::deliveries_at_once_end_in_the_same_rows(&shared).await;

    let field = Field::new();
    let apart = field.stores(2).await;
    contract::deliveries_at_once_end_in_the_same_rows(&apart).await;
}

/// One of two stores on the file, an order, and a fold of it.
type Step = (prop::sample::Index, u32, (u32, u32));

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fold = (1..=9_u32, 0..4_u32).prop_map(|(first, more)| (first, (first + more).min(9)));
    let fold = prop_oneof![3 => (1..=9_u32).prop_map(|r| (r, r)), 1 => fold];
    prop::collection::vec((any::<prop::sample::Index>(), 0..3_u32, fold), 1..40)
}

/// Whatever is delivered in whatever order through whichever store: the same answers, rows and parked events as the
/// rule over a map gives, after every step.
#[test]
fn any_delivery_order_is_equal_to_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let field = Field::new();
    let stores = runtime.block_on(field.stores(2));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&steps(), |steps| {
            runtime.block_on(async {
                stores[0].clear().await.unwrap();
                let model = ModelStore::default();
                for (store, order, (first, last)) in steps {
                    let store = store.get(&stores);
                    let fold = fold(&format!("o-{order}"), first, last);
                    let expected = model.apply(&fold, origin(last)).await.unwrap();
                    prop_assert_eq!(store.apply(&fold, origin(last)).await.unwrap(), expected);
                    prop_assert_eq!(store.deliveries().await.unwrap(), model.deliveries().await.unwrap());
                    prop_assert_eq!(store.parked().await.unwrap(), model.parked().await.unwrap());
                }
                Ok(())
            })
        })
        .unwrap();
}

/// Processes that start together open one new file and all prepare it; a later one finds all there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_and_prepare_one_new_file_at_once() {
    for _ in 0..5 {
        let field = Arc::new(Field::new());
        let starting: Vec<_> = (0..4)
            .map(|_| {
                let field = Arc::clone(&field);
                tokio::spawn(async move { field.store().await })
            })
            .collect();
        for started in starting {
            started.await.expect("opening panicked");
        }
        let store = field.store().await;
        assert_eq!(apply(&store, "o-1", 1).await, Effect::Applied);
    }
}

#[track_caller]
fn refused_with(got: &Result<Outcome, StoreError>, expected: &str) {
    let refused = matches!(got, Err(StoreError::Refused { sqlstate, .. }) if sqlstate == expected);
    assert!(refused, "{expected}: {got:?}");
}

/// With the SQLSTATE that PostgreSQL gives, whether it would apply or be parked; the connection goes on.
#[tokio::test]
async fn what_postgresql_refuses_is_refused() {
    let field = Field::new();
    let store = field.store().await;
    for revision in [1, 2] {
        let of = |change: fn(&mut crate::delivery::Fold)| {
            let mut wrong = fold("o-1", revision, revision);
            change(&mut wrong);
            wrong
        };
        let nul = of(|fold| fold.event.address = "a\0b".into());
        refused_with(&store.apply(&nul, origin(1)).await, "22021");
        let nul = of(|fold| fold.event.currency = "EU\0".into());
        refused_with(&store.apply(&nul, origin(1)).await, "22021");
        let long = of(|fold| fold.event.currency = "EURO".into());
        refused_with(&store.apply(&long, origin(1)).await, "23514");
        let bytes = of(|fold| fold.event.currency = "€".into());
        refused_with(&store.apply(&bytes, origin(1)).await, "23514");
        let beyond = of(|fold| fold.event.revision = 1 << 31);
        refused_with(&store.apply(&beyond, origin(1)).await, "22003");
    }
    // A revision before the first, and a fold that ends before it starts.
    refused_with(&store.apply(&fold("o-1", 0, 0), origin(0)).await, "23514");
    refused_with(&store.apply(&fold("o-1", 5, 3), origin(3)).await, "23514");
    holds(&store, "o-1", 0, &[]).await;

    let mut edge = fold("o-1", 1, 1);
    edge.event.amount_minor = i64::MIN;
    edge.event.currency = "€€€".into();
    store.apply(&edge, origin(1)).await.expect("characters count, not bytes");
    let row = store.delivery(&edge.event.order_id).await.expect("the row is read").expect("there is a row");
    assert_eq!((row.amount_minor, row.currency.as_str()), (i64::MIN, "€€€"));
    let last = i32::MAX as u32;
    let got = store.apply(&fold("o-1", 2, last), origin(last)).await.expect("the last revision is taken");
    assert_eq!(got.row.map(|row| row.revision), Some(last));
    assert_eq!(apply(&store, "o-1", last).await, Effect::Ignored);
}

/// The guard is committed, the drain is not: here because a trigger stops it. The redelivery drains.
#[tokio::test]
async fn a_stop_between_guard_and_drain_is_repaired() {
    let field = Field::new();
    let store = field.store().await;
    for early in [2, 3] {
        assert_eq!(apply(&store, "o-1", early).await, Effect::Parked);
    }
    let mut other = session(&store).await;
    run(
        &mut other,
        "CREATE TRIGGER stop BEFORE DELETE ON parked_events BEGIN SELECT RAISE(ABORT, 'stopped'); END",
    )
    .await;
    let stopped = store.apply(&fold("o-1", 1, 1), origin(1)).await;
    assert!(matches!(&stopped, Err(StoreError::Unusable(told)) if told.contains("stopped")), "{stopped:?}");
    holds(&store, "o-1", 1, &[(2, 2), (3, 3)]).await;
    run(&mut other, "DROP TRIGGER stop").await;

    let again = store.apply(&fold("o-1", 1, 1), origin(1)).await.expect("the redelivery is taken");
    assert_eq!(again.effect, Effect::Ignored);
    assert_eq!(again.row.map(|row| row.revision), Some(3));
    holds(&store, "o-1", 3, &[]).await;
    assert_eq!(apply(&store, "o-1", 1).await, Effect::Ignored);
}

/// A statement that returns a row and whose commit then fails has stored nothing, and must not say otherwise. Here a
/// deferred foreign key fails, in place of a full disk.
#[tokio::test]
async fn a_commit_that_fails_is_told() {
    let field = Field::new();
    let store = field.store().await;
    let mut other = session(&store).await;
    run(
        &mut other,
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER orphan AFTER INSERT ON deliveries BEGIN INSERT INTO child VALUES (1); END",
    )
    .await;
    refused_with(&store.apply(&fold("o-1", 1, 1), origin(1)).await, "23503");
    refused_with(&store.apply(&fold("o-1", 2, 2), origin(2)).await, "23503");
    holds(&store, "o-1", 0, &[]).await;
    run(&mut other, "DROP TRIGGER orphan").await;
    assert_eq!(apply(&store, "o-1", 1).await, Effect::Applied);
}

/// The file may not grow: the moment's fault, in a statement and in a transaction, and over once it may again.
#[tokio::test]
async fn a_full_disk_is_unavailable_and_passes() {
    let field = Field::new();
    let store = field.store().await;
    let wide = |order: &str, revision| {
        let mut wide = fold(order, revision, revision);
        wide.event.address = "x".repeat(100_000);
        wide
    };
    for revision in [1, 2] {
        let mut lease = store.connections.lease().await.expect("the connection is free");
        run(lease.connection(), "PRAGMA max_page_count = 12").await;
        lease.settle(Ok(Ok(()))).expect("the connection is kept");
        let full = store.apply(&wide("o-1", revision), origin(revision)).await;
        let told = matches!(&full, Err(StoreError::Unavailable(told)) if told.contains("full"));
        assert!(told, "revision {revision}: {full:?}");
        // The connection was replaced, and with it went the limit.
        holds(&store, "o-1", 0, &[]).await;
        store.apply(&wide("o-2", revision), origin(revision)).await.expect("there is room");
    }
}

/// Someone else holds the write lock: calls end in time, the one that waits and the one behind it, and go on after.
#[tokio::test]
async fn a_locked_file_is_unavailable_in_time() {
    let field = Field::new();
    let options =
        SqliteOptions { busy_timeout: Duration::from_millis(300), call_timeout: Duration::from_millis(400) };
    let store = field.store().await;
    let mut other = session(&store).await;
    let store = field.opened(options.clone()).await;
    run(&mut other, "BEGIN IMMEDIATE").await;
    let start = Instant::now();
    a_call_ends_as_unavailable_within(&store, "o-1", Duration::from_secs(1)).await;
    assert!(start.elapsed() >= options.busy_timeout, "it waited for the lock");
    tokio::join!(
        a_call_ends_as_unavailable_within(&store, "o-1", Duration::from_secs(1)),
        a_call_ends_as_unavailable_within(&store, "o-2", Duration::from_secs(1)),
    );
    // Who only reads is not in the way.
    assert_eq!(store.deliveries().await.expect("rows are read"), []);
    run(&mut other, "ROLLBACK").await;
    the_same_message_succeeds_within(&store, "o-1", Duration::from_secs(1)).await;
}

/// A directory that is missing, a file that holds something else, tables that are not there.
#[tokio::test]
async fn what_cannot_work_says_why() {
    #[track_caller]
    fn unusable(error: Option<StoreError>, named: &str) {
        match error {
            Some(StoreError::Unusable(told)) => assert!(told.contains(named), "{told}"),
            other => panic!("{named}: {other:?}"),
        }
    }
    let field = Field::new();
    let directory = field.0.path();
    let open = async |path: &std::path::Path| SqliteStore::open(path, SqliteOptions::default()).await.err();
    unusable(open(&directory.join("no-such/store.db")).await, "unable to open");
    unusable(open(directory).await, "unable to open");
    unusable(open(std::path::Path::new("")).await, "no path");

    std::fs::write(directory.join("letter"), "Dear Sir or Madam, ".repeat(100)).expect("a file is written");
    unusable(open(&directory.join("letter")).await, "not a database");

    let store = field.opened(SqliteOptions::default()).await;
    unusable(store.apply(&fold("o-1", 1, 1), origin(1)).await.err(), "prepare()");
    store.prepare().await.expect("the tables are made");
    assert_eq!(apply(&store, "o-1", 1).await, Effect::Applied);
}

/// A name that SQLite would take for a URL or for no file at all is a file like any other, and closing tidies up.
#[tokio::test]
async fn the_file_is_where_the_path_says() {
    let field = Field::new();
    for name in ["file:a?mode=memory", ":memory:", "주문.db"] {
        let path = field.0.path().join(name);
        let store = SqliteStore::open(&path, SqliteOptions::default()).await.expect("the store opens");
        store.prepare().await.expect("the tables are made");
        assert_eq!(apply(&store, "o-1", 1).await, Effect::Applied);
        store.close().await;
        assert!(path.is_file(), "{name}");
        let again = SqliteStore::open(&path, SqliteOptions::default()).await.expect("the store opens");
        holds(&again, "o-1", 1, &[]).await;
        again.close().await;
    }
    assert_eq!(std::fs::read_dir(field.0.path()).expect("the directory is read").count(), 3);
}

/// Version and durability, as the report prints them.
#[tokio::test]
async fn the_settings_are_told() {
    let told = Field::new().store().await.settings().await.expect("the settings are read");
    assert!(told["version"].starts_with("3."), "{told:?}");
    assert_eq!((told["journal_mode"].as_str(), told["synchronous"].as_str()), ("wal", "off"));
    assert_eq!(told.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_payments_hold_their_contract() {
    let field = Field::new();
    let mut logs: Vec<Arc<dyn PaymentLog>> = Vec::new();
    for _ in 0..3 {
        let store = field.store().await;
        store.prepare_payments().await.expect("the table is made");
        logs.push(Arc::new(store));
    }
    assert_eq!(logs[0].topic_in_use().await.unwrap(), None);
    for (_, check) in payments::contract::CHECKS {
        check(&*logs[0]).await;
    }
    payments::contract::writers_at_once_leave_no_gap(&logs).await;
    logs[0].clear_payments().await.unwrap();
    assert_eq!(logs[0].topic_in_use().await.unwrap(), None);
}
