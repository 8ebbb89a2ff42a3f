//! Mutations of what the REST API answered.

use payment_delivery::delivery::Status;
use proptest::prelude::*;

use super::world::{Evidence, World, healthy, id, verify};
use super::{only, passes};
use crate::{ApiAnswers, Kind};
use lanebench_result::ApiCount;

/// Every order was asked for, and the messages of the first two.
fn asked(world: World) -> Evidence {
    let mut evidence = world.evidence;
    let mut answers = ApiAnswers { deliveries: evidence.view.clone(), histories: Vec::new(), retried: 3 };
    for order in [id(0), id(1)] {
        let mut history: Vec<_> = evidence
            .log
            .iter()
            .filter_map(|l| l.event.as_ref().filter(|e| e.0 == order).map(|e| (e.1, l.origin)))
            .collect();
        history.sort_unstable_by_key(|&(_, origin)| origin);
        history.dedup();
        answers.histories.push((order, history));
    }
    evidence.api = Some(answers);
    evidence
}

fn answers(evidence: &mut Evidence) -> &mut ApiAnswers {
    evidence.api.as_mut().unwrap()
}

/// Spoils the answers in one way, which must be found, once.
#[track_caller]
fn spoilt(world: World, spoil: impl FnOnce(&mut ApiAnswers)) {
    let mut evidence = asked(world);
    spoil(answers(&mut evidence));
    let v = only(&evidence, Kind::Api);
    assert_eq!((v.findings_total, v.api.unwrap().mismatches), (1, 1), "{:#?}", v.findings);
}

proptest! {
    #[test]
    fn an_api_that_tells_the_truth_passes(world in healthy()) {
        let evidence = asked(world);
        let orders = evidence.rows.len() as u64;
        prop_assert_eq!(passes(&evidence).api, Some(ApiCount { deliveries: orders, histories: 2, mismatches: 0, retried: 3 }));
    }

    #[test]
    fn another_revision_or_status(world in healthy(), order in 0..2usize, status in any::<bool>()) {
        spoilt(world, |answers| {
            let entry = answers.deliveries.iter_mut().find(|d| d.0 == id(order)).unwrap().1.as_mut().unwrap();
            if status { entry.status = Status::Preparing } else { entry.revision -= 1 }
        });
    }

    #[test]
    fn not_found_or_not_asked(world in healthy(), order in 0..2usize, asked in any::<bool>()) {
        spoilt(world, |answers| {
            if asked {
                answers.deliveries.iter_mut().find(|d| d.0 == id(order)).unwrap().1 = None;
            } else {
                answers.deliveries.retain(|d| d.0 != id(order));
            }
        });
    }

    #[test]
    fn messages_out_of_order_missing_or_made_up(world in healthy(), order in 0..2usize, how in 0..3u8) {
        spoilt(world, |answers| {
            let history = &mut answers.histories[order].1;
            match how {
                0 => history.reverse(),
                1 => drop(history.pop()),
                _ => history.push(history[0]),
            }
        });
    }
}

#[test]
fn an_api_that_nobody_asked_proves_nothing() {
    let v = verify(&Evidence { api: Some(ApiAnswers::default()), ..Evidence::default() });
    assert!(
        v.findings.iter().any(|f| f.kind == "nothing-checked" && f.message.contains("API")),
        "{:#?}",
        v.findings
    );
}
