//! Nothing that nobody sent, and every acknowledgement true.

use super::Known;
use super::content::ContentDigest;
use super::evidence::{Logged, Seen};
use super::findings::{Findings, Kind, Subject};
use super::ledger::{Event, Flag};
use super::places::Holds;

/// A record is an event that was sent, under its order's key, and says what was sent. One that failed or was never answered may be
/// there: the broker can have taken it all the same.
pub(super) fn record(known: &mut Known, record: &Logged<'_>, findings: &mut Findings) {
    let Logged { origin, key, event } = *record;
    let Some(event) = event else {
        if known.ledger.places.push(origin, Holds::Unreadable) {
            known.unreadable.push(origin);
        }
        return;
    };
    let (id, revision) = (&event.order_id, event.revision);
    let number = known.ledger.event_or_new(id, revision);
    if !known.ledger.places.push(origin, Holds::Event(number)) {
        return;
    }
    known.records += 1;
    let (order, _) = known.ledger.key(number);
    let partition = known.ledger.orders[order as usize].partition.get_or_insert(origin.partition);
    if *partition != origin.partition {
        known.ledger.orders[order as usize].split = true;
    }
    if let Some(history) = known.histories.get_mut(&order) {
        history.push((revision, origin));
    }
    let noted = &mut known.ledger.events[number as usize];
    noted.logged_at(origin);
    let subject = Subject::event(id, revision, Some(origin));
    if !noted.is(Flag::Sent) {
        findings.add(Kind::Unexpected, subject, || {
            format!("the log holds order {id} revision {revision} at {origin}, which nobody sent")
        });
    } else if !noted.says(ContentDigest::of_event(event)) {
        findings.add(Kind::Content, subject, || {
            format!(
                "the log holds order {id} revision {revision} at {origin} with another content than was sent"
            )
        });
    }
    if known.rules.keyed && key != Some(id.as_str().as_bytes()) {
        findings.add(Kind::Unexpected, subject, || {
            let key = key.map_or("no key".into(), |k| format!("key {:?}", String::from_utf8_lossy(k)));
            format!("the record of order {id} revision {revision} at {origin} has {key} where its order id belongs")
        });
    }
}

/// A consumer may only be given what the log holds at that offset, and may report nothing else.
pub(super) fn delivery(known: &mut Known, seen: &Seen<'_>, findings: &mut Findings) {
    let Seen { order_id, revision, origin, consumer } = *seen;
    let taken = known.deliveries;
    known.deliveries += 1;
    let by = known.ledger.consumer(consumer);
    let first = known.ledger.places.take(origin).unwrap_or_else(|| known.taken_from_nowhere.insert(origin));
    known.offsets_taken += u64::from(first);
    let held = known.ledger.event_at(origin);
    let claimed = match order_id {
        Some(id) => Some(known.ledger.event_or_new(id, revision)),
        None => held.filter(|event| known.ledger.key(*event).1 == revision),
    };
    if let Some(event) = claimed {
        let event = &mut known.ledger.events[event as usize];
        event.taken_as(taken, by);
        // Where the acknowledgement names the same wrong place, that is reported there.
        if claimed == held || event.acked() == Some(origin) {
            return;
        }
    }
    let ledger = &known.ledger;
    let order = order_id.or_else(|| held.map(|event| ledger.name(event).0));
    let subject = Subject { order_id: order.map_or("", |id| id.as_str()), revision, origin: Some(origin) };
    findings.add(Kind::Unexpected, subject, || {
        let what = order_id.map_or(String::new(), |id| format!("order {id} "));
        format!(
            "consumer {consumer} reports that it was given {what}revision {revision} from {origin}, where the log holds {}",
            ledger.describe(origin)
        )
    });
}

pub(super) fn check(known: &Known, findings: &mut Findings) {
    events(known, findings);
    unreadable(known, findings);
    rows(known, findings);
    parked(known, findings);
}

/// Where the broker acknowledged an event, the log must hold that event.
fn events(known: &Known, findings: &mut Findings) {
    let ledger = &known.ledger;
    for (number, event) in (0..).zip(&ledger.events) {
        let Some(origin) = event.acked() else { continue };
        let holds = ledger.places.at(origin);
        // An unreadable record is still the acknowledged one if it went to the dead letters from there.
        let letter = holds == Some(Holds::Unreadable) && known.dead.contains(&origin);
        if holds == Some(Holds::Event(number)) || letter {
            continue;
        }
        let (id, revision) = ledger.name(number);
        findings.add(Kind::Unexpected, Subject::event(id, revision, Some(origin)), || {
            format!(
                "order {id} revision {revision} was acknowledged at {origin}, where the log holds {}",
                ledger.describe(origin)
            )
        });
    }
}

/// A record that is no event goes to the dead letters.
fn unreadable(known: &Known, findings: &mut Findings) {
    for &origin in &known.unreadable {
        // One that was acknowledged to someone is reported there.
        if known.dead.contains(&origin) || known.ledger.acked_at(origin).is_some() {
            continue;
        }
        findings.add(Kind::Unexpected, Subject::place(origin), || {
            format!(
                "the record at {origin} is no payment event, nobody sent it, and it was not put into the dead-letter topic either"
            )
        });
    }
}

/// A row may only stand on events that were sent, and that were acknowledged or at least are in the log.
fn rows(known: &Known, findings: &mut Findings) {
    let ledger = &known.ledger;
    for (number, order) in (0..).zip(&ledger.orders) {
        let (Some(row), id) = (order.row, &order.id) else { continue };
        let subject = |revision| Subject::event(id, revision, Some(row.origin));
        if !order.sent {
            findings.add(Kind::Unexpected, subject(row.revision), || {
                format!("there is a row of order {id}, of which nothing was sent")
            });
            continue;
        }
        let mut expected = 1;
        let sent = |(revision, event)| Some((revision, ledger.events[event as usize])).filter(is_sent);
        for (revision, event) in ledger.events_of(number).filter_map(sent).take_while(|e| e.0 <= row.revision)
        {
            expected += u32::from(revision == expected);
            if event.acked().is_none() && event.logged().is_none() {
                findings.add(Kind::Unexpected, subject(revision), || {
                    format!(
                        "the row of order {id} stands at revision {}, but revision {revision} was neither acknowledged nor is it in \
                         the log",
                        row.revision
                    )
                });
            }
        }
        if expected <= row.revision {
            findings.add(Kind::Unexpected, subject(expected), || {
                format!(
                    "the row of order {id} stands at revision {}, but revision {expected} was never sent",
                    row.revision
                )
            });
        }
    }
}

fn is_sent((_, event): &(u32, Event)) -> bool {
    event.is(Flag::Sent)
}

/// Only what was sent can wait in the store.
fn parked(known: &Known, findings: &mut Findings) {
    let ledger = &known.ledger;
    for parked in &known.parked {
        let order = ledger.order(&parked.order_id);
        let within = order.map(|order| ledger.events_within(order, parked.first, parked.last));
        let is_sent = |(_, event): &(u32, u32)| ledger.events[*event as usize].is(Flag::Sent);
        let sent = within.into_iter().flatten().filter(is_sent).count() as u64;
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
