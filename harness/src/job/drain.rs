//! Drains alone, one after another on a stack, for whoever times them: the trial of a comparison without what follows its
//! drain. Checked for truth as any trial, and removed from the stack afterwards.

use std::time::Duration;

use payment_delivery::consumer::ServiceTime;
use tokio_util::sync::CancellationToken;

use super::options::{Contender, Draw, Key, Lanes, Through, TrialOptions};
use crate::error::RunError;
use crate::record::{PhaseKind, Trial};
use crate::rounds::rates::{Requested, Sizes};
use crate::rounds::warm_up::{Limit, WarmUpSpec, warm_up};
use crate::rounds::{Session, TrialPlace};
use crate::stack::Stack;
use crate::trial::TrialSpec;
use crate::trial::phase::{Offer, PhaseSpec, plan};
use crate::workload::{Arrivals, Keys};

/// What is drained, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Partitions, consumers, and how these work.
    pub lanes: Lanes,
    /// Events in the log before the gate opens.
    pub events: u64,
    /// Modelled downstream call an event.
    pub service_time: ServiceTime,
    /// Of the orders drawn: the same seed is the same backlog.
    pub seed: u64,
}

/// How long a warm-up goes on at most.
const WARM_UP_LIMIT: Duration = Duration::from_secs(60);

/// What all drains do alike: a comparison's defaults.
const OPTIONS: TrialOptions =
    TrialOptions { through: Through::Kafka, key: Key::OrderId, throttle: None, keep: false };
const DRAW: Draw =
    Draw { keys: Keys::Uniform, orders: None, events_per_order: 5, arrivals: Arrivals::Constant };

/// A place on a stack where drains are run. To be closed, or its tables stay on the stack.
pub struct Drains<'a> {
    stack: &'a Stack,
    session: Session,
    /// Drains begun; tells their topics and groups apart.
    begun: u32,
    cancel: CancellationToken,
}

impl<'a> Drains<'a> {
    /// Connects to the stack and creates the tables. Cancelling `cancel` ends a drain early.
    ///
    /// # Errors
    /// [`RunError`] where a part of the stack does not answer.
    pub async fn open(stack: &'a Stack, cancel: CancellationToken) -> Result<Self, RunError> {
        let session = Session::open(stack, jiff::Timestamp::now(), &cancel).await?;
        Ok(Self { stack, session, begun: 0, cancel })
    }

    /// Drains of each configuration in turn that nobody times, until all have settled: brokers that are compiled as they run
    /// take a while.
    ///
    /// # Errors
    /// As [`Self::drain`].
    pub async fn warm_up(&self, configs: &[Lanes], service_time: ServiceTime) -> Result<(), RunError> {
        let contenders: Vec<Contender> =
            configs.iter().map(|&lanes| contender(lanes, service_time)).collect();
        let runner = self.session.runner(OPTIONS, self.stack, &(), &self.cancel);
        let spec = WarmUpSpec {
            contenders: &contenders,
            draw: DRAW,
            requested: Requested::default(),
            sizes: Sizes { steady_events: 0.0, ..Sizes::GATE },
            limit: Limit { longest: WARM_UP_LIMIT, leaves: None },
            worker_warm_up: 0,
        };
        Box::pin(warm_up(&runner, &spec)).await?;
        Ok(())
    }

    /// Fills a fresh topic with the backlog, lets a fresh group drain it, and checks what came of it. Its length is that of the
    /// one phase of what is returned: from the moment at which the consumers may fetch to the last status visible.
    ///
    /// # Errors
    /// [`RunError::Untrue`] where a check of truth failed, so that no length of a drain that lost something counts;
    /// [`RunError::Interrupted`] once cancelled; else what kept it from going on.
    pub async fn drain(&mut self, backlog: Backlog) -> Result<Trial, RunError> {
        self.begun += 1;
        let Backlog { lanes, events, service_time, seed } = backlog;
        let phases = plan(vec![PhaseSpec::new(PhaseKind::Drain, Offer::Backlog { events })], DRAW, seed)?;
        let contender = contender(lanes, service_time);
        let spec = TrialSpec {
            name: format!("b{}.{lanes}", self.begun),
            title: format!("drain {}, {lanes}", self.begun),
            contender: &contender,
            place: TrialPlace { round: self.begun, position: 1, seed },
            phases: &phases,
            rig: None,
            seat: None,
        };
        let runner = self.session.runner(OPTIONS, self.stack, &(), &self.cancel);
        let trial = Box::pin(runner.trial(&spec)).await?;
        if trial.verification.passed {
            return Ok(trial);
        }
        let found = trial.verification.findings.first().map(|finding| finding.message.clone());
        Err(RunError::Untrue { lanes, what: found.unwrap_or_else(|| "no finding was kept".into()) })
    }

    /// Removes the tables.
    pub async fn close(self) {
        self.session.close(&()).await;
    }
}

fn contender(lanes: Lanes, service_time: ServiceTime) -> Contender {
    Contender { service_time, ..Contender::of(lanes) }
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
        let service_time = ServiceTime::fixed(Duration::from_millis(1));
        drains.warm_up(&["3p3c".parse().unwrap()], service_time).await.unwrap();
        let backlog =
            |lanes: &str| Backlog { lanes: lanes.parse().unwrap(), events: 60, service_time, seed: 1 };
        for lanes in ["1p1c", "3p3c", "1p1c-batch"] {
            let trial = drains.drain(backlog(lanes)).await.unwrap();
            assert_eq!(trial.verification.applied, 60, "{lanes}");
            let drain = trial.phase(PhaseKind::Drain).unwrap();
            let busiest = drain.partitions.iter().map(|p| p.events).max().unwrap();
            assert!(drain.lasted_ms >= busiest as f64, "{lanes}: {} ms at 1 ms an event", drain.lasted_ms);
        }
        cancel.cancel();
        let ended = drains.drain(backlog("1p1c")).await;
        assert!(matches!(ended, Err(RunError::Interrupted)), "a cancelled drain has no length");
        drains.close().await;
        stack.stop().await;
    }
}
