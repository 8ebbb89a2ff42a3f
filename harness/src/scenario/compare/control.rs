//! The control: the same configurations without the modelled call, so that a reader sees what the model is worth.

use std::time::Duration;

use super::{Place, summary};
use crate::record::{Configuration, Control, ControlRow};
use crate::scenario::ScenarioError;
use crate::scenario::phase::Plans;
use crate::scenario::rates;
use crate::scenario::trial::{Bench, Contender, Spec};
use crate::scenario::warm_up;

/// No call at all.
const SERVICE_TIME: Duration = Duration::ZERO;
/// Of the drains that size the backlog.
const GLANCE_EVENTS: u64 = 3000;

/// Drains of one backlog a configuration and round, between the round's trials.
pub(super) struct ControlDrains {
    /// Events of the backlog.
    events: u64,
    /// The drains so far.
    configurations: Vec<Configuration>,
    /// What the sizing drains brought, in events/s, by configuration.
    glanced: Vec<f64>,
}

impl ControlDrains {
    /// Sizes the backlog as that of a trial is sized.
    pub(super) async fn size(bench: &Bench<'_>, contenders: &[Contender<'_>]) -> Result<Self, ScenarioError> {
        let glanced = warm_up::glance(bench, contenders, GLANCE_EVENTS, SERVICE_TIME).await?;
        let configurations = super::configurations(bench.options);
        Ok(Self { events: rates::backlog(&glanced, bench.options.sizes), configurations, glanced })
    }

    /// About how long the drain of a configuration takes.
    pub(super) fn expected(&self, index: usize) -> Duration {
        Duration::from_secs_f64(self.events as f64 / self.glanced[index])
    }

    /// Runs the drain of a configuration in a round.
    pub(super) async fn drain(
        &mut self,
        bench: &Bench<'_>,
        contender: &Contender<'_>,
        index: usize,
        place: Place,
    ) -> Result<(), ScenarioError> {
        let Place { round, position, seed } = place;
        let lanes = contender.lanes;
        let plans = bench.plans(Plans::backlog(bench.options, self.events, seed)?, contender, seed)?;
        let spec = Spec {
            name: format!("c{round}.{lanes}"),
            title: format!("round {round}/{}, {lanes} control", bench.options.rounds),
            contender,
            round,
            position,
            seed,
            plans: &plans,
            rates: None,
            service_time: SERVICE_TIME,
        };
        let trial = bench.trial(&spec).await?;
        self.configurations[index].trials.push(trial);
        Ok(())
    }

    /// What a result keeps of the drains so far.
    pub(super) fn record(&self) -> Control {
        let row = |c: &Configuration| ControlRow {
            name: c.name.clone(),
            throughput_per_s: summary::summarise(&c.trials).throughput_per_s,
            verifications: c.trials.iter().map(|t| t.verification.clone()).collect(),
        };
        Control {
            service_time_ms: SERVICE_TIME.as_secs_f64() * 1e3,
            configurations: self.configurations.iter().map(row).collect(),
            comparisons: summary::comparisons(&self.configurations, false),
        }
    }
}
