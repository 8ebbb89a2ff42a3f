//! The three phases of a trial as plans: what is due when.

use std::sync::Arc;
use std::time::Duration;

use super::options::Options;
use super::rates::Rates;
use crate::workload::{Plan, PlanError, PlanSpec, Segment, due_times, plan::VALUE_BYTES_DEFAULT};

/// What a worker that can't be held works through first; not measured.
pub(super) const WARM_UP: &str = "warm-up";
/// A phase's name, as it stands in a result's lag series.
pub(super) const DRAIN: &str = "drain";
/// Open loop at one rate.
pub(super) const STEADY: &str = "steady";
/// Base, peak, base.
pub(super) const SURGE: &str = "surge";

/// The plans of one trial; the same in every configuration of a round, since they depend on its seed alone.
#[derive(Clone)]
pub(super) struct Plans {
    /// Left out where a worker can be held, and where none was asked for.
    pub(super) warm_up: Option<Arc<Plan>>,
    pub(super) drain: Arc<Plan>,
    /// Left out of a warm-up trial.
    pub(super) steady: Option<Arc<Plan>>,
    /// Left out where no rate separates the configurations.
    pub(super) surge: Option<Arc<Plan>>,
}

impl Plans {
    pub(super) fn of_round(options: &Options, rates: &Rates, seed: u64) -> Result<Self, PlanError> {
        let steady = scheduled(
            options,
            "s",
            seed,
            &[Segment { rate_per_s: rates.steady_per_s, length: rates.steady }],
        )?;
        let surge = rates.surge.as_ref().map(|surge| {
            let base =
                Segment { rate_per_s: surge.base_per_s, length: Duration::from_secs_f64(surge.base_s) };
            let peak =
                Segment { rate_per_s: surge.peak_per_s, length: Duration::from_secs_f64(surge.peak_s) };
            scheduled(options, "u", seed, &[base, peak, base])
        });
        Ok(Self {
            steady: Some(steady),
            surge: surge.transpose()?,
            ..Self::backlog(options, rates.drain_events, seed)?
        })
    }

    /// A drain alone, for the warm-up.
    pub(super) fn backlog(options: &Options, events: u64, seed: u64) -> Result<Self, PlanError> {
        let events = events as usize;
        let drain = Plan::backlog(&spec(options, "d", seed, events), events)?;
        Ok(Self { warm_up: None, drain: Arc::new(drain), steady: None, surge: None })
    }

    /// The same with what the worker works through first.
    pub(super) fn warmed_up(self, options: &Options, seed: u64) -> Result<Self, PlanError> {
        let events = options.worker_warm_up as usize;
        if events == 0 {
            return Ok(self);
        }
        let warm_up = Plan::backlog(&spec(options, "w", seed, events), events)?;
        Ok(Self { warm_up: Some(Arc::new(warm_up)), ..self })
    }
}

fn scheduled(
    options: &Options,
    prefix: &str,
    seed: u64,
    segments: &[Segment],
) -> Result<Arc<Plan>, PlanError> {
    let due = due_times(segments, options.arrivals, seed);
    Ok(Arc::new(Plan::new(&spec(options, prefix, seed, due.len()), &due)?))
}

fn spec<'a>(options: &Options, prefix: &'a str, seed: u64, events: usize) -> PlanSpec<'a> {
    let events_per_order = match options.orders {
        Some(orders) => events.div_ceil(orders as usize).max(1) as u32,
        None => options.events_per_order,
    };
    PlanSpec { prefix, events_per_order, keys: options.keys, value_bytes: VALUE_BYTES_DEFAULT, seed }
}
