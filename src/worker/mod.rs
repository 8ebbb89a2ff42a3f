//! One consumer: joins the group, works through its partitions, drains before it gives them up.
//!
//! ```text
//!          ┌──────────────── Rebalance: stop fetching, drain, commit ───────────────┐
//!          ▼                                                                        │
//! join ─▶ assigned ─▶ fetch loops ─▶ one processing loop ─▶ commits every 100 ms ───┤
//!          ▲                                                                        │
//!          └──────────────── Lost: cancel at once, never commit ────────────────────┘
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::kafka::fetch::{FetchConfig, FetchError};
use crate::kafka::group::{Assignment, Change, CommitError, GroupConfig, GroupError, Member, OffsetError, Offsets};
use crate::mode::dead_letter::DeadLetters;
use crate::mode::record::{Parts, RecordMode};
use crate::timer::Delay;

mod feeds;
mod progress;

use feeds::Feeds;
use progress::Progress;

/// What a consumer needs to know.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Its name: client id in the group, and how probes tell consumers apart.
    pub name: String,
    /// Addresses (`host:port`) at which to find the cluster.
    pub bootstrap: Vec<String>,
    /// The topic it reads.
    pub topic: String,
    /// Membership.
    pub group: GroupConfig,
    /// Fetching.
    pub fetch: FetchConfig,
    /// Modelled downstream call an event; zero for none.
    pub service_time: Duration,
    /// At most one commit in this time while working.
    pub commit_interval: Duration,
    /// How long a partition that is to be given up may take to finish the message in hand and to commit. Must be
    /// below the rebalance time-out.
    pub drain_deadline: Duration,
}

impl WorkerConfig {
    /// The defaults: no service time, commits every 100 ms, 5 s to drain.
    pub fn new(name: impl Into<String>, bootstrap: Vec<String>, topic: impl Into<String>, group_id: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            group: GroupConfig::new(group_id.into(), name.clone()),
            name,
            bootstrap,
            topic: topic.into(),
            fetch: FetchConfig::default(),
            service_time: Duration::ZERO,
            commit_interval: Duration::from_millis(100),
            drain_deadline: Duration::from_secs(5),
        }
    }
}

/// Why a consumer ended other than by being stopped.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The group cannot be joined or used.
    #[error("consumer {consumer}: {source}")]
    Group {
        /// Its name.
        consumer: String,
        /// What happened.
        source: GroupError,
    },
    /// A partition cannot be read on.
    #[error("consumer {consumer}: {source}")]
    Fetch {
        /// Its name.
        consumer: String,
        /// What happened.
        source: FetchError,
    },
    /// The configuration contradicts itself.
    #[error("consumer {consumer}: the drain deadline ({drain:?}) must be below the rebalance time-out ({rebalance:?})")]
    Deadline {
        /// Its name.
        consumer: String,
        /// The drain deadline.
        drain: Duration,
        /// The rebalance time-out.
        rebalance: Duration,
    },
    /// The timer for modelled waits is not to be had.
    #[error("consumer {consumer}: no timer for the modelled service time: {source}")]
    Timer {
        /// Its name.
        consumer: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// How the work on one assignment ended.
enum End {
    Rebalance,
    Lost(String),
    Stopped,
}

/// Runs one consumer until `stop`; then it finishes the message in hand, commits, and leaves the group.
///
/// Fetching begins when `gate` holds `true`, so that a measurement can start with every assignment complete.
///
/// # Errors
/// [`WorkerError`] for what waiting does not mend. Stores, views and brokers that are away are waited for.
pub async fn run(
    config: WorkerConfig,
    parts: Parts,
    gate: watch::Receiver<bool>,
    stop: CancellationToken,
) -> Result<(), WorkerError> {
    if config.drain_deadline >= config.group.rebalance_timeout {
        return Err(WorkerError::Deadline {
            consumer: config.name,
            drain: config.drain_deadline,
            rebalance: config.group.rebalance_timeout,
        });
    }
    let member = Member::new(config.bootstrap.clone(), config.topic.clone(), config.group.clone());
    let mut worker = Worker { config, parts, gate, stop, member, kept: None };
    let ended = worker.run().await;
    worker.member.leave().await;
    ended
}

struct Worker {
    config: WorkerConfig,
    parts: Parts,
    gate: watch::Receiver<bool>,
    stop: CancellationToken,
    member: Member,
    /// Work that could not be committed because of a rebalance, and the membership under which it was done.
    kept: Option<Kept>,
}

struct Kept {
    generation: i32,
    member_id: String,
    next: BTreeMap<i32, i64>,
}

impl Worker {
    async fn run(&mut self) -> Result<(), WorkerError> {
        loop {
            let joined = tokio::select! {
                joined = self.member.join() => joined,
                () = self.stop.cancelled() => return Ok(()),
            };
            let assignment = joined.map_err(|source| self.group_error(source))?;
            let end = self.serve(&assignment).await?;
            self.parts.probe.released(&self.config.name, matches!(end, End::Lost(_)));
            match end {
                End::Stopped => return Ok(()),
                End::Rebalance => {}
                End::Lost(reason) => {
                    self.kept = None;
                    tracing::warn!(consumer = self.config.name, reason, "membership lost, joining again");
                }
            }
        }
    }

    /// Works on one assignment until it ends.
    async fn serve(&mut self, assignment: &Assignment) -> Result<End, WorkerError> {
        let offsets = self.member.offsets();
        let carried = self.carried(assignment);
        let mut start = match self.start_offsets(assignment, &offsets).await {
            Ok(start) => start,
            Err(end) => return Ok(end),
        };
        start.extend(carried.iter().map(|(partition, next)| (*partition, Some(*next))));
        let progress = Progress::new(carried);
        tracing::info!(consumer = self.config.name, generation = assignment.generation, partitions = ?assignment.partitions, "assigned");
        self.parts.probe.assigned(&self.config.name, &assignment.partitions);

        let mut feeds = Feeds::start(&self.config, &start, self.gate.clone());
        let mut mode = self.mode(assignment)?;
        let wind_down = CancellationToken::new();
        let end = {
            let work = feeds.work(&mut mode, &progress, &self.config.name, &*self.parts.probe, &wind_down);
            tokio::pin!(work);
            let end = tokio::select! {
                worked = &mut work => {
                    // Without a wind-down the loop ends only by a partition that cannot be read on.
                    worked.map_err(|source| WorkerError::Fetch { consumer: self.config.name.clone(), source })?;
                    End::Stopped
                }
                reason = commits(&self.config, &offsets, &progress, &*self.parts.probe) => End::Lost(reason),
                change = self.member.changed() => match change {
                    Change::Rebalance => End::Rebalance,
                    Change::Lost(reason) => End::Lost(reason.to_string()),
                },
                () = self.stop.cancelled() => End::Stopped,
            };
            if !matches!(end, End::Lost(_)) {
                wind_down.cancel();
                if tokio::time::timeout(self.config.drain_deadline / 2, &mut work).await.is_err() {
                    tracing::warn!(consumer = self.config.name, "the message in hand was not finished in time; it will be delivered again");
                }
            }
            end
        };
        drop(feeds); // closes the fetch connections before the partitions are given up
        if matches!(end, End::Lost(_)) {
            return Ok(end);
        }
        self.commit_at_end(&offsets, &progress).await;
        let left = progress.uncommitted();
        if !left.is_empty() {
            self.kept = Some(Kept {
                generation: assignment.generation,
                member_id: assignment.member_id.clone(),
                next: left,
            });
        }
        Ok(end)
    }

    fn mode(&self, assignment: &Assignment) -> Result<RecordMode, WorkerError> {
        let delay = Delay::new().map_err(|source| WorkerError::Timer { consumer: self.config.name.clone(), source })?;
        let partitions = assignment.partitions.iter().max().map_or(1, |p| p + 1);
        let letters = DeadLetters::new(self.config.bootstrap.clone(), &self.config.topic, partitions);
        Ok(RecordMode::new(
            self.config.name.clone(),
            self.parts.clone(),
            letters,
            self.config.service_time,
            delay,
        ))
    }

    /// Work left uncommitted by the rebalance before, for partitions that are still ours.
    ///
    /// Only the very next generation of the same member proves that nobody owned them in between.
    fn carried(&mut self, assignment: &Assignment) -> BTreeMap<i32, i64> {
        let Some(kept) = self.kept.take() else { return BTreeMap::new() };
        if kept.member_id != assignment.member_id || kept.generation + 1 != assignment.generation {
            return BTreeMap::new();
        }
        kept.next.into_iter().filter(|(p, _)| assignment.partitions.contains(p)).collect()
    }

    /// Where to start each partition, `None` for its beginning; or how the assignment ended meanwhile.
    async fn start_offsets(
        &mut self,
        assignment: &Assignment,
        offsets: &Offsets,
    ) -> Result<BTreeMap<i32, Option<i64>>, End> {
        let committed = loop {
            let asked = tokio::select! {
                asked = offsets.committed(&assignment.partitions) => asked,
                change = self.member.changed() => return Err(match change {
                    Change::Rebalance => End::Rebalance,
                    Change::Lost(reason) => End::Lost(reason.to_string()),
                }),
                () = self.stop.cancelled() => return Err(End::Stopped),
            };
            match asked {
                Ok(committed) => break committed,
                Err(OffsetError::Lost(reason)) => return Err(End::Lost(reason.to_string())),
                Err(error) => {
                    self.parts.probe.retried(&self.config.name, "broker", &error.to_string());
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        };
        Ok(committed)
    }

    /// The last commit of an assignment: several attempts, within what is left of the drain deadline.
    async fn commit_at_end(&self, offsets: &Offsets, progress: &Progress) {
        let attempts = async {
            loop {
                let next = progress.uncommitted();
                if next.is_empty() {
                    return;
                }
                match offsets.commit(&next).await {
                    Ok(()) => committed(&self.config.name, &next, progress, &*self.parts.probe),
                    Err(CommitError::Unavailable(why)) => {
                        self.parts.probe.retried(&self.config.name, "broker", &why.to_string());
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Err(error) => {
                        tracing::warn!(consumer = self.config.name, %error, "the last commit was refused");
                        return;
                    }
                }
            }
        };
        if tokio::time::timeout(self.config.drain_deadline / 2, attempts).await.is_err() {
            tracing::warn!(consumer = self.config.name, "the last commit found no answer in time");
        }
    }

    fn group_error(&self, source: GroupError) -> WorkerError {
        WorkerError::Group { consumer: self.config.name.clone(), source }
    }
}

/// Commits on the cadence, one request in flight; returns the reason when the membership is lost.
async fn commits(config: &WorkerConfig, offsets: &Offsets, progress: &Progress, probe: &dyn crate::probe::Probe) -> String {
    let mut tick = tokio::time::interval(config.commit_interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let next = progress.uncommitted();
        if next.is_empty() {
            continue;
        }
        match offsets.commit(&next).await {
            Ok(()) => committed(&config.name, &next, progress, probe),
            // The heartbeat hears of it as well; the work goes on and is committed at the revoke or after the sync.
            Err(CommitError::RebalanceInProgress) => {}
            Err(CommitError::Lost(reason)) => return reason.to_string(),
            Err(CommitError::Unavailable(why)) => probe.retried(&config.name, "broker", &why.to_string()),
        }
    }
}

fn committed(consumer: &str, next: &BTreeMap<i32, i64>, progress: &Progress, probe: &dyn crate::probe::Probe) {
    progress.committed(next);
    for (&partition, &offset) in next {
        probe.committed(consumer, partition, offset);
    }
}
