//! From the rates of each round to limits, and which of several sizes is the ceiling. Pure.

use std::collections::BTreeMap;

use super::measurement::Measurement;
use crate::record::limits::Limit;
use crate::stats::estimate;

/// Confidence of the intervals.
const CONFIDENCE: f64 = 0.95;

/// A measurement, and what its rounds gave so far.
pub(in crate::job) struct Tally {
    pub(in crate::job) measurement: Measurement,
    /// Each with the rates of the rounds.
    limits: Vec<(Limit, Vec<f64>)>,
}

impl Tally {
    /// Without a round yet; `not_measured` says why there will be none.
    pub(in crate::job) fn new(measurement: Measurement, not_measured: Option<&str>) -> Self {
        let limits = measurement.limits().into_iter().map(|limit| {
            let not_measured = not_measured.map(str::to_owned);
            (Limit { not_measured, ..limit }, Vec::new())
        });
        Self { measurement, limits: limits.collect() }
    }

    /// Whether it can be measured.
    pub(super) fn is_measured(&self) -> bool {
        self.limits.iter().all(|(limit, _)| limit.not_measured.is_none())
    }

    /// A round's rates, one for each limit.
    pub(in crate::job) fn add(&mut self, rates: &[f64]) {
        for ((_, of_rounds), rate) in self.limits.iter_mut().zip(rates) {
            of_rounds.push(*rate);
        }
    }
}

/// The limits of all rounds so far.
pub(in crate::job) fn limits(tallies: &[Tally]) -> Vec<Limit> {
    let estimated = |(limit, rates): &(Limit, Vec<f64>)| Limit {
        estimate: (!rates.is_empty()).then(|| estimate(rates, CONFIDENCE)),
        ..limit.clone()
    };
    let mut limits: Vec<Limit> = tallies.iter().flat_map(|tally| &tally.limits).map(estimated).collect();
    mark_ceilings(&mut limits);
    limits
}

/// Marks the highest of those limits that differ in the size of a call alone.
fn mark_ceilings(limits: &mut [Limit]) {
    let mut highest = BTreeMap::new();
    for (index, limit) in limits.iter().enumerate() {
        let Some(estimate) = &limit.estimate else { continue };
        let alike = (limit.name.clone(), limit.connections, limit.partitions, limit.replication);
        let known = highest.entry(alike).or_insert((index, estimate.value));
        if estimate.value > known.1 {
            *known = (index, estimate.value);
        }
    }
    for (index, _) in highest.into_values() {
        limits[index].is_ceiling = true;
    }
}

#[cfg(test)]
mod tests {
    use super::super::measurement::{BULK_ROWS, Replicas};
    use super::*;

    fn bulk() -> Vec<Tally> {
        BULK_ROWS.map(|rows| Tally::new(Measurement::StoreBulk { rows, connections: 1 }, None)).into()
    }

    #[test]
    fn the_best_of_the_sizes_is_the_ceiling() {
        let mut tallies = bulk();
        let rounds =
            [[100.0, 300.0, 500.0, 200.0], [120.0, 900.0, 520.0, 210.0], [110.0, 60.0, 510.0, 190.0]];
        for rates in rounds {
            for (tally, rate) in tallies.iter_mut().zip(rates) {
                tally.add(&[rate]);
            }
        }
        let limits = limits(&tallies);
        let ceilings: Vec<Option<u32>> =
            limits.iter().filter(|limit| limit.is_ceiling).map(|limit| limit.per_call).collect();
        assert_eq!(ceilings, [Some(1_000)], "the geometric mean decides, and not the best round");
        let estimate = limits[2].estimate.as_ref().unwrap();
        assert_eq!((estimate.n, estimate.values.as_slice()), (3, [500.0, 520.0, 510.0].as_slice()));
        assert!(estimate.low.unwrap() < estimate.value && estimate.value < estimate.high.unwrap());
    }

    #[test]
    fn each_number_of_connections_has_a_ceiling_of_its_own() {
        let mut tallies = [2, 3].map(|connections| Tally::new(Measurement::Store { connections }, None));
        tallies.iter_mut().zip([50.0, 70.0]).for_each(|(tally, rate)| tally.add(&[rate]));
        let ceilings = limits(&tallies).iter().filter(|limit| limit.is_ceiling).count();
        assert_eq!(ceilings, 2, "both are called store_N");
    }

    #[test]
    fn what_is_not_measured_has_a_reason_and_no_number() {
        let mut tallies = vec![Tally::new(Measurement::Fsync, Some("no disk"))];
        let replicas = Replicas { replication: 3, min_isr: 2 };
        tallies.push(Tally::new(Measurement::Broker { partitions: 1, replicas }, None));
        tallies[1].add(&[10.0, 20.0]);
        assert!(!tallies[0].is_measured() && tallies[1].is_measured());
        let limits = limits(&tallies);
        assert_eq!(limits[0].not_measured.as_deref(), Some("no disk"));
        assert!(limits[0].estimate.is_none() && !limits[0].is_ceiling);
        assert!(limits[1..].iter().all(|limit| limit.is_ceiling && limit.not_measured.is_none()));
        assert_eq!(limits[2].estimate.as_ref().unwrap().values, [20.0]);
    }
}
