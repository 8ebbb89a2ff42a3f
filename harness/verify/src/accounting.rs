//! acked = applied + parked + dead-lettered, as sets of (order, revision); what is missing is lost.

use super::findings::{Findings, Kind, Subject};
use super::index::{Event, Index, Order};
use lanebench_result::Verification;

pub(super) fn check(index: &Index<'_>, findings: &mut Findings, verification: &mut Verification) {
    repeats(index, verification);
    balance(index, findings, verification);
    parked(index, findings);
    dead_letters(index, findings);
}

/// Repeats are allowed, since delivery is at least once, and counted: the same event at a new offset was `resent`, the
/// same offset again at a consumer was `redelivered`.
fn repeats(index: &Index<'_>, verification: &mut Verification) {
    let records = index.log.iter().filter(|(_, event, _)| event.is_some()).count();
    let distinct = index.events.iter().filter(|e| e.logged.is_some()).count();
    verification.resent = (records - distinct) as u64;

    let mut origins: Vec<_> = index.evidence.deliveries.iter().map(|s| s.origin).collect();
    origins.sort_unstable();
    origins.dedup();
    verification.redelivered = (index.evidence.deliveries.len() - origins.len()) as u64;
}

/// Where each acknowledged event is now; the first that applies of: row, parked, dead letter.
///
/// A row whose `applied` is below its revision skipped events, and nobody can say which: they are counted as lost here,
/// and the order check names the row.
fn balance(index: &Index<'_>, findings: &mut Findings, verification: &mut Verification) {
    verification.produced = index.evidence.sent.len() as u64;
    for order in &index.orders {
        // What the row claims, apart from what is proven to be elsewhere.
        let mut claimed = 0;
        let sound = order.row.is_none_or(|row| row.applied >= row.revision);
        for event in index.events[order.events.clone()].iter().filter(|e| e.acked.is_some()) {
            verification.acked += 1;
            let in_row = event.revision <= order.row_revision();
            if in_row && (sound || !(event.parked || event.dead)) {
                claimed += 1;
            } else if event.parked {
                verification.parked += 1;
            } else if event.dead {
                verification.dead_lettered += 1;
            } else {
                verification.lost += 1;
                let subject = Subject::event(order.id, event.revision, event.acked);
                findings.add(Kind::Lost, subject, || lost(index, order, event));
            }
        }
        let held =
            if sound { claimed } else { claimed.min(order.row.map_or(0, |row| u64::from(row.applied))) };
        verification.applied += held;
        verification.lost += claimed - held;
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

fn lost(index: &Index<'_>, order: &Order<'_>, event: &Event) -> String {
    let place = event.acked.map(|origin| format!(" at {origin}")).unwrap_or_default();
    let trace = match (event.logged, event.taken) {
        (None, _) => "the log does not hold it either, so the broker lost it".into(),
        (Some(_), None) => "the log holds it, but no consumer took it in hand".into(),
        (Some(_), Some(delivery)) => {
            let consumer = &index.evidence.deliveries[delivery].consumer;
            format!(
                "the log holds it and consumer {consumer} took it in hand, so it was lost on the way to its row"
            )
        }
    };
    format!(
        "order {} revision {} was acknowledged{place}, and no row, parked event or dead letter has it; {trace}",
        order.id, event.revision
    )
}

/// What waits must be allowed to, and must have something to wait for.
fn parked(index: &Index<'_>, findings: &mut Findings) {
    for parked in &index.evidence.parked {
        let row = index.order(&parked.order_id).map_or(0, |order| index.orders[order].row_revision());
        let waits_for_nothing = parked.first <= row.saturating_add(1);
        if index.evidence.allow_parked && !waits_for_nothing {
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
fn dead_letters(index: &Index<'_>, findings: &mut Findings) {
    for (letter, event) in index.evidence.dead_letters.iter().zip(&index.dead_letters) {
        let event = event.map(|e| index.events[e]);
        let known = index.at(letter.origin).is_some();
        let subject = event.map_or(Subject::place(letter.origin), |e| {
            Subject::event(index.orders[e.order].id, e.revision, Some(letter.origin))
        });
        if event.is_none() && !known {
            findings.add(Kind::Unexpected, subject, || {
                format!("a dead letter names {} as its place, where the log holds nothing", letter.origin)
            });
        } else if !index.evidence.allow_dead_letters {
            findings.add(Kind::DeadLettered, subject, || {
                let what = event.map_or("a record that is no payment event".into(), |e| {
                    format!("order {} revision {}", index.orders[e.order].id, e.revision)
                });
                format!("{what} ({}) went to the dead-letter topic: {}", letter.origin, letter.reason)
            });
        }
    }
}
