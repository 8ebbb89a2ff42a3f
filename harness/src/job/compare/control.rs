//! The control: the same configurations without the modelled call, so that a reader sees what the model is worth.

use std::time::Duration;

use payment_delivery::consumer::ServiceTime;

use crate::error::RunError;
use crate::job::options::{Contender, Options};
use crate::job::summary;
use crate::record::{Configuration, Control, ControlRow, PhaseKind, Trial, counting_rounds};
use crate::rounds::{TrialPlace, Turn, rates, warmed_by_itself};
use crate::stats::estimate;
use crate::trial::phase::{Offer, PhaseSpec, PlannedPhase, plan};
use crate::trial::{TrialRunner, TrialSpec};

/// No call at all.
const SERVICE_TIME: ServiceTime = ServiceTime::NONE;
/// Of the drains that size the backlog.
const SIZING_EVENTS: u64 = 3000;
/// Confidence of a ratio's interval.
const CONFIDENCE: f64 = 0.95;

/// Drains of one backlog a configuration and round, between the round's trials.
pub(super) struct ControlDrains {
    contenders: Vec<Contender>,
    /// Events of the backlog.
    events: u64,
    /// The drains so far.
    configurations: Vec<Configuration>,
    /// What the sizing drains brought, in events/s, by configuration.
    drained_per_s: Vec<f64>,
}

impl ControlDrains {
    /// Sizes the backlog as that of a trial is sized.
    pub(super) async fn size(runner: &TrialRunner<'_>, options: &Options) -> Result<Self, RunError> {
        let without_call = |c: &Contender| Contender { service_time: SERVICE_TIME, ..c.clone() };
        let contenders: Vec<Contender> = options.contenders.iter().map(without_call).collect();
        let mut drained_per_s = Vec::new();
        for contender in &contenders {
            let phases = phases(options, contender, SIZING_EVENTS, 0)?;
            let spec = TrialSpec {
                name: format!("c0.{}", contender.name),
                title: format!("warm-up, {} control", contender.name),
                contender,
                place: TrialPlace { round: 0, position: 0, seed: 0 },
                phases: &phases,
                rig: None,
                seat: None,
            };
            let trial = Box::pin(runner.trial(&spec)).await?;
            drained_per_s.push(drained(&trial).unwrap_or(0.0));
        }
        let events = rates::backlog(drained_per_s.iter().copied(), options.sizes);
        Ok(Self { contenders, events, configurations: super::configurations(options), drained_per_s })
    }

    /// About how long the drains of a round take.
    pub(super) fn expected(&self, around: Duration) -> Duration {
        self.drained_per_s.iter().map(|&per_s| self.one(per_s) + around).sum()
    }

    /// The backlog of a configuration that drains at this rate.
    fn backlog(&self, per_s: f64) -> u64 {
        rates::cut(self.events, per_s)
    }

    fn one(&self, per_s: f64) -> Duration {
        Duration::from_secs_f64(self.backlog(per_s) as f64 / per_s.max(1.0))
    }

    /// The drains of a round, their keys above those of its trials.
    pub(super) fn turns(
        &self,
        options: &Options,
        round: u32,
        rounds: u32,
        seed: u64,
    ) -> Result<Vec<Turn>, RunError> {
        let turn = |(index, contender): (usize, &Contender)| {
            Ok(Turn {
                key: self.contenders.len() + index,
                name: format!("c{round}.{}", contender.name),
                title: format!("round {round}/{rounds}, {} control", contender.name),
                contender: contender.clone(),
                phases: phases(options, contender, self.backlog(self.drained_per_s[index]), seed)?,
                expected: self.one(self.drained_per_s[index]),
            })
        };
        self.contenders.iter().enumerate().map(turn).collect()
    }

    /// A drain of the configuration at this place has ended.
    pub(super) fn take(&mut self, index: usize, trial: Trial) {
        self.configurations[index].trials.push(trial);
    }

    /// What a result keeps of the drains so far.
    pub(super) fn record(&self) -> Control {
        let rounds = counting_rounds(&self.configurations);
        let row = |c: &Configuration| ControlRow {
            name: c.name.clone(),
            drain_per_s: summary::summarise(c.counting(&rounds)).drain_per_s,
            verifications: c.trials.iter().map(|t| t.verification.clone()).collect(),
        };
        let (baseline, candidates) = self.configurations.split_at(1);
        let ratio = |candidate: &Configuration| {
            let of = |trial: &Trial| {
                let other = baseline[0].counting(&rounds).find(|other| other.round == trial.round)?;
                Some(drained(trial)? / drained(other)?)
            };
            let ratios: Vec<f64> = candidate.counting(&rounds).filter_map(of).collect();
            (candidate.name.clone(), estimate(&ratios, CONFIDENCE))
        };
        Control {
            service_time_ms: SERVICE_TIME.mean().as_secs_f64() * 1e3,
            configurations: self.configurations.iter().map(row).collect(),
            ratios: candidates.iter().map(ratio).filter(|(_, ratio)| ratio.n > 0).collect(),
        }
    }
}

fn phases(
    options: &Options,
    contender: &Contender,
    events: u64,
    seed: u64,
) -> Result<Vec<PlannedPhase>, RunError> {
    let mut phases = warmed_by_itself(contender, options.worker_warm_up);
    phases.push(PhaseSpec::new(PhaseKind::Drain, Offer::Backlog { events }));
    Ok(plan(phases, options.draw, seed)?)
}

fn drained(trial: &Trial) -> Option<f64> {
    trial.phase(PhaseKind::Drain).map(|drain| drain.throughput_per_s)
}
