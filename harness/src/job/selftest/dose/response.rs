//! What came of the doses: at which stage, by what slope, and how often an interval held.

use serde::Serialize;

use super::{DOSES, DoseTrial, DosedPlace, PLACES};
use crate::stats::estimate;

/// An interval is that of so many rounds, as in the shortest comparison.
const ROUNDS_OF_AN_INTERVAL: usize = 4;
/// Rounds of which intervals are made; the rest count for slope and place.
const MOST_ROUNDS: usize = 16;
/// The slope of what is measured over what was added is 1, but for so much.
pub const SLOPE_WITHIN: f64 = 0.1;
/// So many of all intervals hold what was added.
pub const COVERAGE_MIN: f64 = 0.93;
const CONFIDENCE: f64 = 0.95;

/// What came of one place.
#[derive(Clone, Debug, Serialize)]
pub struct DoseResponse {
    /// The place.
    pub place: DosedPlace,
    /// The stage whose median grew most at the largest dose.
    pub attributed_to: DosedPlace,
    /// The slope of what was measured there over what was added (least squares, through the origin); none of commits.
    pub slope: Option<f64>,
    /// Intervals that hold what was added.
    pub covered: usize,
    /// All intervals: of each four of the rounds.
    pub intervals: usize,
    /// Mean lag, in records, without a dose and with each.
    pub lag_records: [f64; 4],
}

/// What came of each place, given all trials.
pub(in crate::job::selftest) fn responses(ran: &[DoseTrial]) -> Vec<DoseResponse> {
    if ran.is_empty() {
        return Vec::new();
    }
    PLACES.into_iter().map(|place| response(place, ran)).collect()
}

fn response(place: DosedPlace, ran: &[DoseTrial]) -> DoseResponse {
    let rounds = ran.iter().map(|trial| trial.round).max().unwrap_or(0);
    let find =
        |round: u32, dose: f64| ran.iter().find(|t| t.round == round && t.place == place && t.dose == dose);
    let pairs =
        |dose: f64| (1..=rounds).filter_map(move |round| Some((find(round, 0.0)?, find(round, dose)?)));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let growth = |stage: DosedPlace| {
        let grown = pairs(DOSES[2]).map(|(none, dosed)| dosed.stages_ms.at(stage) - none.stages_ms.at(stage));
        mean(&grown.collect::<Vec<_>>())
    };
    let attributed_to = PLACES.into_iter().max_by(|a, b| growth(*a).total_cmp(&growth(*b))).unwrap_or(place);
    let (mut over, mut under) = (0.0, 0.0);
    let (mut covered, mut intervals) = (0, 0);
    for dose in DOSES {
        let mut ratios = Vec::new();
        for (none, dosed) in pairs(dose) {
            let (before, after) = (none.stages_ms.at(place), dosed.stages_ms.at(place));
            let added = dosed.waited_ms - none.waited_ms;
            over += added * (after - before);
            under += added * added;
            ratios.push(after / (before + added));
        }
        for some in sets(&ratios, ROUNDS_OF_AN_INTERVAL) {
            let interval = estimate(&some, CONFIDENCE);
            if let (Some(low), Some(high)) = (interval.low, interval.high) {
                intervals += 1;
                covered += usize::from(low <= 1.0 && 1.0 <= high);
            }
        }
    }
    let lag = |dose: f64| {
        let of = (1..=rounds).filter_map(|round| find(round, dose));
        mean(&of.map(|trial| trial.lag_records).collect::<Vec<_>>())
    };
    let of_a_stage = place != DosedPlace::Commit;
    DoseResponse {
        place,
        attributed_to,
        slope: of_a_stage.then_some(over / under),
        covered,
        intervals,
        lag_records: [lag(0.0), lag(DOSES[0]), lag(DOSES[1]), lag(DOSES[2])],
    }
}

/// Every choice of so many of the values.
fn sets(values: &[f64], size: usize) -> Vec<Vec<f64>> {
    let chosen = |mask: &u32| mask.count_ones() as usize == size;
    let of = |mask: u32| {
        values.iter().enumerate().filter(|(n, _)| mask & (1 << n) != 0).map(|(_, v)| *v).collect()
    };
    (0..1_u32 << values.len().min(MOST_ROUNDS)).filter(chosen).map(of).collect()
}

/// Whether each place's dose came out there, as much as was added, and intervals hold as often as they say.
pub(in crate::job::selftest) fn passed(responses: &[DoseResponse]) -> bool {
    let right = |response: &DoseResponse| match response.slope {
        Some(slope) => response.attributed_to == response.place && (slope - 1.0).abs() <= SLOPE_WITHIN,
        None => response.lag_records.is_sorted(),
    };
    let covered: usize = responses.iter().map(|response| response.covered).sum();
    let intervals: usize = responses.iter().map(|response| response.intervals).sum();
    responses.iter().all(right) && covered as f64 >= COVERAGE_MIN * intervals as f64
}

#[cfg(test)]
mod tests {
    use super::super::StageMedians;
    use super::*;

    /// Trials of so many rounds in which a part of what is added comes out, some of it elsewhere.
    fn trials(comes_out: f64, elsewhere: f64) -> Vec<DoseTrial> {
        let mut ran = Vec::new();
        for round in 1..=8 {
            let noise = 1.0 + 0.01 * f64::from(round % 3);
            let none = StageMedians { sender: 0.1, ack: 1.0, fetch: 0.3, store: 0.5, view: 0.2 };
            let none = StageMedians { store: none.store * noise, ..none };
            let trial = |place, dose, waited_ms, stages_ms| {
                let lag_records = if place == DosedPlace::Commit { 4.0 + 10.0 * dose } else { 4.0 };
                DoseTrial { round, place, dose, waited_ms, stages_ms, lag_records }
            };
            for place in PLACES {
                for dose in [0.0, DOSES[0], DOSES[1], DOSES[2]] {
                    let added = dose * 20.0;
                    let (here, there) = (added * comes_out, added * elsewhere);
                    let mut stages = none;
                    match place {
                        DosedPlace::Sender => stages.sender += here,
                        DosedPlace::Ack => stages.ack += here,
                        DosedPlace::Fetch => stages.fetch += here,
                        DosedPlace::Store => stages.store += here * noise,
                        DosedPlace::View => stages.view += here,
                        DosedPlace::Commit => {}
                    }
                    if place == DosedPlace::View {
                        stages.store += there;
                    }
                    ran.push(trial(place, dose, 20.0 + added, stages));
                }
            }
        }
        ran
    }

    #[test]
    fn what_is_added_comes_out_where_it_was_added() {
        let sound = responses(&trials(1.0, 0.0));
        assert!(passed(&sound), "{sound:?}");
        assert!(sound[0].slope.is_some_and(|slope| (slope - 1.0).abs() < 1e-9), "{sound:?}");
        assert_eq!((sound[3].intervals, sound[5].slope, sound[5].lag_records[3]), (3 * 70, None, 6.0));
    }

    #[test]
    fn a_part_of_it_or_another_place_is_not_enough() {
        assert!(!passed(&responses(&trials(0.8, 0.0))), "a fifth is lost");
        let astray = responses(&trials(1.0, 1.5));
        assert!(!passed(&astray) && astray[4].attributed_to == DosedPlace::Store, "{astray:?}");
    }
}
