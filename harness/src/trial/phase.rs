//! The phases of a trial as data: what is offered, for how long, what for, and what is broken meanwhile.

use std::sync::Arc;
use std::time::Duration;

use crate::record::PhaseKind;
use crate::scenario::Fault;
use crate::workload::{
    Arrivals, Keys, Plan, PlanError, PlanSpec, Segment, due_times, plan::VALUE_BYTES_DEFAULT,
};

/// One phase, before it is run.
#[derive(Clone, Debug)]
pub(crate) struct PhaseSpec {
    /// What it is for; its name as well, since a trial has one phase of a kind.
    pub(crate) kind: PhaseKind,
    /// What is offered.
    pub(crate) offer: Offer,
    /// The smallest sustained capacity of those that are compared, events/s: by it the peak of a surge is judged.
    pub(crate) capacity_per_s: Option<f64>,
    /// What breaks meanwhile, in an open loop.
    pub(crate) faults: Vec<Fault>,
}

impl PhaseSpec {
    /// Events of a backlog; 0 of what is sent meanwhile.
    pub(crate) fn events(&self) -> u64 {
        match self.offer {
            Offer::Backlog { events } => events,
            Offer::ClosedLoop { .. } | Offer::Schedule(_) => 0,
        }
    }

    /// How long what is offered by a schedule takes; no time at all where there is none.
    pub(crate) fn length(&self) -> Duration {
        match &self.offer {
            Offer::Backlog { .. } | Offer::ClosedLoop { .. } => Duration::ZERO,
            Offer::Schedule(segments) => segments.iter().map(|segment| segment.length).sum(),
        }
    }

    /// A phase in which nothing is broken.
    pub(crate) fn new(kind: PhaseKind, offer: Offer) -> Self {
        Self { kind, offer, capacity_per_s: None, faults: Vec::new() }
    }
}

/// What a phase offers.
#[derive(Clone, Debug)]
pub(crate) enum Offer {
    /// So many events, all of them in the log before the first is fetched. Consumers that can't be held get them as fast as
    /// the producer takes them.
    Backlog {
        /// Events.
        events: u64,
    },
    /// A closed loop: one event is sent for each that becomes visible.
    ClosedLoop {
        /// Events sent and not yet visible, at most, as the time in which the trial's drain worked off so many.
        in_flight: Duration,
        /// What is sent at first and not counted.
        settle: Duration,
        /// What is counted.
        counted: Duration,
        /// Events that there are to send.
        events: u64,
    },
    /// An open loop by a schedule.
    Schedule(Vec<Segment>),
}

/// How events are drawn, the same in every phase of a run.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// How orders are drawn.
    pub keys: Keys,
    /// Orders of a phase; `None` for events ÷ `events_per_order`.
    pub orders: Option<u32>,
    /// Mean events an order, where `orders` is not given.
    pub events_per_order: u32,
    /// When events of an open loop are due.
    pub arrivals: Arrivals,
}

/// A phase and its events, which depend on the round's seed alone: they are the same in every configuration.
#[derive(Clone)]
pub(crate) struct PlannedPhase {
    pub(crate) spec: PhaseSpec,
    pub(crate) plan: Arc<Plan>,
}

/// Plans the phases of a round.
///
/// # Errors
/// [`PlanError`] where a draw is impossible.
pub(crate) fn plan(phases: Vec<PhaseSpec>, draw: Draw, seed: u64) -> Result<Vec<PlannedPhase>, PlanError> {
    phases.into_iter().map(|spec| planned(spec, draw, seed)).collect()
}

fn planned(spec: PhaseSpec, draw: Draw, seed: u64) -> Result<PlannedPhase, PlanError> {
    let prefix = prefix(spec.kind);
    let plan = match &spec.offer {
        Offer::Backlog { events } | Offer::ClosedLoop { events, .. } => {
            let events = *events as usize;
            Plan::backlog(&of(draw, prefix, seed, events), events)?
        }
        Offer::Schedule(segments) => {
            let due = due_times(segments, draw.arrivals, seed);
            Plan::new(&of(draw, prefix, seed, due.len()), &due)?
        }
    };
    Ok(PlannedPhase { spec, plan: Arc::new(plan) })
}

/// What the order ids of a phase begin with, so that no two phases share an order.
fn prefix(kind: PhaseKind) -> &'static str {
    match kind {
        PhaseKind::WarmUp => "w",
        PhaseKind::Drain => "d",
        PhaseKind::Sustained => "c",
        PhaseKind::Steady => "s",
        PhaseKind::Surge => "u",
        PhaseKind::Scenario => "f",
    }
}

fn of(draw: Draw, prefix: &'static str, seed: u64, events: usize) -> PlanSpec<'static> {
    let events_per_order = match draw.orders {
        Some(orders) => events.div_ceil(orders as usize).max(1) as u32,
        None => draw.events_per_order,
    };
    PlanSpec { prefix, events_per_order, keys: draw.keys, value_bytes: VALUE_BYTES_DEFAULT, seed }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAW: Draw =
        Draw { keys: Keys::Uniform, orders: None, events_per_order: 5, arrivals: Arrivals::Constant };

    #[test]
    fn a_round_is_the_same_for_every_configuration_and_no_two_phases_share_an_order() {
        let phases = || {
            let steady = Segment { rate_per_s: 100.0, length: Duration::from_secs(1) };
            vec![
                PhaseSpec::new(PhaseKind::Drain, Offer::Backlog { events: 20 }),
                PhaseSpec::new(PhaseKind::Steady, Offer::Schedule(vec![steady])),
            ]
        };
        let (one, again) = (plan(phases(), DRAW, 7).unwrap(), plan(phases(), DRAW, 7).unwrap());
        assert_eq!(one[0].plan, again[0].plan);
        assert_eq!((one[0].plan.events.len(), one[1].plan.events.len()), (20, 100));
        assert!(one[0].plan.orders.iter().all(|order| !one[1].plan.orders.contains(order)));
    }

    #[test]
    fn a_number_of_orders_is_kept() {
        let draw = Draw { orders: Some(3), ..DRAW };
        let phases = plan(vec![PhaseSpec::new(PhaseKind::Drain, Offer::Backlog { events: 20 })], draw, 1);
        assert_eq!(phases.unwrap()[0].plan.orders.len(), 3);
    }
}
