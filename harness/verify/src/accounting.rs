//! acked = applied + parked + dead-lettered, as sets of (order, revision); what is missing is lost.

use super::Known;
use super::findings::{Findings, Kind, Subject};
use super::ledger::{Event, Flag, Order, OrderNumber};
use lanebench_result::Verification;
use payment_delivery::event::Revision;

pub(super) fn check(known: &Known, findings: &mut Findings, verification: &mut Verification) {
    repeats(known, verification);
    balance(known, findings, verification);
    parked(known, findings);
    dead_letters(known, findings);
}

/// Repeats are allowed, since delivery is at least once, and counted: the same event at a new offset was `resent`, the
/// same offset again at a consumer was `redelivered`.
fn repeats(known: &Known, verification: &mut Verification) {
    let distinct = known.ledger.events.iter().filter(|event| event.logged().is_some()).count();
    verification.resent = known.records - distinct as u64;
    verification.redelivered = u64::from(known.deliveries) - known.offsets_taken;
}

/// Where each acknowledged event is now; the first that applies of: row, parked, dead letter.
///
/// A row holds what a write brought into it, not whatever lies below its revision: what it passed over is lost.
fn balance(known: &Known, findings: &mut Findings, verification: &mut Verification) {
    let ledger = &known.ledger;
    let written = verification.writes_counted > 0;
    for (number, order) in (0..).zip(&ledger.orders) {
        for (revision, event) in ledger.events_of(number) {
            let event = &ledger.events[event as usize];
            if event.acked().is_none() {
                continue;
            }
            verification.acked += 1;
            if revision <= order.row_revision() && (event.was_written() || !written) {
                verification.applied += 1;
            } else if event.is(Flag::Parked) {
                verification.parked += 1;
            } else if event.is(Flag::Dead) {
                verification.dead_lettered += 1;
            } else {
                verification.lost += 1;
                let subject = Subject::event(&order.id, revision, event.acked());
                findings.add(Kind::Lost, subject, || lost(known, number, order, revision, event));
            }
        }
    }
    if verification.acked == 0 {
        findings.add(Kind::NothingChecked, Subject::trial(), || {
            format!(
                "of {} events handed to the producer not one was acknowledged, so nothing could be checked: \
                 look at the producer's errors",
                verification.produced
            )
        });
    }
}

fn lost(known: &Known, number: OrderNumber, order: &Order, revision: Revision, event: &Event) -> String {
    let ledger = &known.ledger;
    let place = event.acked().map(|origin| format!(" at {origin}")).unwrap_or_default();
    let trace = match (event.logged(), event.taken()) {
        (None, _) => "the log does not hold it either, so the broker lost it".into(),
        (Some(_), None) if known.rules.outside => {
            "the log holds it; who took it in hand is not seen from outside".into()
        }
        (Some(_), None) => "the log holds it, but no consumer took it in hand".into(),
        (Some(_), Some(_)) => {
            let consumer = &ledger.consumers[event.taken_by()];
            format!(
                "the log holds it and consumer {consumer} took it in hand, so it was lost on the way to its row"
            )
        }
    };
    let past = ledger.events_of(number).find_map(|(later, event)| {
        let over = ledger.events[event as usize].written_over()?;
        (over < revision && revision < later)
            .then(|| format!("; its row went from revision {over} to {later} past it"))
    });
    format!(
        "order {} revision {revision} was acknowledged{place}, and no row, parked event or dead letter has it; {trace}{}",
        order.id,
        past.unwrap_or_default()
    )
}

/// What waits must be allowed to, and must have something to wait for.
fn parked(known: &Known, findings: &mut Findings) {
    let ledger = &known.ledger;
    for parked in &known.parked {
        let order = ledger.order(&parked.order_id);
        let row = order.map_or(0, |order| ledger.orders[order as usize].row_revision());
        let waits_for_nothing = parked.first <= row.saturating_add(1);
        if known.rules.allow_parked && !waits_for_nothing {
            continue;
        }
        let subject = Subject::event(&parked.order_id, parked.first, Some(parked.origin));
        findings.add(Kind::Parked, subject, || {
            let why = if waits_for_nothing {
                format!("although its row stands at revision {row} and nothing before it is missing")
            } else {
                format!("because revision {} never came", row + 1)
            };
            format!(
                "order {} revision {} ({}) still waits in the store, {why}",
                parked.order_id, parked.first, parked.origin
            )
        });
    }
}

/// Dead letters must be allowed, and must come from somewhere.
fn dead_letters(known: &Known, findings: &mut Findings) {
    let ledger = &known.ledger;
    for letter in &known.dead_letters {
        let named = ledger.event_or_acked_at(letter.origin).map(|event| ledger.name(event));
        let subject = named.map_or(Subject::place(letter.origin), |(id, revision)| {
            Subject::event(id, revision, Some(letter.origin))
        });
        if named.is_none() && ledger.places.at(letter.origin).is_none() {
            findings.add(Kind::Unexpected, subject, || {
                format!("a dead letter names {} as its place, where the log holds nothing", letter.origin)
            });
        } else if !known.rules.allow_dead_letters && !known.expected_letters.contains(&letter.origin) {
            findings.add(Kind::DeadLettered, subject, || {
                let what = named.map_or("a record that is no payment event".into(), |(id, revision)| {
                    format!("order {id} revision {revision}")
                });
                format!("{what} ({}) went to the dead-letter topic: {}", letter.origin, letter.reason)
            });
        }
    }
}
