//! What a run and its trials own on the stack: a schema, topics, groups, keys. Made under names of their own, removed
//! afterwards.

use std::time::Duration;

use payment_delivery::kafka::admin::Admin;
use payment_delivery::mode::dead_letter_topic;
use payment_delivery::store::DeliveryStore;
use payment_delivery::store::postgres::{PostgresOptions, PostgresStore};
use payment_delivery::view::StatusView;
use payment_delivery::view::redis::{RedisTimeouts, RedisView};

use super::ScenarioError;
use super::options::Options;
use crate::stack::Endpoints;

/// How long to look for a broker, a database or a view before saying that there is none.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The run's place on the stack.
pub(super) struct Site {
    endpoints: Endpoints,
    /// Tells this run's topics, groups, keys and schema from everybody else's.
    pub(super) run_id: String,
    /// For topics, offsets, groups.
    pub(super) admin: Admin,
    /// The harness's own connection to the store, for preparing and for the checks.
    pub(super) store: PostgresStore,
}

impl Site {
    /// Connects to everything and creates the run's schema.
    pub(super) async fn open(endpoints: Endpoints, run_id: String) -> Result<Self, ScenarioError> {
        let admin = Admin::connect(&endpoints.bootstrap, CONNECT_TIMEOUT).await?;
        let store = PostgresStore::connect(&endpoints.database_url, store_options(&run_id, 2)).await?;
        // Asked now, so that a missing Redis is said before minutes of work.
        RedisView::connect(&endpoints.redis_url, "", RedisTimeouts::default()).await?;
        store.prepare().await?;
        Ok(Self { endpoints, run_id, admin, store })
    }

    /// Fresh topics, group, tables and view prefix for one trial.
    pub(super) async fn trial(
        &self,
        name: &str,
        partitions: i32,
        options: &Options,
    ) -> Result<TrialSite, ScenarioError> {
        let topic = format!("{}.{name}.payment-completed", self.run_id);
        let min_isr = options.min_isr.to_string();
        let configs = [("min.insync.replicas", min_isr.as_str())];
        self.admin.create_topic(&topic, partitions, options.replication, &configs).await?;
        self.admin
            .create_topic(&dead_letter_topic(&topic), partitions, options.replication, &configs)
            .await?;
        self.store.clear().await?;
        let view_prefix = format!("{}:{name}:", self.run_id);
        let view =
            RedisView::connect(&self.endpoints.redis_url, &view_prefix, RedisTimeouts::default()).await?;
        Ok(TrialSite {
            bootstrap: self.endpoints.bootstrap.clone(),
            database_url: self.endpoints.database_url.clone(),
            redis_url: self.endpoints.redis_url.clone(),
            schema: self.run_id.clone(),
            group: format!("{}.{name}.deliveries", self.run_id),
            topic,
            view_prefix,
            partitions,
            view,
        })
    }

    /// Removes what [`Self::trial`] made. What can't be removed is said in the log and left: the numbers are had.
    pub(super) async fn clear(&self, trial: &TrialSite) {
        let topics = [trial.topic.as_str(), &dead_letter_topic(&trial.topic)];
        if let Err(error) = self.admin.delete_topics(&topics).await {
            tracing::warn!(%error, topic = trial.topic, "the trial's topics were not removed");
        }
        if let Err(error) = self.admin.delete_group(&trial.group).await {
            tracing::warn!(%error, group = trial.group, "the trial's group was not removed");
        }
        if let Err(error) = trial.view.clear().await {
            tracing::warn!(%error, prefix = trial.view_prefix, "the trial's keys were not removed");
        }
    }

    /// Removes the run's schema.
    pub(super) async fn close(self) {
        if let Err(error) = self.store.drop_schema().await {
            tracing::warn!(%error, schema = self.run_id, "the run's schema was not removed");
        }
    }
}

/// One trial's place on the stack.
pub(super) struct TrialSite {
    /// Brokers.
    pub(super) bootstrap: Vec<String>,
    /// PostgreSQL.
    pub(super) database_url: String,
    /// Redis.
    pub(super) redis_url: String,
    /// The consumers' group.
    pub(super) group: String,
    /// The topic; its dead-letter topic goes with it.
    pub(super) topic: String,
    /// Prefix of all keys in Redis.
    pub(super) view_prefix: String,
    /// Partitions of the topic.
    pub(super) partitions: i32,
    /// The harness's own connection to the view, for the checks.
    pub(super) view: RedisView,
    schema: String,
}

impl TrialSite {
    /// How a consumer, or the harness, connects to the store.
    pub(super) fn store_options(&self, connections: usize) -> PostgresOptions {
        store_options(&self.schema, connections)
    }

    /// The schema of the run's tables.
    pub(super) fn schema(&self) -> &str {
        &self.schema
    }
}

fn store_options(schema: &str, connections: usize) -> PostgresOptions {
    PostgresOptions { schema: schema.into(), max_connections: connections, ..PostgresOptions::default() }
}
