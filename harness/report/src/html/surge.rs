//! What the surge did to each configuration, over the rounds: whose lag climbed, and how soon it was gone.

use std::collections::BTreeSet;

use crate::units::{count, duration, number, percent, range};
use lanebench_result::{Configuration, Lag, Peak, PhaseKind, RunResult, counting_rounds};

/// Configuration, shape, slope of the lag, peak, age of the oldest, time to drain; none where there was no surge.
pub(super) fn rows(result: &RunResult) -> Vec<[String; 6]> {
    let counting = counting_rounds(&result.configurations);
    result.configurations.iter().filter_map(|configuration| row(configuration, &counting)).collect()
}

fn row(configuration: &Configuration, counting: &BTreeSet<u32>) -> Option<[String; 6]> {
    let rounds: Vec<(&Peak, &Lag)> = configuration
        .counting(counting)
        .filter_map(|t| t.phase(PhaseKind::Surge))
        .filter_map(|phase| Some((phase.peak.as_ref()?, &phase.lag)))
        .collect();
    if rounds.is_empty() {
        return None;
    }
    let over = |value: fn(&Peak, &Lag) -> f64, show: fn(f64) -> String| {
        let values = || rounds.iter().map(|(peak, lag)| value(peak, lag));
        range(values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max), show)
    };
    let mut shapes: Vec<(&str, usize)> = Vec::new();
    for shape in rounds.iter().map(|(peak, _)| peak.shape.as_str()) {
        match shapes.iter_mut().find(|(said, _)| *said == shape) {
            Some((_, times)) => *times += 1,
            None => shapes.push((shape, 1)),
        }
    }
    let shape: Vec<String> =
        shapes.iter().map(|(shape, times)| format!("{shape} in {times} of {}", rounds.len())).collect();
    let slope = over(|peak, _| peak.slope_records_per_s, number);
    let part = over(|peak, _| peak.slope_records_per_s / peak.offered_per_s, percent);
    let drained = if rounds.iter().any(|(peak, _)| peak.drained_ms.is_none()) {
        "not in every round".to_owned()
    } else {
        over(|peak, _| peak.drained_ms.unwrap_or(f64::NAN) * 1e6, duration)
    };
    let most = over(|_, lag| lag.max_records as f64, |records| count(records as u64));
    let oldest = over(|peak, _| peak.oldest_ns as f64, duration);
    Some([configuration.name.clone(), shape.join(", "), format!("{slope} ({part})"), most, oldest, drained])
}
