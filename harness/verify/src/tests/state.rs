//! Mutations of rows, parked events, dead letters and view.

use payment_delivery::delivery::Status;
use payment_delivery::store::Parked;
use proptest::prelude::*;
use proptest::sample::Index;

use super::world::{
    Evidence, Logged, SendOutcome, World, acked_at, at, committed, end, healthy, id, places, row, set_back,
    verify,
};
use super::{named, only, passes};
use crate::{DeadLetter, Kind};

fn letter(evidence: &Evidence, order: usize, revision: u32) -> DeadLetter {
    DeadLetter { origin: places(evidence, &id(order), revision)[0], reason: "SQLSTATE 22001".into() }
}

/// An order whose second event went to the dead letters, so that the third and all later ones wait.
fn stuck(world: World, order: usize) -> Evidence {
    let mut evidence = world.evidence;
    let last = evidence.rows.iter().find(|r| r.order_id == id(order)).unwrap().revision;
    let origin = places(&evidence, &id(order), last)[0];
    set_back(&mut evidence, &id(order), 1);
    evidence.dead_letters.push(letter(&evidence, order, 2));
    evidence.parked.push(Parked { order_id: id(order), first: 3, last, origin });
    (evidence.allow_parked, evidence.allow_dead_letters) = (true, true);
    evidence
}

proptest! {
    #[test]
    fn a_row_dropped(world in healthy(), order in 0..2usize) {
        let (mut evidence, order) = (world.evidence, id(order));
        evidence.rows.retain(|r| r.order_id != order);
        evidence.view.retain(|(id, _)| *id != order);
        let v = only(&evidence, Kind::Lost);
        prop_assert_eq!((v.lost, v.findings_total), (world.acked - v.applied, v.lost));
        for revision in 1..3 {
            named(&v, &order, revision, acked_at(&evidence, &order, revision).unwrap());
        }
    }

    #[test]
    fn a_row_dropped_that_the_view_still_shows(world in healthy(), order in 0..2usize) {
        let (mut evidence, order) = (world.evidence, id(order));
        evidence.rows.retain(|r| r.order_id != order);
        let v = verify(&evidence);
        let kinds: std::collections::BTreeSet<_> = v.findings.iter().map(|f| f.kind.as_str()).collect();
        prop_assert!(kinds.into_iter().eq(["lost", "view"]));
        prop_assert_eq!(v.view_mismatches, 1);
    }

    #[test]
    fn an_event_lost_everywhere(world in healthy(), order in 0..2usize) {
        // Acknowledged, then gone from the log and never delivered: the last event, so that nothing waits for it.
        let (mut evidence, order) = (world.evidence, id(order));
        set_back(&mut evidence, &order, 2);
        evidence.sent.retain(|s| s.order_id != order || s.revision <= 3);
        evidence.log.retain(|l| l.event.as_ref().is_none_or(|e| e.0 != order || e.1 <= 2));
        evidence.deliveries.retain(|d| d.order_id.as_ref() != Some(&order) || d.revision <= 2);
        let sent = evidence.sent.iter_mut().find(|s| s.order_id == order && s.revision == 3).unwrap();
        sent.outcome = SendOutcome::Acked(at(0, 5_000));
        let v = verify(&evidence);
        prop_assert_eq!(v.lost, 1);
        let lost = v.findings.iter().find(|f| f.kind == "lost").unwrap();
        prop_assert_eq!((lost.revision, lost.partition, lost.offset), (3, Some(0), Some(5_000)));
        prop_assert!(lost.message.contains("the broker lost it"));
    }

    #[test]
    fn applied_set_back(world in healthy(), order in 0..2usize) {
        let mut evidence = world.evidence;
        let row = evidence.rows.iter_mut().find(|r| r.order_id == id(order)).unwrap();
        row.applied -= 1;
        let row = row.clone();
        let v = only(&evidence, Kind::Row);
        named(&v, &row.order_id, row.revision, row.origin);
        prop_assert!(v.findings[0].message.contains("it skipped 1"));
        prop_assert_eq!((v.findings_total, v.lost), (1, 0));
    }

    #[test]
    fn applied_twice(world in healthy(), order in 0..2usize) {
        let mut evidence = world.evidence;
        evidence.rows.iter_mut().find(|r| r.order_id == id(order)).unwrap().applied += 1;
        let v = only(&evidence, Kind::Row);
        prop_assert!(v.findings[0].message.contains("1 were applied twice"));
        prop_assert_eq!((v.findings_total, v.lost), (1, 0));
    }

    #[test]
    fn a_row_of_another_status_or_origin(world in healthy(), order in 0..2usize, status in any::<bool>()) {
        let mut evidence = world.evidence;
        evidence.writes = Some(evidence.sound_writes());
        let origin = places(&evidence, &id(order), 1)[0];
        let row = evidence.rows.iter_mut().find(|r| r.order_id == id(order)).unwrap();
        if status {
            row.status = Status::Preparing;
            let entry = Some(row.status_entry());
            evidence.view.iter_mut().find(|(o, _)| *o == id(order)).unwrap().1 = entry;
        } else {
            row.origin = origin;
        }
        prop_assert_eq!(only(&evidence, Kind::Row).findings_total, 1);
    }

    #[test]
    fn a_row_nobody_sent(world in healthy()) {
        let mut evidence = world.evidence;
        evidence.rows.push(row(id(999), 1, at(0, 0)));
        let v = only(&evidence, Kind::Unexpected);
        named(&v, &id(999), 1, at(0, 0));
        prop_assert_eq!((v.findings_total, v.order_pairs_checked), (1, world.pairs));
    }

    #[test]
    fn a_second_row_of_one_order(world in healthy(), index in any::<Index>()) {
        let mut evidence = world.evidence;
        evidence.writes = Some(evidence.sound_writes());
        let mut second = index.get(&evidence.rows).clone();
        second.address = "elsewhere".into();
        evidence.rows.insert(0, second);
        prop_assert_eq!(only(&evidence, Kind::Unexpected).findings_total, 1);
    }

    #[test]
    fn a_row_ahead_of_what_was_sent(world in healthy(), order in 0..2usize) {
        let mut evidence = world.evidence;
        let nowhere = end(&evidence, 0);
        let at_row = evidence.rows.iter().position(|r| r.order_id == id(order)).unwrap();
        let ahead = row(id(order), evidence.rows[at_row].revision + 1, nowhere);
        evidence.view.iter_mut().find(|(o, _)| *o == id(order)).unwrap().1 = Some(ahead.status_entry());
        evidence.rows[at_row] = ahead.clone();
        let v = only(&evidence, Kind::Unexpected);
        named(&v, &id(order), ahead.revision, nowhere);
        prop_assert!(v.findings_total <= 2, "the write, if it was never sent at all, and what it left");
    }

    #[test]
    fn the_view_put_back(world in healthy(), order in 0..2usize) {
        let mut evidence = world.evidence;
        let entry = evidence.view.iter_mut().find(|(o, _)| *o == id(order)).unwrap().1.as_mut().unwrap();
        entry.revision -= 1;
        let row = evidence.rows.iter().find(|r| r.order_id == id(order)).unwrap().clone();
        let v = only(&evidence, Kind::View);
        named(&v, &row.order_id, row.revision, row.origin);
        prop_assert_eq!((v.view_mismatches, v.findings_total), (1, 1));
        prop_assert!(v.findings[0].message.contains("behind"));
    }

    #[test]
    fn a_view_without_its_entry_or_with_another_status(world in healthy(), order in 0..2usize, forget in 0..3u8) {
        let mut evidence = world.evidence;
        let place = evidence.view.iter().position(|(o, _)| *o == id(order)).unwrap();
        match forget {
            0 => evidence.view[place].1 = None,
            1 => drop(evidence.view.remove(place)),
            _ => evidence.view[place].1.as_mut().unwrap().status = Status::Preparing,
        }
        let v = only(&evidence, Kind::View);
        prop_assert_eq!((v.view_mismatches, v.findings_total), (1, 1));
        prop_assert_eq!(v.views_checked, evidence.rows.len() as u64);
    }

    #[test]
    fn a_view_that_was_emptied_may_lack_what_it_had_and_show_nothing_old(world in healthy(), order in 0..2usize) {
        let mut evidence = Evidence { view_emptied: true, ..world.evidence };
        let place = evidence.view.iter().position(|(o, _)| *o == id(order)).unwrap();
        let shown = evidence.view[place].1.take();
        passes(&evidence);
        evidence.view[place].1 = shown;
        evidence.view[place].1.as_mut().unwrap().status = Status::Preparing;
        prop_assert_eq!(only(&evidence, Kind::View).view_mismatches, 1);
    }

    #[test]
    fn a_view_of_an_order_without_a_row(world in healthy()) {
        let mut evidence = world.evidence;
        evidence.view.push((id(999), Some(row(id(999), 1, at(0, 0)).status_entry())));
        let v = only(&evidence, Kind::View);
        prop_assert_eq!((v.view_mismatches, v.findings[0].order_id.as_str()), (1, "order-999"));
        evidence.view.last_mut().unwrap().1 = None;
        passes(&evidence);
    }

    #[test]
    fn left_overs_need_permission(world in healthy(), order in 0..2usize) {
        let acked = |evidence: &Evidence, from| {
            (from..9).filter(|&r| acked_at(evidence, &id(order), r).is_some()).count() as u64
        };
        let mut evidence = stuck(world, order);
        let v = passes(&evidence);
        prop_assert_eq!((v.parked, v.dead_lettered), (acked(&evidence, 3), 1));

        evidence.allow_parked = false;
        let v = only(&evidence, Kind::Parked);
        named(&v, &id(order), 3, evidence.parked[0].origin);
        prop_assert!(v.findings[0].message.contains("revision 2 never came"));

        (evidence.allow_parked, evidence.allow_dead_letters) = (true, false);
        let v = only(&evidence, Kind::DeadLettered);
        named(&v, &id(order), 2, evidence.dead_letters[0].origin);
        prop_assert!(v.findings[0].message.contains("SQLSTATE 22001"));
    }

    #[test]
    fn what_waits_for_nothing_is_found_even_with_permission(world in healthy(), order in 0..2usize) {
        let mut evidence = stuck(world, order);
        // Its gap is filled, and still it waits.
        evidence.dead_letters.clear();
        evidence.parks = Some(Vec::new());
        set_back(&mut evidence, &id(order), 2);
        let v = only(&evidence, Kind::Parked);
        named(&v, &id(order), 3, evidence.parked[0].origin);
    }

    #[test]
    fn parked_that_nobody_sent(world in healthy()) {
        let mut evidence = world.evidence;
        evidence.allow_parked = true;
        evidence.parked.push(Parked { order_id: id(999), first: 7, last: 8, origin: at(0, 0) });
        named(&only(&evidence, Kind::Unexpected), &id(999), 7, at(0, 0));
    }

    #[test]
    fn an_undecodable_record_in_the_dead_letters(world in healthy(), order in 0..2usize) {
        // The last acknowledged event was spoilt on its way to the log, and never came as an event.
        let mut evidence = world.evidence;
        let last = (1..9).rev().find(|&r| acked_at(&evidence, &id(order), r).is_some()).unwrap();
        let origin = acked_at(&evidence, &id(order), last).unwrap();
        set_back(&mut evidence, &id(order), last - 1);
        evidence.log.retain(|l| l.origin == origin || l.event.as_ref().is_none_or(|e| e.0 != id(order) || e.1 < last));
        evidence.log.iter_mut().find(|l| l.origin == origin).unwrap().event = None;
        evidence.deliveries.retain(|d| d.order_id != Some(id(order)) || d.revision < last);
        evidence.dead_letters.push(DeadLetter { origin, reason: "not a payment event".into() });
        named(&only(&evidence, Kind::DeadLettered), &id(order), last, origin);
        evidence.allow_dead_letters = true;
        prop_assert_eq!(passes(&evidence).dead_lettered, 1);
    }

    #[test]
    fn a_poisonous_record_in_the_dead_letters(world in healthy()) {
        let mut evidence = world.evidence;
        let origin = end(&evidence, 1);
        evidence.log.push(Logged { origin, key: None, event: None });
        evidence.dead_letters.push(DeadLetter { origin, reason: "not a payment event".into() });
        evidence.ends = committed(&evidence);
        let v = only(&evidence, Kind::DeadLettered);
        prop_assert_eq!((v.findings_total, v.findings[0].offset), (1, Some(origin.offset)));
        evidence.allow_dead_letters = true;
        prop_assert_eq!(passes(&evidence).dead_lettered, 0);
    }

    #[test]
    fn a_dead_letter_from_nowhere(world in healthy()) {
        let mut evidence = world.evidence;
        evidence.allow_dead_letters = true;
        evidence.dead_letters.push(DeadLetter { origin: at(0, 77_777), reason: String::new() });
        prop_assert_eq!(only(&evidence, Kind::Unexpected).findings[0].offset, Some(77_777));
    }
}
