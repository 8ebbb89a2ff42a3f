//! Row, log and view show the same.

use payment_delivery::delivery::Status;

use super::Known;
use super::findings::{Findings, Kind, Subject};
use super::ledger::{Order, OrderNumber, RowFacts, ViewFacts};
use lanebench_result::Verification;

pub(super) fn check(known: &Known, findings: &mut Findings, verification: &mut Verification) {
    for number in known.orders() {
        let order = &known.ledger.orders[number as usize];
        match (order.row, order.view) {
            (None, ViewFacts::Nothing | ViewFacts::NotAsked) => {}
            // A row of which nothing was sent was reported as such; what the view has of it says nothing more.
            (Some(_), _) if !order.sent => {}
            (row, view) => {
                if let Some(row) = &row {
                    itself(known, number, row, findings);
                }
                verification.views_checked += 1;
                let Some(message) = disagreement(known, order, row, view) else { continue };
                verification.view_mismatches += 1;
                let (revision, origin) = match (row, view) {
                    (Some(row), _) => (row.revision, Some(row.origin)),
                    (None, ViewFacts::Shows(revision, _)) => (revision, place(known, number, revision)),
                    (None, _) => (0, None),
                };
                findings.add(Kind::View, Subject::event(&order.id, revision, origin), || message);
            }
        }
    }
}

/// Where the log, or at least the acknowledgement, has a revision of an order.
fn place(known: &Known, order: OrderNumber, revision: u32) -> Option<payment_delivery::kafka::Origin> {
    let event = known.ledger.event(order, revision)?;
    known.ledger.events[event as usize].place()
}

/// The row's status must be the one of its revision, its origin the place of that event, and its content that event's.
fn itself(known: &Known, number: OrderNumber, row: &RowFacts, findings: &mut Findings) {
    let ledger = &known.ledger;
    let id = &ledger.orders[number as usize].id;
    let RowFacts { revision, origin, .. } = *row;
    let subject = Subject::event(id, revision, Some(origin));
    let status = Status::at(revision);
    if row.status != status {
        findings.add(Kind::Row, subject, || {
            format!(
                "the row of order {id} at revision {revision} has status {} where {} belongs",
                row.status.as_str(),
                status.as_str()
            )
        });
    }
    if !row.says_it {
        findings.add(Kind::Content, subject, || {
            format!("the row of order {id} stands at revision {revision} with another content than was sent")
        });
    }
    if ledger.event(number, revision).is_some_and(|event| ledger.is_elsewhere(event, origin)) {
        findings.add(Kind::Row, subject, || {
            format!(
                "the row of order {id} names {origin} as the place of revision {revision}, where the log holds {}",
                ledger.describe(origin)
            )
        });
    }
}

/// What is wrong between row and view, if anything.
fn disagreement(known: &Known, order: &Order, row: Option<RowFacts>, view: ViewFacts) -> Option<String> {
    let id = &order.id;
    match (row, view) {
        (None, ViewFacts::Nothing | ViewFacts::NotAsked) => None,
        (_, ViewFacts::Other) => {
            Some(format!("the view answers for another order when asked for order {id}"))
        }
        (None, ViewFacts::Shows(revision, _)) => {
            Some(format!("the view shows order {id} at revision {revision}, but there is no row"))
        }
        (Some(_), ViewFacts::Nothing) if known.rules.view_emptied => None,
        (Some(row), ViewFacts::Nothing | ViewFacts::NotAsked) if known.rules.view_evicted > 0 => {
            Some(format!(
                "the row of order {id} stands at revision {}, but the view shows nothing. Its server is full and evicted {} keys \
             meanwhile, perhaps this one: raise its `maxmemory`, or set `maxmemory-policy noeviction`",
                row.revision, known.rules.view_evicted
            ))
        }
        (Some(row), ViewFacts::Nothing | ViewFacts::NotAsked) => Some(format!(
            "the row of order {id} stands at revision {}, but the view shows nothing, although every applied event \
             was reported visible",
            row.revision
        )),
        (Some(row), ViewFacts::Shows(revision, status))
            if (revision, status) == (row.revision, row.status) =>
        {
            None
        }
        (Some(row), ViewFacts::Shows(revision, status)) => {
            let how = match revision.cmp(&row.revision) {
                std::cmp::Ordering::Less => "behind",
                std::cmp::Ordering::Equal => "at the same revision, but different from",
                std::cmp::Ordering::Greater => "ahead of",
            };
            Some(format!(
                "the view shows order {id} as {} at revision {revision}, {how} its row, which is {} at revision {}",
                status.as_str(),
                row.status.as_str(),
                row.revision
            ))
        }
    }
}
