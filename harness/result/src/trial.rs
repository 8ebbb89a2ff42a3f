//! What one trial of a result holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One trial of one configuration: its phases, one after another, and the checks of truth that follow the last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// Round, from 1.
    pub round: u32,
    /// The round's seed.
    pub seed: u64,
    /// Place of this trial within its round, from 1.
    pub position: u32,
    /// What was offered and measured, in order.
    pub phases: Vec<Phase>,
    /// How long the modelled call really took an event, over the whole trial; none where none is modelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_time_ns: Option<Distribution>,
    /// Cores that the brokers' JIT compilers kept busy meanwhile; null where they can't be seen.
    #[serde(default)]
    pub jit_cores: Option<f64>,
    /// What is known of the worker as a process of its own; none where consumers are a part of the harness's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerProcess>,
    /// The checks of truth.
    pub verification: Verification,
}

impl Trial {
    /// The first phase of a kind, if there was one.
    pub fn phase(&self, kind: PhaseKind) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.kind == kind)
    }
}

/// What a phase is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseKind {
    /// A worker that can't be held works itself warm; nothing of it is compared.
    WarmUp,
    /// A waiting backlog is worked off: how fast a configuration catches up.
    Drain,
    /// Closed loop, while the producer sends: what a configuration sustains.
    Sustained,
    /// Open loop at one rate for all: response times.
    Steady,
    /// Open loop: base, peak, base.
    Surge,
    /// Open loop while a scenario breaks things.
    Scenario,
}

impl PhaseKind {
    /// As written in a result.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Drain => "drain",
            Self::Sustained => "sustained",
            Self::Steady => "steady",
            Self::Surge => "surge",
            Self::Scenario => "scenario",
        }
    }
}

/// One phase of a trial.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Phase {
    /// Tells it from the trial's others.
    pub name: String,
    /// What it is for.
    pub kind: PhaseKind,
    /// Mean rate of its schedule; null for a backlog and for a closed loop, which have none.
    pub planned_per_s: Option<f64>,
    /// The schedule's parts, where it has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Segment>,
    /// Events handed to the producer a second, over the schedule's length or until the last was handed over, whichever is
    /// longer; null for a backlog.
    pub achieved_per_s: Option<f64>,
    /// Since the trial began.
    pub started_ms: f64,
    /// From the start until the last event was visible.
    pub lasted_ms: f64,
    /// Events that were handed to the producer.
    pub events: u64,
    /// Events that became visible a second: over the whole phase, or, in a closed loop, over the part that is counted.
    pub throughput_per_s: f64,
    /// visible − due of an open loop; null where nothing is due by a schedule.
    pub response_time_ns: Option<Distribution>,
    /// What the backlog of an open loop did; null where there is none, or too little of it to be judged.
    pub grows: Option<Growth>,
    /// Between the milestones.
    pub stages_ns: Stages,
    /// Each partition's part.
    pub partitions: Vec<PartitionShare>,
    /// Each consumer's part.
    pub consumers: Vec<ConsumerShare>,
    /// Records and time behind.
    pub lag: Lag,
    /// What the peak of a surge did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<Peak>,
    /// What the group's members went through.
    pub group: GroupEvents,
    /// What was broken on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultRecord>,
    /// Time in which an event was at hand, its consumer was free, and nothing was done; none where consumers don't tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unexplained: Option<Unexplained>,
    /// What the components used.
    pub resources: Vec<Resource>,
    /// What held it back.
    pub bottleneck: Bottleneck,
    /// What the components did by themselves meanwhile.
    #[serde(default)]
    pub pauses: Pauses,
    /// Noise during it.
    pub noise: Noise,
    /// The worker's part, where it is a process of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerPhase>,
}

/// Something that was broken on purpose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "FaultRecordForm")]
pub struct FaultRecord {
    /// As the scenario names it, such as `leader 0`; empty of what `--inject` did in results from before there were scenarios.
    pub target: String,
    /// How, as the scenario names it, such as `kill`.
    pub action: String,
    /// What that was at the moment, such as `Kafka node 2`.
    pub what: String,
    /// When; null in results from before there were scenarios.
    pub span: Option<FaultSpan>,
}

/// When something was broken, in ms since the phase's start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultSpan {
    /// When it was to be broken.
    pub planned_ms: f64,
    /// When it was.
    pub began_ms: f64,
    /// When it was started again, or let go on.
    pub mended_ms: f64,
    /// When it answered again.
    pub back_ms: f64,
    /// When a consumer, other than what broke, first gave up its partitions after it began, since the group learnt that it has to share them anew;
    /// null where none did, or consumers don't tell. Results from before this was seen say nothing.
    #[serde(default)]
    pub noticed_ms: Option<f64>,
    /// When a consumer was first given partitions after it began; null where none was, or consumers don't tell.
    pub reassigned_ms: Option<f64>,
    /// When a partition last had an event that was due for longer than a commit interval and 0.1 s; null where some never became visible.
    pub drained_ms: Option<f64>,
}

/// Results from before there were scenarios name what was injected, and no more.
#[derive(Deserialize)]
#[serde(untagged)]
enum FaultRecordForm {
    Injected(String),
    Whole { target: String, action: String, what: String, span: Option<FaultSpan> },
}

impl From<FaultRecordForm> for FaultRecord {
    fn from(form: FaultRecordForm) -> Self {
        match form {
            FaultRecordForm::Injected(action) => {
                Self { target: String::new(), action, what: String::new(), span: None }
            }
            FaultRecordForm::Whole { target, action, what, span } => Self { target, action, what, span },
        }
    }
}

/// Time that no event explains (docs/method.md, "Time").
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unexplained {
    /// Events that were worked on.
    pub events: u64,
    /// The time an event, on average.
    pub mean_ns: f64,
    /// The longest.
    pub longest_ns: u64,
}

/// A stretch of one rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Rate, events/s.
    pub per_s: f64,
    /// Its length.
    pub s: f64,
}

/// What the backlog of an open-loop phase did: events that are due and not visible.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// Least-squares slope up to the last due time, events/s.
    pub slope_per_s: f64,
    /// Median response time of the last third ÷ that of the first; null where most of the last third never became visible.
    pub median_ratio: Option<f64>,
    /// Whether its percentiles say how long it lasted.
    pub verdict: GrowthVerdict,
}

/// Whether the percentiles of a phase can be taken for a property of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrowthVerdict {
    /// It kept up.
    Holds,
    /// The backlog grows, and every percentile with the duration.
    Grows,
}

/// What a rebalance, a lost membership or a failed attempt leaves in a phase's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEvents {
    /// Assignments that a member was given.
    pub rebalances: u64,
    /// Memberships that were lost.
    pub lost: u64,
    /// Attempts that failed and were made again.
    pub retries: u64,
}

/// A worker in a process of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerProcess {
    /// `inside` where the trial's figures rest on what the worker itself reports, `outside` where they rest on what others see of it.
    pub measured_from: String,
    /// By what, from outside, an event is seen to be done. Null from inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_by: Option<SeenBy>,
    /// By how much later than it was it is seen: of the view, measured before the load with writes of the harness's own; of offsets, the pauses
    /// between two commits. Null where nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_by_ns: Option<Distribution>,
    /// Largest resident set of the process since its start; `None` where it ended before it was asked for.
    pub peak_memory_bytes: Option<u64>,
}

/// What says from outside that an event is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeenBy {
    /// Its status was read, upon a notification by the view.
    View,
    /// Its row was committed, by the database's clock: before its status is shown.
    Rows,
    /// The committed offset passed it: after its status is shown, by up to the worker's commit interval and a tick of the sampler.
    Offsets,
}

/// A phase of a worker in a process of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerPhase {
    /// CPU time of the process, an event.
    pub cpu_ns_per_event: f64,
    /// What is seen from outside, wherever the phase's figures are from.
    pub outside: Outside,
}

/// A phase by the offsets that the worker's group committed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outside {
    /// The sampler's tick: with the worker's commit interval, the resolution of what follows.
    pub tick_ms: u64,
    /// From the phase's start until its last event was committed; null if one never was.
    pub lasted_ms: Option<f64>,
    /// committed − due, of an open loop.
    pub response_time_ns: Option<Distribution>,
    /// row written − due, of an open loop, by the database's own clock: when the row's transaction was committed where the server keeps that
    /// (`track_commit_timestamp`), else when its statement ran; before the status is shown. Null where clocks could not be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_time_ns: Option<Distribution>,
}

/// The stages between the milestones due, sent, acked, fetched, stored, visible.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stages {
    /// sent − due: the generator's own lateness.
    pub send_delay: Distribution,
    /// acked − sent.
    pub ack: Distribution,
    /// fetched − acked: in the log and in the consumer's queue.
    pub wait: Distribution,
    /// stored − fetched.
    pub store: Distribution,
    /// visible − stored.
    pub view: Distribution,
}

/// A distribution of durations from an HDR histogram of 3 significant digits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Samples.
    pub count: u64,
    /// Samples below zero, counted into the histogram as 0.
    pub negative: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile; meaningful from 30,000 samples.
    pub p999: u64,
    /// Largest.
    pub max: u64,
    /// (upper bound of the bucket in ns, samples in it), empty buckets left out.
    pub histogram: Vec<(u64, u64)>,
}

/// What the peak of a surge did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peak {
    /// Rate offered in it, events/s.
    pub offered_per_s: f64,
    /// Slope of the lag during it, records/s.
    pub slope_records_per_s: f64,
    /// At its end, how long the oldest event had been due without being visible.
    pub oldest_ns: u64,
    /// What the lag did.
    pub shape: Shape,
    /// From its end until the last event due in it was visible; null if one never was.
    pub drained_ms: Option<f64>,
}

/// What lag does under a peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Half of what is offered above the smallest sustained capacity, or more, is left behind.
    Climbs,
    /// Neither; nothing is concluded.
    Between,
    /// The oldest event is hardly older than the commit interval when the peak ends.
    Flat,
}

impl Shape {
    /// As written in a result.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Climbs => "climbs",
            Self::Between => "between",
            Self::Flat => "flat",
        }
    }
}

/// Lag over a phase.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lag {
    /// The sampler's tick.
    pub tick_ms: u64,
    /// Least-squares slope, records/s over all partitions.
    pub slope_records_per_s: f64,
    /// Most records behind over all partitions.
    pub max_records: u64,
    /// Oldest event of any partition that was due and not yet visible.
    pub max_ns: u64,
    /// Ticks on which a sample could not be had.
    pub missed: u64,
    /// The samples.
    pub series: Vec<LagSample>,
}

/// One partition at one tick.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LagSample {
    /// Since the phase began.
    pub t_ms: f64,
    /// Partition.
    pub partition: i32,
    /// Log end offset − committed offset.
    pub records: i64,
    /// now − due time of the oldest event not yet visible; 0 if all are.
    pub ns: u64,
}

/// The checks of truth of one trial.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Verification {
    /// Events handed to the producer.
    pub produced: u64,
    /// Events acknowledged by the broker.
    pub acked: u64,
    /// Acked events that the rows hold.
    pub applied: u64,
    /// Acked events that wait in the store.
    pub parked: u64,
    /// Acked events in the dead-letter topic.
    pub dead_lettered: u64,
    /// Acked events found nowhere.
    pub lost: u64,
    /// The same event again at a new offset.
    pub resent: u64,
    /// The same offset again at a consumer.
    pub redelivered: u64,
    /// Adjacent pairs of one order that were compared, at the place with the fewest.
    pub order_pairs_checked: u64,
    /// Pairs found in the wrong order, at the place with most of them.
    pub order_violations: u64,
    /// The same two figures by place: `log`, `consumer`, `row`.
    #[serde(alias = "order_by_gate")]
    pub order_checks: BTreeMap<String, OrderCount>,
    /// Orders that go on in another partition than they began in, since partitions were added.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub orders_moved: u64,
    /// Events that came before what precedes them, and waited in the store until that had come. Those that still wait at the end are in `parked`, too.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parked_meanwhile: u64,
    /// Orders whose view, row or expectation disagree.
    pub view_mismatches: u64,
    /// Orders whose view was compared.
    pub views_checked: u64,
    /// Writes of rows, as the database counted them.
    #[serde(default)]
    pub writes_counted: u64,
    /// Of those, writes whose content was compared with what was sent.
    #[serde(default)]
    pub contents_checked: u64,
    /// Of those, writes of which it was compared when they were made and when the offset of their event was seen committed.
    #[serde(default)]
    pub offsets_checked: u64,
    /// What was asked of the REST API, where events were sent through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiCount>,
    /// Whether all of it held.
    pub passed: bool,
    /// What was found, the first of each kind (bounded); `findings_total` has the number.
    pub findings: Vec<Finding>,
    /// All findings, those left out included.
    pub findings_total: u64,
    /// The same by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub findings_by_kind: BTreeMap<String, u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What was asked of the REST API, and what of it was wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiCount {
    /// Orders whose delivery was asked for, to be that of the row.
    pub deliveries: u64,
    /// Orders whose messages were asked for, to be those of the log.
    pub histories: u64,
    /// Answers that differed.
    pub mismatches: u64,
    /// Requests of the whole trial that were answered by 503 and made again.
    #[serde(default)]
    pub retried: u64,
}

/// Pairs checked and violated at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCount {
    /// Adjacent pairs compared.
    pub pairs: u64,
    /// Pairs in the wrong order.
    pub violations: u64,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `lost`, `unfinished`, `order`, `split-order`, `applied-twice`, `content`, `row`, `view`, `api`, `offset`, `unexpected`,
    /// `parked`, `dead-lettered`, `nothing-checked`.
    pub kind: String,
    /// The order; empty where the finding is about none.
    pub order_id: String,
    /// The event's revision; 0 where the finding is about none.
    pub revision: u32,
    /// Where it lies, if it lies anywhere.
    pub partition: Option<i32>,
    /// Where it lies, if it lies anywhere.
    pub offset: Option<i64>,
    /// A sentence.
    pub message: String,
}

/// A partition's part of a phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartitionShare {
    /// Partition.
    pub id: i32,
    /// Its events.
    pub events: u64,
    /// Its part of all events, 0 to 1.
    pub share: f64,
    /// visible − due of its events in an open loop; null where nothing is due by a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_time_ns: Option<Distribution>,
    /// The longest that something of it was due and nothing became visible; null where nothing was broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<Silence>,
}

/// A stretch in which something was due and nothing became visible.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// When it began, since the phase's start.
    pub from_ms: f64,
    /// How long it lasted.
    pub lasted_ms: f64,
}

/// A consumer's part of a phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConsumerShare {
    /// Its name.
    pub name: String,
    /// The partitions it owned.
    pub partitions: Vec<i32>,
    /// Events it made visible.
    pub events: u64,
    /// When its last event was visible, from the phase's start.
    pub busy_s: f64,
    /// Parts of the phase's length spent in each activity (idle, own, service, store, view), 0 to 1.
    pub activity: BTreeMap<String, f64>,
}

/// What one component used during a phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Resource {
    /// `harness`, `consumers`, `kafka`, `postgresql`, `redis`, `host`; of the embedded stack `broker` and `sqlite`; `api`.
    pub name: String,
    /// CPU time.
    pub cpu_s: f64,
    /// CPU time ÷ length: cores kept busy.
    pub cores_busy: f64,
    /// Largest resident set; `None` for the host, and for threads, which share one with all of their process.
    pub rss_bytes_max: Option<u64>,
}

/// What held a phase back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bottleneck {
    /// `worker`, `store`, `view`, `service`, `broker`, `host`, `offered load` or `unknown`.
    pub name: String,
    /// The measured utilisations it rests on.
    pub evidence: String,
}

/// What components did by themselves during a phase; null where it can't be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pauses {
    /// Stop-the-world pauses of the brokers' garbage collectors.
    pub gc: Option<u64>,
    /// Their time, added up over the brokers.
    pub gc_ms: Option<f64>,
    /// Checkpoints of PostgreSQL.
    pub checkpoints: Option<u64>,
    /// Runs of its autovacuum on tables of the run.
    pub autovacuums: Option<u64>,
}

/// Noise during a phase.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Noise {
    /// Part of it in which some task waited for a CPU (pressure stall information, "some"), 0 to 1.
    pub cpu_pressure: Option<f64>,
    /// The same for I/O.
    pub io_pressure: Option<f64>,
    /// CPU time stolen by the hypervisor, part of all, 0 to 1; `None` where the kernel counts none.
    pub steal: Option<f64>,
    /// Involuntary context switches of the harness.
    pub involuntary_switches: u64,
    /// 95th percentile ÷ fastest of a fixed loop run on a tick, in CPU time; `None` where it ran less than twice.
    pub canary_spread: Option<f64>,
}
