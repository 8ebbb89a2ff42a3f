//! One trial: consumers at work, phases one after another, and the checks of truth that follow the last.
//!
//! ```text
//! workspace ─▶ consumers ─▶ phase, phase, … (each: feed, wait, observe) ─▶ evidence ─▶ checks ─▶ record
//! ```
//!
//! Architecture invariant: this room knows no phase by its name. What a phase offers is data (`phase.rs`); what was seen of
//! it is put together in one place (`results.rs`).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use payment_delivery::kafka::partitioner::partition_for_key;
use payment_delivery::probe::{Both, Probe};
use payment_delivery::store::DeliveryStore;
use payment_delivery::view::StatusView;
use tokio_util::sync::CancellationToken;

mod consumers;
mod elsewhere;
mod evidence;
mod faults;
mod in_process;
mod inject;
mod observe;
pub mod options;
pub(crate) mod phase;
mod process;
mod progress;
mod results;
mod run;
mod service;
pub(crate) mod slices;
mod stopped;
mod throttle;

use consumers::ConsumerHandle;
use faults::Broken;
use in_process::{Around, ConsumerSettings, InProcessConsumers};
use options::{Key, Throttle, Through};
use phase::PlannedPhase;
use process::WorkerConsumers;
use run::PhaseRunner;
use service::RunningService;

use crate::contender::{Contender, Lanes};
use crate::error::RunError;
use crate::measure::gc_log::GcLogs;
use crate::measure::lag::LagGauge;
use crate::measure::resources::{API_THREAD_PREFIX, JitTime};
use crate::measure::{Clock, Timeline};
use crate::progress::Progress;
use crate::record::Trial;
use crate::scenario::{Action, Fault};
use crate::stack::Stack;
use crate::verify::PartitionsAdded;
use crate::worker::ConsumerRuntime;
use crate::workspace::{RunWorkspace, TrialWorkspace};

/// How often consumers commit.
pub(crate) const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// What all trials of a run do alike.
#[derive(Clone, Copy, Debug)]
pub struct TrialOptions {
    /// How events come into the topic.
    pub through: Through,
    /// The message key.
    pub key: Key,
    /// What is slowed down on purpose.
    pub throttle: Option<Throttle>,
    /// Whether topics, tables and keys stay on the stack.
    pub keep: bool,
}

/// Runs trials, one after another, at one place of a stack.
pub(crate) struct TrialRunner<'a> {
    pub(crate) workspace: &'a RunWorkspace,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) cancel: &'a CancellationToken,
    runtime: &'a ConsumerRuntime,
    stack: &'a Stack,
    options: TrialOptions,
    gc_logs: GcLogs,
    /// Components that are threads of this process: name, and what their threads' names begin with.
    threads: Vec<(&'static str, &'static str)>,
    /// The lag last sampled.
    lag: LagGauge,
    /// What a scenario has broken and not yet mended.
    broken: Broken,
}

/// Which trial.
pub(crate) struct TrialSpec<'a> {
    /// Part of the names of its topic, group and keys.
    pub(crate) name: String,
    /// For people.
    pub(crate) title: String,
    pub(crate) contender: &'a Contender,
    pub(crate) place: TrialPlace,
    pub(crate) phases: &'a [PlannedPhase],
    /// What is changed about it to test the harness itself.
    pub(crate) rig: Option<&'a Rig<'a>>,
    /// Where it takes turns with another trial.
    pub(crate) seat: Option<&'a slices::Seat>,
}

/// What is put around one consumer's store.
pub(crate) type AroundStore<'a> =
    &'a (dyn Fn(Arc<dyn DeliveryStore>, &Arc<Timeline>) -> Arc<dyn DeliveryStore> + Sync);

/// What is put around one consumer's view.
pub(crate) type AroundView<'a> = &'a (dyn Fn(Arc<dyn StatusView>) -> Arc<dyn StatusView> + Sync);

/// What a sender does wrong, to see that it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SenderRig {
    /// It sleeps once, so long, at this event of the phase.
    Freeze { at: usize, length: Duration },
    /// It sends every event so long after it is due.
    Late(Duration),
}

/// What a test of the harness itself changes about a trial, and sees of it.
pub(crate) struct Rig<'a> {
    /// Put around each store of consumers in this process.
    pub(crate) store: Option<AroundStore<'a>>,
    /// Put around each of their views.
    pub(crate) view: Option<AroundView<'a>>,
    /// Least time between two batches of the producer.
    pub(crate) batch_interval: Duration,
    /// What is done to the sender of a schedule.
    pub(crate) sender: Option<SenderRig>,
    /// Sees the timeline when all is done.
    pub(crate) look: &'a (dyn Fn(&Timeline) + Sync),
}

/// Which place a trial has in its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrialPlace {
    /// From 1; 0 in the warm-up.
    pub(crate) round: u32,
    /// In its round, from 1.
    pub(crate) position: u32,
    /// The round's.
    pub(crate) seed: u64,
}

impl<'a> TrialRunner<'a> {
    /// All trials run on this stack, at this place of it.
    pub(crate) fn new(
        workspace: &'a RunWorkspace,
        runtime: &'a ConsumerRuntime,
        options: TrialOptions,
        stack: &'a Stack,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
    ) -> Self {
        let mut threads = stack.threads();
        if options.through == Through::Api {
            threads.push(("api", API_THREAD_PREFIX));
        }
        let (gc_logs, lag, broken) = (GcLogs::new(stack.gc_logs()), LagGauge::default(), Broken::default());
        Self { workspace, progress, cancel, runtime, stack, options, gc_logs, threads, lag, broken }
    }

    /// Runs one trial and removes what it made, however it ends.
    pub(crate) async fn trial(&self, spec: &TrialSpec<'_>) -> Result<Trial, RunError> {
        let place = self.workspace.trial(&spec.name, spec.contender).await?;
        let cancel = self.cancel.child_token();
        let _ended = cancel.clone().drop_guard(); // ends the sender's wait, whichever way this is left
        // Of one that is killed meanwhile nothing is known.
        let brokers = self.stack.pids().kafka;
        let (begun, compiled) = (Instant::now(), JitTime::read(&brokers));
        let mut outcome = Box::pin(self.run(spec, &place, &cancel)).await;
        if let Ok(trial) = &mut outcome {
            let compiled = JitTime::read(&brokers).zip(compiled).map(|(now, then)| now.since(&then));
            trial.jit_cores = compiled.map(|time| time.as_secs_f64() / begun.elapsed().as_secs_f64());
        }
        if !self.options.keep {
            self.workspace.clear(&place).await;
        }
        outcome
    }

    async fn run(
        &self,
        spec: &TrialSpec<'_>,
        place: &TrialWorkspace,
        cancel: &CancellationToken,
    ) -> Result<Trial, RunError> {
        if spec.phases.iter().flat_map(|phase| &phase.spec.faults).any(Fault::kills_store) {
            place.rows.count_durably().await?;
        }
        let timeline = Arc::new(self.timeline(spec.contender.lanes));
        // Boxed, as is what follows: nested futures of this size are more than the compiler lays out.
        let mut consumers = Box::pin(self.consumers(spec, place, &timeline)).await?;
        let service = match self.options.through {
            Through::Kafka => None,
            Through::Api => Some(Box::pin(RunningService::start(place)).await?),
        };
        let api = service.as_ref().map(RunningService::client);
        let (fetch_start, pids, workers) = (consumers.fetch_start(), consumers.pids(), consumers.workers());
        let work = Box::pin(async {
            let phases =
                PhaseRunner::new(self, spec, place, &timeline, api, fetch_start, pids, workers, cancel);
            let phases = Box::pin(phases).await?;
            let observed = Box::pin(phases.run()).await?;
            Ok::<_, RunError>(observed)
        });
        let worked = tokio::select! {
            worked = work => worked,
            // A consumer that died says more than the wait for its events.
            died = consumers.failure() => Err(died),
            () = self.cancel.cancelled() => Err(RunError::Interrupted),
            never = progress::watch(self.progress, &timeline, &self.lag) => match never {},
        };
        if let (Err(_), Some(seat)) = (&worked, spec.seat) {
            seat.leave();
        }
        // However that ended, what is broken is mended: what is removed next has to be reached.
        self.broken.mend_all(self.stack).await;
        // And the consumers leave the group: only then can it be removed.
        let log = consumers.log_tail();
        let stopped = Box::pin(consumers.stop()).await;
        let observed = worked.map_err(|error| match (error, log) {
            (RunError::Joining(source), Some(log)) => RunError::NotJoined { source, log },
            (error, _) => error,
        })?;
        let reports = stopped?;
        if let Some(rig) = spec.rig {
            (rig.look)(&timeline);
        }
        self.progress.phase(&format!("{}: checks of truth", spec.title));
        let view_emptied = spec.phases.iter().flat_map(|phase| &phase.spec.faults).any(Fault::empties_view);
        let known = evidence::Known {
            extra: &observed.extra,
            reports: reports.as_ref(),
            commits: &observed.trial.lag.commits,
            api,
            keyed: self.options.key == Key::OrderId,
            view_emptied,
            partitions_added: partitions_added(spec),
            mode: spec.contender.lanes.mode,
        };
        let checked = Box::pin(evidence::check(self.workspace, place, &timeline, known)).await?;
        if let Some(service) = service {
            service.stop().await?;
        }
        let mut runs = observed.phases.iter().map(|(_, run)| run);
        if let Some(seen) = runs.find_map(|run| elsewhere::works(&timeline, run, checked.seen_by)) {
            return Err(RunError::WorksElsewhere { seen });
        }
        Ok(results::trial(spec, &timeline, observed, reports.as_ref(), checked))
    }

    async fn consumers(
        &self,
        spec: &TrialSpec<'_>,
        place: &TrialWorkspace,
        timeline: &Arc<Timeline>,
    ) -> Result<ConsumerHandle, RunError> {
        let contender = spec.contender;
        if let Some(command) = &contender.worker {
            let (lanes, service_time, each) =
                (contender.lanes, contender.service_time, contender.each_a_process);
            let started = WorkerConsumers::start(command, place, lanes, each, service_time, timeline);
            return Ok(ConsumerHandle::Process(Box::new(started.await?)));
        }
        let probe: Arc<dyn Probe> = match self.options.throttle {
            Some(Throttle::Worker) => Arc::new(Both(timeline.clone(), Arc::new(throttle::Busy))),
            _ => timeline.clone(),
        };
        let mut faults = spec.phases.iter().flat_map(|phase| &phase.spec.faults);
        let settings = ConsumerSettings {
            service_time: contender.service_time,
            commit_interval: COMMIT_INTERVAL,
            looks_at_topic: faults.find_map(|fault| fault.adds()?.noticed),
        };
        let rig = spec.rig;
        let store = |store| match rig.and_then(|rig| rig.store) {
            Some(around) => around(store, timeline),
            None => store,
        };
        let view = |view| match rig.and_then(|rig| rig.view) {
            Some(around) => around(view),
            None => view,
        };
        let around = Around { store: &store, view: &view };
        InProcessConsumers::start(self.runtime, place, contender.lanes, &settings, &probe, &around)
            .await
            .map(ConsumerHandle::InProcess)
    }

    fn timeline(&self, lanes: Lanes) -> Timeline {
        let partitions = NonZeroU32::new(lanes.partitions.unsigned_abs()).unwrap_or(NonZeroU32::MIN);
        let keyed = self.options.key == Key::OrderId;
        Timeline::new(Clock::start(), move |id| {
            keyed.then(|| partition_for_key(id.as_str().as_bytes(), partitions))
        })
    }
}

/// From how many partitions to how many the topic grows in a trial, if it does.
fn partitions_added(spec: &TrialSpec<'_>) -> Option<PartitionsAdded> {
    let mut faults = spec.phases.iter().flat_map(|phase| &phase.spec.faults);
    let (action, added) = faults.find_map(|fault| Some((fault.action, fault.adds()?)))?;
    let before = NonZeroU32::new(spec.contender.lanes.partitions.unsigned_abs())?;
    let after = before.checked_add(added.partitions)?;
    Some(PartitionsAdded { before, after, drained: action == Action::DrainAndAdd })
}
