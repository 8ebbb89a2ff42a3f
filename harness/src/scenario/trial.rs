//! One trial: drain, steady, (inject), surge, checks of truth.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use payment_delivery::kafka::partitioner::partition_for_key;
use payment_delivery::kafka::producer::{Producer, ProducerConfig};
use payment_delivery::probe::Probe;
use tokio_util::sync::CancellationToken;

use super::feed::{Failures, ProducerSink, Ticket};
use super::inject::{Extra, inject};
use super::lanes::{LaneRuntime, LaneSettings, RunningLanes};
use super::observe::Observer;
use super::options::{Key, Lanes, Options, Throttle};
use super::phase::{DRAIN, Plans, STEADY, SURGE};
use super::rates::Rates;
use super::site::{Site, TrialSite};
use super::{Progress, ScenarioError, describe, outcome, throttle, truth};
use crate::load::Load;
use crate::measure::Clock;
use crate::measure::timeline::{PhaseId, Timeline};
use crate::record::Trial;
use crate::stack::Pids;

/// How long the consumers may take to join.
const JOIN_WITHIN: Duration = Duration::from_secs(30);
/// How long a phase may go without a single event becoming visible before it counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(20);
/// How long the committed offsets may take to reach the log's end once all is visible.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

/// What all trials of a run share.
pub(super) struct Bench<'a> {
    pub(super) site: &'a Site,
    pub(super) runtime: &'a LaneRuntime,
    pub(super) options: &'a Options,
    pub(super) pids: &'a Pids,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a CancellationToken,
}

/// Which trial.
pub(super) struct Spec<'a> {
    pub(super) name: String,
    pub(super) lanes: Lanes,
    pub(super) round: u32,
    pub(super) position: u32,
    pub(super) seed: u64,
    pub(super) plans: &'a Plans,
    pub(super) rates: Option<&'a Rates>,
}

impl Bench<'_> {
    /// Runs one trial and removes what it made, however it ends.
    pub(super) async fn trial(&self, spec: &Spec<'_>) -> Result<Trial, ScenarioError> {
        let site = self.site.trial(&spec.name, spec.lanes.partitions, self.options).await?;
        let cancel = self.cancel.child_token();
        let _ended = cancel.clone().drop_guard(); // ends the sender's wait, whichever way this is left
        let outcome = tokio::select! {
            outcome = self.run(spec, &site, &cancel) => outcome,
            () = self.cancel.cancelled() => Err(ScenarioError::Interrupted),
        };
        self.site.clear(&site).await;
        outcome
    }

    async fn run(&self, spec: &Spec<'_>, site: &TrialSite, cancel: &CancellationToken) -> Result<Trial, ScenarioError> {
        let timeline = self.timeline(spec)?;
        let mut running = Running::start(self, spec, site, Arc::clone(&timeline), cancel).await?;
        // Whatever the phases come to, a consumer that died says more than the wait for it.
        let measured = tokio::select! {
            measured = running.phases.run(self, spec, site) => measured,
            died = running.lanes.failure() => Err(died),
        }?;
        self.progress.phase(&format!("{}: checks of truth", spec.name));
        running.lanes.stop().await?;
        let Phases { timeline, failures, .. } = running.phases;
        let keyed = self.options.key == Key::OrderId;
        let verification =
            truth::check(self.site, site, &timeline, &failures, &measured.extra, keyed).await?;
        Ok(outcome::trial(spec, &timeline, measured, verification))
    }

    fn timeline(&self, spec: &Spec<'_>) -> Result<Arc<Timeline>, ScenarioError> {
        let mut phases = vec![(DRAIN.to_owned(), Arc::clone(&spec.plans.drain))];
        phases.extend(spec.plans.steady.iter().map(|plan| (STEADY.to_owned(), Arc::clone(plan))));
        phases.extend(spec.plans.surge.iter().map(|plan| (SURGE.to_owned(), Arc::clone(plan))));
        let partitions = spec.lanes.partitions;
        let keyed = self.options.key == Key::OrderId;
        let place = |id: &payment_delivery::event::OrderId| {
            keyed.then(|| partition_for_key(id.as_str().as_bytes(), partitions))
        };
        let timeline = Timeline::new(Clock::start(), phases, place)
            .map_err(|error| ScenarioError::Load(error.to_string()))?;
        Ok(Arc::new(timeline))
    }
}

/// The consumers and what feeds them.
struct Running {
    lanes: RunningLanes,
    phases: Phases,
}

struct Phases {
    timeline: Arc<Timeline>,
    producer: Arc<Producer<Ticket>>,
    failures: Failures,
    sink: ProducerSink,
    gate: super::lanes::Gate,
    cancel: CancellationToken,
}

/// What the phases of a trial brought.
pub(super) struct Measured {
    pub(super) observer: super::observe::Observed,
    pub(super) drain: super::observe::DrainObserved,
    pub(super) extra: Vec<Extra>,
    /// Sentences about phases that did not come to their end.
    pub(super) stuck: Vec<String>,
}

impl Running {
    async fn start(
        bench: &Bench<'_>,
        spec: &Spec<'_>,
        site: &TrialSite,
        timeline: Arc<Timeline>,
        cancel: &CancellationToken,
    ) -> Result<Self, ScenarioError> {
        let probe: Arc<dyn Probe> = match bench.options.throttle {
            Some(Throttle::Worker) => Arc::new(throttle::Busy(timeline.clone())),
            _ => timeline.clone(),
        };
        let settings = LaneSettings {
            service_time: bench.options.service_time,
            commit_interval: describe::COMMIT_INTERVAL,
        };
        let lanes = RunningLanes::start(bench.runtime, site, spec.lanes, &settings, &probe).await?;
        let producer =
            Producer::connect(&site.bootstrap, &site.topic, site.partitions, ProducerConfig::default()).await?;
        let producer = Arc::new(producer);
        let failures = Failures::default();
        let sink = ProducerSink {
            producer: Arc::clone(&producer),
            timeline: Arc::clone(&timeline),
            key: bench.options.key,
            failures: Arc::clone(&failures),
            runtime: tokio::runtime::Handle::current(),
            cancel: cancel.clone(),
        };
        let gate = lanes.gate();
        Ok(Self { lanes, phases: Phases { timeline, producer, failures, sink, gate, cancel: cancel.clone() } })
    }
}

impl Phases {
    async fn run(&self, bench: &Bench<'_>, spec: &Spec<'_>, site: &TrialSite) -> Result<Measured, ScenarioError> {
        let mut stuck = Vec::new();
        let mut observer = Observer::start(bench, site, &self.timeline).await?;
        bench.progress.phase(&format!("{}: drain", spec.name));
        let drain = self.drain(bench, spec, &mut observer, &mut stuck).await?;
        let mut extra = Vec::new();
        if let Some(steady) = self.timeline.phase(STEADY) {
            bench.progress.phase(&format!("{}: steady", spec.name));
            self.open_loop(steady, STEADY, &mut observer, &mut stuck).await?;
            if let Some(kind) = bench.options.inject {
                extra = inject(kind, site, &self.timeline, steady, &self.producer).await?;
            }
        }
        if let Some(surge) = self.timeline.phase(SURGE) {
            bench.progress.phase(&format!("{}: surge", spec.name));
            self.open_loop(surge, SURGE, &mut observer, &mut stuck).await?;
        }
        self.settled(bench, site).await?;
        Ok(Measured { observer: observer.stop().await, drain, extra, stuck })
    }

    /// The whole backlog lies in the log and every partition has its owner; then the gate opens.
    async fn drain(
        &self,
        bench: &Bench<'_>,
        spec: &Spec<'_>,
        observer: &mut Observer,
        stuck: &mut Vec<String>,
    ) -> Result<super::observe::DrainObserved, ScenarioError> {
        let Some(drain) = self.timeline.phase(DRAIN) else {
            return Err(ScenarioError::Load("a trial without a drain".into()));
        };
        let load = Load::backlog(Arc::clone(&self.timeline), drain, self.sink.clone(), &self.cancel)?;
        load.finished().await?;
        self.flushed().await?;
        let consumers = spec.lanes.consumers as usize;
        self.timeline.all_assigned(consumers, spec.lanes.partitions, JOIN_WITHIN).await?;
        let throttled = match (bench.options.throttle, bench.pids.postgres) {
            (Some(Throttle::Store), Some(pid)) => Some(throttle::Stopped::start(pid)?),
            _ => None,
        };
        let observed = observer.drain_begins()?;
        self.timeline.start_phase(drain, self.timeline.clock().now_ns());
        self.gate.open();
        self.visible(drain, stuck).await;
        let observed = observer.drain_ended(observed, spec)?;
        drop(throttled);
        Ok(observed)
    }

    /// Sends a phase at its due times and waits until all of it is visible.
    async fn open_loop(
        &self,
        phase: PhaseId,
        name: &'static str,
        observer: &mut Observer,
        stuck: &mut Vec<String>,
    ) -> Result<(), ScenarioError> {
        observer.phase(name);
        let start_ns = self.timeline.clock().now_ns() + 10_000_000; // the sender's thread takes a moment to be up
        let load = Load::open_loop(Arc::clone(&self.timeline), phase, start_ns, self.sink.clone(), &self.cancel)?;
        load.finished().await?;
        self.flushed().await?;
        self.visible(phase, stuck).await;
        Ok(())
    }

    async fn flushed(&self) -> Result<(), ScenarioError> {
        self.producer.flush().await.map_err(|error| ScenarioError::Load(error.to_string()))
    }

    /// Waits until a phase is visible, for as long as it makes progress. What never comes is for the checks to name.
    async fn visible(&self, phase: PhaseId, stuck: &mut Vec<String>) {
        loop {
            let before = self.timeline.visible_count(phase);
            match self.timeline.all_visible(phase, STUCK_AFTER).await {
                Ok(()) => return,
                Err(_) if self.timeline.visible_count(phase) > before => {}
                Err(error) => {
                    stuck.push(error.to_string());
                    return;
                }
            }
        }
    }

    /// Waits until the group's committed offsets have reached the log's end: what was injected is then worked through too.
    async fn settled(&self, bench: &Bench<'_>, site: &TrialSite) -> Result<(), ScenarioError> {
        let deadline = tokio::time::Instant::now() + SETTLE_WITHIN;
        let admin = &bench.site.admin;
        loop {
            let ends: BTreeMap<i32, i64> = admin.end_offsets(&site.topic).await?;
            let committed = admin.group_offsets(&site.group, &site.topic).await?;
            let done = ends.iter().all(|(p, end)| *end == 0 || committed.get(p).is_some_and(|next| next >= end));
            if done || tokio::time::Instant::now() >= deadline {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
