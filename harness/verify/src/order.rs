//! Order per key at three places: the log, the consumer, the row.
//!
//! A *pair* is two events of one order with adjacent revisions (of those that were seen at the place). It is violated if
//! the first appearance of the later one comes before the first appearance of the earlier one; so A,B,A,B is in order,
//! with two repeats, and B,A,B is not.

use super::Known;
use super::evidence::PartitionsAdded;
use super::findings::{Findings, Kind, Subject};
use super::ledger::{Event, Flag, OrderNumber};
use lanebench_result::{OrderCount, Verification};
use payment_delivery::event::Revision;

pub(super) fn check(known: &Known, findings: &mut Findings, verification: &mut Verification) {
    let (log, moved) = log(known, findings);
    verification.orders_moved = moved;
    verification.parked_meanwhile = known.parks.len() as u64;
    let mut places = vec![("log", log), ("row", rows(known, findings))];
    if !known.rules.outside {
        places.push(("consumer", consumer(known, findings)));
    }
    let acked = |order| {
        let events = known.ledger.events_of(order);
        events.filter(|(_, event)| known.ledger.events[*event as usize].acked().is_some()).count()
    };
    if let Some(added) = known.rules.partitions_added
        && !known
            .ledger
            .events
            .iter()
            .filter_map(Event::logged)
            .any(|at| at.partition >= added.before.get().cast_signed())
    {
        findings.add(Kind::NothingChecked, Subject::trial(), || {
            "partitions were added, and nothing was sent to them".to_owned()
        });
    }
    let orderable = known.orders().any(|order| acked(order) > 1);
    for (place, count) in &places {
        if orderable && count.pairs == 0 {
            findings.add(Kind::NothingChecked, Subject::trial(), || {
                format!("there were orders with several events, but not one pair of them was seen at the place {place:?}")
            });
        }
    }
    // Of the places, never added up over them: a pair that three places hold is one.
    verification.order_pairs_checked = places.iter().map(|(_, count)| count.pairs).min().unwrap_or(0);
    verification.order_violations = places.iter().map(|(_, count)| count.violations).max().unwrap_or(0);
    verification.order_checks = places.into_iter().map(|(place, count)| (place.into(), count)).collect();
    if !known.rules.outside {
        unseen(known, findings);
    }
}

/// An event with its revision, and where it is at some place.
type At<P> = (Revision, Event, P);

/// Adjacent pairs among the events of `order` that `place` knows.
fn pairs<'k, P: Copy + 'k>(
    known: &'k Known,
    order: OrderNumber,
    place: impl Fn(&Event) -> Option<P> + 'k,
) -> impl Iterator<Item = (At<P>, At<P>)> + 'k {
    let mut earlier = None;
    known
        .ledger
        .events_of(order)
        .filter_map(move |(revision, event)| {
            let event = known.ledger.events[event as usize];
            Some((revision, event, place(&event)?))
        })
        .filter_map(move |later| earlier.replace(later).map(|earlier| (earlier, later)))
}

/// By offset within a partition. Between partitions there is no order at all, so a pair that lies on two is violated; but for one of an order
/// that goes on elsewhere since partitions were added. How many orders did is told beside it.
fn log(known: &Known, findings: &mut Findings) -> (OrderCount, u64) {
    let (mut count, mut all_moved) = (OrderCount::default(), 0);
    for number in known.orders() {
        let order = &known.ledger.orders[number as usize];
        let (mut split, mut moved) = (false, false);
        for ((earlier, _, before), (later, _, after)) in pairs(known, number, Event::logged) {
            count.pairs += 1;
            let subject = Subject::event(&order.id, later, Some(after));
            let elsewhere = before.partition != after.partition;
            let belongs_there =
                |added: PartitionsAdded| added.moves(&order.id, before.partition, after.partition);
            // Once: nobody adds partitions twice.
            if elsewhere && !moved && known.rules.partitions_added.is_some_and(belongs_there) {
                moved = true;
                all_moved += 1;
            } else if elsewhere {
                split = true;
                count.violations += 1;
                findings.add(Kind::SplitOrder, subject, || {
                    format!(
                        "order {} has revision {earlier} at {before} and revision {later} at {after}: between partitions Kafka \
                         keeps no order{}",
                        order.id,
                        advice(known)
                    )
                });
            } else if after.offset < before.offset {
                count.violations += 1;
                findings.add(Kind::Order, subject, || {
                    format!(
                        "in the log, order {} has revision {later} at {after}, before revision {earlier} at {before}",
                        order.id
                    )
                });
            }
        }
        // Repeats alone can lie elsewhere: no pair is violated, and still the order has left its partition.
        if order.split && !split && !moved {
            let logged = |(revision, event): (Revision, u32)| {
                Some((revision, known.ledger.events[event as usize].logged()?))
            };
            let first = known.ledger.events_of(number).find_map(logged);
            let (revision, origin) = first.map_or((0, None), |(revision, origin)| (revision, Some(origin)));
            findings.add(Kind::SplitOrder, Subject::event(&order.id, revision, origin), || {
                format!("records of order {} lie on several partitions{}", order.id, advice(known))
            });
        }
    }
    (count, all_moved)
}

fn advice(known: &Known) -> &'static str {
    if known.rules.keyed {
        "; the records have keys, so their partition was chosen by something else"
    } else {
        "; use the order id as key (--key order-id)"
    }
}

/// By the one true order in which the processing loops took messages in hand.
fn consumer(known: &Known, findings: &mut Findings) -> OrderCount {
    let mut count = OrderCount::default();
    for number in known.orders() {
        let id = &known.ledger.orders[number as usize].id;
        for ((earlier, behind, before), (later, ahead, after)) in pairs(known, number, Event::taken) {
            count.pairs += 1;
            if after < before {
                count.violations += 1;
                let lies_in = |event: &Event| event.logged().map(|at| at.partition);
                let moved = lies_in(&ahead) != lies_in(&behind);
                if moved && known.rules.partitions_added.is_some_and(|added| !added.drained) {
                    continue; // what the scenario shows: counted, and no finding
                }
                findings.add(Kind::Order, Subject::event(id, later, ahead.place()), || {
                    let by = |event: &Event| &known.ledger.consumers[event.taken_by()];
                    let at = |event: &Event| event.place().map(|at| format!(" ({at})")).unwrap_or_default();
                    format!(
                        "order {id} revision {later}{} was taken in hand by consumer {} before revision {earlier}{} was by consumer {}",
                        at(&ahead),
                        by(&ahead),
                        at(&behind),
                        by(&behind)
                    )
                });
            }
        }
    }
    count
}

/// By the writes: none may set a row back. And what the log has in order is never parked, since what it waits for came before it.
///
/// The worker's own count of the events of a row is held against its revision.
fn rows(known: &Known, findings: &mut Findings) -> OrderCount {
    let mut count = OrderCount { pairs: 0, violations: known.writes_back };
    for number in known.orders() {
        let order = &known.ledger.orders[number as usize];
        let Some(row) = order.row.filter(|_| order.sent) else { continue };
        let in_row = |event: &Event| event.was_written().then_some(());
        count.pairs +=
            pairs(known, number, in_row).filter(|(_, later)| later.0 <= row.revision).count() as u64;
        if row.applied != row.revision {
            findings.add(Kind::Row, Subject::event(&order.id, row.revision, Some(row.origin)), || {
                let (applied, revision) = (row.applied, row.revision);
                let so = if applied < revision {
                    format!("only {applied} events: it skipped {}", revision - applied)
                } else {
                    format!("{applied} events: {} were applied twice", applied - revision)
                };
                format!(
                    "the row of order {} stands at revision {revision}, but by its own count took {so}",
                    order.id
                )
            });
        }
    }
    for &event in &known.parks {
        let (order, revision) = known.ledger.key(event);
        let before = known.ledger.event(order, revision - 1).map(|event| known.ledger.events[event as usize]);
        let Some((before, at)) = before.and_then(|event| Some((event, event.logged()?))) else { continue };
        // By the log, and not by what the worker says of the place.
        let Some(origin) = known.ledger.events[event as usize].logged() else { continue };
        let lies_before = at.partition == origin.partition && at.offset < origin.offset;
        if !lies_before || before.is(Flag::WasParked) || before.is(Flag::Dead) {
            continue;
        }
        count.violations += 1;
        let id = &known.ledger.orders[order as usize].id;
        findings.add(Kind::Order, Subject::event(id, revision, Some(origin)), || {
            format!(
                "order {id} revision {revision} ({origin}) came to its row before revision {}, which the log has before it ({at}): \
                 it had to be parked",
                revision - 1
            )
        });
    }
    count
}

/// An applied event must have been in someone's hands; if the evidence lacks that, the consumer was not watched
/// all the time, and its count of violations means nothing.
fn unseen(known: &Known, findings: &mut Findings) {
    let mut unseen = known.orders().flat_map(|number| {
        let row = known.ledger.orders[number as usize].row_revision();
        let events = known.ledger.events_of(number).take_while(move |(revision, _)| *revision <= row);
        events.filter_map(move |(revision, event)| {
            let event = known.ledger.events[event as usize];
            (event.acked().is_some() && event.taken().is_none()).then_some((number, revision, event.acked()))
        })
    });
    if let Some((number, revision, origin)) = unseen.next() {
        let id = &known.ledger.orders[number as usize].id;
        findings.add(Kind::NothingChecked, Subject::event(id, revision, origin), || {
            format!(
                "{} events are in their rows but no consumer reported them, so their order there is unchecked; the \
                 first is order {id} revision {revision}",
                unseen.count() + 1
            )
        });
    }
}
