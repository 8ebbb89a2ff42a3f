//! Discarded drains that come first: they wake every component, and their throughput fixes all rates.

use std::time::{Duration, Instant};

use super::ScenarioError;
use super::options::Lanes;
use super::phase::Plans;
use super::trial::{Bench, Contender, Spec};

/// Each later warm-up drain lasts about this long.
const WARM_DRAIN: Duration = Duration::from_millis(1500);
/// Warm-up goes on until no contender's throughput changes by more than this part from one pass to the next …
const STEADY_WITHIN: f64 = 0.15;
/// … or for this long: brokers on a small machine are warm by then, or never.
const WARM_UP_LIMIT: Duration = Duration::from_secs(30);

/// Drains of each contender, pass by pass, until throughput no longer changes, or after the first pass where nothing rests on
/// it (`settles` is false): that wakes the components. The last pass, in events/s.
pub(super) async fn warm_up(
    bench: &Bench<'_>,
    contenders: &[Contender<'_>],
    settles: bool,
    service_time: Duration,
) -> Result<Vec<f64>, ScenarioError> {
    let begun = Instant::now();
    let mut rates: Vec<Option<f64>> = vec![None; contenders.len()];
    for pass in 1.. {
        let mut settled = true;
        for (rate, contender) in rates.iter_mut().zip(contenders) {
            let events = rate.map_or_else(
                || first_events(service_time, contender.lanes),
                |rate| (rate * WARM_DRAIN.as_secs_f64()).clamp(500.0, 50_000.0) as u64,
            );
            let now = drain(bench, contender, pass, events, service_time).await?;
            settled &= rate.is_some_and(|before| (now / before - 1.0).abs() <= STEADY_WITHIN);
            *rate = Some(now);
        }
        if settled || !settles || begun.elapsed() >= WARM_UP_LIMIT {
            break;
        }
    }
    Ok(rates.into_iter().flatten().collect())
}

/// One drain of each contender, in events/s: enough to size a control's backlog on components that are warm.
pub(super) async fn glance(
    bench: &Bench<'_>,
    contenders: &[Contender<'_>],
    events: u64,
    service_time: Duration,
) -> Result<Vec<f64>, ScenarioError> {
    let mut rates = Vec::new();
    for contender in contenders {
        rates.push(drain(bench, contender, 0, events, service_time).await?);
    }
    Ok(rates)
}

/// Enough to wake every component, and, where each event takes a known time, no more than this takes.
fn first_events(service_time: Duration, lanes: Lanes) -> u64 {
    const FIRST: u64 = 1500;
    if service_time.is_zero() {
        return FIRST;
    }
    let lanes = lanes.consumers.min(lanes.partitions.unsigned_abs());
    let known = WARM_DRAIN.as_secs_f64() / service_time.as_secs_f64() * f64::from(lanes);
    (known as u64).clamp(100, FIRST)
}

async fn drain(
    bench: &Bench<'_>,
    contender: &Contender<'_>,
    pass: u32,
    events: u64,
    service_time: Duration,
) -> Result<f64, ScenarioError> {
    let seed = u64::from(pass);
    let plans = bench.plans(Plans::backlog(bench.options, events, seed)?, contender, seed)?;
    let spec = Spec {
        name: format!("w{pass}.{}", contender.name),
        title: format!("warm-up, {}", contender.name),
        contender,
        round: 0,
        position: 0,
        seed,
        plans: &plans,
        rates: None,
        service_time,
    };
    let of = |error| match error {
        error @ (ScenarioError::Process(_) | ScenarioError::NotJoined { .. }) => {
            ScenarioError::Of { who: contender.name.clone(), source: Box::new(error) }
        }
        error => error,
    };
    let trial = bench.trial(&spec).await.map_err(of)?;
    if trial.throughput_per_s > 0.0 {
        Ok(trial.throughput_per_s)
    } else {
        Err(ScenarioError::Load(format!("the warm-up of {} made no event visible", contender.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modelled_call_shortens_the_first_drain() {
        let lanes = |text: &str| text.parse().unwrap();
        assert_eq!(first_events(Duration::ZERO, lanes("1p1c")), 1500);
        assert_eq!(first_events(Duration::from_millis(2), lanes("1p1c")), 750);
        assert_eq!(first_events(Duration::from_millis(2), lanes("3p3c")), 1500, "no more than without");
        assert_eq!(first_events(Duration::from_secs(1), lanes("1p1c")), 100, "and never next to none");
    }
}
