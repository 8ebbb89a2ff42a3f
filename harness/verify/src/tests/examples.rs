//! Small cases by hand: where the line runs between a repeat and a violation, and what proves nothing.

use super::world::{
    Evidence, Logged, Plan, Seen, SendOutcome, Sent, World, Write, at, build, committed, id, row, verify,
};
use super::{only, passes};
use crate::{FINDINGS_PER_KIND, Kind};

/// One order's events as the log and the consumer had them, on partition 0 from offset 0; its row and view are right.
fn one_order(log: &[u32], deliveries: &[u32]) -> Evidence {
    let offset = |revision| log.iter().rposition(|&r| r == revision).unwrap() as i64;
    let last = *log.iter().max().unwrap();
    let row = row(id(0), last, at(0, offset(last)));
    Evidence {
        sent: (1..=last)
            .map(|revision| Sent {
                order_id: id(0),
                revision,
                outcome: SendOutcome::Acked(at(0, offset(revision))),
            })
            .collect(),
        log: log
            .iter()
            .enumerate()
            .map(|(offset, &revision)| Logged {
                origin: at(0, offset as i64),
                key: Some(id(0).as_str().into()),
                event: Some((id(0), revision)),
            })
            .collect(),
        deliveries: deliveries
            .iter()
            .map(|&revision| Seen {
                order_id: Some(id(0)),
                revision,
                origin: at(0, offset(revision)),
                consumer: "c0".into(),
            })
            .collect(),
        view: vec![(id(0), Some(row.status_entry()))],
        rows: vec![row],
        keyed: true,
        ..Evidence::default()
    }
}

/// Violations at log and consumer, and repeats.
#[track_caller]
fn check(log: &[u32], deliveries: &[u32], expected: (u64, u64), repeats: (u64, u64)) {
    let v = verify(&one_order(log, deliveries));
    let found = ["log", "consumer"].map(|place| v.order_checks[place].violations);
    assert_eq!(found, [expected.0, expected.1], "{:#?}", v.findings);
    assert_eq!((v.resent, v.redelivered), repeats);
    assert_eq!(v.passed, expected == (0, 0), "{:#?}", v.findings);
}

#[test]
fn repeats_and_violations_are_told_apart() {
    check(&[1, 2, 3], &[1, 2, 3], (0, 0), (0, 0));
    // A resent run, as the producer's promise allows it.
    check(&[1, 2, 1, 2], &[1, 2], (0, 0), (2, 0));
    check(&[1, 1, 2], &[1, 1, 2], (0, 0), (1, 1));
    // B before A, whatever comes after.
    check(&[2, 1], &[1, 2], (1, 0), (0, 0));
    check(&[2, 1, 2], &[1, 2], (1, 0), (1, 0));
    check(&[1, 2], &[2, 1], (0, 1), (0, 0));
    check(&[1, 2, 3], &[1, 2, 1, 2, 3], (0, 0), (0, 2));
    check(&[3, 2, 1], &[1, 3, 2], (2, 1), (0, 0));
}

#[test]
fn a_checker_that_saw_nothing_proves_nothing() {
    let v = only(&Evidence::default(), Kind::NothingChecked);
    assert_eq!(v.findings_total, 1);

    let mut unanswered = one_order(&[1, 2], &[1, 2]);
    unanswered.sent.iter_mut().for_each(|s| s.outcome = SendOutcome::NotAcked);
    assert_eq!(only(&unanswered, Kind::NothingChecked).findings_total, 1);

    let mut unwatched = one_order(&[1, 2], &[1, 2]);
    unwatched.deliveries.clear();
    let v = only(&unwatched, Kind::NothingChecked);
    assert!(v.findings.iter().any(|f| f.message.contains("\"consumer\"")), "{:#?}", v.findings);
}

#[test]
fn orders_of_one_event_have_no_order_to_check() {
    let plan = |partition| Plan { partition, revisions: 1, unresolved: false, refused: false };
    let World { evidence, .. } = build(&[plan(0), plan(1)], &[1]);
    assert_eq!(passes(&evidence).order_pairs_checked, 0);
}

#[test]
fn without_a_key_every_pair_on_two_partitions_is_a_violation() {
    let mut evidence = one_order(&[1, 2, 3], &[1, 2, 3]);
    // As three partitions without a key would have it: 1 and 3 on one, 2 on another.
    let elsewhere = at(1, 0);
    evidence.keyed = false;
    evidence.log[1].origin = elsewhere;
    evidence.sent[1].outcome = SendOutcome::Acked(elsewhere);
    evidence.deliveries[1].origin = elsewhere;
    let v = only(&evidence, Kind::SplitOrder);
    assert_eq!((v.order_violations, v.findings_total), (2, 2));
    assert!(v.findings[0].message.contains("--key order-id"));
}

#[test]
fn findings_are_bounded_and_all_are_counted() {
    let plan = Plan { partition: 0, revisions: 2, unresolved: false, refused: false };
    let World { mut evidence, .. } = build(&vec![plan; 50], &[1]);
    evidence.rows.truncate(1);
    evidence.view.truncate(1);
    let v = only(&evidence, Kind::Lost);
    assert_eq!((v.lost, v.findings_total, v.findings.len()), (98, 98, FINDINGS_PER_KIND));
    assert!(v.findings[0].message.contains("consumer c0 took it in hand"), "{}", v.findings[0].message);
}

#[test]
fn revisions_with_a_gap_keep_their_names() {
    let mut evidence = one_order(&[1, 2, 3, 4], &[1, 2, 3, 4]);
    evidence.sent.remove(0);
    evidence.log.remove(0);
    evidence.deliveries.remove(0);
    let v = only(&evidence, Kind::Unexpected);
    assert!(v.findings.iter().all(|finding| finding.revision == 1), "{:#?}", v.findings);
    assert!(v.findings.iter().any(|finding| finding.message.contains("never sent")), "{:#?}", v.findings);
    assert_eq!(v.findings_total, 2, "the write and what it left");
    assert_eq!((v.acked, v.order_checks["log"].pairs), (3, 2));
}

#[test]
fn many_events_are_checked_in_a_moment() {
    let plan = |i| Plan { partition: i % 3, revisions: 3, unresolved: false, refused: false };
    let plans: Vec<_> = (0..300).map(plan).collect();
    let World { evidence: part, .. } = build(&plans, &[1, 2, 3]);
    let writes = part.sound_writes();
    // A hundred times the same, under other names and at other offsets: 90,000 events.
    let mut whole = Evidence { keyed: true, ..Evidence::default() };
    for copy in 0..100 {
        whole.append(copy, &part, &writes);
    }
    whole.ends = committed(&whole);
    let begun = std::time::Instant::now();
    let v = passes(&whole);
    assert_eq!(v.acked, 90_000);
    // Generous, since this is a debug build on a busy machine: only a quadratic step would take this long.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

impl Evidence {
    fn append(&mut self, copy: i64, part: &Self, writes: &[Write]) {
        use payment_delivery::event::OrderId;
        let name = |order: &OrderId| OrderId::new(&format!("{order}-{copy}")).unwrap();
        let place = |o: payment_delivery::kafka::Origin| at(o.partition, o.offset + copy * 1_000);
        for sent in &part.sent {
            let SendOutcome::Acked(origin) = sent.outcome else {
                continue;
            };
            let outcome = SendOutcome::Acked(place(origin));
            self.sent.push(Sent { order_id: name(&sent.order_id), revision: sent.revision, outcome });
        }
        for logged in &part.log {
            let (order, revision) = logged.event.as_ref().unwrap();
            let order = name(order);
            self.log.push(Logged {
                origin: place(logged.origin),
                key: Some(order.as_str().into()),
                event: Some((order, *revision)),
            });
        }
        for seen in &part.deliveries {
            let order_id = seen.order_id.as_ref().map(name);
            self.deliveries.push(Seen { order_id, origin: place(seen.origin), ..seen.clone() });
        }
        for write in writes {
            let (order_id, origin) = (name(&write.order_id), place(write.origin));
            self.writes.get_or_insert_default().push(Write { order_id, origin, ..write.clone() });
        }
        for row in &part.rows {
            let mut row = row.clone();
            row.order_id = name(&row.order_id);
            row.origin = place(row.origin);
            self.view.push((row.order_id.clone(), Some(row.status_entry())));
            self.rows.push(row);
        }
    }
}
