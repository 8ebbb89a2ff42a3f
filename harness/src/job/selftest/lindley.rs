//! What a lane must do, event by event: Lindley's recursion.
//!
//! One consumer that works its events off in the order of their arrival is a queue with one server. Event n arrives at Aₙ and takes Sₙ, so it
//! ends at Dₙ = max(Aₙ, Dₙ₋₁) + Sₙ: no later, whatever came before, if the consumer is never idle while an event waits. (D. V. Lindley, "The theory
//! of queues with a single server", 1952.) With arrivals and service times drawn beforehand every response time Dₙ − Aₙ is known beforehand,
//! without a sampling error.

/// When each event ends, given when it arrives and how long it takes, in the same unit and in the order of arrival.
pub(super) fn departures(events: impl IntoIterator<Item = (f64, f64)>) -> Vec<f64> {
    let mut free = f64::NEG_INFINITY;
    let depart = |(arrival, service): (f64, f64)| {
        free = free.max(arrival) + service;
        free
    };
    events.into_iter().map(depart).collect()
}

/// Mean response time of a queue with Poisson arrivals and a service time that is always the same (M/D/1): a special case of the
/// Pollaczek–Khinchine formula.
pub(super) fn mean_of_fixed(utilisation: f64, service: f64) -> f64 {
    service + utilisation * service / (2.0 * (1.0 - utilisation))
}

/// The same with exponential service times (M/M/1).
pub(super) fn mean_of_exponential(utilisation: f64, service: f64) -> f64 {
    service / (1.0 - utilisation)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn an_event_waits_for_the_one_before_and_no_longer() {
        assert_eq!(departures([(0.0, 2.0), (1.0, 2.0), (5.0, 2.0), (5.5, 0.5)]), [2.0, 4.0, 7.0, 7.5]);
        assert!(departures([]).is_empty());
    }

    /// Mean response time of many events by the recursion.
    fn simulated(utilisation: f64, exponential: bool) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut drawn = |mean: f64| -mean * (1.0 - rng.random::<f64>()).ln();
        let mut now = 0.0;
        let events: Vec<(f64, f64)> = (0..400_000)
            .map(|_| {
                now += drawn(1.0 / utilisation);
                (now, if exponential { drawn(1.0) } else { 1.0 })
            })
            .collect();
        let ended = departures(events.iter().copied());
        events.iter().zip(ended).map(|((arrival, _), end)| end - arrival).sum::<f64>() / events.len() as f64
    }

    #[test]
    fn its_means_are_those_of_the_known_queues() {
        for utilisation in [0.3, 0.5, 0.7] {
            let fixed = simulated(utilisation, false) / mean_of_fixed(utilisation, 1.0);
            let exponential = simulated(utilisation, true) / mean_of_exponential(utilisation, 1.0);
            assert!(
                (fixed - 1.0).abs() < 0.03 && (exponential - 1.0).abs() < 0.03,
                "{utilisation}: {fixed} {exponential}"
            );
        }
    }
}
