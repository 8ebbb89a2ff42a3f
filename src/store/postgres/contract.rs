//! What [`PostgresStore`] must hold beyond [`crate::store::contract`]: its time-outs, its blame, its repair.
//!
//! Each check is given the URL of a superuser, works in a schema of its own, and drops it.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnection;

use super::{PostgresOptions, PostgresStore};
use crate::frozen::Frozen;
use crate::store::contract::{
    a_call_ends_as_unavailable_within, fold, holds, origin, the_same_message_succeeds_within,
};
use crate::store::{DeliveryStore, Effect, StoreError};

/// A check of one server.
pub type Check = for<'a> fn(&'a str) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Every check that needs no more than a server's URL, by name.
pub const CHECKS: &[(&str, Check)] = &[
    ("prepare_may_run_many_times_at_once", |url| Box::pin(prepare_may_run_many_times_at_once(url))),
    ("what_others_made_is_not_dropped", |url| Box::pin(what_others_made_is_not_dropped(url))),
    ("a_schema_that_is_there_is_not_made_again", |url| {
        Box::pin(a_schema_that_is_there_is_not_made_again(url))
    }),
    ("text_that_cannot_be_stored_is_refused", |url| Box::pin(text_that_cannot_be_stored_is_refused(url))),
    ("a_stop_between_guard_and_drain_is_repaired", |url| {
        Box::pin(a_stop_between_guard_and_drain_is_repaired(url))
    }),
    ("a_locked_row_is_unavailable_in_time", |url| Box::pin(a_locked_row_is_unavailable_in_time(url))),
    ("a_frozen_holder_of_a_lock_loses_it", |url| Box::pin(a_frozen_holder_of_a_lock_loses_it(url))),
    ("a_killed_session_is_replaced", |url| Box::pin(a_killed_session_is_replaced(url))),
    ("what_cannot_work_says_why", |url| Box::pin(what_cannot_work_says_why(url))),
    ("the_settings_are_told", |url| Box::pin(the_settings_are_told(url))),
];

/// A store in its own schema, its tables made.
async fn prepared(url: &str, schema: &str) -> PostgresStore {
    let store = connected(url, schema).await;
    store.drop_schema().await.expect("what an earlier run left is dropped");
    store.prepare().await.expect("the tables are made");
    store
}

async fn connected(url: &str, schema: &str) -> PostgresStore {
    let options = PostgresOptions { schema: schema.into(), ..PostgresOptions::default() };
    PostgresStore::connect(url, options).await.expect("the store connects")
}

/// A session beside the store's, with the same settings.
async fn session(store: &PostgresStore) -> PgConnection {
    store.connections.options().connect().await.expect("a second session connects")
}

async fn run(session: &mut PgConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(session).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn apply(store: &PostgresStore, order: &str, revision: u32) -> Effect {
    let outcome = store.apply(&fold(order, revision, revision), origin(revision)).await;
    outcome.expect("the store takes it").effect
}

/// Workers that start together all prepare, and a later one finds all there.
///
/// # Panics
/// Where the store does otherwise; so for every check here.
pub async fn prepare_may_run_many_times_at_once(url: &str) {
    let mut starting = Vec::new();
    for _ in 0..4 {
        let store = connected(url, "contract_prepare").await;
        starting.push(tokio::spawn(async move { store.prepare().await }));
    }
    for started in starting {
        started.await.expect("preparing panicked").expect("the tables are made");
    }
    let store = connected(url, "contract_prepare").await;
    store.prepare().await.expect("the tables are there");
    assert_eq!(apply(&store, "o-1", 1).await, Effect::Applied);
    store.drop_schema().await.expect("the schema is dropped");
    let gone = store.delivery(&fold("o-1", 1, 1).event.order_id).await;
    assert!(matches!(gone, Err(StoreError::Unusable(_))), "{gone:?}");
    store.drop_schema().await.expect("dropping what is gone is no error");
}

/// A schema that was there before stays, and so does a table that someone added to ours.
pub async fn what_others_made_is_not_dropped(url: &str) {
    let store = connected(url, "contract_theirs").await;
    let mut other = session(&store).await;
    run(&mut other, "CREATE SCHEMA contract_theirs").await;
    store.prepare().await.expect("the tables are made");
    store.drop_schema().await.expect("the tables are dropped");
    run(&mut other, "CREATE TABLE contract_theirs.theirs ()").await;
    run(&mut other, "DROP SCHEMA contract_theirs CASCADE").await;

    store.prepare().await.expect("schema and tables are made");
    run(&mut other, "CREATE TABLE contract_theirs.theirs ()").await;
    let kept = store.drop_schema().await;
    assert!(matches!(&kept, Err(error) if error.to_string().contains("2BP01")), "{kept:?}");
    run(&mut other, "DROP SCHEMA contract_theirs CASCADE").await;
}

/// Who makes a schema gets one of its own or an error, never somebody's.
pub async fn a_schema_that_is_there_is_not_made_again(url: &str) {
    let store = connected(url, "contract_made").await;
    let mut other = session(&store).await;
    run(&mut other, "CREATE SCHEMA contract_made CREATE TABLE deliveries (theirs int)").await;
    let refused = store.create_schema().await;
    assert!(matches!(&refused, Err(StoreError::Unusable(told)) if told.contains("42P06")), "{refused:?}");
    run(&mut other, "SELECT theirs FROM contract_made.deliveries; DROP SCHEMA contract_made CASCADE").await;

    store.create_schema().await.expect("the schema is made");
    store.prepare().await.expect("the tables are made");
    assert_eq!(apply(&store, "o-1", 1).await, Effect::Applied);
    store.drop_schema().await.expect("the schema is dropped");
    store.create_schema().await.expect("it is gone, so it is made again");
    store.drop_schema().await.expect("the schema is dropped");
}

/// A NUL in the text: class 22, whether it would apply or be parked; the connection goes on.
pub async fn text_that_cannot_be_stored_is_refused(url: &str) {
    let store = prepared(url, "contract_refused").await;
    for revision in [1, 2] {
        let mut wrong = fold("o-1", revision, revision);
        wrong.event.address = "a\0b".into();
        let got = store.apply(&wrong, origin(revision)).await;
        let refused = matches!(&got, Err(StoreError::Refused { sqlstate, .. }) if sqlstate == "22021");
        assert!(refused, "revision {revision}: {got:?}");
    }
    let mut beyond = fold("o-1", 1, 1);
    beyond.event.revision = 1 << 31;
    let got = store.apply(&beyond, origin(1)).await;
    assert!(matches!(got, Err(StoreError::Refused { .. })), "{got:?}");
    assert_eq!(apply(&store, "o-1", 1).await, Effect::Applied);
    holds(&store, "o-1", 1, &[]).await;
    store.drop_schema().await.expect("the schema is dropped");
}

/// The guard is committed, the drain is not: here because someone holds the parked rows. The redelivery drains.
pub async fn a_stop_between_guard_and_drain_is_repaired(url: &str) {
    let store = prepared(url, "contract_drain").await;
    for early in [2, 3] {
        assert_eq!(apply(&store, "o-1", early).await, Effect::Parked);
    }
    let mut other = session(&store).await;
    run(&mut other, "BEGIN; SELECT FROM parked_events FOR UPDATE").await;
    let stopped = store.apply(&fold("o-1", 1, 1), origin(1)).await;
    assert!(matches!(stopped, Err(StoreError::Unavailable(_))), "{stopped:?}");
    holds(&store, "o-1", 1, &[(2, 2), (3, 3)]).await;
    run(&mut other, "ROLLBACK").await;

    let again = store.apply(&fold("o-1", 1, 1), origin(1)).await.expect("the redelivery is taken");
    assert_eq!(again.effect, Effect::Ignored);
    assert_eq!(again.row.map(|row| row.revision), Some(3));
    holds(&store, "o-1", 3, &[]).await;
    assert_eq!(apply(&store, "o-1", 1).await, Effect::Ignored);
    store.drop_schema().await.expect("the schema is dropped");
}

/// Someone else holds the row: the call ends with the lock time-out, and works once the row is free.
pub async fn a_locked_row_is_unavailable_in_time(url: &str) {
    let store = prepared(url, "contract_lock").await;
    assert_eq!(apply(&store, "o-1", 2).await, Effect::Parked);
    let mut other = session(&store).await;
    run(&mut other, "BEGIN; SELECT FROM deliveries FOR UPDATE").await;
    let start = Instant::now();
    let bound = PostgresOptions::default().lock_timeout + Duration::from_secs(1);
    a_call_ends_as_unavailable_within(&store, "o-1", bound).await;
    assert!(start.elapsed() >= PostgresOptions::default().lock_timeout, "it waited for the lock");
    run(&mut other, "ROLLBACK").await;
    assert_eq!(apply(&store, "o-1", 1).await, Effect::Applied);
    holds(&store, "o-1", 2, &[]).await;
    store.drop_schema().await.expect("the schema is dropped");
}

/// A worker frozen in the middle of a transaction: the server ends its session before its successor's session in
/// the group would end (6 s at its least).
pub async fn a_frozen_holder_of_a_lock_loses_it(url: &str) {
    let store = prepared(url, "contract_holder").await;
    assert_eq!(apply(&store, "o-1", 1).await, Effect::Applied);
    let mut frozen = session(&store).await;
    run(&mut frozen, "BEGIN; UPDATE deliveries SET revision = revision").await;
    the_same_message_succeeds_within(&store, "o-1", Duration::from_secs(6)).await;
    store.drop_schema().await.expect("the schema is dropped");
}

/// The server ends the store's session: one call fails at most, the next has a new session.
pub async fn a_killed_session_is_replaced(url: &str) {
    let store = prepared(url, "contract_killed").await;
    let backend = backend_pid(&store).await;
    let mut other = session(&store).await;
    sqlx::query("SELECT pg_terminate_backend($1, 2000)")
        .bind(backend)
        .execute(&mut other)
        .await
        .expect("the session is ended");
    the_same_message_succeeds_within(&store, "o-1", Duration::from_secs(1)).await;
    assert_ne!(backend_pid(&store).await, backend);
    store.drop_schema().await.expect("the schema is dropped");
}

/// A database, table or right that is missing, and a port where nobody listens.
pub async fn what_cannot_work_says_why(url: &str) {
    let options = || PostgresOptions { schema: "contract_unusable".into(), ..PostgresOptions::default() };
    let unusable = |error: Option<StoreError>, named: &str| match error {
        Some(StoreError::Unusable(told)) => assert!(told.contains(named), "{told}"),
        other => panic!("{named}: {other:?}"),
    };
    let base = url.split('?').next().unwrap_or(url);
    let (server, _) = base.rsplit_once('/').expect("the URL names a database");

    let elsewhere = PostgresStore::connect(&format!("{server}/no_such_database"), options()).await;
    unusable(elsewhere.err(), "no_such_database");

    let store = connected(url, "contract_unusable").await;
    store.drop_schema().await.expect("what an earlier run left is dropped");
    unusable(store.apply(&fold("o-1", 1, 1), origin(1)).await.err(), "prepare()");

    store.prepare().await.expect("the tables are made");
    let limited = PostgresStore::connect(&format!("{base}?options[role]=pg_monitor"), options()).await;
    let limited = limited.expect("the limited role connects");
    unusable(limited.apply(&fold("o-1", 1, 1), origin(1)).await.err(), "USAGE on the schema");
    run(&mut session(&store).await, "GRANT USAGE ON SCHEMA contract_unusable TO pg_monitor").await;
    unusable(
        limited.apply(&fold("o-1", 1, 1), origin(1)).await.err(),
        "permission denied for table deliveries",
    );
    store.drop_schema().await.expect("the schema is dropped");

    let nobody = PostgresStore::connect("postgres://127.0.0.1:1/x", options()).await;
    assert!(matches!(nobody, Err(StoreError::Unavailable(_))));
}

/// Version and durability, as the report prints them.
pub async fn the_settings_are_told(url: &str) {
    let told =
        connected(url, "contract_settings").await.server_settings().await.expect("the settings are read");
    assert!(told.version.starts_with(|c: char| c.is_ascii_digit()), "{told:?}");
    for name in ["fsync", "synchronous_commit"] {
        assert!(told.settings.contains_key(name), "{told:?}");
    }
}

/// A server frozen whole (`postmaster` is its process, on this machine): calls end in time, over the old connection
/// and over a new one, and all goes on when it thaws.
pub async fn a_frozen_server_is_unavailable_in_time(url: &str, postmaster: i32) {
    let store = prepared(url, "contract_frozen").await;
    let backend = backend_pid(&store).await;
    let frozen = Frozen::freeze([postmaster, backend]);
    let bound = PostgresOptions::default().call_timeout + Duration::from_millis(500);
    for _ in ["over the old connection", "over a new one"] {
        a_call_ends_as_unavailable_within(&store, "o-1", bound).await;
    }
    drop(frozen);
    the_same_message_succeeds_within(&store, "o-1", Duration::from_secs(5)).await;
    store.drop_schema().await.expect("the schema is dropped");
}

/// The process that serves the store's only connection.
async fn backend_pid(store: &PostgresStore) -> i32 {
    let mut lease = store.connections.lease().await.expect("a connection is free");
    let pid = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(lease.connection()).await;
    lease.settle(Ok(pid.map_err(super::error::sorted))).expect("the server tells its process")
}
