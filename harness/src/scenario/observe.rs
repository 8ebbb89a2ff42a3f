//! What is watched during a trial, beside the events themselves: lag, resources, noise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use payment_delivery::kafka::admin::{Admin, AdminError};
use tokio_util::sync::CancellationToken;

use super::ScenarioError;
use super::phase::DRAIN;
use super::site::{CONNECT_TIMEOUT, TrialSite};
use super::trial::Bench;
use crate::measure::lag::{self, LagSampler, LagSeries, OffsetSource, PhaseLabel};
use crate::measure::noise::NoiseMeter;
use crate::measure::resources::{self, Component, LANE_THREAD_PREFIX, Mark, Meter, Part};
use crate::measure::timeline::{OldestNotVisible, Spent, Timeline};
use crate::record::{Noise, Resource};

/// The watchers of one trial. Dropped, they stop.
pub(super) struct Observer {
    timeline: Arc<Timeline>,
    meter: Meter,
    noise: NoiseMeter,
    label: PhaseLabel,
    sampler: LagSampler,
    /// The worker's process, where it has one of its own.
    worker: Option<u32>,
}

/// What they saw over the whole trial.
pub(super) struct Observed {
    pub(super) lag: LagSeries,
    pub(super) noise: Noise,
    /// Largest resident set of the worker's process since its start, in bytes.
    pub(super) worker_peak_bytes: Option<u64>,
}

/// Where the drain began.
pub(super) struct DrainMark {
    usage: Mark,
    spent: Spent,
    worker_cpu: Option<Duration>,
}

/// What was used during the drain.
pub(super) struct DrainObserved {
    pub(super) resources: Vec<Resource>,
    pub(super) spent: Spent,
    /// CPU time of the worker's process.
    pub(super) worker_cpu: Option<Duration>,
}

impl Observer {
    /// Starts watching; lag is sampled from here on, its times counted from the timeline's epoch.
    pub(super) async fn start(
        bench: &Bench<'_>,
        site: &TrialSite,
        timeline: &Arc<Timeline>,
        worker: Option<u32>,
        cancel: &CancellationToken,
    ) -> Result<Self, ScenarioError> {
        // A connection of its own: a sample must not wait behind the harness's other questions.
        let admin = Admin::connect(&site.bootstrap, CONNECT_TIMEOUT).await?;
        let source = BrokerOffsets { admin, topic: site.topic.clone(), group: site.group.clone() };
        let label = PhaseLabel::new(DRAIN);
        let oldest = OldestNotVisible::new(Arc::clone(timeline));
        let meter = Meter::start(components(bench, worker), resources::TICK_DEFAULT)?;
        let noise = NoiseMeter::start()?;
        let sampler =
            LagSampler::start(source, oldest, label.clone(), bench.lag.clone(), lag::TICK_DEFAULT, cancel);
        Ok(Self { timeline: Arc::clone(timeline), meter, noise, label, sampler, worker })
    }

    /// Samples belong to `name` from now on.
    pub(super) fn phase(&self, name: &str) {
        self.label.set(name);
    }

    pub(super) fn drain_begins(&self) -> Result<DrainMark, ScenarioError> {
        let usage = self.meter.mark()?;
        let worker_cpu = self.worker.map(resources::cpu_time);
        Ok(DrainMark { usage, spent: self.timeline.spent_snapshot(), worker_cpu })
    }

    pub(super) fn drain_ended(&self, began: &DrainMark) -> Result<DrainObserved, ScenarioError> {
        let worker_cpu = self.worker.map(resources::cpu_time);
        let worker_cpu = worker_cpu.zip(began.worker_cpu).map(|(after, before)| after.saturating_sub(before));
        let spent = self.timeline.spent_snapshot().since(&began.spent);
        Ok(DrainObserved { resources: self.meter.since(&began.usage)?, spent, worker_cpu })
    }

    pub(super) async fn stop(self) -> Result<Observed, ScenarioError> {
        let lag =
            self.sampler.stop().await.map_err(|e| ScenarioError::Load(format!("the lag sampler: {e}")))?;
        if let Some(error) = &lag.last_error {
            tracing::warn!(error, missed = lag.missed, "lag could not be sampled on every tick");
        }
        let worker_peak_bytes = self.worker.and_then(resources::peak_memory_bytes);
        Ok(Observed { lag, noise: self.noise.finish()?, worker_peak_bytes })
    }
}

fn components(bench: &Bench<'_>, worker: Option<u32>) -> Vec<Component> {
    let processes = |name: &str, pids: &[u32]| Component {
        name: name.into(),
        part: Part::Processes(pids.iter().map(|&pid| pid as i32).collect()),
    };
    let threads = |name: &str, prefix| Component { name: name.into(), part: Part::Threads(prefix) };
    let mut all = vec![
        Component { name: "host".into(), part: Part::Host },
        Component { name: "harness".into(), part: Part::Harness },
    ];
    all.push(match worker {
        Some(pid) => processes("worker", &[pid]),
        None => threads("lanes", LANE_THREAD_PREFIX),
    });
    all.extend(bench.threads.iter().map(|(name, prefix)| threads(name, prefix)));
    let pids = &bench.pids;
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
}

impl OffsetSource for BrokerOffsets {
    type Error = AdminError;

    async fn end_offsets(&mut self) -> Result<BTreeMap<i32, i64>, AdminError> {
        self.admin.end_offsets(&self.topic).await
    }

    async fn committed(&mut self) -> Result<BTreeMap<i32, i64>, AdminError> {
        self.admin.group_offsets(&self.group, &self.topic).await
    }
}
