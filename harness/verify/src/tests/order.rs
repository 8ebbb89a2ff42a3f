//! Mutations of log and deliveries.

use proptest::prelude::*;
use proptest::sample::Index;

use std::num::NonZeroU32;

use payment_delivery::event::OrderId;
use payment_delivery::kafka::partitioner::partition_for_key;

use super::world::{
    Evidence, Logged, SendOutcome, acked_at, at, committed, end, healthy, id, places, verify,
};
use super::{named, only, passes};
use crate::{Kind, PartitionsAdded};

/// Moves all records of an event to a partition of their own, and everything that names them with them.
fn moved(evidence: &mut Evidence, order: &OrderId, revision: u32, to: i32) {
    let places = places(evidence, order, revision);
    let moved = |origin| places.iter().position(|&p| p == origin).map_or(origin, |i| at(to, i as i64));
    evidence.log.iter_mut().for_each(|l| l.origin = moved(l.origin));
    evidence.deliveries.iter_mut().for_each(|d| d.origin = moved(d.origin));
    evidence.rows.iter_mut().for_each(|r| r.origin = moved(r.origin));
    for sent in &mut evidence.sent {
        if let SendOutcome::Acked(origin) = &mut sent.outcome {
            *origin = moved(*origin);
        }
    }
}

/// Numbers of partitions by which the order had to go from where it lies to a partition that did not exist, and which that is.
fn growth(evidence: &Evidence, order: &OrderId) -> (PartitionsAdded, i32) {
    let lies_in = acked_at(evidence, order, 1).unwrap().partition;
    let counts = || (1..500).filter_map(NonZeroU32::new);
    let of = |count| partition_for_key(order.as_str().as_bytes(), count);
    let before = counts().find(|count| of(*count) == lies_in).unwrap();
    // Beyond those that the world has, and those that there were.
    let is_new = |count: &NonZeroU32| *count > before && of(*count) >= before.get().cast_signed().max(3);
    let after = counts().find(is_new).unwrap();
    (PartitionsAdded { before, after, drained: false }, of(after))
}

proptest! {
    #[test]
    fn two_records_swapped(world in healthy(), order in 0..2usize, earlier in 1..3u32) {
        let (mut evidence, order, later) = (world.evidence, id(order), earlier + 1);
        let first = places(&evidence, &order, earlier)[0];
        // The later event lies where the earlier one did, and was acknowledged, delivered and applied from there.
        let swap = |revision: &mut u32| match *revision {
            r if r == earlier => *revision = later,
            r if r == later => *revision = earlier,
            _ => {}
        };
        evidence.log.iter_mut().filter_map(|l| l.event.as_mut()).filter(|e| e.0 == order).for_each(|e| swap(&mut e.1));
        evidence.deliveries.iter_mut().filter(|d| d.order_id.as_ref() == Some(&order)).for_each(|d| swap(&mut d.revision));
        evidence.sent.iter_mut().filter(|s| s.order_id == order).for_each(|s| swap(&mut s.revision));
        evidence.sent.sort_by_key(|s| s.revision);
        let row = evidence.rows.iter().position(|r| r.order_id == order).unwrap();
        evidence.rows[row].origin = places(&evidence, &order, evidence.rows[row].revision)[0];
        // In case the two outcomes differed: an unanswered event is never followed by an answered one.
        for sent in evidence.sent.iter_mut().filter(|s| s.order_id == order) {
            let place = evidence.log.iter().find(|l| l.event == Some((order.clone(), sent.revision)));
            if let (SendOutcome::NotAcked, Some(place)) = (sent.outcome, place) {
                sent.outcome = SendOutcome::Acked(place.origin);
            }
        }

        let v = only(&evidence, Kind::Order);
        named(&v, &order, later, first);
        prop_assert_eq!((v.order_checks["log"].violations, v.order_checks["consumer"].violations), (1, 1));
        prop_assert_eq!((v.order_violations, v.lost), (1, 0));
    }

    #[test]
    fn two_records_swapped_behind_the_producers_back(world in healthy(), order in 0..2usize) {
        let (mut evidence, order) = (world.evidence, id(order));
        let (one, two) = (acked_at(&evidence, &order, 1).unwrap(), acked_at(&evidence, &order, 2).unwrap());
        let [a, b] = [one, two].map(|o| evidence.log.iter().position(|l| l.origin == o).unwrap());
        evidence.log[a].origin = two;
        evidence.log[b].origin = one;
        let v = verify(&evidence);
        let unexpected: Vec<_> = v.findings.iter().filter(|f| f.kind == "unexpected").collect();
        prop_assert!(unexpected.iter().any(|f| f.revision == 1 && f.offset == Some(one.offset)));
        prop_assert!(unexpected.iter().any(|f| f.revision == 2 && f.offset == Some(two.offset)));
    }

    #[test]
    fn two_deliveries_swapped(world in healthy(), order in 0..2usize, earlier in 1..3u32) {
        let (mut evidence, order) = (world.evidence, id(order));
        let [a, b] = [earlier, earlier + 1].map(|revision| {
            evidence.deliveries.iter().position(|d| d.order_id.as_ref() == Some(&order) && d.revision == revision).unwrap()
        });
        evidence.deliveries.swap(a, b);
        let v = only(&evidence, Kind::Order);
        named(&v, &order, earlier + 1, evidence.deliveries[a].origin);
        prop_assert_eq!((v.order_checks["log"].violations, v.order_checks["consumer"].violations), (0, 1));
        prop_assert_eq!(v.findings_total, 1);
    }

    #[test]
    fn a_record_removed(world in healthy(), order in 0..2usize, revision in 1..3u32) {
        let (mut evidence, order) = (world.evidence, id(order));
        let origin = acked_at(&evidence, &order, revision).unwrap();
        evidence.log.retain(|l| l.origin != origin);
        let v = only(&evidence, Kind::Unexpected);
        named(&v, &order, revision, origin);
        prop_assert_eq!(v.findings_total, 1);
    }

    #[test]
    fn a_record_that_can_no_longer_be_decoded(world in healthy(), order in 0..2usize, revision in 1..3u32) {
        let (mut evidence, order) = (world.evidence, id(order));
        let origin = acked_at(&evidence, &order, revision).unwrap();
        evidence.log.iter_mut().find(|l| l.origin == origin).unwrap().event = None;
        let v = only(&evidence, Kind::Unexpected);
        named(&v, &order, revision, origin);
        prop_assert_eq!(v.findings_total, 1);
    }

    #[test]
    fn a_record_more_is_resent(world in healthy(), index in any::<Index>()) {
        let mut evidence = world.evidence;
        let mut copy = index.get(&evidence.log).clone();
        copy.origin = end(&evidence, copy.origin.partition);
        evidence.log.push(copy);
        evidence.ends = committed(&evidence);
        prop_assert_eq!(passes(&evidence).resent, world.resent + 1);
    }

    #[test]
    fn a_delivery_more_is_redelivered(world in healthy(), index in any::<Index>()) {
        let mut evidence = world.evidence;
        evidence.deliveries.push(index.get(&evidence.deliveries).clone());
        prop_assert_eq!(passes(&evidence).redelivered, world.redelivered + 1);
    }

    #[test]
    fn an_offset_scanned_twice_counts_once(world in healthy(), index in any::<Index>()) {
        let mut evidence = world.evidence;
        evidence.log.push(index.get(&evidence.log).clone());
        prop_assert_eq!(passes(&evidence).resent, world.resent);
    }

    #[test]
    fn an_order_split(world in healthy(), order in 0..2usize) {
        let (mut evidence, order) = (world.evidence, id(order));
        let last = evidence.rows.iter().find(|r| r.order_id == order).unwrap().revision;
        moved(&mut evidence, &order, last, 9);
        let v = only(&evidence, Kind::SplitOrder);
        named(&v, &order, last, at(9, 0));
        prop_assert_eq!((v.order_checks["log"].violations, v.order_violations, v.findings_total), (1, 1, 1));
    }

    #[test]
    fn an_order_that_moves_since_partitions_were_added(world in healthy(), order in 0..2usize) {
        let (mut evidence, order) = (world.evidence, id(order));
        let last = evidence.rows.iter().find(|r| r.order_id == order).unwrap().revision;
        let (added, to) = growth(&evidence, &order);
        moved(&mut evidence, &order, last, to);
        for drained in [true, false] {
            evidence.partitions_added = Some(PartitionsAdded { drained, ..added });
            prop_assert_eq!(passes(&evidence).orders_moved, 1);
        }
        // What comes from the new partition is taken in hand before what waits in the old one.
        let [a, b] = [last - 1, last].map(|revision| {
            evidence.deliveries.iter().position(|d| d.order_id.as_ref() == Some(&order) && d.revision == revision).unwrap()
        });
        evidence.deliveries.swap(a, b);
        let v = verify(&evidence);
        prop_assert!(v.passed && v.findings_total == 0, "counted, and no finding: {:?}", v.findings);
        prop_assert_eq!((v.order_checks["consumer"].violations, v.order_violations), (1, 1));
        evidence.partitions_added = Some(PartitionsAdded { drained: true, ..added });
        let v = only(&evidence, Kind::Order);
        named(&v, &order, last, at(to, 0));
    }

    #[test]
    fn an_order_that_moves_where_its_key_does_not_belong(world in healthy(), order in 0..2usize) {
        let (mut evidence, order) = (world.evidence, id(order));
        let (added, to) = growth(&evidence, &order);
        moved(&mut evidence, &order, 2, to + 1);
        evidence.partitions_added = Some(added);
        prop_assert_eq!(only(&evidence, Kind::SplitOrder).orders_moved, 0);
    }

    #[test]
    fn an_order_moves_once(world in healthy(), order in 0..2usize) {
        let (mut evidence, order) = (world.evidence, id(order));
        let (added, to) = growth(&evidence, &order);
        // There and back again.
        moved(&mut evidence, &order, 2, to);
        evidence.partitions_added = Some(added);
        prop_assert!(evidence.rows.iter().find(|r| r.order_id == order).unwrap().revision > 2);
        let v = only(&evidence, Kind::SplitOrder);
        prop_assert_eq!((v.orders_moved, v.order_checks["log"].violations), (1, 1));
    }

    #[test]
    fn partitions_that_nobody_sends_to(world in healthy()) {
        let mut evidence = world.evidence;
        let [before, after] = [100, 101].map(|count| NonZeroU32::new(count).unwrap());
        evidence.partitions_added = Some(PartitionsAdded { before, after, drained: true });
        only(&evidence, Kind::NothingChecked);
    }

    #[test]
    fn a_repeat_on_another_partition(world in healthy(), index in any::<Index>()) {
        let mut evidence = world.evidence;
        let mut copy = index.get(&evidence.log).clone();
        copy.origin = at(9, 0);
        evidence.log.push(copy);
        let v = only(&evidence, Kind::SplitOrder);
        prop_assert_eq!((v.findings_total, v.order_violations, v.resent), (1, 0, world.resent + 1));
    }

    #[test]
    fn a_record_nobody_sent(world in healthy(), decodable in any::<bool>()) {
        let mut evidence = world.evidence;
        let ghost = id(999);
        let origin = end(&evidence, 0);
        let event = decodable.then(|| (ghost.clone(), 1));
        evidence.log.push(Logged { origin, key: Some(ghost.as_str().into()), event });
        let v = only(&evidence, Kind::Unexpected);
        prop_assert_eq!(v.findings[0].offset, Some(origin.offset));
        prop_assert_eq!(v.findings_total, 1);
    }

    #[test]
    fn a_record_under_a_wrong_key(world in healthy(), index in any::<Index>(), key in prop::option::of(Just(b"x".to_vec()))) {
        let mut evidence = world.evidence;
        let record = index.index(evidence.log.len());
        evidence.log[record].key = key;
        let (order, revision) = evidence.log[record].event.clone().unwrap();
        named(&only(&evidence, Kind::Unexpected), &order, revision, evidence.log[record].origin);
        evidence.keyed = false;
        passes(&evidence);
    }

    #[test]
    fn a_delivery_from_elsewhere(world in healthy(), index in any::<Index>()) {
        let mut evidence = world.evidence;
        let mut made_up = index.get(&evidence.deliveries).clone();
        made_up.origin = at(0, 1_000_000);
        evidence.deliveries.push(made_up.clone());
        let v = only(&evidence, Kind::Unexpected);
        named(&v, made_up.order_id.as_ref().unwrap(), made_up.revision, made_up.origin);
    }

    #[test]
    fn an_applied_event_that_no_consumer_reported(world in healthy(), order in 0..2usize, revision in 1..3u32) {
        let (mut evidence, order) = (world.evidence, id(order));
        evidence.deliveries.retain(|d| d.order_id.as_ref() != Some(&order) || d.revision != revision);
        let v = only(&evidence, Kind::NothingChecked);
        named(&v, &order, revision, acked_at(&evidence, &order, revision).unwrap());
    }
}
