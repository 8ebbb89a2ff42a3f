//! What a run and its trials own on the stack: topics, groups, rows, statuses. Made under names of their own, removed
//! afterwards.
//!
//! Architecture invariant: a run removes what it made and nothing else. A topic, group or schema that is there before it,
//! by whatever accident, is refused and left as it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use payment_delivery::consumer::dead_letter_topic;
use payment_delivery::event::OrderId;
use payment_delivery::kafka::admin::{Admin, AdminError};
use payment_delivery::store::{DeliveryStore, StoreError};
use payment_delivery::view::StatusView;
use tokio_util::sync::CancellationToken;

use crate::contender::Contender;
use crate::error::RunError;
use crate::progress::Progress;
use crate::stack::StackTarget;

mod audit;
mod background;
mod leftover;
mod rows;
mod status_writes;
mod statuses;

use audit::ClockOffset;
pub(crate) use audit::{Counted, CountedPark, CountedWrite};
pub(crate) use background::Background;
use leftover::Leftover;
pub(crate) use rows::Rows;
pub(crate) use status_writes::StatusWrites;
use statuses::Statuses;

/// How long to look for a broker, a database or a view before saying that there is none.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long store and view may take to answer again once they were killed.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// PostgreSQL's `duplicate_schema`.
const SCHEMA_EXISTS: &str = "42P06";

/// What a group is in that nobody ever joined.
const NEVER_JOINED: &str = "Dead";

/// The run's place on the stack. To be closed, or its tables stay there.
pub(crate) struct RunWorkspace {
    target: StackTarget,
    /// Tells this run's topics, groups, keys and schema from everybody else's.
    pub(crate) run_id: String,
    /// For topics, offsets, groups.
    pub(crate) admin: Admin,
    rows: Arc<Rows>,
    /// What trials made and could not take back.
    leftovers: Mutex<Vec<Leftover>>,
}

impl RunWorkspace {
    /// Connects to everything and creates the run's tables; `run_id` is in all of its names.
    ///
    /// # Errors
    /// [`RunError::Interrupted`] where `cancel` came before anything was made.
    pub(crate) async fn open(
        target: StackTarget,
        run_id: String,
        cancel: &CancellationToken,
    ) -> Result<Self, RunError> {
        let connected = cancel.run_until_cancelled(async {
            let admin = Admin::connect(&target.bootstrap, CONNECT_TIMEOUT).await?;
            let rows = Rows::open(&target, &run_id).await?;
            // Asked now, so that a missing Redis is said before minutes of work.
            Statuses::open(&target, String::new()).await?;
            Ok::<_, RunError>((admin, rows))
        });
        let (admin, rows) = connected.await.ok_or(RunError::Interrupted)??;
        // Not to be cut short: what it makes has to be known, to be removed.
        rows.create().await.map_err(|error| match error {
            StoreError::Unusable(told) if told.contains(SCHEMA_EXISTS) => {
                RunError::Taken { what: format!("schema {run_id}") }
            }
            other => other.into(),
        })?;
        let opened = rows.start_counting().await;
        if opened.is_err()
            && let Err(error) = rows.remove().await
        {
            tracing::warn!(%error, "schema {run_id} was not removed");
        }
        opened?;
        Ok(Self { target, run_id, admin, rows: Arc::new(rows), leftovers: Mutex::default() })
    }

    /// The harness's own way to the rows, for the checks.
    pub(crate) fn store(&self) -> &dyn DeliveryStore {
        self.rows.own()
    }

    /// Waits until store and view answer the harness itself: what was killed takes its connections with it.
    ///
    /// # Errors
    /// What was answered last, where that lasts for [`BACK_WITHIN`].
    pub(crate) async fn answer_again(&self, trial: &TrialWorkspace) -> Result<(), RunError> {
        let nobody = OrderId::new("-").expect("a hyphen is an order id");
        let begun = Instant::now();
        loop {
            let row = self.store().delivery(&nobody).await.map(drop).map_err(RunError::from);
            let status =
                trial.view().get(std::slice::from_ref(&nobody)).await.map(drop).map_err(RunError::from);
            match row.and(status) {
                Err(error) if begun.elapsed() > BACK_WITHIN => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Whether the database counts writes, as it does from the start on.
    pub(crate) async fn count_writes(&self, counts: bool) -> Result<(), RunError> {
        self.rows.count(counts).await
    }

    /// Fresh topics, group, tables and statuses for one trial.
    pub(crate) async fn trial(&self, name: &str, contender: &Contender) -> Result<TrialWorkspace, RunError> {
        let topic = format!("{}.{name}.payment-completed", self.run_id);
        let statuses = Statuses::open(&self.target, format!("{}:{name}:", self.run_id)).await?;
        let evicted_before = statuses.evicted().await?;
        let trial = TrialWorkspace {
            clock_offset: self.rows.clock_offset().await?,
            bootstrap: self.target.bootstrap.clone(),
            consumers_bootstrap: match &self.target.consumers {
                Some(consumers) => consumers.bootstrap.clone(),
                None => self.target.bootstrap.clone(),
            },
            group: format!("{}.{name}.deliveries", self.run_id),
            topic,
            partitions: contender.lanes.partitions,
            rows: Arc::clone(&self.rows),
            statuses,
            evicted_before,
        };
        if self.admin.group_members(&trial.group).await?.state != NEVER_JOINED {
            return Err(RunError::Taken { what: format!("group {}", trial.group) });
        }
        let mut made = Vec::new();
        match self.make(&trial, contender, &mut made).await {
            Ok(()) => Ok(trial),
            Err(error) => {
                self.remove(made).await;
                Err(error)
            }
        }
    }

    /// Makes the topics, each noted in `made` before it can be, and empties the tables.
    async fn make(
        &self,
        trial: &TrialWorkspace,
        contender: &Contender,
        made: &mut Vec<Leftover>,
    ) -> Result<(), RunError> {
        let min_isr = contender.min_isr.to_string();
        let configs = [("min.insync.replicas", min_isr.as_str())];
        for topic in trial.topics() {
            let taken = || RunError::Taken { what: format!("topic {topic}") };
            // Asked first: after an answer that was lost, "already exists" would be taken for our own doing.
            if self.admin.topic_exists(&topic).await? {
                return Err(taken());
            }
            made.push(Leftover::Topic(topic.clone()));
            match self.admin.create_topic(&topic, trial.partitions, contender.replication, &configs).await {
                Ok(()) => {}
                Err(AdminError::Refused { code, .. }) if code.is_existing_topic() => {
                    made.pop();
                    return Err(taken());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.rows.clear().await
    }

    /// Removes what [`Self::trial`] made. What can't be removed is tried again by [`Self::close`]: the numbers are had.
    pub(crate) async fn clear(&self, trial: &TrialWorkspace) {
        let mut made: Vec<_> = trial.topics().map(Leftover::Topic).into();
        made.push(Leftover::Group(trial.group.clone()));
        if let Err(error) = trial.statuses.own().clear().await {
            tracing::warn!(%error, topic = trial.topic, "the trial's statuses were not removed");
            made.extend(trial.statuses.prefix().map(|prefix| Leftover::Statuses(prefix.to_owned())));
        }
        self.remove(made).await;
    }

    async fn remove(&self, made: Vec<Leftover>) {
        for thing in made {
            if let Err(error) = thing.remove(self).await {
                tracing::warn!(%error, "{thing} was not removed");
                self.leftovers.lock().unwrap_or_else(PoisonError::into_inner).push(thing);
            }
        }
    }

    /// What stays on the stack: the tables, without the triggers that count their writes.
    pub(crate) async fn keep(self, progress: &dyn Progress) {
        if let Err(error) = self.rows.stop_counting().await {
            progress.warn(&format!(
                "triggers on the tables in schema {} are left on the stack: {error}",
                self.run_id
            ));
        }
    }

    /// Removes the run's tables and what is left of its trials. What stays is told, for somebody has to remove it.
    pub(crate) async fn close(self, progress: &dyn Progress) {
        let leftovers = std::mem::take(&mut *self.leftovers.lock().unwrap_or_else(PoisonError::into_inner));
        for (thing, reason) in Leftover::remove_all(leftovers, &self).await {
            progress.warn(&format!("{thing} is left on the stack: {reason}"));
        }
        if let Err(error) = self.rows.remove().await {
            progress.warn(&format!("schema {} is left on the stack: {error}", self.run_id));
        }
    }
}

/// One trial's place on the stack.
pub(crate) struct TrialWorkspace {
    /// Brokers.
    pub(crate) bootstrap: Vec<String>,
    /// Where consumers find them.
    pub(crate) consumers_bootstrap: Vec<String>,
    /// The consumers' group.
    pub(crate) group: String,
    /// The topic; its dead-letter topic goes with it.
    pub(crate) topic: String,
    /// Partitions of the topic.
    pub(crate) partitions: i32,
    /// The run's rows, emptied for this trial.
    pub(crate) rows: Arc<Rows>,
    /// The trial's statuses.
    pub(crate) statuses: Statuses,
    /// The database's clock beside that of this machine, as it was at the start.
    pub(crate) clock_offset: ClockOffset,
    /// Keys that their server had evicted before.
    evicted_before: u64,
}

impl TrialWorkspace {
    /// The topic and its dead-letter topic.
    fn topics(&self) -> [String; 2] {
        [self.topic.clone(), dead_letter_topic(&self.topic)]
    }

    /// What a worker in a process of its own is given in its environment, but for the number of its consumers (docs/worker.md).
    pub(crate) fn contract(&self) -> Result<Vec<(&'static str, String)>, RunError> {
        let mut variables = vec![
            ("LANEBENCH_BOOTSTRAP", self.consumers_bootstrap.join(",")),
            ("LANEBENCH_TOPIC", self.topic.clone()),
            ("LANEBENCH_GROUP", self.group.clone()),
        ];
        variables.extend(self.rows.contract());
        variables.extend(self.statuses.contract()?);
        Ok(variables)
    }

    /// Keys that the statuses' server has evicted since the trial began, whoever's they were.
    pub(crate) async fn evicted(&self) -> Result<u64, RunError> {
        Ok(self.statuses.evicted().await?.saturating_sub(self.evicted_before))
    }

    /// The harness's own way to the statuses, for the checks.
    pub(crate) fn view(&self) -> &dyn StatusView {
        self.statuses.own()
    }
}
