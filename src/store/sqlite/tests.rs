//! The contract of every store, and what [`SqliteStore`] must hold beyond it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use super::{SqliteOptions, SqliteStore};
use crate::store::contract::{
    self, a_call_ends_as_unavailable_within, fold, holds, origin, the_same_message_succeeds_within,
};
use crate::store::model::ModelStore;
use crate::store::{DeliveryStore, Effect, StoreError};

//mod cancelled;
//mod killed;

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
