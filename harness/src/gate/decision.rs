//! What may be concluded at a look: on one metric, and on all.

use super::design::{Design, Look, Sample};
use crate::record::gate::{
    GateLook, GateRound, GateRule, GateVerdict, Measured, MetricLook, MetricVerdict, Undecided, Worse,
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

/// What may be concluded on one metric.
///
/// - Regressed: the lower bound of its worsening is above zero and the estimate above the tolerance.
/// - Held: the upper bound is below the tolerance.
///
/// A worsening that is certain and within the tolerance is no regression; the rule says that it may be.
pub fn judge(look: &Look, sample: &Sample, limit: f64) -> MetricVerdict {
    let bounds = look.bounds(sample);
    if bounds.lower > 0.0 && bounds.estimate > limit {
        MetricVerdict::Regressed
    } else if bounds.upper < limit {
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

/// One round's log ratio of a metric, the worse direction being positive; `None` where a value is missing, zero or no
/// number.
pub fn worsening(rule: &GateRule, round: &GateRound) -> Option<f64> {
    let (baseline, candidate) =
        (round.baseline.values.of(rule.metric)?, round.candidate.values.of(rule.metric)?);
    let log_ratio = (candidate / baseline).ln();
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
    let Some(log_ratios) = rounds.iter().map(|round| worsening(rule, round)).collect::<Option<Vec<f64>>>()
    else {
        return undecided(Undecided::NotMeasured, None);
    };
    if log_ratios.len() < 2 {
        return undecided(Undecided::TooFewRounds, None);
    }
    let sample: Sample = log_ratios.into_iter().collect();
    let measured = measured(design, rule, rounds, &sample);
    let verdict = match design.look_after(sample.n) {
        Some(look) => judge(&look, &sample, limit(rule)),
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
    let (ratio, low, high) = match rule.worse {
        Worse::Lower => ((-bounds.estimate).exp(), (-bounds.upper).exp(), (-bounds.lower).exp()),
        Worse::Higher => (bounds.estimate.exp(), bounds.lower.exp(), bounds.upper.exp()),
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
