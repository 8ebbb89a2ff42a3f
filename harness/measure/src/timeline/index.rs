//! From an order and a revision to the event of a phase.

use std::collections::HashMap;

use payment_delivery::event::{OrderId, Revision};

use lanebench_workload::Plan;

/// The events of one phase, by order. Indices are those of the plan.
pub(super) struct OrderIndex {
    orders: HashMap<OrderId, Span>,
    /// Event indices, order by order, by revision.
    events: Vec<u32>,
}

struct Span {
    first: usize,
    len: usize,
}

/// Indices of an order's events; revision 1 comes first.
#[derive(Clone, Copy)]
pub(super) struct Order<'a>(&'a [u32]);

impl OrderIndex {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut counts = vec![0usize; plan.orders.len()];
        for event in &plan.events {
            counts[event.order as usize] += 1;
        }
        let mut next = 0;
        let firsts: Vec<usize> = counts
            .iter()
            .map(|count| {
                let first = next;
                next += count;
                first
            })
            .collect();
        let mut events = vec![0; next];
        for (event, index) in plan.events.iter().zip(0..) {
            events[firsts[event.order as usize] + event.revision as usize - 1] = index;
        }
        let spans = firsts.into_iter().zip(counts).map(|(first, len)| Span { first, len });
        Self { orders: plan.orders.iter().cloned().zip(spans).collect(), events }
    }

    pub(super) fn get(&self, order_id: &OrderId) -> Option<Order<'_>> {
        let span = self.orders.get(order_id)?;
        Some(Order(&self.events[span.first..span.first + span.len]))
    }
}

impl<'a> Order<'a> {
    pub(super) fn event(self, revision: Revision) -> Option<usize> {
        let place = (revision as usize).checked_sub(1)?;
        self.0.get(place).map(|&index| index as usize)
    }

    /// The events of revisions 1 to `revision`, the last first; a revision above the last planned one means all.
    pub(super) fn down_from(self, revision: Revision) -> impl Iterator<Item = usize> + 'a {
        let top = (revision as usize).min(self.0.len());
        self.0[..top].iter().rev().map(|&index| index as usize)
    }
}
