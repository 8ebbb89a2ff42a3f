//! What every [`PaymentLog`] must hold, as functions that panic where one does not.
//!
//! Each check uses orders and keys of its own, so all may run on one prepared table, in any order, side by side.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{Payment, PaymentLog};
use crate::event::{OrderId, Revision};
use crate::kafka::Origin;

/// A check of one log.
pub type Check = for<'a> fn(&'a dyn PaymentLog) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Every check that needs no more than one prepared log, by name.
pub const CHECKS: &[(&str, Check)] = &[
    ("a_payment_comes_back_whole", |l| Box::pin(a_payment_comes_back_whole(l))),
    ("revisions_have_no_gap", |l| Box::pin(revisions_have_no_gap(l))),
    ("nothing_is_kept_behind_a_pending_payment", |l| Box::pin(nothing_is_kept_behind_a_pending_payment(l))),
    ("a_key_names_one_payment", |l| Box::pin(a_key_names_one_payment(l))),
    ("a_place_is_noted_once", |l| Box::pin(a_place_is_noted_once(l))),
    ("pending_ones_are_ones_own_or_old", |l| Box::pin(pending_ones_are_ones_own_or_old(l))),
];

/// A pending payment whose content tells its revision.
pub fn payment(order: &str, revision: Revision) -> Payment {
    Payment {
        order_id: id(order),
        revision,
        idempotency_key: None,
        request: format!("{{\"orderId\":\"{order}\",\"address\":\"Straße {revision}\"}}"),
        payload: vec![0, 255, revision as u8],
        topic: "payment-completed".into(),
        instance: "contract".into(),
        accepted_at_ms: 1_760_000_000_000 + i64::from(revision),
        origin: None,
    }
}

fn id(order: &str) -> OrderId {
    OrderId::new(order).expect("the checks' order ids are valid")
}

fn origin(offset: i64) -> Origin {
    Origin { partition: 2, offset }
}

async fn kept(log: &dyn PaymentLog, payment: &Payment) -> bool {
    log.keep(payment).await.expect("the log answers")
}

async fn placed(log: &dyn PaymentLog, order: &str, revision: Revision, offset: i64) -> bool {
    log.place(&id(order), revision, origin(offset)).await.expect("the log answers")
}

async fn last(log: &dyn PaymentLog, order: &str) -> Option<Payment> {
    log.look(&id(order), None, None).await.expect("the log answers").last
}

/// What was kept is found as the last, by its key and at its revision, bytes and all.
pub async fn a_payment_comes_back_whole(log: &dyn PaymentLog) {
    let order = "contract-whole";
    let first = Payment { idempotency_key: Some("contract-whole-key".into()), ..payment(order, 1) };
    assert!(kept(log, &first).await);
    let found = log.look(&id(order), Some("contract-whole-key"), Some(1)).await.expect("the log answers");
    assert_eq!(found.by_key.as_ref(), Some(&first));
    assert_eq!(found.at.as_ref(), Some(&first));
    assert_eq!(found.last, Some(first));
    let nothing = log.look(&id(order), Some("another"), Some(2)).await.expect("the log answers");
    assert_eq!((nothing.by_key, nothing.at), (None, None));
    assert_eq!(log.topic_in_use().await.expect("the log answers").as_deref(), Some("payment-completed"));
}

/// Only the revision after the last is kept.
pub async fn revisions_have_no_gap(log: &dyn PaymentLog) {
    let order = "contract-gap";
    assert!(!kept(log, &payment(order, 2)).await, "2 before 1");
    assert!(kept(log, &payment(order, 1)).await);
    assert!(placed(log, order, 1, 10).await);
    assert!(!kept(log, &payment(order, 1)).await, "1 again");
    assert!(!kept(log, &payment(order, 3)).await, "3 before 2");
    assert!(kept(log, &payment(order, 2)).await);
}

/// An order's next payment waits until the last has its place.
pub async fn nothing_is_kept_behind_a_pending_payment(log: &dyn PaymentLog) {
    let order = "contract-behind";
    assert!(kept(log, &payment(order, 1)).await);
    assert!(!kept(log, &payment(order, 2)).await);
    assert_eq!(last(log, order).await, Some(payment(order, 1)));
    assert!(placed(log, order, 1, 5).await);
    assert!(kept(log, &payment(order, 2)).await);
}

/// A key that another payment has keeps nothing, of whatever order.
pub async fn a_key_names_one_payment(log: &dyn PaymentLog) {
    let with_key = |order, key: &str| Payment { idempotency_key: Some(key.into()), ..payment(order, 1) };
    assert!(kept(log, &with_key("contract-key-a", "contract-key")).await);
    assert!(!kept(log, &with_key("contract-key-b", "contract-key")).await);
    assert_eq!(last(log, "contract-key-b").await, None);
    assert!(kept(log, &with_key("contract-key-b", "contract-key-2")).await);
}

/// The first place stays.
pub async fn a_place_is_noted_once(log: &dyn PaymentLog) {
    let order = "contract-place";
    assert!(!placed(log, order, 1, 7).await, "there is no such payment");
    assert!(kept(log, &payment(order, 1)).await);
    assert!(placed(log, order, 1, 7).await);
    assert!(!placed(log, order, 1, 8).await);
    assert_eq!(last(log, order).await, Some(Payment { origin: Some(origin(7)), ..payment(order, 1) }));
}

/// One's own are told at once, others' when they are old; page by page, in the order of their orders.
pub async fn pending_ones_are_ones_own_or_old(log: &dyn PaymentLog) {
    let of = |order: &str, instance: &str| Payment { instance: instance.into(), ..payment(order, 1) };
    for (order, instance) in
        [("contract-pending-b", "me"), ("contract-pending-a", "me"), ("contract-pending-c", "other")]
    {
        assert!(kept(log, &of(order, instance)).await);
    }
    let told = async |before_ms: i64, after: &str, limit| -> Vec<String> {
        let pending = log.pending("me", before_ms, after, limit).await.expect("the log answers");
        let ours = pending.iter().map(|payment| payment.order_id.to_string());
        ours.filter(|order| order.starts_with("contract-pending")).collect()
    };
    let at = payment("-", 1).accepted_at_ms;
    assert_eq!(told(at, "contract-pending", 9).await, ["contract-pending-a", "contract-pending-b"]);
    assert_eq!(told(at + 1, "contract-pending-a", 1).await, ["contract-pending-b"]);
    assert_eq!(told(at + 1, "contract-pending-b", 9).await, ["contract-pending-c"]);
    assert!(placed(log, "contract-pending-a", 1, 1).await);
    assert_eq!(told(at, "contract-pending", 9).await, ["contract-pending-b"]);
}

/// Sessions that keep payments of one order side by side, each what it takes for the next, leave no gap and lose none.
pub async fn writers_at_once_leave_no_gap(logs: &[Arc<dyn PaymentLog>]) {
    const EACH: u32 = 20;
    let order = "contract-at-once";
    let mut writers = Vec::new();
    for log in logs {
        let log = Arc::clone(log);
        writers.push(tokio::spawn(async move {
            let mut done = 0;
            while done < EACH {
                let next = match last(&*log, order).await {
                    None => 1,
                    Some(Payment { origin: None, .. }) => {
                        tokio::task::yield_now().await; // another's, which it will place
                        continue;
                    }
                    Some(last) => last.revision + 1,
                };
                if kept(&*log, &payment(order, next)).await {
                    assert!(placed(&*log, order, next, i64::from(next)).await, "{next} was another's");
                    done += 1;
                }
            }
        }));
    }
    for writer in writers {
        writer.await.expect("a writer panicked");
    }
    let all = EACH * logs.len() as u32;
    assert_eq!(last(&*logs[0], order).await.map(|last| last.revision), Some(all));
}
