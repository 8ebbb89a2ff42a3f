//! From (order, revision) to an event's index.

use std::collections::HashMap;

use payment_delivery::event::{OrderId, Revision};

use lanebench_workload::Plan;

/// Where each order's events are.
#[derive(Default)]
pub(super) struct OrderIndex {
    orders: HashMap<OrderId, Span>,
    /// Event indices, order by order, by revision.
    events: Vec<u32>,
}

struct Span {
    phase: usize,
    first: usize,
    len: usize,
}

/// One order's events.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    /// The phase that holds the order.
    pub(super) phase: usize,
    /// Indices of its events; revision 1 comes first.
    events: &'a [u32],
}

impl OrderIndex {
    /// Adds the events of a phase, the first of which has the index `first`; gives back an order that is already known.
    pub(super) fn add(&mut self, phase: usize, first: usize, plan: &Plan) -> Result<(), OrderId> {
        let mut counts = vec![0usize; plan.orders.len()];
        for event in &plan.events {
            counts[event.order as usize] += 1;
        }
        let mut next = self.events.len();
        let firsts: Vec<usize> = counts
            .iter()
            .map(|count| {
                let first = next;
                next += count;
                first
            })
            .collect();
        self.events.resize(next, 0);
        for (event, index) in plan.events.iter().zip(first..) {
            let slot = firsts[event.order as usize] + event.revision as usize - 1;
            self.events[slot] = u32::try_from(index).expect("a trial has fewer than 2^32 events");
        }
        for ((order_id, first), len) in plan.orders.iter().zip(firsts).zip(counts) {
            if self.orders.insert(order_id.clone(), Span { phase, first, len }).is_some() {
                return Err(order_id.clone());
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, order_id: &OrderId) -> Option<Order<'_>> {
        let span = self.orders.get(order_id)?;
        Some(Order { phase: span.phase, events: &self.events[span.first..span.first + span.len] })
    }
}

impl<'a> Order<'a> {
    pub(super) fn event(self, revision: Revision) -> Option<usize> {
        let place = (revision as usize).checked_sub(1)?;
        self.events.get(place).map(|&index| index as usize)
    }

    /// The events of revisions 1 to `revision`, the last first; a revision above the last planned one means all.
    pub(super) fn down_from(self, revision: Revision) -> impl Iterator<Item = usize> + 'a {
        let top = (revision as usize).min(self.events.len());
        self.events[..top].iter().rev().map(|&index| index as usize)
    }
}
