//! What is watched during a trial, beside the events themselves: lag over all of it; resources, noise and the group's doings
//! phase by phase.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use payment_delivery::kafka::admin::{Admin, AdminError};
use tokio_util::sync::CancellationToken;

use super::TrialRunner;
use crate::error::RunError;
use crate::measure::gc_log::{GcLogs, GcPauses};
use crate::measure::lag::{self, LagSampler, LagSeries, OffsetSource};
use crate::measure::noise::NoiseMeter;
use crate::measure::resources::{self, CONSUMER_THREAD_PREFIX, Component, Mark, Meter, ProcessScope};
use crate::measure::timeline::{GroupCounts, OldestNotVisible, Spent, Timeline, Unexplained};
use crate::record::{GroupEvents, Noise, Pauses, Resource};
use crate::workspace::{Background, CONNECT_TIMEOUT, Rows, TrialWorkspace};

/// The watchers of one trial. Dropped, they stop.
pub(super) struct Observer {
    timeline: Arc<Timeline>,
    meter: Meter,
    sampler: LagSampler,
    /// The workers' processes, where they have some of their own.
    workers: Vec<u32>,
    gc_logs: GcLogs,
    rows: Arc<Rows>,
    topic_grew: Arc<AtomicBool>,
}

/// What they saw over the whole trial.
pub(super) struct TrialObserved {
    pub(super) lag: LagSeries,
    /// Largest resident set of the worker's process since its start, in bytes.
    pub(super) worker_peak_bytes: Option<u64>,
}

/// Where a phase began.
pub(super) struct PhaseMark {
    usage: Mark,
    spent: Spent,
    unexplained: Unexplained,
    worker_cpu: Option<Duration>,
    noise: NoiseMeter,
    group: GroupCounts,
    owned: BTreeMap<String, Vec<i32>>,
    gc: Option<GcPauses>,
    background: Option<Background>,
}

/// What they saw during a phase.
pub(super) struct PhaseObserved {
    pub(super) resources: Vec<Resource>,
    /// What the consumers spent their time on.
    pub(super) spent: Spent,
    /// Time that no event explains.
    pub(super) unexplained: Unexplained,
    /// CPU time of the worker's process.
    pub(super) worker_cpu: Option<Duration>,
    pub(super) noise: Noise,
    pub(super) pauses: Pauses,
    pub(super) group: GroupEvents,
    /// Who owned which partitions when it began.
    pub(super) owned: BTreeMap<String, Vec<i32>>,
}

impl Observer {
    /// Starts watching; lag is sampled from here on, its times counted from the timeline's epoch. `beside` are the workers of a trial that is run at the
    /// same time.
    pub(super) async fn start(
        runner: &TrialRunner<'_>,
        place: &TrialWorkspace,
        timeline: &Arc<Timeline>,
        workers: &[u32],
        beside: &[u32],
        cancel: &CancellationToken,
    ) -> Result<Self, RunError> {
        // A connection of its own: a sample must not wait behind the harness's other questions.
        let admin = Admin::connect(&place.bootstrap, CONNECT_TIMEOUT).await?;
        let topic_grew = Arc::new(AtomicBool::new(false));
        let (topic, group) = (place.topic.clone(), place.group.clone());
        let source = BrokerOffsets { admin, topic, group, topic_grew: Arc::clone(&topic_grew) };
        let oldest = OldestNotVisible::new(Arc::clone(timeline));
        let meter = Meter::start(components(runner, workers, beside), resources::TICK_DEFAULT)?;
        let sampler = LagSampler::start(source, oldest, runner.lag.clone(), lag::TICK_DEFAULT, cancel);
        let (gc_logs, rows, workers) = (runner.gc_logs.clone(), Arc::clone(&place.rows), workers.to_vec());
        Ok(Self { timeline: Arc::clone(timeline), meter, sampler, workers, gc_logs, rows, topic_grew })
    }

    /// The topic has got more partitions: from here on they are looked at, too.
    pub(super) fn topic_grew(&self) {
        self.topic_grew.store(true, Ordering::Relaxed);
    }

    /// A phase begins.
    pub(super) async fn begin(&self) -> Result<PhaseMark, RunError> {
        Ok(PhaseMark {
            background: self.rows.background().await,
            gc: self.gc_logs.so_far(),
            usage: self.meter.mark()?,
            worker_cpu: self.worker_cpu(),
            spent: self.timeline.spent_snapshot(),
            unexplained: self.timeline.unexplained(),
            noise: NoiseMeter::start()?,
            group: self.timeline.group_counts(),
            owned: self.timeline.owned(),
        })
    }

    /// It has ended, when the workers' processes had used so much CPU time.
    pub(super) async fn end(
        &self,
        mark: PhaseMark,
        worker_cpu: Option<Duration>,
    ) -> Result<PhaseObserved, RunError> {
        let worker_cpu = worker_cpu.zip(mark.worker_cpu).map(|(after, before)| after.saturating_sub(before));
        let spent = self.timeline.spent_snapshot().since(&mark.spent);
        let (resources, noise) = (self.meter.since(&mark.usage)?, mark.noise.finish()?);
        Ok(PhaseObserved {
            spent,
            unexplained: self.timeline.unexplained().since(&mark.unexplained),
            resources,
            worker_cpu,
            noise,
            pauses: self.pauses(mark.gc, mark.background).await,
            group: self.timeline.group_counts().since(&mark.group),
            owned: mark.owned,
        })
    }

    /// CPU time of the workers' processes, where they have some.
    pub(super) fn worker_cpu(&self) -> Option<Duration> {
        let times = self.workers.iter().map(|pid| resources::cpu_time(*pid));
        times.reduce(|sum, time| sum + time)
    }

    async fn pauses(&self, gc: Option<GcPauses>, background: Option<Background>) -> Pauses {
        let gc = self.gc_logs.so_far().zip(gc).map(|(now, before)| now.since(&before));
        let background = self.rows.background().await.zip(background).map(|(now, before)| now.since(&before));
        Pauses {
            gc: gc.map(|pauses| pauses.count),
            gc_ms: gc.map(|pauses| pauses.total.as_secs_f64() * 1e3),
            checkpoints: background.map(|(checkpoints, _)| checkpoints),
            autovacuums: background.map(|(_, autovacuums)| autovacuums),
        }
    }

    /// The trial has ended.
    pub(super) async fn stop(self) -> Result<TrialObserved, RunError> {
        let lag = self.sampler.stop().await.map_err(|e| RunError::Load(format!("the lag sampler: {e}")))?;
        if let Some(error) = &lag.last_error {
            tracing::warn!(error, missed = lag.missed, "lag could not be sampled on every tick");
        }
        let peaks = self.workers.iter().filter_map(|pid| resources::peak_memory_bytes(*pid));
        let worker_peak_bytes = peaks.reduce(|sum, peak| sum + peak);
        Ok(TrialObserved { lag, worker_peak_bytes })
    }
}

fn components(runner: &TrialRunner<'_>, workers: &[u32], beside: &[u32]) -> Vec<Component> {
    let processes = |name: &str, pids: &[u32]| Component {
        name: name.into(),
        part: ProcessScope::Processes(pids.iter().map(|&pid| pid as i32).collect()),
    };
    let threads = |name: &str, prefix| Component { name: name.into(), part: ProcessScope::Threads(prefix) };
    let mut all = vec![
        Component { name: "host".into(), part: ProcessScope::Host },
        Component { name: "harness".into(), part: ProcessScope::Harness },
    ];
    all.push(match workers {
        [] => threads("consumers", CONSUMER_THREAD_PREFIX),
        pids => processes("worker", pids),
    });
    all.extend((!beside.is_empty()).then(|| processes("worker-beside", beside)));
    all.extend(runner.threads.iter().map(|(name, prefix)| threads(name, prefix)));
    // Now, since what was killed in an earlier trial is another process.
    let pids = runner.stack.pids();
    all.extend((!pids.kafka.is_empty()).then(|| processes("kafka", &pids.kafka)));
    all.extend(pids.postgres.map(|pid| processes("postgresql", &[pid])));
    all.extend(pids.redis.map(|pid| processes("redis", &[pid])));
    all.extend((!pids.proxies.is_empty()).then(|| processes("docker-proxy", &pids.proxies)));
    all
}

/// Offsets as the broker has them.
struct BrokerOffsets {
    admin: Admin,
    topic: String,
    group: String,
    /// Set when its partitions are to be asked for anew.
    topic_grew: Arc<AtomicBool>,
}

impl OffsetSource for BrokerOffsets {
    type Error = AdminError;

    async fn end_offsets(&mut self) -> Result<BTreeMap<i32, i64>, AdminError> {
        if self.topic_grew.load(Ordering::Relaxed) {
            self.admin.describe_topic(&self.topic).await?;
            self.topic_grew.store(false, Ordering::Relaxed);
        }
        self.admin.end_offsets(&self.topic).await
    }

    async fn committed(&mut self) -> Result<BTreeMap<i32, i64>, AdminError> {
        self.admin.group_offsets(&self.group, &self.topic).await
    }
}
