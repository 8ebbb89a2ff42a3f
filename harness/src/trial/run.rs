//! Runs the phases of a trial, one after another: feeds, waits, observes.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use payment_delivery::kafka::admin::Admin;
use payment_delivery::kafka::producer::ProducerConfig;
use tokio_util::sync::CancellationToken;

use super::faults::{FaultInjector, Played};
use super::in_process::FetchStart;
use super::inject::{Extra, Orders};
use super::observe::{Observer, PhaseObserved, TrialObserved};
use super::options::Throttle;
use super::phase::{Offer, PhaseSpec, PlannedPhase};
use super::process::Workers;
use super::service::Client;
use super::{SenderRig, TrialRunner, TrialSpec, elsewhere, throttle};
use crate::error::RunError;
use crate::load::feed::{self, Failures, Feed, HttpSink, ProducerSink, SharedProducer};
use crate::load::{Load, LoadReport, SendFailed, Sink};
use crate::measure::Clock;
use crate::measure::timeline::{Due, PhaseId, Timeline, WaitError};
use crate::record::{FaultRecord, PhaseKind};
use crate::workload::Planned;
use crate::workspace::TrialWorkspace;

/// How long the consumers may take to join.
const JOIN_WITHIN: Duration = Duration::from_secs(30);
/// How long a phase may go without a single event becoming visible before it counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(20);
/// How often it is looked whether it is stuck.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long the committed offsets may take to reach the log's end once all is visible.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

/// What the harness has left to do when both backlogs lie in the log and all watchers are at work is done by then; it would be in the way of who begins.
const CALM: Duration = Duration::from_millis(100);

/// The sender's thread takes a moment to be up; nothing is due before.
const THREAD_START_NS: u64 = 10_000_000;

/// A closed loop holds at least so many in flight, however slow the drain was.
const IN_FLIGHT_MIN: usize = 10;

/// What is needed to run the phases of one trial.
pub(super) struct PhaseRunner<'a> {
    runner: &'a TrialRunner<'a>,
    spec: &'a TrialSpec<'a>,
    place: &'a TrialWorkspace,
    timeline: Arc<Timeline>,
    producer: SharedProducer,
    /// Events that were not acknowledged.
    failures: Failures,
    feed: Feed,
    /// Holds the consumers back from fetching; none where nothing can.
    fetch_start: Option<FetchStart>,
    /// The workers' processes, where they have some of their own.
    pids: Vec<u32>,
    /// The same, to be broken.
    workers: Option<Arc<Workers>>,
    cancel: CancellationToken,
}

/// What the phases of a trial brought.
pub(super) struct Observed {
    /// Phase by phase.
    pub(super) phases: Vec<(PhaseSpec, PhaseRun)>,
    /// Over the whole trial.
    pub(super) trial: TrialObserved,
    /// Injected events.
    pub(super) extra: Vec<Extra>,
    /// Sentences about phases that did not come to their end.
    pub(super) stuck: Vec<String>,
}

/// How one phase went.
pub(super) struct PhaseRun {
    pub(super) id: PhaseId,
    /// What the sender did.
    pub(super) sent: LoadReport,
    /// When all of it was visible, or nobody worked on it any more, in ns since the run's epoch.
    pub(super) ended_ns: u64,
    /// When its worker was stopped, since it was another's turn, in ns since the run's epoch.
    pub(super) stopped: Vec<Range<u64>>,
    /// What was seen meanwhile.
    pub(super) observed: PhaseObserved,
    /// What was broken meanwhile.
    pub(super) broken: Vec<FaultRecord>,
    /// Events that were acknowledged beside the planned ones.
    extra: Vec<Extra>,
}

/// A feed whose sender sleeps once.
struct Freezing {
    feed: Feed,
    clock: Clock,
    /// Index of the event at which it does.
    at: usize,
    length: Duration,
}

impl Sink for Freezing {
    fn send(&mut self, index: usize, event: Planned) -> Result<(), SendFailed> {
        if index == self.at {
            let until_ns = self.clock.now_ns() + self.length.as_nanos() as u64;
            while self.clock.now_ns() < until_ns {
                self.clock.sleep_until(until_ns);
            }
        }
        self.feed.send(index, event)
    }
}

impl<'a> PhaseRunner<'a> {
    #[expect(clippy::too_many_arguments, reason = "what a trial has made by then, each of its own kind")]
    pub(super) async fn new(
        runner: &'a TrialRunner<'a>,
        spec: &'a TrialSpec<'a>,
        place: &'a TrialWorkspace,
        timeline: &Arc<Timeline>,
        api: Option<&Client>,
        fetch_start: Option<FetchStart>,
        pids: Vec<u32>,
        workers: Option<Arc<Workers>>,
        cancel: &CancellationToken,
    ) -> Result<Self, RunError> {
        let (bootstrap, topic) = (place.bootstrap.clone(), place.topic.clone());
        let mut config = ProducerConfig::default();
        if let Some(rig) = spec.rig {
            config.batch_interval = rig.batch_interval;
        }
        let producer = feed::producer(bootstrap, topic, place.partitions, config).await?;
        let producer = SharedProducer::new(producer);
        let (timeline, failures) = (Arc::clone(timeline), Failures::default());
        let feed = match api {
            Some(client) => Feed::Api(HttpSink::start(client, &timeline, &failures, cancel)),
            None => Feed::Kafka(ProducerSink {
                producer: producer.clone(),
                timeline: Arc::clone(&timeline),
                key: runner.options.key,
                failures: failures.clone(),
                runtime: tokio::runtime::Handle::current(),
                cancel: cancel.clone(),
            }),
        };
        let cancel = cancel.clone();
        Ok(Self {
            runner,
            spec,
            place,
            timeline,
            producer,
            failures,
            feed,
            fetch_start,
            pids,
            workers,
            cancel,
        })
    }

    /// Runs all of them.
    pub(super) async fn run(&self) -> Result<Observed, RunError> {
        let beside = match self.spec.seat {
            Some(seat) => seat.introduce(&self.pids).await,
            None => Vec::new(),
        };
        let (workers, beside) = (self.pids.as_slice(), beside.as_slice());
        let start = Observer::start(self.runner, self.place, &self.timeline, workers, beside, &self.cancel);
        let mut observer = start.await?;
        let (mut phases, mut extra, mut stuck) = (Vec::new(), Vec::new(), Vec::new());
        for planned in self.spec.phases {
            let spec = planned.spec.clone();
            self.runner.progress.phase(&format!("{}: {}", self.spec.title, spec.kind.as_str()));
            let run = Box::pin(self.phase(planned, &phases, &mut observer, &mut stuck)).await?;
            extra.extend_from_slice(&run.extra);
            phases.push((spec, run));
        }
        self.settled().await?;
        Ok(Observed { phases, trial: observer.stop().await?, extra, stuck })
    }

    async fn phase(
        &self,
        planned: &PlannedPhase,
        earlier: &[(PhaseSpec, PhaseRun)],
        observer: &mut Observer,
        stuck: &mut Vec<String>,
    ) -> Result<PhaseRun, RunError> {
        let PlannedPhase { spec, plan } = planned;
        let due = match spec.offer {
            Offer::ClosedLoop { .. } => Due::WhenSent,
            Offer::Backlog { .. } | Offer::Schedule(_) => Due::Planned,
        };
        let id = self.timeline.add_phase(spec.kind.as_str(), due, Arc::clone(plan))?;
        // What comes before all else warms a worker up, and the other trial may have no such phase.
        let mut turns = match self.spec.seat.filter(|_| spec.kind != PhaseKind::WarmUp) {
            Some(seat) => {
                // Before the first meeting, so that no worker is stopped while the other's is still joining.
                self.shared().await?;
                Some(seat.turns(&self.pids, self.timeline.clock()).await)
            }
            None => None,
        };
        let held = self.fetch_start.as_ref().is_some_and(FetchStart::is_held);
        let waiting = match (&spec.offer, &mut turns) {
            (Offer::Backlog { .. }, _) if held => Some(self.fill(id).await?),
            (Offer::Backlog { .. }, Some(turns)) => {
                turns.stop().map_err(elsewhere::unstoppable)?;
                Some(self.fill(id).await?)
            }
            _ => None,
        };
        self.shared().await?;
        let _throttled = match (self.runner.options.throttle, self.runner.stack.pids().postgres) {
            (Some(Throttle::Store), Some(pid)) => Some(throttle::MostlyStopped::start(pid)?),
            _ => None,
        };
        match &mut turns {
            Some(turns) if waiting.is_some() => {
                turns.meet().await;
                turns.stop().map_err(elsewhere::unstoppable)?;
            }
            Some(turns) => turns.turn().await,
            None => {}
        }
        let mark = observer.begin().await?;
        if waiting.is_some() || !matches!(spec.offer, Offer::Backlog { .. }) {
            self.open(id, waiting.is_some());
        }
        let is_sliced = waiting.is_some() && turns.is_some();
        if let Some(turns) = turns.as_ref().filter(|_| is_sliced) {
            turns.meet().await;
            tokio::time::sleep(CALM).await;
        }
        let mut played = Played::default();
        let sent = match (&spec.offer, waiting) {
            (Offer::Backlog { .. }, Some(sent)) => sent,
            // It takes a small part of the time that the work on it does.
            (Offer::Backlog { .. }, None) => {
                self.timeline.start_phase(id, self.timeline.clock().now_ns());
                self.fill(id).await?
            }
            (Offer::ClosedLoop { in_flight, settle, counted, .. }, _) => {
                let most = (self.drained_per_s(earlier) * in_flight.as_secs_f64()) as usize;
                let length = *settle + *counted;
                let (timeline, feed) = (Arc::clone(&self.timeline), self.feed.clone());
                let load =
                    Load::closed_loop(timeline, id, most.max(IN_FLIGHT_MIN), length, feed, &self.cancel)?;
                self.all_sent(load).await?
            }
            (Offer::Schedule(_), _) => {
                let start_ns = self.timeline.clock().now_ns() + THREAD_START_NS;
                let (timeline, feed) = (Arc::clone(&self.timeline), self.feed.clone());
                let load = match self.spec.rig.and_then(|rig| rig.sender) {
                    None => Load::open_loop(timeline, id, start_ns, feed, &self.cancel)?,
                    Some(SenderRig::Late(by)) => {
                        Load::open_loop_late(timeline, id, start_ns, by, feed, &self.cancel)?
                    }
                    Some(SenderRig::Freeze { at, length }) => {
                        let (at, clock) = (timeline.range(id).start + at, timeline.clock());
                        let feed = Freezing { feed, clock, at, length };
                        Load::open_loop(timeline, id, start_ns, feed, &self.cancel)?
                    }
                };
                let injector = self.injector(id, observer);
                let (sent, faults) =
                    tokio::try_join!(self.all_sent(load), injector.play(&spec.faults, start_ns))?;
                played = faults;
                sent
            }
        };
        match turns.as_mut().filter(|_| is_sliced) {
            None => self.visible(id, stuck).await?,
            Some(turns) => tokio::select! {
                visible = self.visible(id, stuck) => visible?,
                refused = turns.slices() => match refused.map_err(elsewhere::unstoppable)? {},
            },
        }
        let ended_ns = self.timeline.clock().now_ns();
        let worker_cpu = observer.worker_cpu();
        let (observed, stopped) = match turns {
            None => (observer.end(mark, worker_cpu).await?, Vec::new()),
            // While the other side drains, the rest would be in its way.
            Some(turns) if is_sliced => {
                let stopped = turns.end().await;
                (observer.end(mark, worker_cpu).await?, stopped)
            }
            Some(turns) => (observer.end(mark, worker_cpu).await?, turns.end().await),
        };
        let Played { broken, extra } = played;
        if !broken.is_empty() {
            self.runner.stack.until_whole().await?;
            self.runner.workspace.answer_again(self.place).await?;
        }
        Ok(PhaseRun { id, sent, ended_ns, stopped, observed, broken, extra })
    }

    /// What breaks things in a phase.
    fn injector<'s>(&'s self, phase: PhaseId, observer: &'s Observer) -> FaultInjector<'s> {
        let TrialRunner { stack, workspace, broken, .. } = self.runner;
        let (admin, timeline, workers) = (&workspace.admin, &self.timeline, self.workers.clone());
        let producer = &self.producer;
        let (place, orders) = (self.place, Orders::default());
        FaultInjector { stack, admin, place, timeline, phase, workers, producer, broken, observer, orders }
    }

    /// Lets the consumers fetch; a backlog that waits for it is due from now on.
    fn open(&self, phase: PhaseId, backlog: bool) {
        if backlog {
            self.timeline.start_phase(phase, self.timeline.clock().now_ns());
        }
        if let Some(start) = &self.fetch_start {
            start.release();
        }
    }

    /// Events/s that the trial's drain worked off.
    fn drained_per_s(&self, earlier: &[(PhaseSpec, PhaseRun)]) -> f64 {
        let drain = earlier.iter().find(|(spec, _)| spec.kind == PhaseKind::Drain);
        drain.map_or(0.0, |(_, run)| {
            let started_ns = self.timeline.started_ns(run.id).unwrap_or(0);
            let length_s = run.ended_ns.saturating_sub(started_ns) as f64 / 1e9;
            self.timeline.visible_count(run.id) as f64 / length_s.max(f64::MIN_POSITIVE)
        })
    }

    /// Puts a whole backlog into the log.
    async fn fill(&self, phase: PhaseId) -> Result<LoadReport, RunError> {
        let (timeline, feed) = (Arc::clone(&self.timeline), self.feed.clone());
        self.all_sent(Load::backlog(timeline, phase, feed, &self.cancel)?).await
    }

    /// Waits until a sender has come to its end, and all that it sent has its outcome.
    async fn all_sent(&self, load: Load) -> Result<LoadReport, RunError> {
        let report = load.finished().await?;
        self.feed.flushed().await.map_err(|error| RunError::Load(error.to_string()))?;
        Ok(report)
    }

    /// Waits until every partition has its owner.
    async fn shared(&self) -> Result<(), RunError> {
        let lanes = self.spec.contender.lanes;
        Ok(self.timeline.all_assigned(lanes.consumers as usize, lanes.partitions, JOIN_WITHIN).await?)
    }

    /// Waits until a phase is visible, for as long as it makes progress. What never comes is for the checks to name; it is not
    /// waited for once the group has committed everything, since then nobody works on it any more.
    async fn visible(&self, phase: PhaseId, stuck: &mut Vec<String>) -> Result<(), RunError> {
        let mut idle = Duration::ZERO;
        loop {
            let before = self.timeline.visible_count(phase);
            let Err(error) = self.timeline.all_visible(phase, LOOK_EVERY).await else { return Ok(()) };
            idle =
                if self.timeline.visible_count(phase) > before { Duration::ZERO } else { idle + LOOK_EVERY };
            if idle >= STUCK_AFTER || (!idle.is_zero() && self.worked_off().await?) {
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

    /// Whether the group's committed offsets have reached the log's end.
    async fn worked_off(&self) -> Result<bool, RunError> {
        let admin: &Admin = &self.runner.workspace.admin;
        let ends = admin.end_offsets(&self.place.topic).await?;
        let committed = admin.group_offsets(&self.place.group, &self.place.topic).await?;
        Ok(ends.iter().all(|(p, end)| *end == 0 || committed.get(p).is_some_and(|next| next >= end)))
    }

    /// Waits for that: what was injected is then worked through too.
    async fn settled(&self) -> Result<(), RunError> {
        let deadline = tokio::time::Instant::now() + SETTLE_WITHIN;
        while !self.worked_off().await? && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}
