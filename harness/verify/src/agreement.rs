//! Row, log and view show the same.

use payment_delivery::delivery::{Delivery, Status, StatusEntry};

use super::findings::{Findings, Kind, Subject};
use super::index::{Index, Order};
use lanebench_result::Verification;

pub(super) fn check(index: &Index<'_>, findings: &mut Findings, verification: &mut Verification) {
    for order in &index.orders {
        match (order.row, order.view) {
            (None, None) => {}
            // A row of which nothing was sent was reported as such; what the view has of it says nothing more.
            (Some(_), _) if !order.sent => {}
            (row, entry) => {
                if let Some(row) = row {
                    itself(index, row, findings);
                }
                verification.views_checked += 1;
                if let Some(message) = disagreement(index, order, row, entry) {
                    verification.view_mismatches += 1;
                    let (revision, origin) = match (row, entry) {
                        (Some(row), _) => (row.revision, Some(row.origin)),
                        (None, entry) => {
                            let revision = entry.map_or(0, |e| e.revision);
                            (revision, place(index, order, revision))
                        }
                    };
                    findings.add(Kind::View, Subject::event(order.id, revision, origin), || message);
                }
            }
        }
    }
}

/// Where the log, or at least the acknowledgement, has a revision of an order.
fn place(index: &Index<'_>, order: &Order<'_>, revision: u32) -> Option<payment_delivery::kafka::Origin> {
    let events = &index.events[order.events.clone()];
    events.iter().find(|e| e.revision == revision).and_then(|e| e.logged.or(e.acked))
}

/// The row's status must be the one of its revision, and its origin the place of that event.
fn itself(index: &Index<'_>, row: &Delivery, findings: &mut Findings) {
    let subject = Subject::event(&row.order_id, row.revision, Some(row.origin));
    let status = Status::at(row.revision);
    if row.status != status {
        findings.add(Kind::Row, subject, || {
            format!(
                "the row of order {} at revision {} has status {} where {} belongs",
                row.order_id,
                row.revision,
                row.status.as_str(),
                status.as_str()
            )
        });
    }
    // An offset where the log has nothing, or nothing readable, was reported with its acknowledgement.
    if let Some(Some(event)) = index.at(row.origin) {
        let event = index.events[event];
        let same = event.revision == row.revision && *index.orders[event.order].id == row.order_id;
        if !same {
            findings.add(Kind::Row, subject, || {
                format!(
                    "the row of order {} names {} as the place of revision {}, where the log holds {}",
                    row.order_id,
                    row.origin,
                    row.revision,
                    index.describe(row.origin)
                )
            });
        }
    }
}

/// What is wrong between row and view, if anything.
fn disagreement(
    index: &Index<'_>,
    order: &Order<'_>,
    row: Option<&Delivery>,
    entry: Option<&StatusEntry>,
) -> Option<String> {
    let id = order.id;
    match (row, entry) {
        (None, None) => None,
        (None, Some(entry)) => {
            Some(format!("the view shows order {id} at revision {}, but there is no row", entry.revision))
        }
        (Some(row), None) if index.evidence.view_evicted > 0 => Some(format!(
            "the row of order {id} stands at revision {}, but the view shows nothing. Its server is full and evicted {} keys \
             meanwhile, perhaps this one: raise its `maxmemory`, or set `maxmemory-policy noeviction`",
            row.revision, index.evidence.view_evicted
        )),
        (Some(row), None) => Some(format!(
            "the row of order {id} stands at revision {}, but the view shows nothing, although every applied event \
             was reported visible",
            row.revision
        )),
        (Some(row), Some(entry)) if *entry == row.status_entry() => None,
        (Some(row), Some(entry)) if entry.order_id != row.order_id => {
            Some(format!("the view answers for order {} when asked for order {id}", entry.order_id))
        }
        (Some(row), Some(entry)) => {
            let how = match entry.revision.cmp(&row.revision) {
                std::cmp::Ordering::Less => "behind",
                std::cmp::Ordering::Equal => "at the same revision, but different from",
                std::cmp::Ordering::Greater => "ahead of",
            };
            Some(format!(
                "the view shows order {id} as {} at revision {}, {how} its row, which is {} at revision {}",
                entry.status.as_str(),
                entry.revision,
                row.status.as_str(),
                row.revision
            ))
        }
    }
}
