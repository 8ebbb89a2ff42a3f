//! The lag sampler: log end offsets and committed offsets on a fixed tick, from the broker.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::commits::CommitSamples;
use super::timeline::OldestNotVisible;
use lanebench_result::LagSample;

/// The sampler's tick, unless asked otherwise.
pub const TICK_DEFAULT: Duration = Duration::from_millis(100);

/// A broker that takes longer than this to answer has missed the tick.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The last look at commits may take so long.
const LAST_WITHIN: Duration = Duration::from_millis(500);

/// Samples kept at most: an hour of 100 ms ticks over seven partitions. What comes after is counted as missed.
const SAMPLES_MAX: usize = 1 << 18;

/// Where offsets come from: the broker's admin calls.
///
/// A call that takes too long is dropped in the middle; the next one must not read its late answer.
pub trait OffsetSource: Send {
    /// Why offsets could not be had.
    type Error: Error + Send;

    /// The next offset to be written, by partition.
    fn end_offsets(&mut self) -> impl Future<Output = Result<BTreeMap<i32, i64>, Self::Error>> + Send;

    /// The group's committed offset, by partition; one without a commit is left out.
    fn committed(&mut self) -> impl Future<Output = Result<BTreeMap<i32, i64>, Self::Error>> + Send;
}

/// The lag of the last tick over all partitions, in records, for whoever looks on.
#[derive(Clone, Debug, Default)]
pub struct LagGauge(Arc<AtomicU64>);

impl LagGauge {
    /// The last sample.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, samples: &[LagSample]) {
        let records: i64 = samples.iter().map(|s| s.records).sum();
        self.0.store(records.max(0).unsigned_abs(), Ordering::Relaxed);
    }
}

/// What a sampler saw.
#[derive(Clone, Debug, Default)]
pub struct LagSeries {
    /// The samples, tick by tick, each tick by partition.
    pub samples: Vec<LagSample>,
    /// What the group had committed by then.
    pub commits: CommitSamples,
    /// Ticks without a sample: the broker failed or was slow, the machine was, or the memory bound was reached.
    pub missed: u64,
    /// The last failure, if there was one.
    pub last_error: Option<String>,
}

impl LagSeries {
    /// The samples from `from_ms` to `to_ms`, their times counted from there.
    pub fn within(&self, from_ms: f64, to_ms: f64) -> Vec<LagSample> {
        let within = self.samples.iter().filter(|sample| (from_ms..=to_ms).contains(&sample.t_ms));
        within.map(|sample| LagSample { t_ms: sample.t_ms - from_ms, ..sample.clone() }).collect()
    }
}

/// A sampler at work. Dropped, it is stopped.
#[must_use = "a dropped sampler is stopped"]
pub struct LagSampler {
    cancel: CancellationToken,
    task: JoinHandle<LagSeries>,
}

impl LagSampler {
    /// Starts sampling every `tick` until [`Self::stop`] or `cancel`; samples tell their time since the epoch of the
    /// timeline's clock, and `gauge` shows the last of them.
    pub fn start(
        source: impl OffsetSource + 'static,
        oldest: OldestNotVisible,
        gauge: LagGauge,
        tick: Duration,
        cancel: &CancellationToken,
    ) -> Self {
        let cancel = cancel.child_token();
        let sampling = Sampling { source, oldest, gauge, series: LagSeries::default() };
        let task = tokio::spawn(sampling.run(tick, cancel.clone()));
        Self { cancel, task }
    }

    /// Stops sampling.
    ///
    /// # Errors
    /// When the sampler's task panicked.
    pub async fn stop(mut self) -> Result<LagSeries, JoinError> {
        self.cancel.cancel();
        (&mut self.task).await
    }
}

impl Drop for LagSampler {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

struct Sampling<S> {
    source: S,
    oldest: OldestNotVisible,
    gauge: LagGauge,
    series: LagSeries,
}

impl<S: OffsetSource> Sampling<S> {
    async fn run(mut self, tick: Duration, cancel: CancellationToken) -> LagSeries {
        let tick = tick.max(Duration::from_millis(1));
        let mut ticks = interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut last: Option<Instant> = None;
        loop {
            let step = async {
                let at = ticks.tick().await;
                (at, timeout(ANSWER_WITHIN, self.sample()).await)
            };
            let (at, sampled) = tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    // What is committed by now is in it. One that takes long is left out.
                    if let Ok(Ok(committed)) = timeout(LAST_WITHIN, self.source.committed()).await {
                        self.commits(&committed);
                    }
                    return self.series;
                }
                step = step => step,
            };
            // Skipped ticks fall on multiples of the tick, so the gap tells how many there were.
            let gap = last.map_or(1.0, |last| (at - last).as_secs_f64() / tick.as_secs_f64()).round();
            self.series.missed += (gap as u64).saturating_sub(1);
            last = Some(at);
            if let Ok(Ok(samples)) = &sampled {
                self.gauge.set(samples);
            }
            match sampled {
                Ok(Ok(samples)) if self.series.samples.len() + samples.len() <= SAMPLES_MAX => {
                    self.series.samples.extend(samples);
                }
                Ok(Ok(_)) => self.miss(format!("more than {SAMPLES_MAX} samples")),
                Ok(Err(error)) => self.miss(error.to_string()),
                Err(_) => self.miss(format!("no answer within {ANSWER_WITHIN:?}")),
            }
        }
    }

    fn miss(&mut self, why: String) {
        self.series.missed += 1;
        self.series.last_error = Some(why);
    }

    fn commits(&mut self, committed: &BTreeMap<i32, i64>) {
        self.series.commits.push(self.oldest.timeline().clock().now_ns(), committed);
    }

    async fn sample(&mut self) -> Result<Vec<LagSample>, S::Error> {
        // Commits first: read the other way round, a commit in between could make the lag negative.
        let committed = self.source.committed().await?;
        self.commits(&committed);
        let ends = self.source.end_offsets().await?;
        let now_ns = self.oldest.timeline().clock().now_ns();
        let sample = |(partition, end): (i32, i64)| LagSample {
            t_ms: now_ns as f64 / 1e6,
            partition,
            // Without a commit the group begins at the earliest offset, 0 in a topic of this run's own.
            records: end - committed.get(&partition).copied().unwrap_or(0),
            ns: self.oldest.lag_ns(partition, now_ns),
        };
        Ok(ends.into_iter().map(sample).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Due;
    use crate::{Clock, Timeline};
    use lanebench_workload::{Keys, Plan, PlanSpec};
    use std::ops::Range;
    use std::sync::atomic::AtomicI64;

    const TICK: Duration = Duration::from_millis(5);

    #[derive(Debug, thiserror::Error)]
    #[error("the broker is away")]
    struct Away;

    /// Grows by 10 records a sample on partition 0; answers after `pause`, and fails on every sample in `failing`.
    struct Broker {
        samples: Arc<AtomicI64>,
        pause: Duration,
        failing: Range<i64>,
    }

    impl OffsetSource for Broker {
        type Error = Away;

        async fn end_offsets(&mut self) -> Result<BTreeMap<i32, i64>, Away> {
            let sample = self.samples.fetch_add(1, Ordering::Relaxed) + 1;
            tokio::time::sleep(self.pause).await;
            if self.failing.contains(&sample) {
                return Err(Away);
            }
            Ok([(0, sample * 10), (1, 4)].into())
        }

        async fn committed(&mut self) -> Result<BTreeMap<i32, i64>, Away> {
            Ok([(1, 3)].into())
        }
    }

    struct Started {
        sampler: LagSampler,
        samples: Arc<AtomicI64>,
    }

    impl Started {
        fn new(pause: Duration, failing: Range<i64>) -> Self {
            let keys = Keys::Uniform;
            let spec = PlanSpec { prefix: "d", events_per_order: 1, keys, value_bytes: 0, seed: 1 };
            let plan = Arc::new(Plan::backlog(&spec, 1).unwrap());
            let timeline = Timeline::new(Clock::start(), |_| Some(1));
            timeline.add_phase("drain", Due::Planned, plan).unwrap();
            timeline.start_phase(timeline.phase("drain").unwrap(), 0);
            let samples = Arc::new(AtomicI64::new(0));
            let oldest = OldestNotVisible::new(Arc::new(timeline));
            let broker = Broker { samples: samples.clone(), pause, failing };
            let cancel = CancellationToken::new();
            let sampler = LagSampler::start(broker, oldest, LagGauge::default(), TICK, &cancel);
            Self { sampler, samples }
        }

        /// Waits until that many samples were begun.
        async fn sampled(&self, samples: i64) {
            until(|| self.samples.load(Ordering::Relaxed) >= samples).await;
        }
    }

    async fn until(reached: impl Fn() -> bool) {
        let wait = async {
            while !reached() {
                tokio::time::sleep(TICK).await;
            }
        };
        timeout(Duration::from_secs(30), wait).await.unwrap();
    }

    #[tokio::test]
    async fn each_tick_gives_a_sample_of_each_partition() {
        let started = Started::new(Duration::ZERO, 0..0);
        started.sampled(12).await;
        let series = started.sampler.stop().await.unwrap();
        let (zero, one): (Vec<_>, Vec<_>) = series.samples.iter().partition(|s| s.partition == 0);
        assert!(zero.len() >= 11 && zero.len() == one.len(), "{}", zero.len());
        assert!(zero.iter().zip(1..).all(|(s, n)| s.records == 10 * n && s.ns == 0));
        assert!(one.iter().all(|s| s.records == 1 && s.ns > 0));
        assert!(one.is_sorted_by_key(|s| s.t_ms) && one.is_sorted_by_key(|s| s.ns));
    }

    #[tokio::test]
    async fn a_broker_that_fails_misses_ticks_and_is_asked_again() {
        let started = Started::new(Duration::ZERO, 2..4);
        started.sampled(7).await;
        let series = started.sampler.stop().await.unwrap();
        assert!(series.missed >= 2 && series.samples.len() >= 2 * 4, "{}", series.samples.len());
        assert_eq!(series.last_error.as_deref(), Some("the broker is away"));
    }

    #[tokio::test]
    async fn ticks_that_pass_while_the_broker_answers_are_missed() {
        let started = Started::new(TICK * 4, 0..0);
        started.sampled(5).await;
        let series = started.sampler.stop().await.unwrap();
        // The second tick is late but not skipped; from then on each sample outlasts three ticks at least.
        assert!(series.missed >= 6, "{}", series.missed);
        assert_eq!(series.last_error, None);
    }

    #[tokio::test]
    async fn it_stops_at_once_even_if_the_broker_never_answers() {
        let started = Started::new(Duration::from_secs(3600), 0..0);
        started.sampled(1).await;
        let stopped = timeout(Duration::from_secs(1), started.sampler.stop()).await.unwrap().unwrap();
        assert!(stopped.samples.is_empty());

        let started = Started::new(Duration::ZERO, 0..0);
        let task = started.sampler.task.abort_handle();
        drop(started);
        until(|| task.is_finished()).await;
    }
}
