//! Nothing that nobody sent, and every acknowledgement true.

use std::collections::HashSet;

use payment_delivery::kafka::Origin;

use super::evidence::SendOutcome;
use super::findings::{Findings, Kind, Subject};
use super::index::Index;

pub(super) fn check(index: &Index<'_>, findings: &mut Findings) {
    let dead: HashSet<Origin> = index.evidence.dead_letters.iter().map(|d| d.origin).collect();
    acknowledgements(index, &dead, findings);
    log(index, &dead, findings);
    deliveries(index, findings);
    rows(index, findings);
    parked(index, findings);
}

/// Where the broker acknowledged an event, the log must hold that event.
fn acknowledgements(index: &Index<'_>, dead: &HashSet<Origin>, findings: &mut Findings) {
    for (sent, &event) in index.evidence.sent.iter().zip(&index.sent) {
        let SendOutcome::Acked(origin) = sent.outcome else {
            continue;
        };
        let holds = index.at(origin);
        // An unreadable record is still the acknowledged one if it went to the dead letters from there.
        if holds == Some(Some(event)) || (holds == Some(None) && dead.contains(&origin)) {
            continue;
        }
        findings.add(Kind::Unexpected, Subject::event(&sent.order_id, sent.revision, Some(origin)), || {
            format!(
                "order {} revision {} was acknowledged at {origin}, where the log holds {}",
                sent.order_id,
                sent.revision,
                index.describe(origin)
            )
        });
    }
}

/// Every record is an event that was sent, under its order's key. An event that failed or was never answered may be
/// there: the broker can have taken it all the same.
fn log(index: &Index<'_>, dead: &HashSet<Origin>, findings: &mut Findings) {
    for &(origin, event, place) in &index.log {
        let Some(event) = event else {
            // One that was acknowledged to someone is reported there.
            if !dead.contains(&origin) && !index.acked_at(origin) {
                findings.add(Kind::Unexpected, Subject::place(origin), || {
                    format!(
                        "the record at {origin} is no payment event, nobody sent it, \
                         and it was not put into the dead-letter topic either"
                    )
                });
            }
            continue;
        };
        let event = index.events[event];
        let id = index.orders[event.order].id;
        let subject = Subject::event(id, event.revision, Some(origin));
        if !event.sent {
            findings.add(Kind::Unexpected, subject, || {
                format!("the log holds order {id} revision {} at {origin}, which nobody sent", event.revision)
            });
        }
        let key = index.evidence.log[place].key.as_deref();
        if index.evidence.keyed && key != Some(id.as_str().as_bytes()) {
            findings.add(Kind::Unexpected, subject, || {
                let key = key.map_or("no key".into(), |k| format!("key {:?}", String::from_utf8_lossy(k)));
                format!(
                    "the record of order {id} revision {} at {origin} has {key} where its order id belongs",
                    event.revision
                )
            });
        }
    }
}

/// A consumer may only be given what the log holds at that offset.
fn deliveries(index: &Index<'_>, findings: &mut Findings) {
    for (seen, &event) in index.evidence.deliveries.iter().zip(&index.deliveries) {
        // Where the acknowledgement names the same wrong place, it was reported already.
        if index.at(seen.origin) == Some(Some(event)) || index.events[event].acked == Some(seen.origin) {
            continue;
        }
        findings.add(
            Kind::Unexpected,
            Subject::event(&seen.order_id, seen.revision, Some(seen.origin)),
            || {
                format!(
                    "consumer {} was given order {} revision {} from {}, where the log holds {}",
                    seen.consumer,
                    seen.order_id,
                    seen.revision,
                    seen.origin,
                    index.describe(seen.origin)
                )
            },
        );
    }
}

/// A row may only stand on events that were sent, and that were acknowledged or at least are in the log.
fn rows(index: &Index<'_>, findings: &mut Findings) {
    for row in &index.evidence.rows {
        let Some(order) = index.order(&row.order_id) else {
            continue;
        };
        let subject = |revision| Subject::event(&row.order_id, revision, Some(row.origin));
        if index.orders[order].row != Some(row) {
            findings.add(Kind::Unexpected, subject(row.revision), || {
                format!("order {} has more than one row", row.order_id)
            });
            continue;
        }
        if !index.orders[order].sent {
            findings.add(Kind::Unexpected, subject(row.revision), || {
                format!("there is a row of order {}, of which nothing was sent", row.order_id)
            });
            continue;
        }
        let events = &index.events[index.run(order, 1, row.revision)];
        let mut expected = 1;
        for event in events.iter().filter(|e| e.sent) {
            if event.revision != expected {
                break;
            }
            expected += 1;
        }
        if expected <= row.revision {
            findings.add(Kind::Unexpected, subject(expected), || {
                format!(
                    "the row of order {} stands at revision {}, but revision {expected} was never sent",
                    row.order_id, row.revision
                )
            });
        }
        for event in events.iter().filter(|e| e.sent && e.acked.is_none() && e.logged.is_none()) {
            findings.add(Kind::Unexpected, subject(event.revision), || {
                format!(
                    "the row of order {} stands at revision {}, but revision {} was neither acknowledged nor is it \
                     in the log",
                    row.order_id, row.revision, event.revision
                )
            });
        }
    }
}

/// Only what was sent can wait in the store.
fn parked(index: &Index<'_>, findings: &mut Findings) {
    for parked in &index.evidence.parked {
        let sent = index.order(&parked.order_id).map_or(0, |order| {
            let run = index.run(order, parked.first, parked.last);
            index.events[run].iter().filter(|e| e.sent).count() as u64
        });
        if sent != u64::from(parked.last.saturating_sub(parked.first)) + 1 {
            findings.add(
                Kind::Unexpected,
                Subject::event(&parked.order_id, parked.first, Some(parked.origin)),
                || {
                    format!(
                        "order {} revisions {} to {} are parked, but only {sent} of them were sent",
                        parked.order_id, parked.first, parked.last
                    )
                },
            );
        }
    }
}
