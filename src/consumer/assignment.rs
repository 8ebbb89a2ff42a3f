//! One consumer's work on one assignment after another.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::commits::{CommitFailure, Commits};
use super::fetch_loops::FetchLoops;
use super::mode::dead_letter::DeadLetters;
use super::mode::{AnyProcessor, ProcessorDeps};
use super::tracker::Tracker;
use super::{ConsumerConfig, ConsumerError};
use crate::failure::{Backoff, Component};
use crate::kafka::group::{Assignment, Change, Member, OffsetError, Offsets};
use crate::probe::retried;

/// How the work on one assignment ended.
pub(super) enum End {
    /// The group rebalances: drained and committed, to join again.
    Rebalance,
    /// The membership was lost, for this reason: nothing was committed since.
    Lost(String),
    /// Told to stop: drained and committed.
    Stopped,
}

pub(super) struct GroupConsumer {
    config: ConsumerConfig,
    deps: ProcessorDeps,
    fetch_start: watch::Receiver<bool>,
    stop: CancellationToken,
    member: Member,
    /// What outlives a rebalance that leaves a partition where it is.
    work: Option<Work>,
}

/// The work on partitions, from one generation to the next.
struct Work {
    generation: i32,
    member_id: String,
    tracker: Arc<Tracker>,
    loops: FetchLoops,
    processor: AnyProcessor,
}

impl GroupConsumer {
    pub(super) fn new(
        config: ConsumerConfig,
        deps: ProcessorDeps,
        fetch_start: watch::Receiver<bool>,
        stop: CancellationToken,
        member: Member,
    ) -> Self {
        Self { config, deps, fetch_start, stop, member, work: None }
    }

    /// The next assignment; `None` when told to stop.
    pub(super) async fn join(&mut self) -> Result<Option<Assignment>, ConsumerError> {
        tokio::select! {
            joined = self.member.join() => {
                joined.map(Some).map_err(|source| ConsumerError::Group { consumer: self.config.name.clone(), source })
            }
            () = self.stop.cancelled() => Ok(None),
        }
    }

    pub(super) async fn leave(self) {
        self.member.leave().await;
    }

    /// Works on one assignment until it ends.
    pub(super) async fn serve(&mut self, assignment: &Assignment) -> Result<End, ConsumerError> {
        let offsets = self.member.offsets();
        let mut work = self.carried(assignment);
        let added: Vec<i32> =
            assignment.partitions.iter().copied().filter(|partition| !work.loops.has(*partition)).collect();
        let ended = match self.start_offsets(&added, &offsets).await {
            Ok(Ok(start)) => {
                start.iter().for_each(|(partition, committed)| work.tracker.start(*partition, *committed));
                work.loops.add(&self.config, &start, &self.fetch_start, &*self.deps.probe);
                self.work(assignment, offsets, &mut work).await
            }
            Ok(Err(end)) => Ok((end, true)),
            Err(error) => Err(error),
        };
        let is_lost = matches!(ended, Ok((End::Lost(_), _)));
        self.deps.probe.released(&self.config.name, is_lost);
        let (end, is_drained) = ended?;
        match &end {
            End::Lost(reason) => {
                tracing::warn!(consumer = self.config.name, reason, "membership lost, joining again");
            }
            End::Rebalance if is_drained => self.work = Some(work),
            End::Rebalance | End::Stopped => {}
        }
        Ok(end)
    }

    /// How the assignment ended, and whether nothing is left in flight.
    async fn work(
        &mut self,
        assignment: &Assignment,
        offsets: Offsets,
        work: &mut Work,
    ) -> Result<(End, bool), ConsumerError> {
        let (consumer, probe) = (self.config.name.clone(), self.deps.probe.clone());
        tracing::info!(consumer, assignment.generation, partitions = ?assignment.partitions, "assigned");
        probe.assigned(&consumer, &assignment.partitions);
        let Work { tracker, loops, processor, .. } = work;
        let commits = Commits { consumer: &consumer, offsets, tracker, probe: &*probe };
        let (wind_down, stop_commits) = (CancellationToken::new(), CancellationToken::new());
        let mut committing = Box::pin(commits.on_cadence(self.config.commit_interval, &stop_commits));
        let mut working = Box::pin(loops.work(processor, tracker, &consumer, &*probe, &wind_down));

        let mut is_committing = true;
        let mut ended = tokio::select! {
            // Without a wind-down the loop ends only by an error.
            worked = &mut working => worked.map(|()| End::Stopped),
            broken = &mut committing => {
                is_committing = false;
                self.broken(broken)
            }
            change = self.member.changed() => self.changed(change),
            () = self.stop.cancelled() => Ok(End::Stopped),
        };
        // Lost partitions may be someone else's already: what is in hand is dropped on the spot. So it is, while draining, once they are.
        stop_commits.cancel();
        wind_down.cancel();
        let mut is_drained = false;
        if matches!(ended, Ok(End::Rebalance | End::Stopped)) {
            let drain = tokio::time::timeout(self.config.revoke_timeout / 2, &mut working);
            tokio::select! {
                drained = drain => match drained {
                    Ok(Ok(())) => is_drained = true,
                    Ok(Err(error)) => ended = Err(error),
                    Err(_) => tracing::warn!(consumer, "what is in hand was not finished in time; it will come again"),
                },
                reason = lost(&mut self.member) => ended = Ok(End::Lost(reason)),
            }
        }
        drop(working);
        if is_committing && !matches!(ended, Ok(End::Lost(_))) {
            // What is finished is committed, also where an error ends the consumer.
            let last = async {
                let running = committing.await;
                if running.is_ok() {
                    commits.at_the_end(self.config.revoke_timeout / 2).await;
                }
                running
            };
            if let Ok(broken @ Err(_)) = tokio::time::timeout(self.config.revoke_timeout / 2, last).await
                && ended.is_ok()
            {
                ended = self.broken(broken);
            }
        }
        Ok((ended?, is_drained))
    }

    /// What news of the membership means.
    fn changed(&self, change: Change) -> Result<End, ConsumerError> {
        match change {
            Change::Rebalance => Ok(End::Rebalance),
            Change::Lost(reason) => Ok(End::Lost(reason.to_string())),
            Change::Failed(source) => {
                Err(ConsumerError::Group { consumer: self.config.name.clone(), source })
            }
        }
    }

    /// What a commit that can't succeed means.
    fn broken(&self, broken: Result<(), CommitFailure>) -> Result<End, ConsumerError> {
        match broken {
            Ok(()) => Ok(End::Stopped),
            Err(CommitFailure::Lost(reason)) => Ok(End::Lost(reason)),
            Err(CommitFailure::Refused(source)) => {
                self.deps.probe.commit_refused(&self.config.name);
                Err(ConsumerError::Commit { consumer: self.config.name.clone(), source })
            }
        }
    }

    /// The work of the generation before, for the partitions that are still ours; else new work.
    ///
    /// Only the very next generation of the same member proves that nobody owned them in between.
    fn carried(&mut self, assignment: &Assignment) -> Work {
        let (generation, member_id) = (assignment.generation, assignment.member_id.clone());
        let is_next = |work: &Work| work.member_id == member_id && work.generation + 1 == generation;
        if let Some(mut work) = self.work.take().filter(is_next) {
            work.loops.retain(&assignment.partitions);
            work.tracker.retain(&assignment.partitions);
            return Work { generation, ..work };
        }
        let consumer = &self.config.name;
        let letters = DeadLetters::new(self.config.bootstrap.clone(), &self.config.topic);
        let tracker = Arc::<Tracker>::default();
        let processor = AnyProcessor::new(
            self.config.mode,
            consumer,
            self.deps.clone(),
            letters,
            Arc::clone(&tracker),
            self.config.service_time,
        );
        Work { generation, member_id, tracker, loops: FetchLoops::default(), processor }
    }

    /// Where to start each partition, `None` for its beginning; or how the assignment ended meanwhile.
    async fn start_offsets(
        &mut self,
        partitions: &[i32],
        offsets: &Offsets,
    ) -> Result<Result<BTreeMap<i32, Option<i64>>, End>, ConsumerError> {
        let mut backoff = Backoff::up_to(Backoff::SHORT);
        let mut failed = false;
        while !partitions.is_empty() {
            let asked = tokio::select! {
                asked = offsets.committed(partitions) => asked,
                change = self.member.changed() => return self.changed(change).map(Err),
                () = self.stop.cancelled() => return Ok(Err(End::Stopped)),
            };
            match asked {
                Ok(committed) => {
                    if failed {
                        self.deps.probe.recovered(&self.config.name, Component::Broker);
                    }
                    return Ok(Ok(committed));
                }
                Err(OffsetError::Lost(reason)) => return Ok(Err(End::Lost(reason.to_string()))),
                Err(source @ OffsetError::Refused { .. }) => {
                    return Err(ConsumerError::Offsets { consumer: self.config.name.clone(), source });
                }
                Err(error @ OffsetError::Unavailable(_)) => {
                    failed = true;
                    retried(&*self.deps.probe, &self.config.name, Component::Broker, &error.to_string());
                    backoff.wait().await;
                }
            }
        }
        Ok(Ok(BTreeMap::new()))
    }
}

/// Why the membership is over, once it is.
async fn lost(member: &mut Member) -> String {
    loop {
        if let Change::Lost(reason) = member.changed().await {
            return reason.to_string();
        }
    }
}
