//! One trial: drain, steady, (inject), surge, checks of truth.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::partitioner::partition_for_key;
use payment_delivery::kafka::producer::{Producer, ProducerConfig};
use payment_delivery::probe::{Both, Probe};
use tokio_util::sync::CancellationToken;

use super::inject::{Extra, inject};
use super::lanes::{Gate, LaneSettings, RunningLanes};
use super::observe::{DrainObserved, Observed, Observer};
use super::options::{Key, Lanes, Options, Throttle, Through};
use super::phase::{DRAIN, Plans, STEADY, SURGE, WARM_UP};
use super::process::RunningProcess;
use super::rates::Rates;
use super::running::Running;
use super::service::{Client, RunningService};
use super::site::{Site, TrialSite};
use super::{Progress, ScenarioError, describe, outcome, pulse, throttle, truth};
use crate::load::Load;
use crate::load::feed::{self, Failures, Feed, HttpSink, ProducerSink, Ticket};
use crate::measure::Clock;
use crate::measure::lag::LagGauge;
use crate::measure::resources::API_THREAD_PREFIX;
use crate::measure::timeline::{PhaseId, Timeline, WaitError};
use crate::record::Trial;
use crate::stack::worker::WorkerCommand;
use crate::stack::{Pids, Stack};
use crate::worker::LaneRuntime;
use crate::workload::Plan;

/// How long the consumers may take to join.
const JOIN_WITHIN: Duration = Duration::from_secs(30);
/// How long a phase may go without a single event becoming visible before it counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(20);
/// How often it is looked whether it is stuck.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long the committed offsets may take to reach the log's end once all is visible.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

/// The sender's thread takes a moment to be up; nothing is due before.
const THREAD_START_NS: u64 = 10_000_000;

/// What all trials of a run share.
pub(super) struct Bench<'a> {
    pub(super) site: &'a Site,
    pub(super) runtime: &'a LaneRuntime,
    pub(super) options: &'a Options,
    pub(super) pids: Pids,
    /// Components that are threads of this process: name, and what their threads' names begin with.
    pub(super) threads: Vec<(&'static str, &'static str)>,
    /// The lag last sampled.
    pub(super) lag: LagGauge,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a CancellationToken,
}

/// One of those that are compared.
pub(super) struct Contender<'a> {
    /// Tells it from the others; part of names on the stack.
    pub(super) name: String,
    pub(super) lanes: Lanes,
    /// Its worker, where that is a process of its own.
    pub(super) worker: Option<&'a WorkerCommand>,
}

impl<'a> Contender<'a> {
    /// The configurations of a comparison, with the one worker that all of them have.
    pub(super) fn all(options: &'a Options) -> Vec<Self> {
        let contender =
            |lanes: &Lanes| Self { name: lanes.to_string(), lanes: *lanes, worker: options.worker.as_ref() };
        options.configs.iter().map(contender).collect()
    }
}

/// Which trial.
pub(super) struct Spec<'a> {
    /// Part of the names of its topic, group and keys.
    pub(super) name: String,
    /// For people.
    pub(super) title: String,
    pub(super) contender: &'a Contender<'a>,
    pub(super) round: u32,
    pub(super) position: u32,
    pub(super) seed: u64,
    pub(super) plans: &'a Plans,
    /// None in a warm-up, which is there to find them, and in a control.
    pub(super) rates: Option<&'a Rates>,
    /// Modelled downstream call an event.
    pub(super) service_time: Duration,
}

impl<'a> Bench<'a> {
    /// All trials run on this stack, at this place of it.
    pub(super) fn new(
        site: &'a Site,
        runtime: &'a LaneRuntime,
        options: &'a Options,
        stack: &Stack,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
    ) -> Self {
        let (pids, mut threads) = (stack.pids(), stack.threads());
        if options.through == Through::Api {
            threads.push(("api", API_THREAD_PREFIX));
        }
        Self { site, runtime, options, pids, threads, lag: LagGauge::default(), progress, cancel }
    }
}

impl Bench<'_> {
    /// The plans of a trial of this contender.
    pub(super) fn plans(
        &self,
        plans: Plans,
        contender: &Contender<'_>,
        seed: u64,
    ) -> Result<Plans, ScenarioError> {
        let held = contender.worker.is_none_or(WorkerCommand::reports);
        Ok(if held { plans } else { plans.warmed_up(self.options, seed)? })
    }

    /// Runs one trial and removes what it made, however it ends.
    pub(super) async fn trial(&self, spec: &Spec<'_>) -> Result<Trial, ScenarioError> {
        let site = self.site.trial(&spec.name, spec.contender.lanes.partitions, self.options).await?;
        let cancel = self.cancel.child_token();
        let _ended = cancel.clone().drop_guard(); // ends the sender's wait, whichever way this is left
        let outcome = Box::pin(self.run(spec, &site, &cancel)).await;
        if !self.options.keep {
            self.site.clear(&site).await;
        }
        outcome
    }

    async fn run(
        &self,
        spec: &Spec<'_>,
        site: &TrialSite,
        cancel: &CancellationToken,
    ) -> Result<Trial, ScenarioError> {
        let timeline = self.timeline(spec)?;
        // Boxed, as is what follows: nested futures of this size are more than the compiler lays out.
        let mut running = Box::pin(self.consumers(spec, site, &timeline)).await?;
        let service = match self.options.through {
            Through::Kafka => None,
            Through::Api => Some(Box::pin(RunningService::start(site)).await?),
        };
        let api = service.as_ref().map(RunningService::client);
        let (gate, pid) = (running.gate(), running.pid());
        let work = Box::pin(async {
            let timeline = Arc::clone(&timeline);
            let phases = Box::pin(Phases::new(self, site, timeline, api, gate, pid, cancel)).await?;
            let measured = Box::pin(phases.run(self, spec, site)).await?;
            Ok::<_, ScenarioError>((measured, phases.failures))
        });
        let worked = tokio::select! {
            worked = work => worked,
            // A consumer that died says more than the wait for its events.
            died = running.failure() => Err(died),
            () = self.cancel.cancelled() => Err(ScenarioError::Interrupted),
            never = pulse::watch(self.progress, &timeline, &self.lag) => match never {},
        };
        // However that ended, the consumers leave the group: only then can it be removed.
        let log = running.log_tail();
        let stopped = Box::pin(running.stop()).await;
        let (measured, failures) = worked.map_err(|error| match (error, log) {
            (ScenarioError::Joining(source), Some(log)) => ScenarioError::NotJoined { source, log },
            (error, _) => error,
        })?;
        let reports = stopped?;
        self.progress.phase(&format!("{}: checks of truth", spec.title));
        let keyed = self.options.key == Key::OrderId;
        let told = truth::Told {
            failures: &failures,
            extra: &measured.extra,
            reports: reports.as_ref(),
            api,
            keyed,
        };
        let verification = Box::pin(truth::check(self.site, site, &timeline, told)).await?;
        if let Some(service) = service {
            service.stop().await?;
        }
        Ok(outcome::trial(spec, &timeline, measured, reports.as_ref(), verification))
    }

    async fn consumers(
        &self,
        spec: &Spec<'_>,
        site: &TrialSite,
        timeline: &Arc<Timeline>,
    ) -> Result<Running, ScenarioError> {
        if let Some(command) = spec.contender.worker {
            let started =
                RunningProcess::start(command, site, spec.contender.lanes, spec.service_time, timeline);
            return Ok(Running::Process(Box::new(started.await?)));
        }
        let probe: Arc<dyn Probe> = match self.options.throttle {
            Some(Throttle::Worker) => Arc::new(Both(timeline.clone(), Arc::new(throttle::Busy))),
            _ => timeline.clone(),
        };
        let settings =
            LaneSettings { service_time: spec.service_time, commit_interval: describe::COMMIT_INTERVAL };
        RunningLanes::start(self.runtime, site, spec.contender.lanes, &settings, &probe)
            .await
            .map(Running::Here)
    }

    fn timeline(&self, spec: &Spec<'_>) -> Result<Arc<Timeline>, ScenarioError> {
        let mut phases: Vec<(String, Arc<Plan>)> = Vec::new();
        phases.extend(spec.plans.warm_up.iter().map(|plan| (WARM_UP.to_owned(), Arc::clone(plan))));
        phases.push((DRAIN.to_owned(), Arc::clone(&spec.plans.drain)));
        phases.extend(spec.plans.steady.iter().map(|plan| (STEADY.to_owned(), Arc::clone(plan))));
        phases.extend(spec.plans.surge.iter().map(|plan| (SURGE.to_owned(), Arc::clone(plan))));
        let partitions =
            NonZeroU32::new(spec.contender.lanes.partitions.unsigned_abs()).unwrap_or(NonZeroU32::MIN);
        let keyed = self.options.key == Key::OrderId;
        let place = |id: &payment_delivery::event::OrderId| {
            keyed.then(|| partition_for_key(id.as_str().as_bytes(), partitions))
        };
        let timeline = Timeline::new(Clock::start(), phases, place)
            .map_err(|error| ScenarioError::Load(error.to_string()))?;
        Ok(Arc::new(timeline))
    }
}

/// What feeds the consumers, phase by phase.
struct Phases {
    timeline: Arc<Timeline>,
    producer: Arc<Producer<Ticket>>,
    failures: Failures,
    feed: Feed,
    /// Holds the consumers back from fetching; none where nothing can.
    gate: Option<Gate>,
    /// The worker's process, where it has one of its own.
    pid: Option<u32>,
    cancel: CancellationToken,
}

/// What the phases of a trial brought.
pub(super) struct Measured {
    pub(super) watched: Observed,
    pub(super) drain: DrainObserved,
    /// Who owned which partitions during the drain.
    pub(super) owned: BTreeMap<String, Vec<i32>>,
    /// Injected events.
    pub(super) extra: Vec<Extra>,
    /// Sentences about phases that did not come to their end.
    pub(super) stuck: Vec<String>,
}

impl Phases {
    async fn new(
        bench: &Bench<'_>,
        site: &TrialSite,
        timeline: Arc<Timeline>,
        api: Option<&Client>,
        gate: Option<Gate>,
        pid: Option<u32>,
        cancel: &CancellationToken,
    ) -> Result<Self, ScenarioError> {
        let config = ProducerConfig::default();
        let producer = Arc::new(
            feed::producer(site.bootstrap.clone(), site.topic.clone(), site.partitions, config).await?,
        );
        let failures = Failures::default();
        let feed = match api {
            Some(client) => Feed::Api(HttpSink::start(client, &timeline, &failures, cancel)),
            None => Feed::Kafka(ProducerSink {
                producer: Arc::clone(&producer),
                timeline: Arc::clone(&timeline),
                key: bench.options.key,
                failures: failures.clone(),
                runtime: tokio::runtime::Handle::current(),
                cancel: cancel.clone(),
            }),
        };
        Ok(Self { timeline, producer, failures, feed, gate, pid, cancel: cancel.clone() })
    }

    async fn run(
        &self,
        bench: &Bench<'_>,
        spec: &Spec<'_>,
        site: &TrialSite,
    ) -> Result<Measured, ScenarioError> {
        let mut stuck = Vec::new();
        let on = On { admin: &bench.site.admin, site };
        if let Some(warm_up) = self.timeline.phase(WARM_UP) {
            bench.progress.phase(&format!("{}: the worker warms up", spec.title));
            self.shared(spec).await?;
            self.timeline.start_phase(warm_up, self.timeline.clock().now_ns());
            self.fill(warm_up).await?;
            self.visible(warm_up, &on, &mut stuck).await?;
        }
        bench.progress.phase(&format!("{}: drain", spec.title));
        let Some(drain) = self.timeline.phase(DRAIN) else {
            return Err(ScenarioError::Load("a trial without a drain".into()));
        };
        if self.gate.is_some() {
            self.fill(drain).await?;
        }
        self.shared(spec).await?;
        let owned = self.timeline.owned();
        let observer = Observer::start(bench, site, &self.timeline, self.pid, &self.cancel).await?;
        let drained = self.drain(drain, bench, &on, &observer, &mut stuck).await?;
        let mut extra = Vec::new();
        if let Some(steady) = self.timeline.phase(STEADY) {
            bench.progress.phase(&format!("{}: steady", spec.title));
            observer.phase(STEADY);
            self.open_loop(steady, &on, &mut stuck).await?;
            if let Some(kind) = bench.options.inject {
                extra = inject(kind, site, &self.timeline, steady, &self.producer).await?;
            }
        }
        if let Some(surge) = self.timeline.phase(SURGE) {
            bench.progress.phase(&format!("{}: surge", spec.title));
            observer.phase(SURGE);
            self.open_loop(surge, &on, &mut stuck).await?;
        }
        on.settled().await?;
        Ok(Measured { watched: observer.stop().await?, drain: drained, owned, extra, stuck })
    }

    /// Puts the whole backlog into the log.
    async fn fill(&self, drain: PhaseId) -> Result<(), ScenarioError> {
        let load = Load::backlog(Arc::clone(&self.timeline), drain, self.feed.clone(), &self.cancel)?;
        load.finished().await?;
        self.feed.flushed().await.map_err(|error| ScenarioError::Load(error.to_string()))
    }

    /// Waits until every partition has its owner.
    async fn shared(&self, spec: &Spec<'_>) -> Result<(), ScenarioError> {
        let consumers = spec.contender.lanes.consumers as usize;
        Ok(self.timeline.all_assigned(consumers, spec.contender.lanes.partitions, JOIN_WITHIN).await?)
    }

    /// Opens the gate and waits until all of the backlog is visible. Where there is no gate the backlog comes now, all at once:
    /// it takes a small part of the time that its work does.
    async fn drain(
        &self,
        drain: PhaseId,
        bench: &Bench<'_>,
        on: &On<'_>,
        observer: &Observer,
        stuck: &mut Vec<String>,
    ) -> Result<DrainObserved, ScenarioError> {
        let _throttled = match (bench.options.throttle, bench.pids.postgres) {
            (Some(Throttle::Store), Some(pid)) => Some(throttle::Stopped::start(pid)?),
            _ => None,
        };
        let began = observer.drain_begins()?;
        self.timeline.start_phase(drain, self.timeline.clock().now_ns());
        match &self.gate {
            Some(gate) => drop(gate.send_replace(true)),
            None => self.fill(drain).await?,
        }
        self.visible(drain, on, stuck).await?;
        observer.drain_ended(&began)
    }

    /// Sends a phase at its due times and waits until all of it is visible.
    async fn open_loop(
        &self,
        phase: PhaseId,
        on: &On<'_>,
        stuck: &mut Vec<String>,
    ) -> Result<(), ScenarioError> {
        let start_ns = self.timeline.clock().now_ns() + THREAD_START_NS;
        let load =
            Load::open_loop(Arc::clone(&self.timeline), phase, start_ns, self.feed.clone(), &self.cancel)?;
        load.finished().await?;
        self.feed.flushed().await.map_err(|error| ScenarioError::Load(error.to_string()))?;
        self.visible(phase, on, stuck).await
    }

    /// Waits until a phase is visible, for as long as it makes progress. What never comes is for the checks to name; it is not
    /// waited for once the group has committed everything, since then nobody works on it any more.
    async fn visible(
        &self,
        phase: PhaseId,
        on: &On<'_>,
        stuck: &mut Vec<String>,
    ) -> Result<(), ScenarioError> {
        let mut idle = Duration::ZERO;
        loop {
            let before = self.timeline.visible_count(phase);
            let Err(error) = self.timeline.all_visible(phase, LOOK_EVERY).await else { return Ok(()) };
            idle =
                if self.timeline.visible_count(phase) > before { Duration::ZERO } else { idle + LOOK_EVERY };
            if idle >= STUCK_AFTER || (!idle.is_zero() && on.worked_off().await?) {
                let WaitError::NotVisible { phase: name, visible, total, .. } = error else {
                    return Err(error.into());
                };
                let why = self.not_accepted(phase).unwrap_or_default();
                stuck.push(format!(
                    "only {visible} of {total} events of the {name} phase became visible{why}"
                ));
                return Ok(());
            }
        }
    }

    /// How many events of a phase were not taken over, and why the first was not.
    fn not_accepted(&self, phase: PhaseId) -> Option<String> {
        let mut failed = self.failures.all();
        let range = self.timeline.range(phase);
        failed.retain(|index, _| range.contains(index));
        let (_, first) = failed.first_key_value()?;
        Some(format!("; {} were not accepted, the first because: {first}", failed.len()))
    }
}

/// Where a trial takes place.
struct On<'a> {
    admin: &'a Admin,
    site: &'a TrialSite,
}

impl On<'_> {
    /// Whether the group's committed offsets have reached the log's end.
    async fn worked_off(&self) -> Result<bool, ScenarioError> {
        let ends = self.admin.end_offsets(&self.site.topic).await?;
        let committed = self.admin.group_offsets(&self.site.group, &self.site.topic).await?;
        Ok(ends.iter().all(|(p, end)| *end == 0 || committed.get(p).is_some_and(|next| next >= end)))
    }

    /// Waits for that: what was injected is then worked through too.
    async fn settled(&self) -> Result<(), ScenarioError> {
        let deadline = tokio::time::Instant::now() + SETTLE_WITHIN;
        while !self.worked_off().await? && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}
