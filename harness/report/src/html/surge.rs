//! What the surge did to each configuration, over the rounds: which lag climbed, and how soon it was gone.

use crate::units::{NONE, count, duration, number, percent, range};
use lanebench_result::{Configuration, RunResult, SurgeOutcome};

/// Configuration, shape, slope of the lag, peak, time to drain; none where there was no surge.
pub(super) fn rows(result: &RunResult) -> Vec<[String; 5]> {
    result.configurations.iter().filter_map(row).collect()
}

fn row(configuration: &Configuration) -> Option<[String; 5]> {
    let rounds: Vec<&SurgeOutcome> = configuration
        .trials
        .iter()
        .filter(|t| t.verification.passed)
        .filter_map(|t| t.surge.as_ref())
        .collect();
    let first = rounds.first()?;
    let over = |value: fn(&SurgeOutcome) -> f64, show: fn(f64) -> String| {
        let values = || rounds.iter().map(|s| value(s));
        range(values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max), show)
    };
    let mut shapes: Vec<(&str, usize)> = Vec::new();
    for s in &rounds {
        match shapes.iter_mut().find(|(shape, _)| *shape == s.shape) {
            Some((_, times)) => *times += 1,
            None => shapes.push((&s.shape, 1)),
        }
    }
    let shape: Vec<String> =
        shapes.iter().map(|(shape, times)| format!("{shape} in {times} of {}", rounds.len())).collect();
    let part = over(|s| s.peak_slope_records_per_s / s.peak_per_s, percent);
    let slope = over(|s| s.peak_slope_records_per_s, number);
    let drained = if rounds.iter().any(|s| s.drain_ms.is_none()) {
        "not in every round".to_owned()
    } else {
        over(|s| s.drain_ms.unwrap_or(f64::NAN) * 1e6, duration)
    };
    let peak = over(|s| s.max_lag_records as f64, |records| count(records as u64));
    let offered = if first.peak_per_s > 0.0 { format!("{slope} ({part})") } else { NONE.into() };
    Some([configuration.name.clone(), shape.join(", "), offered, peak, drained])
}
