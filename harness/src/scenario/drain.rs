//! Drains alone, one after another on a stack, for whoever times them: the trial of a comparison without what follows its
//! drain. Checked for truth as any trial, and removed from the stack afterwards.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ScenarioError;
use super::options::{Key, Lanes, Options, Through};
use super::phase::Plans;
use super::rates::Sizes;
use super::site::Site;
use super::trial::{Bench, Contender, Spec};
use super::warm_up::warm_up;
use crate::measure::lag::LagGauge;
use crate::record::Trial;
use crate::stack::{Pids, Stack};
use crate::worker::LaneRuntime;
use crate::workload::{Arrivals, Keys};

/// The modes in which a consumer works through its events, as a result names them.
pub const MODES: [&str; 1] = ["record"];

/// What is drained, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Partitions and consumers.
    pub lanes: Lanes,
    /// Events in the log before the gate opens.
    pub events: u64,
    /// Modelled downstream call an event.
    pub service_time: Duration,
    /// Of the orders drawn: the same seed is the same backlog.
    pub seed: u64,
}

/// A run's place on a stack, and the threads of its consumers. To be closed, or its tables stay on the stack.
pub struct Drains {
    site: Site,
    runtime: LaneRuntime,
    options: Options,
    pids: Pids,
    threads: Vec<(&'static str, &'static str)>,
    /// Drains begun; tells their topics and groups apart.
    begun: u32,
    cancel: CancellationToken,
}

impl Drains {
    /// Connects to the stack and creates the tables. Cancelling `cancel` ends a drain early.
    ///
    /// # Errors
    /// [`ScenarioError`] where a part of the stack does not answer.
    pub async fn open(stack: &Stack, cancel: CancellationToken) -> Result<Self, ScenarioError> {
        let runtime = LaneRuntime::start().map_err(ScenarioError::threads)?;
        let site = Site::open(stack.place(), jiff::Timestamp::now(), &cancel).await?;
        let (pids, threads) = (stack.pids(), stack.threads());
        Ok(Self { site, runtime, options: options(), pids, threads, begun: 0, cancel })
    }

    /// Drains of each configuration in turn that nobody times, until they no longer get faster: brokers that are compiled
    /// as they run take half a minute to be warm.
    ///
    /// # Errors
    /// As [`Self::drain`].
    pub async fn warm_up(&self, configs: &[Lanes], service_time: Duration) -> Result<(), ScenarioError> {
        let contenders: Vec<Contender<'_>> = configs.iter().map(|&lanes| contender(lanes)).collect();
        Box::pin(warm_up(&self.bench(), &contenders, true, service_time)).await?;
        Ok(())
    }

    /// Fills a fresh topic with the backlog, lets a fresh group drain it, and checks what came of it. Its length is
    /// `drain_s` of what is returned: from the opened gate to the last status visible.
    ///
    /// # Errors
    /// [`ScenarioError::Untrue`] where a check of truth failed, so that no length of a drain that lost something counts;
    /// [`ScenarioError::Interrupted`] once cancelled; else what kept it from going on.
    pub async fn drain(&mut self, backlog: Backlog) -> Result<Trial, ScenarioError> {
        self.begun += 1;
        let Backlog { lanes, events, service_time, seed } = backlog;
        let plans = Plans::backlog(&self.options, events, seed)?;
        let contender = contender(lanes);
        let spec = Spec {
            name: format!("b{}.{lanes}", self.begun),
            title: format!("drain {}, {lanes}", self.begun),
            contender: &contender,
            round: self.begun,
            position: 1,
            seed,
            plans: &plans,
            rates: None,
            service_time,
        };
        let trial = Box::pin(self.bench().trial(&spec)).await?;
        if trial.verification.passed {
            return Ok(trial);
        }
        let found = trial.verification.findings.first().map(|finding| finding.message.clone());
        Err(ScenarioError::Untrue { lanes, what: found.unwrap_or_else(|| "no finding was kept".into()) })
    }

    fn bench(&self) -> Bench<'_> {
        Bench {
            site: &self.site,
            runtime: &self.runtime,
            options: &self.options,
            pids: self.pids.clone(),
            threads: self.threads.clone(),
            lag: LagGauge::default(),
            progress: &(),
            cancel: &self.cancel,
        }
    }

    /// Removes the tables.
    pub async fn close(self) {
        self.site.close(&()).await;
    }
}

fn contender(lanes: Lanes) -> Contender<'static> {
    Contender { name: lanes.to_string(), lanes, worker: None }
}

/// A comparison's defaults, as far as a drain heeds them.
fn options() -> Options {
    Options {
        configs: Vec::new(),
        rounds: 1,
        seed: 1,
        through: Through::Kafka,
        key: Key::OrderId,
        keys: Keys::Uniform,
        orders: None,
        events_per_order: 5,
        arrivals: Arrivals::Constant,
        rate_per_s: None,
        duration: Duration::ZERO,
        surge: false,
        service_time: Duration::ZERO,
        replication: 1,
        min_isr: 1,
        inject: None,
        throttle: None,
        worker: None,
        worker_warm_up: 0,
        drain_events: None,
        sizes: Sizes::MEASUREMENT,
        control: false,
        keep: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::EmbeddedStack;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_drain_has_a_length_and_leaves_room_for_the_next() {
        let stack: Stack = EmbeddedStack::start(1, &|_| {}).await.unwrap().into();
        let cancel = CancellationToken::new();
        let mut drains = Drains::open(&stack, cancel.clone()).await.unwrap();
        let service_time = Duration::from_millis(1);
        drains.warm_up(&["3p3c".parse().unwrap()], service_time).await.unwrap();
        let backlog =
            |lanes: &str| Backlog { lanes: lanes.parse().unwrap(), events: 60, service_time, seed: 1 };
        for lanes in ["1p1c", "3p3c"] {
            let trial = drains.drain(backlog(lanes)).await.unwrap();
            assert_eq!(trial.verification.applied, 60, "{lanes}");
            let busiest = trial.partitions.iter().map(|p| p.events).max().unwrap();
            assert!(trial.drain_s >= busiest as f64 / 1e3, "{lanes}: {} s at 1 ms an event", trial.drain_s);
        }
        cancel.cancel();
        let ended = drains.drain(backlog("1p1c")).await;
        assert!(matches!(ended, Err(ScenarioError::Interrupted)), "a cancelled drain has no length");
        drains.close().await;
        stack.stop().await;
    }
}
