//! The timeline as the pipeline's probe. Runs on the consumers' own loops: it must stay well below a microsecond.

use std::sync::atomic::Ordering;
use std::time::Duration;

use payment_delivery::event::Revision;
use payment_delivery::failure::Component;
use payment_delivery::kafka::Origin;
use payment_delivery::probe::{Activity, Probe, Seen, Worked};

use super::index::Order;
use super::journal::{Commit, DeadLetter, Delivery, Ownership, Skipped};
use super::{EventMilestones, Milestone, Phase, Timeline};

impl Probe for Timeline {
    fn fetched(&self, seen: Seen<'_>) {
        let (index, at_ns) = self.write_down(seen, |journal, delivery| journal.deliveries.push(delivery));
        if let Some(index) = index {
            self.event(index).fetched.pass(at_ns);
        }
    }

    fn stored(&self, seen: Seen<'_>) {
        self.stored_at(seen, self.clock.now_ns());
    }

    fn visible(&self, seen: Seen<'_>, in_view: Revision) {
        self.visible_at(seen, in_view, self.clock.now_ns());
    }

    fn parked(&self, seen: Seen<'_>) {
        self.write_down(seen, |journal, delivery| journal.parked.push(delivery));
    }

    fn dead_lettered(&self, consumer: &str, origin: Origin, reason: &str) {
        let (at_ns, consumer) = self.now_and_number(consumer);
        self.lock_journal().dead_letters.push(DeadLetter { at_ns, origin, consumer, reason: reason.into() });
    }

    fn spent(&self, consumer: &str, activity: Activity, spent: Duration) {
        self.consumers.spent(consumer, activity, spent, self.clock.now_ns());
    }

    fn served(&self, _consumer: &str, took: Duration) {
        self.consumers.served(took);
    }

    fn worked(&self, worked: Worked<'_>) {
        self.consumers.worked(worked.consumer, worked.waited, worked.took, self.clock.now_ns());
    }

    fn assigned(&self, consumer: &str, partitions: &[i32]) {
        let (at_ns, number) = self.now_and_number(consumer);
        let mut journal = self.lock_journal();
        journal.owned.insert(consumer.into(), partitions.into());
        journal.ownership.push(Ownership {
            at_ns,
            consumer: number,
            partitions: partitions.into(),
            lost: false,
        });
        drop(journal);
        self.changed.notify_waiters();
    }

    fn released(&self, consumer: &str, lost: bool) {
        let (at_ns, number) = self.now_and_number(consumer);
        let mut journal = self.lock_journal();
        journal.owned.remove(consumer);
        journal.ownership.push(Ownership { at_ns, consumer: number, partitions: Vec::new(), lost });
        drop(journal);
        self.changed.notify_waiters();
    }

    fn committed(&self, consumer: &str, partition: i32, next_offset: i64) {
        let (at_ns, consumer) = self.now_and_number(consumer);
        self.lock_journal().commits.push(Commit { at_ns, consumer, partition, next_offset });
    }

    fn skipped(&self, consumer: &str, partition: i32, from: i64, to: i64) {
        let (_, consumer) = self.now_and_number(consumer);
        self.lock_journal().skipped.push(Skipped { consumer, partition, from, to });
    }

    fn retried(&self, consumer: &str, component: Component, error: &str) {
        let (_, consumer) = self.now_and_number(consumer);
        let mut journal = self.lock_journal();
        let retries = journal.retries.entry((consumer, component)).or_default();
        retries.count += 1;
        retries.last_error.clear();
        retries.last_error.push_str(error);
    }
}

impl Timeline {
    /// A row of this revision was committed at `at_ns`.
    pub(super) fn stored_at(&self, seen: Seen<'_>, at_ns: u64) {
        if let Some((phase, order)) = self.order(seen.order_id) {
            phase.pass_down(order, seen.revision, at_ns, |event| &event.stored, |_| ());
        }
    }

    /// The view acknowledged `in_view` at `at_ns`.
    pub(super) fn visible_at(&self, seen: Seen<'_>, in_view: Revision, at_ns: u64) {
        let Some((phase, order)) = self.order(seen.order_id) else {
            return;
        };
        if in_view > seen.revision {
            // The view shows what a row holds: what lies above this event was a parked run, stored together with it.
            let stored = order.event(seen.revision).and_then(|index| phase.events[index].stored.get());
            phase.pass_down(order, in_view, stored.unwrap_or(at_ns), |event| &event.stored, |_| ());
        }
        let consumer = self.consumers.number(seen.consumer);
        let mut count = 0;
        phase.pass_down(
            order,
            in_view,
            at_ns,
            |event| &event.visible,
            |event| {
                event.made_visible_by(consumer);
                count += 1;
            },
        );
        self.count_visible(phase, count);
    }

    /// Counts events of a phase that have just become visible, and wakes who waits for the last of them.
    pub(super) fn count_visible(&self, phase: &Phase, count: usize) {
        let offered = phase.offered.load(Ordering::Acquire);
        if count > 0 && phase.visible.fetch_add(count, Ordering::AcqRel) + count >= offered {
            self.changed.notify_waiters();
        }
    }

    /// Writes a message down in the journal; its index, if it was planned, and the moment.
    fn write_down(
        &self,
        seen: Seen<'_>,
        write: impl FnOnce(&mut super::Journal, Delivery),
    ) -> (Option<usize>, u64) {
        let index = self.index_of(seen.order_id, seen.revision);
        let consumer = self.consumers.number(seen.consumer);
        let mut journal = self.lock_journal();
        let event = journal.event(index, seen.order_id, seen.revision);
        // Read within the lock, so that times keep the journal's order.
        let at_ns = self.clock.now_ns();
        write(&mut journal, Delivery { origin: seen.origin, event, consumer });
        (index, at_ns)
    }

    fn now_and_number(&self, consumer: &str) -> (u64, u32) {
        (self.clock.now_ns(), self.consumers.number(consumer))
    }
}

impl Phase {
    /// Passes a milestone for a revision and for all before it that have not passed it.
    ///
    /// A later revision supersedes the earlier ones, so what has passed is always a run from revision 1 and the walk
    /// ends at the first event that did: each event is written once, whatever is folded, parked or delivered again.
    pub(super) fn pass_down(
        &self,
        order: Order<'_>,
        revision: Revision,
        at_ns: u64,
        milestone: impl Fn(&EventMilestones) -> &Milestone,
        mut each: impl FnMut(&EventMilestones),
    ) {
        for index in order.down_from(revision) {
            let event = &self.events[index];
            if !milestone(event).pass(at_ns) {
                break;
            }
            each(event);
        }
    }
}
