//! From an order and a revision to the event of a phase.

use payment_delivery::event::Revision;

use lanebench_workload::Plan;

/// The events of one phase, by order. Indices are those of the plan.
pub(super) struct OrderIndex {
    /// Where the events of each order begin in `events`; behind them, where the last one's end.
    firsts: Vec<u32>,
    /// Event indices, order by order, by revision.
    events: Vec<u32>,
}

/// Indices of an order's events; revision 1 comes first.
#[derive(Clone, Copy)]
pub(super) struct Order<'a>(&'a [u32]);

impl OrderIndex {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut firsts = vec![0u32; plan.orders.len() + 1];
        for event in &plan.events {
            firsts[event.order as usize + 1] += 1;
        }
        let mut begin = 0;
        for first in &mut firsts {
            begin += *first;
            *first = begin;
        }
        let mut events = vec![0; plan.events.len()];
        for (event, index) in plan.events.iter().zip(0..) {
            events[(firsts[event.order as usize] + event.revision) as usize - 1] = index;
        }
        Self { firsts, events }
    }

    /// The events of an order, by its index in the plan.
    pub(super) fn get(&self, order: u32) -> Order<'_> {
        let order = order as usize;
        Order(&self.events[self.firsts[order] as usize..self.firsts[order + 1] as usize])
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
