//! Each write of a row brings the next event, or a parked run that follows it, and says what was sent. Where the mode folds, it may bring
//! several events of the log.
//!
//! The database counts the writes, whoever makes them: so a row that skipped an event is told from one that took it, whatever the worker
//! itself counts.

use super::Known;
use super::evidence::{ParkWrite, RowWrite};
use super::findings::{Findings, Kind, Subject};
use super::ledger::{Flag, OrderNumber};
use super::offsets;
use lanebench_result::Verification;

/// Judges a write by itself, and notes which event it brought.
pub(super) fn write(
    known: &mut Known,
    write: &RowWrite<'_>,
    findings: &mut Findings,
    verification: &mut Verification,
) {
    let RowWrite { order_id, before, revision, origin, content, after_commit } = *write;
    let subject = Subject::event(order_id, revision, Some(origin));
    verification.writes_counted += 1;
    let ledger = &mut known.ledger;
    let number = ledger.event_or_new(order_id, revision);
    let event = ledger.events[number as usize];
    if !event.is(Flag::Sent) {
        let order = ledger.order(order_id).map(|order| &ledger.orders[order as usize]);
        // A row of which nothing was sent is reported as such.
        if order.is_none_or(|order| order.sent || order.row.is_none()) {
            findings.add(Kind::Unexpected, subject, || {
                format!("the row of order {order_id} was written to revision {revision}, which nobody sent")
            });
        }
    }
    // What is parked is done with until what it waits for comes.
    if let Some(after) = after_commit.filter(|_| !event.is(Flag::WasParked)) {
        offsets::ahead(subject, "written", after, findings);
    }
    if revision < before {
        known.writes_back += 1;
        findings.add(Kind::Order, subject, || {
            format!("the row of order {order_id} was set back from revision {before} to revision {revision}")
        });
    } else if revision == before || event.written_over().is_some() {
        findings.add(Kind::AppliedTwice, subject, || {
            format!("revision {revision} of order {order_id} was written to its row twice, the second time over revision {before}")
        });
    } else {
        ledger.events[number as usize].wrote_over(before);
    }
    verification.contents_checked += 1;
    if !event.says(content) {
        findings.add(Kind::Content, subject, || {
            format!("the row of order {order_id} was written to revision {revision} with another content than was sent")
        });
    }
    if ledger.is_elsewhere(number, origin) {
        findings.add(Kind::Row, subject, || {
            format!(
                "the row of order {order_id} was written with {origin} as the place of revision {revision}, where the log holds {}",
                ledger.describe(origin)
            )
        });
    }
}

/// Notes that an event was parked.
pub(super) fn park(known: &mut Known, park: &ParkWrite<'_>, findings: &mut Findings) {
    let ParkWrite { order_id, first, last, origin, content } = *park;
    let ledger = &mut known.ledger;
    let Some(order) = ledger.order(order_id) else { return }; // what still waits is reported where it waits
    let within = ledger.events_within(order, first, last);
    for &(revision, number) in &within {
        let event = &mut ledger.events[number as usize];
        event.set(Flag::WasParked);
        if revision == first {
            known.parks.push(number);
        }
    }
    let Some(&(revision, number)) = within.last().filter(|(revision, _)| *revision == last) else { return };
    let subject = Subject::event(order_id, revision, Some(origin));
    let event = ledger.events[number as usize];
    if !event.says(content) {
        findings.add(Kind::Content, subject, || {
            format!("revision {revision} of order {order_id} was parked with another content than was sent")
        });
    }
    if ledger.is_elsewhere(number, origin) {
        findings.add(Kind::Row, subject, || {
            format!(
                "revision {revision} of order {order_id} was parked with {origin} as its place, where the log holds {}",
                ledger.describe(origin)
            )
        });
    }
}

/// Goes along the writes of each order: each must have found what the one before had left, and what lies between them must have
/// been parked, so that the write took it in. Where the mode folds, it must lie in the log.
pub(super) fn follow(known: &mut Known, findings: &mut Findings, verification: &Verification) {
    if verification.writes_counted == 0 {
        if known.ledger.orders.iter().any(|order| order.row.is_some()) {
            findings.add(Kind::NothingChecked, Subject::trial(), || {
                let why = if known.count_lost {
                    ": the database lost its count, as it does when it crashes"
                } else {
                    ""
                };
                format!("there are rows, but not one write of them was counted{why}")
            });
        }
        return;
    }
    for order in 0..known.ledger.orders.len() {
        follow_order(known, order as OrderNumber, findings);
    }
}

fn follow_order(known: &mut Known, number: OrderNumber, findings: &mut Findings) {
    let mut held = 0;
    let mut between = Vec::new();
    let events: Vec<_> = known.ledger.events_of(number).collect();
    for (revision, event) in events {
        let Some(over) = known.ledger.events[event as usize].written_over() else {
            between.push(event);
            continue;
        };
        let order = &known.ledger.orders[number as usize];
        if over != held {
            let place = known.ledger.events[event as usize].place();
            findings.add(Kind::Row, Subject::event(&order.id, revision, place), || {
                format!(
                    "revision {revision} of order {} was written over revision {over}, though the write before it had left {held}",
                    order.id
                )
            });
        }
        for event in between.drain(..) {
            let event = &mut known.ledger.events[event as usize];
            if event.is(Flag::WasParked) || (known.rules.folds && event.logged().is_some()) {
                event.set(Flag::Covered);
            }
        }
        held = revision;
    }
    let order = &known.ledger.orders[number as usize];
    let Some(row) = order.row.filter(|row| order.sent && row.revision != held) else { return };
    findings.add(Kind::Row, Subject::event(&order.id, row.revision, Some(row.origin)), || {
        format!(
            "the row of order {} stands at revision {}, though the last write that was counted left {held}",
            order.id, row.revision
        )
    });
}
