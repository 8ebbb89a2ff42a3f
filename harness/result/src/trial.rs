//! What one trial of a result holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One trial of one configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trial {
    /// Round, from 1.
    pub round: u32,
    /// The round's seed.
    pub seed: u64,
    /// Place of this trial within its round, from 1.
    pub position: u32,
    /// Drain throughput, events/s.
    pub throughput_per_s: f64,
    /// How long the drain took.
    pub drain_s: f64,
    /// The steady phase.
    pub steady: Steady,
    /// The surge, if one was run.
    pub surge: Option<SurgeOutcome>,
    /// How long the modelled call really took an event, over the whole trial; none where none is modelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_time_ns: Option<Distribution>,
    /// What is known of the worker as a process of its own; none where consumers are a part of the harness's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerProcess>,
    /// Lag over the whole trial.
    pub lag: Lag,
    /// The checks of truth.
    pub verification: Verification,
    /// Each partition's part of the drain.
    pub partitions: Vec<PartitionShare>,
    /// Each consumer's part of the drain.
    pub consumers: Vec<ConsumerShare>,
    /// What the components used during the drain.
    pub resources: Vec<Resource>,
    /// What held the drain back.
    pub bottleneck: Bottleneck,
    /// Noise during the trial.
    pub noise: Noise,
}

/// A worker in a process of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerProcess {
    /// `inside` where the trial's figures rest on what the worker itself reports, `outside` where they rest on what it committed.
    pub measured_from: String,
    /// CPU time of the process during the drain, an event.
    pub cpu_ns_per_event: f64,
    /// Largest resident set of the process since its start.
    pub peak_memory_bytes: u64,
    /// What is seen from outside, wherever the trial's figures are from.
    pub outside: Outside,
}

/// A trial by the offsets that the worker's group committed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outside {
    /// The sampler's tick: with the worker's commit interval, the resolution of what follows.
    pub tick_ms: u64,
    /// From the drain's start until its last event was committed; null if one never was.
    pub drain_s: Option<f64>,
    /// committed − due, in the steady phase.
    pub response_time_ns: Distribution,
}

/// The steady phase: open loop, one rate for all configurations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Steady {
    /// Rate offered, events/s.
    pub offered_per_s: f64,
    /// visible − due.
    pub response_time_ns: Distribution,
    /// Between the gates.
    pub stages_ns: Stages,
}

/// The stages between the gates due, sent, acked, fetched, stored, visible.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stages {
    /// sent − due: the generator's own lateness.
    pub slip: Distribution,
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

/// What the surge did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SurgeOutcome {
    /// Rate before and after the peak.
    pub base_per_s: f64,
    /// Rate of the peak.
    pub peak_per_s: f64,
    /// Largest lag over all partitions.
    pub max_lag_records: u64,
    /// Largest lag in time, of any partition.
    pub max_lag_ns: u64,
    /// Slope of the lag during the peak, records/s.
    pub peak_slope_records_per_s: f64,
    /// `climbs` (slope ≥ 20 % of the offered rate), `flat` (≤ 2 %) or `between`.
    pub shape: String,
    /// From the end of the peak until the last event due in the peak was visible; null if one never was.
    pub drain_ms: Option<f64>,
}

/// Lag over a trial.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lag {
    /// The sampler's tick.
    pub tick_ms: u64,
    /// Least-squares slope over the steady phase, records/s.
    pub slope_records_per_s: f64,
    /// Ticks on which a sample could not be had.
    pub missed: u64,
    /// The samples.
    pub series: Vec<LagSample>,
}

/// One partition at one tick.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LagSample {
    /// Since the trial began.
    pub t_ms: f64,
    /// `drain`, `steady`, `surge`.
    pub phase: String,
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
    /// Adjacent pairs of one order that were compared, over log, consumer and row.
    pub order_pairs_checked: u64,
    /// Pairs found in the wrong order.
    pub order_violations: u64,
    /// The same two figures by gate: `log`, `consumer`, `row`.
    pub order_by_gate: BTreeMap<String, OrderCount>,
    /// Orders whose view, row or expectation disagree.
    pub view_mismatches: u64,
    /// Orders whose view was compared.
    pub views_checked: u64,
    /// What was asked of the REST API, where events were sent through it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiCount>,
    /// Whether all of it held.
    pub passed: bool,
    /// What was found, the first of each kind (bounded); `findings_total` has the number.
    pub findings: Vec<Finding>,
    /// All findings, those left out included.
    pub findings_total: u64,
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

/// Pairs checked and violated at one gate.
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
    /// `lost`, `unfinished`, `order`, `split-order`, `row`, `view`, `api`, `unexpected`, `parked`,
    /// `dead-lettered`, `nothing-checked`.
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

/// A partition's part of the drain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartitionShare {
    /// Partition.
    pub id: i32,
    /// Its events.
    pub events: u64,
    /// Its part of all events, 0 to 1.
    pub share: f64,
}

/// A consumer's part of the drain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConsumerShare {
    /// Its name.
    pub name: String,
    /// The partitions it owned.
    pub partitions: Vec<i32>,
    /// Events it made visible.
    pub events: u64,
    /// When its last event of the drain was visible, from the drain's start.
    pub busy_s: f64,
    /// Parts of the drain's length spent in each activity (idle, own, service, store, view), 0 to 1.
    pub activity: BTreeMap<String, f64>,
}

/// What one component used during the drain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Resource {
    /// `harness`, `lanes`, `kafka`, `postgresql`, `redis`, `host`.
    pub name: String,
    /// CPU time.
    pub cpu_s: f64,
    /// CPU time ÷ drain time: cores kept busy.
    pub cores_busy: f64,
    /// Largest resident set; 0 for the host.
    pub rss_bytes_max: u64,
}

/// What held the drain back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bottleneck {
    /// `worker`, `store`, `view`, `service`, `broker` or `unknown`.
    pub name: String,
    /// The measured utilisations it rests on.
    pub evidence: String,
}

/// Noise during a trial.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Noise {
    /// Part of the trial in which some task waited for a CPU (pressure stall information, "some"), 0 to 1.
    pub cpu_pressure: Option<f64>,
    /// The same for I/O.
    pub io_pressure: Option<f64>,
    /// CPU time stolen by the hypervisor, part of all, 0 to 1.
    pub steal: f64,
    /// Involuntary context switches of the harness.
    pub involuntary_switches: u64,
    /// 95th percentile ÷ fastest of a fixed loop run on a tick, in CPU time.
    pub canary_spread: f64,
}
