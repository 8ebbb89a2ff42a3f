//! Mutations of what the database counted, of offsets, and of what a worker reports.

use std::time::Duration;

use payment_delivery::store::Parked;
use proptest::prelude::*;

use super::world::{
    Evidence, SendOutcome, Write, acked_at, at, content, event, healthy, id, places, row, verify,
};
use super::{named, only, passes};
use crate::{Checker, Kind, Logged, ParkWrite, PartitionEnd, Rules};
use lanebench_result::Verification;
use payment_delivery::kafka::Origin;

/// Which write of an order brought this revision.
fn brought(writes: &[Write], order: usize, revision: u32) -> usize {
    writes.iter().position(|w| w.order_id == id(order) && w.revision == revision).unwrap()
}

/// Spoils the writes in one way; what is found.
fn spoilt(evidence: &mut Evidence, spoil: impl FnOnce(&mut Vec<Write>)) -> Verification {
    let mut writes = evidence.sound_writes();
    spoil(&mut writes);
    evidence.writes = Some(writes);
    verify(evidence)
}

#[track_caller]
fn kinds(v: &Verification, expected: &[Kind]) {
    let found: std::collections::BTreeSet<&str> = v.findings.iter().map(|f| f.kind.as_str()).collect();
    let expected: std::collections::BTreeSet<&str> = expected.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(found, expected, "{:#?}", v.findings);
}

proptest! {
    #[test]
    fn a_row_that_went_past_an_event(world in healthy(), order in 0..2usize, skipped in 1..3u32) {
        // Its own count says nothing of it: a worker that sets `applied` to the revision would pass.
        let mut evidence = world.evidence;
        let v = spoilt(&mut evidence, |writes| {
            writes.remove(brought(writes, order, skipped));
            let next = brought(writes, order, skipped + 1);
            writes[next].before = skipped - 1;
        });
        kinds(&v, &[Kind::Lost]);
        named(&v, &id(order), skipped, acked_at(&evidence, &id(order), skipped).unwrap());
        prop_assert_eq!((v.lost, v.findings_total), (1, 1));
        prop_assert!(v.findings[0].message.contains("past it"), "{}", v.findings[0].message);
    }

    #[test]
    fn a_fold_brings_the_events_that_it_passes(world in healthy(), order in 0..2usize, folded in 1..3u32) {
        let mut evidence = world.evidence;
        evidence.folds = true;
        let v = spoilt(&mut evidence, |writes| {
            writes.remove(brought(writes, order, folded));
            let next = brought(writes, order, folded + 1);
            writes[next].before = folded - 1;
        });
        kinds(&v, &[]);
        prop_assert_eq!((v.lost, v.applied), (0, world.acked));
        prop_assert_eq!(v.order_checks["row"].pairs, world.pairs);
    }

    #[test]
    fn a_fold_brings_nothing_that_the_log_does_not_have(world in healthy(), order in 0..2usize) {
        let mut evidence = world.evidence;
        evidence.folds = true;
        let first = id(order);
        evidence.log.retain(|logged| logged.event != Some((first.clone(), 1)));
        let v = spoilt(&mut evidence, |writes| {
            writes.remove(brought(writes, order, 1));
            let next = brought(writes, order, 2);
            writes[next].before = 0;
        });
        prop_assert_eq!(v.lost, 1);
        prop_assert!(v.findings.iter().any(|f| f.kind == "lost" && f.message.contains("past it")));
    }

    #[test]
    fn an_event_written_twice(world in healthy(), order in 0..2usize, revision in 1..4u32) {
        let mut evidence = world.evidence;
        let mut place = None;
        let v = spoilt(&mut evidence, |writes| {
            let again = Write { before: revision, ..writes[brought(writes, order, revision)].clone() };
            place = Some(again.origin);
            writes.push(again);
        });
        kinds(&v, &[Kind::AppliedTwice]);
        named(&v, &id(order), revision, place.unwrap());
        prop_assert_eq!(v.findings_total, 1);
    }

    #[test]
    fn a_row_set_back_and_brought_forward_again(world in healthy(), order in 0..2usize) {
        let mut evidence = world.evidence;
        let v = spoilt(&mut evidence, |writes| {
            let back = Write { before: 3, ..writes[brought(writes, order, 2)].clone() };
            let again = writes[brought(writes, order, 3)].clone();
            writes.extend([back, again]);
        });
        kinds(&v, &[Kind::AppliedTwice, Kind::Order]);
        prop_assert_eq!((v.order_checks["row"].violations, v.order_violations), (1, 1));
    }

    #[test]
    fn a_row_with_the_content_of_another_event(world in healthy(), order in 0..2usize, revision in 2..4u32) {
        let mut evidence = world.evidence;
        let v = spoilt(&mut evidence, |writes| {
            let at = brought(writes, order, revision);
            writes[at].says = revision - 1;
        });
        kinds(&v, &[Kind::Content]);
        named(&v, &id(order), revision, places(&evidence, &id(order), revision)[0]);
        prop_assert_eq!(v.contents_checked, v.writes_counted);
    }

    #[test]
    fn a_row_that_was_changed_after_its_last_write(world in healthy(), order in 0..2usize) {
        let mut evidence = world.evidence;
        evidence.rows.iter_mut().find(|row| row.order_id == id(order)).unwrap().address = "elsewhere".into();
        prop_assert_eq!(only(&evidence, Kind::Content).findings_total, 1);
    }

    #[test]
    fn a_write_that_names_another_place(world in healthy(), order in 0..2usize) {
        let mut evidence = world.evidence;
        let elsewhere = places(&evidence, &id(1 - order), 1)[0];
        let v = spoilt(&mut evidence, |writes| {
            let at = brought(writes, order, 1);
            writes[at].origin = elsewhere;
        });
        kinds(&v, &[Kind::Row]);
        named(&v, &id(order), 1, elsewhere);
    }

    #[test]
    fn a_place_where_nothing_lies(world in healthy(), order in 0..2usize, revision in 1..3u32) {
        let mut evidence = world.evidence;
        let nowhere = at(0, 1_000_000);
        let v = spoilt(&mut evidence, |writes| {
            let at = brought(writes, order, revision);
            writes[at].origin = nowhere;
        });
        kinds(&v, &[Kind::Row]);
        named(&v, &id(order), revision, nowhere);
    }

    #[test]
    fn a_write_that_nobody_sent_and_nobody_sees(world in healthy()) {
        let mut evidence = world.evidence;
        let v = spoilt(&mut evidence, |writes| {
            writes.push(Write { order_id: id(999), ..writes[0].clone() });
        });
        kinds(&v, &[Kind::Unexpected]);
    }

    #[test]
    fn a_row_that_no_write_has_made(world in healthy(), order in 0..2usize) {
        let mut evidence = world.evidence;
        let v = spoilt(&mut evidence, |writes| {
            let last = writes.iter().filter(|w| w.order_id == id(order)).map(|w| w.revision).max().unwrap();
            writes.remove(brought(writes, order, last));
        });
        let kinds: std::collections::BTreeSet<_> = v.findings.iter().map(|f| f.kind.as_str()).collect();
        prop_assert!(kinds.contains("row"), "{:#?}", v.findings);
    }

    #[test]
    fn rows_without_a_single_write_prove_nothing(world in healthy()) {
        let mut evidence = world.evidence;
        evidence.writes = Some(Vec::new());
        let v = verify(&evidence);
        prop_assert!(v.findings.iter().any(|f| f.kind == "nothing-checked" && f.message.contains("not one write")));
    }

    #[test]
    fn an_event_that_came_to_its_row_before_the_one_it_follows(world in healthy(), order in 0..2usize, revision in 2..4u32) {
        // Parked, and taken in when the other came: the row is right, and still the worker took them in the wrong order.
        let mut evidence = world.evidence;
        let origin = places(&evidence, &id(order), revision)[0];
        evidence.parks = Some(vec![Parked { order_id: id(order), first: revision, last: revision, origin }]);
        let v = only(&evidence, Kind::Order);
        named(&v, &id(order), revision, origin);
        prop_assert_eq!(v.order_checks["row"].violations, 1);
    }

    #[test]
    fn a_commit_before_its_work(world in healthy(), order in 0..2usize, revision in 1..4u32) {
        let mut evidence = world.evidence;
        let v = spoilt(&mut evidence, |writes| {
            let at = brought(writes, order, revision);
            writes[at].after_commit = Some(Duration::from_millis(300));
        });
        kinds(&v, &[Kind::Offset]);
        named(&v, &id(order), revision, places(&evidence, &id(order), revision)[0]);
        prop_assert!(v.findings[0].message.contains("300.0 ms after"));
    }

    #[test]
    fn offsets_that_were_not_committed(world in healthy(), how in 0..3u8) {
        let mut evidence = world.evidence;
        let PartitionEnd { partition, end, committed, .. } = &mut evidence.ends[0];
        let at_end = at(*partition, *end - 1);
        *committed = match how {
            0 => None,
            1 => Some(*end - 1),
            _ => Some(*end + 1),
        };
        let v = only(&evidence, Kind::Offset);
        let message = &v.findings[0].message;
        let words = ["nothing of it", "only what lies before", "beyond it"][how as usize];
        prop_assert!(message.contains(words), "{message}");
        if how == 1 {
            prop_assert_eq!((v.findings[0].offset, v.findings[0].order_id.is_empty()), (Some(at_end.offset), false));
        }
    }

    #[test]
    fn reports_that_name_no_order(world in healthy()) {
        let mut evidence = world.evidence;
        evidence.deliveries.iter_mut().for_each(|seen| seen.order_id = None);
        let v = passes(&evidence);
        prop_assert_eq!((v.order_pairs_checked, v.redelivered), (world.pairs, world.redelivered));
    }

    #[test]
    fn a_report_that_the_log_contradicts(world in healthy(), index in any::<prop::sample::Index>(), nowhere in any::<bool>()) {
        let mut evidence = world.evidence;
        evidence.deliveries.iter_mut().for_each(|seen| seen.order_id = None);
        let mut made_up = index.get(&evidence.deliveries).clone();
        if nowhere { made_up.origin = at(0, 1_000_000) } else { made_up.revision += 1 }
        evidence.deliveries.push(made_up.clone());
        let v = only(&evidence, Kind::Unexpected);
        prop_assert_eq!((v.findings[0].revision, v.findings[0].offset), (made_up.revision, Some(made_up.origin.offset)));
        prop_assert!(v.findings[0].message.contains("reports"));
    }
}

#[test]
fn a_parked_run_is_taken_in_by_one_write() {
    let order = id(0);
    let log = [1, 3, 4, 2];
    let offset = |revision| log.iter().position(|r| *r == revision).unwrap() as i64;
    let last = row(order.clone(), 4, at(0, offset(4)));
    let parked = |revision| Parked {
        order_id: order.clone(),
        first: revision,
        last: revision,
        origin: at(0, offset(revision)),
    };
    let write = |before, revision| Write {
        order_id: order.clone(),
        before,
        revision,
        origin: at(0, offset(revision)),
        says: revision,
        after_commit: None,
    };
    let mut evidence = Evidence {
        sent: (1..=4)
            .map(|revision| super::world::Sent {
                order_id: order.clone(),
                revision,
                outcome: SendOutcome::Acked(at(0, offset(revision))),
            })
            .collect(),
        log: log
            .iter()
            .map(|&revision| super::world::Logged {
                origin: at(0, offset(revision)),
                key: Some(order.as_str().into()),
                event: Some((order.clone(), revision)),
            })
            .collect(),
        outside: true,
        view: vec![(order.clone(), Some(last.status_entry()))],
        rows: vec![last],
        writes: Some(vec![write(0, 1), write(1, 2), write(2, 4)]),
        parks: Some(vec![parked(3), parked(4)]),
        keyed: true,
        ..Evidence::default()
    };
    // The log itself has 3 before 2; nothing else is wrong.
    let v = only(&evidence, Kind::Order);
    assert_eq!((v.findings_total, v.applied, v.lost, v.order_checks["row"].violations), (1, 4, 0, 0));
    evidence.parks = Some(vec![parked(4)]);
    let v = verify(&evidence);
    assert_eq!((v.applied, v.lost), (3, 1), "3 was never parked, so the write to 4 went past it");
    named(&v, &order, 3, at(0, 1));
}

#[test]
fn a_write_brings_the_events_that_it_passes_over_only_where_the_mode_folds() {
    let order = id(0);
    for (folds, expected) in [(false, vec![13]), (true, vec![11, 13])] {
        let rules = Rules { keyed: true, folds, ..Rules::default() };
        let mut checker = Checker::new(rules, (1..=4).map(|revision| (&order, revision)));
        for revision in 1..=4 {
            let event = event(order.clone(), revision);
            let origin = Origin { partition: 0, offset: 10 + i64::from(revision) };
            checker.log(&Logged { origin, key: Some(order.as_str().as_bytes()), event: Some(&event) });
        }
        let origin = Origin { partition: 0, offset: 12 };
        checker.park(&ParkWrite { order_id: &order, first: 2, last: 2, origin, content: content(2) });
        let offsets: Vec<i64> = checker.places(&order, 0, 3).iter().map(|place| place.offset).collect();
        assert_eq!(offsets, expected);
        assert_eq!(checker.places(&order, 3, 9), [], "nobody sent it");
    }
}
