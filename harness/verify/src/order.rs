//! Order per key at three places: the log, the consumer, the row.
//!
//! A *pair* is two events of one order with adjacent revisions (of those that were seen at the place). It is violated if
//! the first appearance of the later one comes before the first appearance of the earlier one; so A,B,A,B is in order,
//! with two repeats, and B,A,B is not.

use payment_delivery::delivery::Delivery;

use super::findings::{Findings, Kind, Subject};
use super::index::{Event, Index, Order};
use lanebench_result::{OrderCount, Verification};

pub(super) fn check(index: &Index<'_>, findings: &mut Findings, verification: &mut Verification) {
    let mut places = vec![("log", log(index, findings)), ("row", rows(index, findings))];
    if !index.evidence.outside {
        places.push(("consumer", consumer(index, findings)));
    }
    let orderable = index
        .orders
        .iter()
        .any(|order| index.events[order.events.clone()].iter().filter(|e| e.acked.is_some()).count() > 1);
    for (place, count) in places {
        if orderable && count.pairs == 0 {
            findings.add(Kind::NothingChecked, Subject::trial(), || {
                format!("there were orders with several events, but not one pair of them was seen at the place {place:?}")
            });
        }
        verification.order_pairs_checked += count.pairs;
        verification.order_violations += count.violations;
        verification.order_checks.insert(place.into(), count);
    }
    if !index.evidence.outside {
        unseen(index, findings);
    }
}

/// Adjacent pairs among the events of `order` that `place` knows.
fn pairs<'i, P: Copy>(
    index: &'i Index<'_>,
    order: &Order<'_>,
    place: impl Fn(&Event) -> Option<P>,
) -> impl Iterator<Item = ((&'i Event, P), (&'i Event, P))> {
    let mut earlier = None;
    index.events[order.events.clone()]
        .iter()
        .filter_map(move |event| Some((event, place(event)?)))
        .filter_map(move |later| earlier.replace(later).map(|earlier| (earlier, later)))
}

/// By offset within a partition. Between partitions there is no order at all, so a pair that lies on two is violated.
fn log(index: &Index<'_>, findings: &mut Findings) -> OrderCount {
    let mut count = OrderCount::default();
    for order in &index.orders {
        let mut split = false;
        for ((earlier, before), (later, after)) in pairs(index, order, |e| e.logged) {
            count.pairs += 1;
            let subject = Subject::event(order.id, later.revision, Some(after));
            if before.partition != after.partition {
                split = true;
                count.violations += 1;
                findings.add(Kind::SplitOrder, subject, || {
                    format!(
                        "order {} has revision {} at {before} and revision {} at {after}: between partitions Kafka \
                         keeps no order{}",
                        order.id,
                        earlier.revision,
                        later.revision,
                        advice(index)
                    )
                });
            } else if after.offset < before.offset {
                count.violations += 1;
                findings.add(Kind::Order, subject, || {
                    format!(
                        "in the log, order {} has revision {} at {after}, before revision {} at {before}",
                        order.id, later.revision, earlier.revision
                    )
                });
            }
        }
        // Repeats alone can lie elsewhere: no pair is violated, and still the order has left its partition.
        if order.split && !split {
            let first = index.events[order.events.clone()].iter().find(|e| e.logged.is_some());
            let (revision, origin) = first.map_or((0, None), |e| (e.revision, e.logged));
            findings.add(Kind::SplitOrder, Subject::event(order.id, revision, origin), || {
                format!("records of order {} lie on several partitions{}", order.id, advice(index))
            });
        }
    }
    count
}

fn advice(index: &Index<'_>) -> &'static str {
    if index.evidence.keyed {
        "; the records have keys, so their partition was chosen by something else"
    } else {
        "; use the order id as key (--key order-id)"
    }
}

/// By the one true order in which the processing loops took messages in hand.
fn consumer(index: &Index<'_>, findings: &mut Findings) -> OrderCount {
    let mut count = OrderCount::default();
    for order in &index.orders {
        for ((earlier, before), (later, after)) in pairs(index, order, |e| e.taken) {
            count.pairs += 1;
            if after < before {
                count.violations += 1;
                let (ahead, behind) = (&index.evidence.deliveries[after], &index.evidence.deliveries[before]);
                findings.add(Kind::Order, Subject::event(order.id, later.revision, Some(ahead.origin)), || {
                    format!(
                        "order {} revision {} ({}) was taken in hand by consumer {} before revision {} ({}) was by \
                         consumer {}",
                        order.id,
                        later.revision,
                        ahead.origin,
                        ahead.consumer,
                        earlier.revision,
                        behind.origin,
                        behind.consumer
                    )
                });
            }
        }
    }
    count
}

/// A row that applied each revision once, in order, has as many events as its revision says.
fn rows(index: &Index<'_>, findings: &mut Findings) -> OrderCount {
    let mut count = OrderCount::default();
    for row in index.orders.iter().filter(|o| o.sent).filter_map(|o| o.row) {
        let pairs = u64::from(row.revision.saturating_sub(1));
        count.pairs += pairs;
        if row.applied != row.revision {
            count.violations += pairs.min(row.applied.abs_diff(row.revision).into());
            findings.add(Kind::Row, Subject::event(&row.order_id, row.revision, Some(row.origin)), || {
                applied(row)
            });
        }
    }
    count
}

fn applied(row: &Delivery) -> String {
    let Delivery { order_id, revision, applied, .. } = row;
    if applied < revision {
        let skipped = revision - applied;
        format!(
            "the row of order {order_id} stands at revision {revision} but took only {applied} events: it skipped {skipped}"
        )
    } else {
        let extra = applied - revision;
        format!(
            "the row of order {order_id} stands at revision {revision} but took {applied} events: {extra} were applied \
             twice"
        )
    }
}

/// An applied event must have been in someone's hands; if the evidence lacks that, the consumer was not watched
/// all the time, and its count of violations means nothing.
fn unseen(index: &Index<'_>, findings: &mut Findings) {
    let mut unseen = index.events.iter().filter(|e| {
        e.acked.is_some() && e.taken.is_none() && e.revision <= index.orders[e.order].row_revision()
    });
    if let Some(first) = unseen.next() {
        let id = index.orders[first.order].id;
        findings.add(Kind::NothingChecked, Subject::event(id, first.revision, first.acked), || {
            format!(
                "{} events are in their rows but no consumer reported them, so their order there is unchecked; the \
                 first is order {id} revision {}",
                unseen.count() + 1,
                first.revision
            )
        });
    }
}
