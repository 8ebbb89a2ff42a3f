//! What a run and its trials own on the stack: topics, groups, rows, statuses. Made under names of their own, removed
//! afterwards.

use std::sync::Arc;
use std::time::Duration;

use payment_delivery::kafka::admin::Admin;
use payment_delivery::mode::dead_letter_topic;
use payment_delivery::store::DeliveryStore;
use payment_delivery::view::StatusView;

use super::ScenarioError;
use super::options::Options;
use crate::stack::Place;

mod rows;
mod statuses;

use rows::Rows;
use statuses::Statuses;

/// How long to look for a broker, a database or a view before saying that there is none.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Names a run that began at `started`: no other has this name.
pub(super) fn run_id(started: jiff::Timestamp) -> String {
    format!("lanebench_{}_{}", started.strftime("%Y%m%dt%H%M%S"), std::process::id())
}

/// The run's place on the stack.
pub(super) struct Site {
    place: Place,
    /// Tells this run's topics, groups, keys and schema from everybody else's.
    pub(super) run_id: String,
    /// For topics, offsets, groups.
    pub(super) admin: Admin,
    rows: Arc<Rows>,
}

impl Site {
    /// Connects to everything and creates the run's tables.
    pub(super) async fn open(place: Place, run_id: String) -> Result<Self, ScenarioError> {
        let admin = Admin::connect(&place.bootstrap, CONNECT_TIMEOUT).await?;
        let rows = Arc::new(Rows::open(&place.backing, &run_id).await?);
        // Asked now, so that a missing Redis is said before minutes of work.
        Statuses::open(&place.backing, String::new()).await?;
        rows.own().prepare().await?;
        Ok(Self { place, run_id, admin, rows })
    }

    /// The harness's own way to the rows, for the checks.
    pub(super) fn store(&self) -> &dyn DeliveryStore {
        self.rows.own()
    }

    /// Fresh topics, group, tables and statuses for one trial.
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
        self.rows.own().clear().await?;
        let statuses = Statuses::open(&self.place.backing, format!("{}:{name}:", self.run_id)).await?;
        Ok(TrialSite {
            bootstrap: self.place.bootstrap.clone(),
            group: format!("{}.{name}.deliveries", self.run_id),
            topic,
            partitions,
            rows: Arc::clone(&self.rows),
            statuses,
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
        if let Err(error) = trial.statuses.own().clear().await {
            tracing::warn!(%error, topic = trial.topic, "the trial's statuses were not removed");
        }
    }

    /// Removes the run's tables.
    pub(super) async fn close(self) {
        if let Err(error) = self.rows.remove().await {
            tracing::warn!(%error, run = self.run_id, "the run's tables were not removed");
        }
    }
}

/// One trial's place on the stack.
pub(super) struct TrialSite {
    /// Brokers.
    pub(super) bootstrap: Vec<String>,
    /// The consumers' group.
    pub(super) group: String,
    /// The topic; its dead-letter topic goes with it.
    pub(super) topic: String,
    /// Partitions of the topic.
    pub(super) partitions: i32,
    /// The run's rows, emptied for this trial.
    pub(super) rows: Arc<Rows>,
    /// The trial's statuses.
    pub(super) statuses: Statuses,
}

impl TrialSite {
    /// What a worker in a process of its own is given in its environment, but for the number of its consumers (docs/worker.md).
    pub(super) fn contract(&self) -> Result<Vec<(&'static str, String)>, ScenarioError> {
        let mut variables = vec![
            ("LANEBENCH_BOOTSTRAP", self.bootstrap.join(",")),
            ("LANEBENCH_TOPIC", self.topic.clone()),
            ("LANEBENCH_GROUP", self.group.clone()),
        ];
        variables.extend(self.rows.contract());
        variables.extend(self.statuses.contract()?);
        Ok(variables)
    }

    /// The harness's own way to the statuses, for the checks.
    pub(super) fn view(&self) -> &dyn StatusView {
        self.statuses.own()
    }
}
