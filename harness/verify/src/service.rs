//! What the REST API tells is what the row holds and the log has.

use std::collections::{BTreeMap, HashMap};

use payment_delivery::delivery::StatusEntry;
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;

use super::Known;
use super::evidence::ApiAnswers;
use super::findings::{Findings, Kind, Subject};
use super::ledger::Order;
use lanebench_result::{ApiCount, Verification};

pub(super) fn check(known: &Known, findings: &mut Findings, verification: &mut Verification) {
    let Some(api) = &known.api else { return };
    let mut counted = ApiCount { retried: api.retried, ..ApiCount::default() };
    statuses(known, api, findings, &mut counted);
    histories(known, api, findings, &mut counted);
    if counted.deliveries == 0 {
        findings.add(Kind::NothingChecked, Subject::trial(), || {
            "the API was asked for no delivery at all".into()
        });
    }
    verification.api = Some(counted);
}

/// Each order's delivery is what its row says.
fn statuses(known: &Known, api: &ApiAnswers, findings: &mut Findings, counted: &mut ApiCount) {
    let told: HashMap<&OrderId, Option<&StatusEntry>> =
        api.deliveries.iter().map(|(id, entry)| (id, entry.as_ref())).collect();
    for order in known.ledger.orders.iter().filter(|order| order.sent) {
        counted.deliveries += 1;
        if let Some(message) = disagreement(order, told.get(&order.id).copied()) {
            counted.mismatches += 1;
            let origin = order.row.map(|row| row.origin);
            findings.add(Kind::Api, Subject::event(&order.id, order.row_revision(), origin), || message);
        }
    }
}

fn disagreement(order: &Order, told: Option<Option<&StatusEntry>>) -> Option<String> {
    let id = &order.id;
    match (order.status_entry(), told) {
        (_, None) => Some(format!("the API was not asked for order {id}")),
        (held, Some(told)) if held.as_ref() == told => None,
        (held, Some(told)) => Some(format!(
            "the API tells order {id} as {}, and its row is {}",
            shown(told),
            shown(held.as_ref())
        )),
    }
}

fn shown(entry: Option<&StatusEntry>) -> String {
    entry.map_or_else(
        || "not there".into(),
        |entry| {
            format!("{} at revision {} of order {}", entry.status.as_str(), entry.revision, entry.order_id)
        },
    )
}

/// The messages that the API tells of an order are those that the log has, in order.
fn histories(known: &Known, api: &ApiAnswers, findings: &mut Findings, counted: &mut ApiCount) {
    let wanted: BTreeMap<&OrderId, &Vec<(Revision, Origin)>> =
        api.histories.iter().map(|(id, history)| (id, history)).collect();
    for (id, told) in wanted {
        counted.histories += 1;
        let held = known.ledger.order(id).and_then(|order| known.histories.get(&order));
        let mut held = held.cloned().unwrap_or_default();
        held.sort_by_key(|(_, origin)| *origin);
        if *told != held {
            counted.mismatches += 1;
            let differs = told.iter().zip(&held).position(|(told, held)| told != held);
            let at = differs.unwrap_or_else(|| told.len().min(held.len()));
            let (revision, origin) =
                held.get(at).or_else(|| told.get(at)).map_or((0, None), |&(r, o)| (r, Some(o)));
            findings.add(Kind::Api, Subject::event(id, revision, origin), || {
                format!(
                    "the API tells {} messages of order {id}, and the log has {}; they differ from the {}. on",
                    told.len(),
                    held.len(),
                    at + 1
                )
            });
        }
    }
}
