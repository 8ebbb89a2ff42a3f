//! Healthy evidence: what a sound pipeline leaves behind, with all the repeats that are allowed.

use std::collections::BTreeSet;
use std::time::Duration;

use lanebench_result::Verification;
use payment_delivery::delivery::{Delivery, Status, StatusEntry};
use payment_delivery::event::{OrderId, PaymentEvent, Revision};
use payment_delivery::kafka::Origin;
use payment_delivery::store::Parked;
use proptest::prelude::*;

use crate::{
    ApiAnswers, Checker, ContentDigest, DeadLetter, ParkWrite, PartitionEnd, PartitionsAdded, RowWrite, Rules,
};

/// All that is known of a trial, whole, so that it can be spoilt in one way.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub(super) sent: Vec<Sent>,
    pub(super) log: Vec<Logged>,
    pub(super) deliveries: Vec<Seen>,
    pub(super) rows: Vec<Delivery>,
    /// None for those that must have made the rows.
    pub(super) writes: Option<Vec<Write>>,
    pub(super) parked: Vec<Parked>,
    /// None for those that wait.
    pub(super) parks: Option<Vec<Parked>>,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) view: Vec<(OrderId, Option<StatusEntry>)>,
    pub(super) api: Option<ApiAnswers>,
    pub(super) ends: Vec<PartitionEnd>,
    pub(super) keyed: bool,
    pub(super) outside: bool,
    pub(super) allow_parked: bool,
    pub(super) view_emptied: bool,
    pub(super) allow_dead_letters: bool,
    pub(super) partitions_added: Option<PartitionsAdded>,
    pub(super) folds: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) order_id: OrderId,
    pub(super) revision: Revision,
    pub(super) outcome: SendOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendOutcome {
    Acked(Origin),
    /// Refused, or not answered.
    NotAcked,
}

#[derive(Clone, Debug)]
pub(super) struct Logged {
    pub(super) origin: Origin,
    pub(super) key: Option<Vec<u8>>,
    pub(super) event: Option<(OrderId, Revision)>,
}

#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// None where a report does not name it.
    pub(super) order_id: Option<OrderId>,
    pub(super) revision: Revision,
    pub(super) origin: Origin,
    pub(super) consumer: String,
}

#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) order_id: OrderId,
    pub(super) before: Revision,
    pub(super) revision: Revision,
    pub(super) origin: Origin,
    /// The revision whose content it wrote.
    pub(super) says: Revision,
    pub(super) after_commit: Option<Duration>,
}

/// The event of a revision; each says something else.
pub(super) fn event(order_id: OrderId, revision: Revision) -> PaymentEvent {
    let Delivery { order_id, amount_minor, currency, address, .. } = row(order_id, revision, at(0, 0));
    PaymentEvent { order_id, revision, amount_minor, currency, address, paid_at_ms: 0 }
}

pub(super) fn content(revision: Revision) -> ContentDigest {
    ContentDigest::of_event(&event(id(0), revision))
}

impl Evidence {
    /// The writes that must have made the rows, one a revision.
    pub(super) fn sound_writes(&self) -> Vec<Write> {
        let mut writes = Vec::new();
        for row in &self.rows {
            for revision in 1..=row.revision {
                let place = places(self, &row.order_id, revision).first().copied();
                let place = place.or_else(|| acked_at(self, &row.order_id, revision));
                let origin = if revision == row.revision { row.origin } else { place.unwrap_or(row.origin) };
                let order_id = row.order_id.clone();
                let before = revision - 1;
                writes.push(Write { order_id, before, revision, origin, says: revision, after_commit: None });
            }
        }
        writes
    }
}

/// Checks evidence, piece by piece as a trial does.
pub(super) fn verify(evidence: &Evidence) -> Verification {
    let Evidence { keyed, outside, allow_parked, allow_dead_letters, .. } = *evidence;
    let Evidence { view_emptied, partitions_added, folds, .. } = *evidence;
    let rules = Rules {
        keyed,
        outside,
        allow_parked,
        allow_dead_letters,
        view_evicted: 0,
        view_emptied,
        partitions_added,
        folds,
    };
    let mut checker = Checker::new(rules, evidence.sent.iter().map(|sent| (&sent.order_id, sent.revision)));
    for Sent { order_id, revision, outcome } in &evidence.sent {
        let acked = match outcome {
            SendOutcome::Acked(origin) => Some(*origin),
            SendOutcome::NotAcked => None,
        };
        checker.sent(&crate::Sent { order_id, revision: *revision, acked, content: content(*revision) });
    }
    evidence.rows.iter().for_each(|row| checker.row(row));
    evidence.view.iter().for_each(|(id, entry)| checker.view(id, entry.as_ref()));
    if let Some(answers) = &evidence.api {
        checker.api(answers.clone());
    }
    let mut log: Vec<&Logged> = evidence.log.iter().collect();
    log.sort_by_key(|logged| logged.origin);
    for logged in log {
        let event = logged.event.clone().map(|(order_id, revision)| event(order_id, revision));
        checker.log(&crate::Logged {
            origin: logged.origin,
            key: logged.key.as_deref(),
            event: event.as_ref(),
        });
    }
    for seen in &evidence.deliveries {
        let Seen { order_id, revision, origin, consumer } = seen;
        let (order_id, revision, origin) = (order_id.as_ref(), *revision, *origin);
        checker.delivery(&crate::Seen { order_id, revision, origin, consumer });
    }
    for park in evidence.parks.as_ref().unwrap_or(&evidence.parked) {
        let Parked { first, last, origin, .. } = *park;
        checker.park(&ParkWrite { order_id: &park.order_id, first, last, origin, content: content(last) });
    }
    for write in evidence.writes.clone().unwrap_or_else(|| evidence.sound_writes()) {
        checker.write(&RowWrite {
            order_id: &write.order_id,
            before: write.before,
            revision: write.revision,
            origin: write.origin,
            content: content(write.says),
            after_commit: write.after_commit,
        });
    }
    evidence.parked.iter().for_each(|parked| checker.parked(parked.clone()));
    evidence.dead_letters.iter().for_each(|letter| checker.dead_letter(letter.clone()));
    evidence.ends.iter().for_each(|end| checker.end(*end));
    checker.finish()
}

/// Each partition's end, all of it committed.
pub(super) fn committed(evidence: &Evidence) -> Vec<PartitionEnd> {
    let partitions: BTreeSet<i32> = evidence.log.iter().map(|logged| logged.origin.partition).collect();
    let end = |partition| {
        let end = end(evidence, partition).offset;
        PartitionEnd { partition, start: 0, end, committed: Some(end) }
    };
    partitions.into_iter().map(end).collect()
}

/// Evidence, and what [`verify`] must count in it.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) evidence: Evidence,
    pub(super) acked: u64,
    pub(super) resent: u64,
    pub(super) redelivered: u64,
    /// At each of the three places.
    pub(super) pairs: u64,
}

/// One order to come.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) partition: i32,
    pub(super) revisions: Revision,
    /// The last event was never answered, though the log took it.
    pub(super) unresolved: bool,
    /// One more event was refused and is nowhere.
    pub(super) refused: bool,
}

pub(super) fn id(number: usize) -> OrderId {
    OrderId::new(&format!("order-{number}")).unwrap()
}

pub(super) fn at(partition: i32, offset: i64) -> Origin {
    Origin { partition, offset }
}

/// A row as it is after `revision`.
pub(super) fn row(order_id: OrderId, revision: Revision, origin: Origin) -> Delivery {
    Delivery {
        order_id,
        revision,
        applied: revision,
        status: Status::at(revision),
        amount_minor: 1,
        currency: "EUR".into(),
        address: format!("as of revision {revision}"),
        origin,
    }
}

fn plan(revisions: std::ops::Range<Revision>) -> impl Strategy<Value = Plan> {
    (0..3i32, revisions, any::<bool>(), any::<bool>()).prop_map(
        |(partition, revisions, unresolved, refused)| Plan {
            partition,
            revisions,
            unresolved: unresolved && revisions > 2,
            refused,
        },
    )
}

/// At least two orders with three events or more, so that to spoil one leaves the other.
pub(super) fn healthy() -> impl Strategy<Value = World> {
    (
        prop::collection::vec(plan(3..6), 2..4),
        prop::collection::vec(plan(1..6), 0..5),
        prop::collection::vec(any::<u8>(), 16..64),
    )
        .prop_map(|(mut plans, more, choices)| {
            plans.extend(more);
            build(&plans, &choices)
        })
}

/// Interleaves the orders, resends runs and redelivers as `choices` say, which are used in turn.
pub(super) fn build(plans: &[Plan], choices: &[u8]) -> World {
    let mut choices = choices.iter().copied().map(usize::from).cycle();
    let mut choose = || choices.next().unwrap();
    let mut world = World { evidence: Evidence::default(), acked: 0, resent: 0, redelivered: 0, pairs: 0 };
    world.evidence.keyed = true;

    let mut partitions: [Vec<(usize, Revision)>; 3] = Default::default();
    let mut next = vec![1; plans.len()];
    loop {
        let open: Vec<_> = (0..plans.len()).filter(|&o| next[o] <= plans[o].revisions).collect();
        if open.is_empty() {
            break;
        }
        let order = open[choose() % open.len()];
        let log = &mut partitions[plans[order].partition as usize];
        log.push((order, next[order]));
        next[order] += 1;
        // An unknown batch sent again, whole and before anything later: A,B,A,B.
        let choice = choose();
        if choice.is_multiple_of(5) {
            let run = log[log.len() - log.len().min(1 + choice % 3)..].to_vec();
            world.resent += run.len() as u64;
            log.extend(run);
        }
    }
    for (partition, log) in partitions.iter().enumerate() {
        world.evidence.log.extend(log.iter().enumerate().map(|(offset, &(order, revision))| Logged {
            origin: at(partition as i32, offset as i64),
            key: Some(id(order).as_str().as_bytes().to_vec()),
            event: Some((id(order), revision)),
        }));
    }
    deliver(&mut world, &partitions, choose);
    conclude(&mut world, plans);
    world
}

/// Each partition in its order, now and then from an earlier offset again.
fn deliver(world: &mut World, partitions: &[Vec<(usize, Revision)>; 3], mut choose: impl FnMut() -> usize) {
    let (mut position, mut reached) = ([0; 3], [0; 3]);
    let mut rewinds = 4;
    loop {
        let open: Vec<_> = (0..3).filter(|&p| position[p] < partitions[p].len()).collect();
        if open.is_empty() {
            break;
        }
        let p = open[choose() % open.len()];
        let offset = position[p];
        let (order, revision) = partitions[p][offset];
        world.evidence.deliveries.push(Seen {
            order_id: Some(id(order)),
            revision,
            origin: at(p as i32, offset as i64),
            consumer: format!("c{p}"),
        });
        world.redelivered += u64::from(offset < reached[p]);
        position[p] += 1;
        reached[p] = reached[p].max(position[p]);
        let choice = choose();
        if choice.is_multiple_of(7) && rewinds > 0 {
            rewinds -= 1;
            position[p] -= position[p].min(choice % 3);
        }
    }
}

/// Outcomes, rows and view.
fn conclude(world: &mut World, plans: &[Plan]) {
    for (order, plan) in plans.iter().enumerate() {
        world.pairs += u64::from(plan.revisions - 1);
        for revision in 1..=plan.revisions {
            // What was sent again was acknowledged where it came to lie last.
            let outcome = if plan.unresolved && revision == plan.revisions {
                SendOutcome::NotAcked
            } else {
                world.acked += 1;
                SendOutcome::Acked(*places(&world.evidence, &id(order), revision).last().unwrap())
            };
            world.evidence.sent.push(Sent { order_id: id(order), revision, outcome });
        }
        if plan.refused {
            let outcome = SendOutcome::NotAcked;
            world.evidence.sent.push(Sent { order_id: id(order), revision: plan.revisions + 1, outcome });
        }
        let first = places(&world.evidence, &id(order), plan.revisions)[0];
        let row = row(id(order), plan.revisions, first);
        world.evidence.view.push((id(order), Some(row.status_entry())));
        world.evidence.rows.push(row);
    }
    world.evidence.ends = committed(&world.evidence);
}

/// Where the log has an event.
pub(super) fn places(evidence: &Evidence, order: &OrderId, revision: Revision) -> Vec<Origin> {
    let wanted = Some((order.clone(), revision));
    evidence.log.iter().filter(|l| l.event == wanted).map(|l| l.origin).collect()
}

/// Where an event was acknowledged.
pub(super) fn acked_at(evidence: &Evidence, order: &OrderId, revision: Revision) -> Option<Origin> {
    evidence.sent.iter().find(|s| s.order_id == *order && s.revision == revision).and_then(|s| {
        match s.outcome {
            SendOutcome::Acked(origin) => Some(origin),
            SendOutcome::NotAcked => None,
        }
    })
}

/// The offset after the last of a partition.
pub(super) fn end(evidence: &Evidence, partition: i32) -> Origin {
    let last = evidence.log.iter().map(|l| l.origin).filter(|o| o.partition == partition).max();
    at(partition, last.map_or(0, |o| o.offset + 1))
}

/// Sets an order's row, and the view with it, to what they were after `revision`.
pub(super) fn set_back(evidence: &mut Evidence, order: &OrderId, revision: Revision) {
    let origin = places(evidence, order, revision)[0];
    let to = row(order.clone(), revision, origin);
    let entry = evidence.view.iter_mut().find(|(id, _)| id == order).unwrap();
    entry.1 = Some(to.status_entry());
    *evidence.rows.iter_mut().find(|r| r.order_id == *order).unwrap() = to;
}
