//! One consumer's work on one assignment after another.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::commits::{Broken, Commits};
use super::feeds::Feeds;
use super::progress::Progress;
use super::{WorkerConfig, WorkerError};
use crate::kafka::group::{Assignment, Change, Member, OffsetError, Offsets};
use crate::mode::dead_letter::DeadLetters;
use crate::mode::record::{Parts, RecordMode};
use crate::probe::retried;
use crate::timer::Delay;

/// How the work on one assignment ended.
pub(super) enum End {
    /// The group rebalances: drained and committed, to join again.
    Rebalance,
    /// The membership was lost, for this reason: nothing was committed since.
    Lost(String),
    /// Told to stop: drained and committed.
    Stopped,
}

impl From<Change> for End {
    fn from(change: Change) -> Self {
        match change {
            Change::Rebalance => Self::Rebalance,
            Change::Lost(reason) => Self::Lost(reason.to_string()),
        }
    }
}

pub(super) struct Worker {
    config: WorkerConfig,
    parts: Parts,
    gate: watch::Receiver<bool>,
    stop: CancellationToken,
    member: Member,
    /// Work that could not be committed because of a rebalance.
    kept: Option<Kept>,
}

/// Uncommitted work, and the membership under which it was done.
struct Kept {
    generation: i32,
    member_id: String,
    next: BTreeMap<i32, i64>,
}

impl Worker {
    pub(super) fn new(
        config: WorkerConfig,
        parts: Parts,
        gate: watch::Receiver<bool>,
        stop: CancellationToken,
        member: Member,
    ) -> Self {
        Self { config, parts, gate, stop, member, kept: None }
    }

    /// The next assignment; `None` when told to stop.
    pub(super) async fn join(&mut self) -> Result<Option<Assignment>, WorkerError> {
        tokio::select! {
            joined = self.member.join() => {
                joined.map(Some).map_err(|source| WorkerError::Group { consumer: self.config.name.clone(), source })
            }
            () = self.stop.cancelled() => Ok(None),
        }
    }

    pub(super) async fn leave(self) {
        self.member.leave().await;
    }

    /// Works on one assignment until it ends.
    pub(super) async fn serve(&mut self, assignment: &Assignment) -> Result<End, WorkerError> {
        let offsets = self.member.offsets();
        let carried = self.carried(assignment);
        let end = match self.start_offsets(assignment, &offsets).await? {
            Err(ended) => ended,
            Ok(mut start) => {
                start.extend(carried.iter().map(|(partition, next)| (*partition, Some(*next))));
                self.work(assignment, offsets, &start, Progress::new(carried)).await?
            }
        };
        self.parts.probe.released(&self.config.name, matches!(end, End::Lost(_)));
        if let End::Lost(reason) = &end {
            self.kept = None;
            tracing::warn!(consumer = self.config.name, reason, "membership lost, joining again");
        }
        Ok(end)
    }

    async fn work(
        &mut self,
        assignment: &Assignment,
        offsets: Offsets,
        start: &BTreeMap<i32, Option<i64>>,
        progress: Progress,
    ) -> Result<End, WorkerError> {
        let (consumer, probe) = (self.config.name.clone(), self.parts.probe.clone());
        tracing::info!(consumer, assignment.generation, partitions = ?assignment.partitions, "assigned");
        probe.assigned(&consumer, &assignment.partitions);
        let commits = Commits { consumer: &consumer, offsets, progress: &progress, probe: &*probe };
        let mut mode = self.mode()?;
        let mut feeds = Feeds::start(&self.config, start, &self.gate);

        let end = {
            let wind_down = CancellationToken::new();
            let work = feeds.work(&mut mode, &progress, &consumer, &*probe, &wind_down);
            tokio::pin!(work);
            let end = tokio::select! {
                // Without a wind-down the loop ends only by a partition that cannot be read on.
                worked = &mut work => {
                    worked.map_err(|source| WorkerError::Fetch { consumer: consumer.clone(), source })?;
                    End::Stopped
                }
                broken = commits.on_cadence(self.config.commit_interval) => match broken {
                    Broken::Lost(reason) => End::Lost(reason),
                    Broken::Refused(source) => return Err(WorkerError::Commit { consumer: consumer.clone(), source }),
                },
                change = self.member.changed() => change.into(),
                () = self.stop.cancelled() => End::Stopped,
            };
            // Lost partitions may be someone else's already: what is in hand is dropped on the spot.
            if !matches!(end, End::Lost(_)) {
                wind_down.cancel();
                if tokio::time::timeout(self.config.drain_deadline / 2, &mut work).await.is_err() {
                    tracing::warn!(
                        consumer,
                        "the message in hand was not finished in time; it will come again"
                    );
                }
            }
            end
        };
        drop(feeds); // closes the fetch connections before the partitions are given up
        if !matches!(end, End::Lost(_)) {
            commits.at_the_end(self.config.drain_deadline / 2).await;
            self.keep(assignment, progress.uncommitted());
        }
        Ok(end)
    }

    fn mode(&self) -> Result<RecordMode, WorkerError> {
        let consumer = self.config.name.clone();
        let delay =
            Delay::new().map_err(|source| WorkerError::Timer { consumer: consumer.clone(), source })?;
        let letters = DeadLetters::new(self.config.bootstrap.clone(), &self.config.topic);
        Ok(RecordMode::new(consumer, self.parts.clone(), letters, self.config.service_time, delay))
    }

    fn keep(&mut self, assignment: &Assignment, next: BTreeMap<i32, i64>) {
        let (generation, member_id) = (assignment.generation, assignment.member_id.clone());
        self.kept = (!next.is_empty()).then_some(Kept { generation, member_id, next });
    }

    /// Work left uncommitted by the rebalance before, for partitions that are still ours.
    ///
    /// Only the very next generation of the same member proves that nobody owned them in between.
    fn carried(&mut self, assignment: &Assignment) -> BTreeMap<i32, i64> {
        let Some(kept) = self.kept.take() else {
            return BTreeMap::new();
        };
        if kept.member_id != assignment.member_id || kept.generation + 1 != assignment.generation {
            return BTreeMap::new();
        }
        kept.next.into_iter().filter(|(partition, _)| assignment.partitions.contains(partition)).collect()
    }

    /// Where to start each partition, `None` for its beginning; or how the assignment ended meanwhile.
    async fn start_offsets(
        &mut self,
        assignment: &Assignment,
        offsets: &Offsets,
    ) -> Result<Result<BTreeMap<i32, Option<i64>>, End>, WorkerError> {
        loop {
            let asked = tokio::select! {
                asked = offsets.committed(&assignment.partitions) => asked,
                change = self.member.changed() => return Ok(Err(change.into())),
                () = self.stop.cancelled() => return Ok(Err(End::Stopped)),
            };
            match asked {
                Ok(committed) => return Ok(Ok(committed)),
                Err(OffsetError::Lost(reason)) => return Ok(Err(End::Lost(reason.to_string()))),
                Err(source @ OffsetError::Refused { .. }) => {
                    return Err(WorkerError::Offsets { consumer: self.config.name.clone(), source });
                }
                Err(error @ OffsetError::Unavailable(_)) => {
                    retried(&*self.parts.probe, &self.config.name, "broker", &error.to_string());
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}
