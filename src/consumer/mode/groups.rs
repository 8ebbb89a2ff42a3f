//! Groups of events on their way into store and view: one is in flight while the next gathers.
//!
//! Consecutive events of one order are folded to the last of them. Folds that follow their rows go into the store by one statement, in one
//! durable transaction, and their statuses into the view by one pipeline. Everything else goes event by event, as in record mode: a
//! redelivery, a gap, what overlaps with its row, what follows a gap within the group, and all of a group of which the store refuses
//! something.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use super::attempts::{Attempted, attempts};
use super::steps::{Steps, Stored};
use crate::consumer::ConsumerError;
use crate::delivery::{Fold, StatusEntry};
use crate::event::{OrderId, PaymentEvent};
use crate::failure::Component;
use crate::kafka::{Fetched, Origin};
use crate::probe::Activity;

/// The group in flight is polled once for so many messages that are gathered.
const NUDGE_EVERY: usize = 64;

/// The work on a group, under way.
type Work = Pin<Box<dyn Future<Output = Result<(), ConsumerError>> + Send>>;

/// An event in hand.
pub(super) struct Taken {
    pub(super) event: PaymentEvent,
    /// Its message, for the dead-letter topic.
    pub(super) fetched: Fetched,
}

impl Taken {
    fn origin(&self) -> Origin {
        self.fetched.origin
    }

    /// Bytes of what its message holds.
    pub(super) fn bytes(&self) -> usize {
        self.fetched.message.bytes()
    }
}

/// Messages that are worked off together.
#[derive(Default)]
struct Group {
    events: Vec<Taken>,
    /// Messages that are no events, and why.
    undecodable: Vec<(Fetched, String)>,
    size: Size,
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Size {
    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(super) fn take_off(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }

    /// Whether one of the two is reached.
    pub(super) fn reaches(self, limit: Self) -> bool {
        self.messages >= limit.messages || self.bytes >= limit.bytes
    }
}

/// The group in flight and the one that gathers.
pub(super) struct Groups {
    steps: Arc<Steps>,
    gathered: Group,
    in_flight: Option<(Work, Size)>,
    /// A group, or what comes before it, ended by an error: what follows it comes again, and nothing else is begun.
    has_failed: bool,
}

impl Groups {
    pub(super) fn new(steps: Arc<Steps>) -> Self {
        Self { steps, gathered: Group::default(), in_flight: None, has_failed: false }
    }

    /// Takes a message in hand and reads it; tells the event, if it is one. A message that is none joins the group that gathers.
    pub(super) fn read(&mut self, fetched: Fetched) -> Option<Taken> {
        let (begun, steps, origin) = (Instant::now(), &self.steps, fetched.origin);
        steps.begin(origin);
        let taken = match PaymentEvent::decode(fetched.message.value.as_deref()) {
            Ok(event) => {
                steps.deps.probe.fetched(steps.seen(&event.order_id, event.revision, origin));
                Some(Taken { event, fetched })
            }
            Err(error) => {
                self.gathered.size.add(fetched.message.bytes());
                self.gathered.undecodable.push((fetched, error.to_string()));
                None
            }
        };
        steps.spent(Activity::Own, begun.elapsed());
        taken
    }

    /// The event joins the group that gathers.
    pub(super) fn push(&mut self, taken: Taken) {
        self.gathered.size.add(taken.bytes());
        self.gathered.events.push(taken);
    }

    /// Events of the group that gathers.
    pub(super) fn events(&self) -> &[Taken] {
        &self.gathered.events
    }

    /// How much gathers.
    pub(super) fn gathered(&self) -> Size {
        self.gathered.size
    }

    /// How much is in hand, gathering or in flight.
    pub(super) fn in_hand(&self) -> Size {
        self.gathered.size.and(self.in_flight.as_ref().map_or(Size::default(), |(_, size)| *size))
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether nothing is left that could be begun.
    pub(super) fn is_done(&self) -> bool {
        self.gathered.size.messages == 0 || self.has_failed
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Nothing else is to be begun.
    pub(super) fn fail(&mut self) {
        self.has_failed = true;
    }

    /// Begins with what was gathered, once `before` has ended. Nothing else may be in flight.
    pub(super) async fn start(
        &mut self,
        before: impl Future<Output = Result<(), ConsumerError>> + Send + 'static,
    ) -> Result<(), ConsumerError> {
        debug_assert!(self.in_flight.is_none());
        let (group, steps) = (mem::take(&mut self.gathered), Arc::clone(&self.steps));
        let size = group.size;
        let work = async move {
            before.await?;
            work_off(&steps, group).await
        };
        self.in_flight = Some((Box::pin(work), size));
        self.nudge().await
    }

    /// Lets the group in flight go as far as it can, and does not wait for it.
    async fn nudge(&mut self) -> Result<(), ConsumerError> {
        let Some((work, _)) = &mut self.in_flight else { return Ok(()) };
        match poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
            Poll::Ready(ended) => self.landed(ended),
            Poll::Pending => Ok(()),
        }
    }

    /// The same, once for so many messages that are gathered: else what is in flight would stand still while messages are at hand.
    pub(super) async fn nudge_now_and_then(&mut self) -> Result<(), ConsumerError> {
        if self.gathered.size.messages.is_multiple_of(NUDGE_EVERY) { self.nudge().await } else { Ok(()) }
    }

    /// Waits for the group in flight; at once if there is none. Cancel-safe.
    pub(super) async fn land(&mut self) -> Result<(), ConsumerError> {
        let Some((work, _)) = &mut self.in_flight else { return Ok(()) };
        let ended = work.as_mut().await;
        self.landed(ended)
    }

    fn landed(&mut self, ended: Result<(), ConsumerError>) -> Result<(), ConsumerError> {
        self.in_flight = None;
        self.has_failed |= ended.is_err();
        ended
    }
}

/// All that is to be done with a group.
async fn work_off(steps: &Steps, group: Group) -> Result<(), ConsumerError> {
    let begun = Instant::now();
    let (runs, mut later) = runs(group.events);
    let folds: Vec<(Fold, Origin)> = runs.iter().map(Run::fold).collect();
    steps.spent(Activity::Own, begun.elapsed());
    let rows = store_all(steps, &folds).await?;
    let begun = Instant::now();
    let (mut taken, mut shown, mut singly) = (Vec::new(), Vec::new(), Vec::new());
    for (run, row) in runs.into_iter().zip(rows) {
        match row {
            Some(row) => {
                run.tell_stored(steps, &row);
                taken.push(run);
                shown.push(row);
            }
            None => singly.extend(run.0),
        }
    }
    steps.spent(Activity::Own, begun.elapsed());
    show_all(steps, &taken, &shown).await?;
    // Later events go last, so that each order keeps its sequence.
    singly.append(&mut later);
    for Taken { event, fetched } in singly {
        one(steps, event, &fetched).await?;
    }
    // Last, since a dead-letter topic that is away must hold up nothing that can be stored.
    for (fetched, reason) in &group.undecodable {
        steps.dead_letter(fetched, reason).await?;
    }
    Ok(())
}

/// Brings into the store what of the folds follows its row; tells the rows of these.
async fn store_all(
    steps: &Steps,
    folds: &[(Fold, Origin)],
) -> Result<Vec<Option<StatusEntry>>, ConsumerError> {
    let (probe, store) = (&*steps.deps.probe, &steps.deps.store);
    let stored = attempts(&steps.consumer, probe, Component::Store, || store.apply_all(folds));
    Ok(match steps.awaiting(Activity::Store, stored).await? {
        Attempted::Done(rows) => rows,
        // Which of them it is, is found out event by event.
        Attempted::Refused(_) => vec![None; folds.len()],
    })
}

/// Brings the rows of runs into the view, and completes their events.
async fn show_all(steps: &Steps, runs: &[Run], rows: &[StatusEntry]) -> Result<(), ConsumerError> {
    let in_view = steps.awaiting(Activity::View, steps.show_all(rows)).await?;
    for (run, in_view) in runs.iter().zip(in_view) {
        for taken in &run.0 {
            let seen = steps.seen(&taken.event.order_id, taken.event.revision, taken.origin());
            steps.deps.probe.visible(seen, in_view);
            steps.complete(taken.origin());
        }
    }
    Ok(())
}

/// All that is to be done with an event that goes by itself.
async fn one(steps: &Steps, event: PaymentEvent, fetched: &Fetched) -> Result<(), ConsumerError> {
    let (revision, origin) = (event.revision, fetched.origin);
    match steps.store(event, origin).await? {
        Stored::Refused(reason) => steps.dead_letter(fetched, &reason).await,
        Stored::Nothing => {
            steps.complete(origin);
            Ok(())
        }
        Stored::Row { row, is_new } => {
            steps.awaiting(Activity::View, steps.show(row, is_new, revision, origin)).await
        }
    }
}

/// Consecutive events of one order; at least one.
struct Run(Vec<Taken>);

impl Run {
    fn last(&self) -> &Taken {
        &self.0[self.0.len() - 1]
    }

    fn fold(&self) -> (Fold, Origin) {
        let last = self.last();
        (Fold { first: self.0[0].event.revision, event: last.event.clone() }, last.origin())
    }

    /// Whether an event is the next one, and may be folded over the last: not over one that the store refuses, which would go unnoticed.
    fn goes_on_with(&self, taken: &Taken) -> bool {
        let last = &self.last().event;
        last.revision.checked_add(1) == Some(taken.event.revision) && !last.address.contains('\0')
    }

    /// Tells that its row has all of it.
    fn tell_stored(&self, steps: &Steps, row: &StatusEntry) {
        for taken in &self.0 {
            steps.deps.probe.stored(steps.seen(&taken.event.order_id, taken.event.revision, taken.origin()));
        }
        let Taken { event, fetched } = self.last();
        steps.notice_run(steps.seen(&event.order_id, event.revision, fetched.origin), row);
    }
}

/// The first run of each order, sorted by order, and in their own order the events that go on with none of them.
fn runs(events: Vec<Taken>) -> (Vec<Run>, Vec<Taken>) {
    /// What was met of an order.
    struct Met {
        run: Run,
        /// An event came that does not go on with it: those after that one don't either.
        is_over: bool,
    }
    let (mut orders, mut later) = (BTreeMap::<OrderId, Met>::new(), Vec::new());
    for taken in events {
        match orders.get_mut(&taken.event.order_id) {
            None => {
                let order_id = taken.event.order_id.clone();
                orders.insert(order_id, Met { run: Run(vec![taken]), is_over: false });
            }
            Some(met) if !met.is_over && met.run.goes_on_with(&taken) => met.run.0.push(taken),
            Some(met) => {
                met.is_over = true;
                later.push(taken);
            }
        }
    }
    (orders.into_values().map(|met| met.run).collect(), later)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Revision;
    use crate::kafka::Message;
    use crate::store::contract;

    fn taken(order: &str, revision: Revision) -> Taken {
        let origin = Origin { partition: 0, offset: 0 };
        Taken {
            event: contract::event(order, revision),
            fetched: Fetched { origin, message: Message::default() },
        }
    }

    #[track_caller]
    fn check(events: &[(&str, Revision)], folded: &[(&str, Revision, Revision)], later: &[(&str, Revision)]) {
        let (runs, left) = runs(events.iter().map(|(order, revision)| taken(order, *revision)).collect());
        let folds: Vec<_> = runs.iter().map(|run| run.fold().0).collect();
        let folds = folds.iter().map(|fold| (fold.event.order_id.as_str(), fold.first, fold.last()));
        assert_eq!(folds.collect::<Vec<_>>(), folded);
        let left = left.iter().map(|taken| (taken.event.order_id.as_str(), taken.event.revision));
        assert_eq!(left.collect::<Vec<_>>(), later);
    }

    #[test]
    fn consecutive_events_of_an_order_are_folded_up_to_the_first_gap_or_repeat() {
        check(&[], &[], &[]);
        check(&[("b", 1), ("a", 4), ("b", 2), ("b", 3), ("a", 5)], &[("a", 4, 5), ("b", 1, 3)], &[]);
        check(&[("a", 1), ("a", 3), ("a", 2), ("a", 3)], &[("a", 1, 1)], &[("a", 3), ("a", 2), ("a", 3)]);
        check(
            &[("a", 1), ("a", 2), ("a", 1), ("a", 2), ("a", 3)],
            &[("a", 1, 2)],
            &[("a", 1), ("a", 2), ("a", 3)],
        );
        check(&[("a", u32::MAX), ("a", 1)], &[("a", u32::MAX, u32::MAX)], &[("a", 1)]);
    }
}
