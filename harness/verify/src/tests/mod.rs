//! Healthy evidence passes; spoilt in one way, it gives that finding, by name, and no other.

mod examples;
mod order;
mod service;
mod state;
mod world;
mod writes;

use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;
use proptest::prelude::*;

use super::Kind;
use lanebench_result::Verification;
use world::{Evidence, healthy, verify};

/// The verification, after checking that it fails with findings of one kind alone.
#[track_caller]
fn only(evidence: &Evidence, kind: Kind) -> Verification {
    let v = verify(evidence);
    assert!(!v.passed && v.findings_total > 0, "{} was not found", kind.as_str());
    assert!(v.findings.iter().all(|f| f.kind == kind.as_str()), "{:#?}", v.findings);
    balanced(&v);
    v
}

/// The verification, after checking that it passes.
#[track_caller]
fn passes(evidence: &Evidence) -> Verification {
    let v = verify(evidence);
    assert!(v.passed && v.findings_total == 0, "{:#?}", v.findings);
    assert_eq!((v.lost, v.order_violations, v.view_mismatches), (0, 0, 0));
    balanced(&v);
    v
}

#[track_caller]
fn balanced(v: &Verification) {
    assert_eq!(v.acked, v.applied + v.parked + v.dead_lettered + v.lost, "{v:#?}");
}

/// Checks that a finding names this event and place.
#[track_caller]
fn named(v: &Verification, order: &OrderId, revision: Revision, origin: Origin) {
    let found = v.findings.iter().any(|f| {
        f.order_id == order.as_str()
            && f.revision == revision
            && f.partition == Some(origin.partition)
            && f.offset == Some(origin.offset)
    });
    assert!(found, "{order} {revision} at {origin} is not named: {:#?}", v.findings);
}

proptest! {
    #[test]
    fn healthy_evidence_passes_and_is_counted(world in healthy()) {
        let v = passes(&world.evidence);
        prop_assert_eq!(v.produced, world.evidence.sent.len() as u64);
        prop_assert_eq!((v.acked, v.applied), (world.acked, world.acked));
        prop_assert_eq!((v.resent, v.redelivered), (world.resent, world.redelivered));
        prop_assert_eq!(v.order_pairs_checked, world.pairs);
        for place in ["log", "consumer", "row"] {
            prop_assert_eq!(v.order_checks[place].pairs, world.pairs);
        }
        prop_assert_eq!(v.views_checked, world.evidence.rows.len() as u64);
    }

    #[test]
    fn the_order_of_what_has_none_does_not_matter(world in healthy(), seed in any::<u64>()) {
        use rand::{SeedableRng, seq::SliceRandom};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut evidence = world.evidence;
        evidence.log.shuffle(&mut rng);
        evidence.sent.shuffle(&mut rng);
        evidence.rows.shuffle(&mut rng);
        evidence.view.shuffle(&mut rng);
        prop_assert_eq!(passes(&evidence).order_pairs_checked, world.pairs);
    }
}
