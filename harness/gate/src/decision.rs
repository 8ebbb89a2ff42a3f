//! What may be concluded at a look: on one metric, and on all.

use super::design::{Design, Look, Sample};
use lanebench_result::gate::{
    GateLook, GateRound, GateRule, GateVerdict, Measured, MetricLook, MetricVerdict, Undecided, Values, Worse,
};

/// The worsening that a rule tolerates, as a log ratio with the worse direction positive.
///
/// A tolerance is a part of the baseline's value, as a reader sees the change: with 6 %, throughput may fall to 0.94 of
/// the baseline's, and CPU time may rise to 1.06 of it.
pub fn limit(rule: &GateRule) -> f64 {
    match rule.worse {
        Worse::Lower => -(1.0 - rule.tolerance).ln(),
        Worse::Higher => rule.tolerance.ln_1p(),
    }
}

/// What a rule lets pass, on the scale of log ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerated {
    /// The worsening ([`limit`]).
    pub worsening: f64,
    /// The standard deviation of log ratios beyond which nothing is held ([`Design::deviation_allowed`]).
    pub deviation: f64,
}

impl Tolerated {
    /// Of a rule with this [`limit`].
    pub fn new(design: &Design, limit: f64) -> Self {
        Self { worsening: limit, deviation: design.deviation_allowed(limit) }
    }
}

/// What may be concluded on one metric.
///
/// - Regressed: the lower bound of its worsening is above zero and the estimate above the tolerance.
/// - Held: the upper bound is below the tolerance, and trials spread no more than the whole of the rounds can bear.
///
/// A worsening that is certain and within the tolerance is no regression; the rule says that it may be.
///
/// The bounds alone would hold, now and then, what looked much better by luck, however noisy the machine: they ask by
/// how much it may be worse at most. Where trials spread more than the gate is made for, rounds are also rarely alike or
/// independent, as the bounds suppose. So a noisy machine takes away the power to pass. It does not take away
/// the power to fail: what is worse beyond doubt in spite of the noise is regressed.
pub fn judge(look: &Look, sample: &Sample, tolerated: Tolerated) -> MetricVerdict {
    let bounds = look.bounds(sample);
    if bounds.lower > 0.0 && bounds.estimate > tolerated.worsening {
        MetricVerdict::Regressed
    } else if bounds.upper < tolerated.worsening && sample.deviation() <= tolerated.deviation {
        MetricVerdict::Held
    } else {
        MetricVerdict::Undecided
    }
}

/// What the gate concludes from its required metrics at one look; `None`: it goes on.
///
/// One that regressed is enough, and all have to be held at this very look: one that was held at an earlier look and no
/// longer is must not pass on what is now known to be the luckier half of its rounds, and so the intervals that are shown
/// in the end are those that decided.
pub fn conclude(required: impl IntoIterator<Item = MetricVerdict>) -> Option<GateVerdict> {
    let mut all_held = true;
    for verdict in required {
        match verdict {
            MetricVerdict::Regressed => return Some(GateVerdict::Regressed),
            MetricVerdict::Held => {}
            MetricVerdict::Undecided => all_held = false,
        }
    }
    all_held.then_some(GateVerdict::Held)
}

/// The log ratio of a metric in one round, the worse direction being positive; `None` where a value is missing, zero or no
/// number.
pub fn log_ratio(rule: &GateRule, baseline: &Values, candidate: &Values) -> Option<f64> {
    let log_ratio = (candidate.of(rule.metric)? / baseline.of(rule.metric)?).ln();
    Some(match rule.worse {
        Worse::Lower => -log_ratio,
        Worse::Higher => log_ratio,
    })
}

/// Everything that is concluded from these rounds. Only after as many as a look has does it decide anything; in between
/// the figures stand and every metric is undecided.
pub fn look_at(design: &Design, rules: &[GateRule], rounds: &[GateRound]) -> GateLook {
    GateLook {
        rounds: rounds.len() as u32,
        metrics: rules.iter().map(|rule| metric_at(design, rule, rounds)).collect(),
    }
}

fn metric_at(design: &Design, rule: &GateRule, rounds: &[GateRound]) -> MetricLook {
    let metric = rule.metric;
    let undecided =
        |why, measured| MetricLook { metric, verdict: MetricVerdict::Undecided, measured, why: Some(why) };
    // What is missing was not left out blindly, so what is left proves nothing.
    let Some(log_ratios) = rounds
        .iter()
        .map(|round| log_ratio(rule, &round.baseline.values, &round.candidate.values))
        .collect::<Option<Vec<f64>>>()
    else {
        return undecided(Undecided::NotMeasured, None);
    };
    if log_ratios.len() < 2 {
        return undecided(Undecided::TooFewRounds, None);
    }
    let sample: Sample = log_ratios.into_iter().collect();
    let measured = measured(design, rule, rounds, &sample);
    let verdict = match design.look_after(sample.n) {
        Some(look) => judge(&look, &sample, Tolerated::new(design, limit(rule))),
        None => MetricVerdict::Undecided,
    };
    if verdict != MetricVerdict::Undecided {
        return MetricLook { metric, verdict, measured: Some(measured), why: None };
    }
    let why = if measured.spread > measured.spread_allowed {
        Undecided::Noise
    } else if sample.n < design.rounds_max() {
        Undecided::TooFewRounds
    } else {
        Undecided::NearTolerance
    };
    undecided(why, Some(measured))
}

fn measured(design: &Design, rule: &GateRule, rounds: &[GateRound], sample: &Sample) -> Measured {
    let bounds = design.quantiles(sample.n).bounds(sample);
    let limit = limit(rule);
    let deviation = sample.deviation();
    // A bound beyond all numbers, as two wild rounds can give, could not be written as JSON.
    let ratio = |log_ratio: f64| log_ratio.exp().min(f64::MAX);
    let (ratio, low, high) = match rule.worse {
        Worse::Lower => (ratio(-bounds.estimate), ratio(-bounds.upper), ratio(-bounds.lower)),
        Worse::Higher => (ratio(bounds.estimate), ratio(bounds.lower), ratio(bounds.upper)),
    };
    let baseline = geometric_mean(rounds.iter().filter_map(|r| r.baseline.values.of(rule.metric)));
    Measured {
        baseline,
        candidate: geometric_mean(rounds.iter().filter_map(|r| r.candidate.values.of(rule.metric))),
        ratio,
        low,
        high,
        spread: deviation / std::f64::consts::SQRT_2,
        spread_allowed: design.deviation_allowed(limit) / std::f64::consts::SQRT_2,
        rounds_needed: design.rounds_needed(deviation, limit),
    }
}

fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    values.map(f64::ln).collect::<Sample>().mean.exp()
}

#[cfg(test)]
mod tests;
