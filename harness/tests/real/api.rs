//! `lanebench serve` as processes on the real components: killed in a burst, and two of them at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use payment_delivery::store::DeliveryStore;
use payment_delivery::store::payments::PaymentLog as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Case;
use crate::bed::{Bed, Field, check, evidence, until};
use crate::served::{Served, client};

pub(crate) const CASES: &[Case] = &[
    ("a service that is killed in a burst delivers every payment that it acknowledged", killed_in_a_burst),
    ("two services number the payments of one order without gap, in the order of the log", two_at_once),
];

const CLIENTS: usize = 16;
/// Payments of each client, one after the other, over a few orders.
const EACH: usize = 120;
const ORDERS: usize = 24;
/// Acknowledged payments after which the process is killed.
const KILL_AFTER: usize = 500;

fn killed_in_a_burst(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = Arc::new(bed.field(3).await?);
        let first = Served::start(&field).await?;
        let address = first.address.clone();
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (address, acknowledged) = (address.clone(), Arc::clone(&acknowledged));
            clients.spawn(async move { burst(&address, client, &acknowledged).await });
        }
        until(Duration::from_secs(60), "no burst came about", async || {
            Ok(acknowledged.load(Ordering::Relaxed) >= KILL_AFTER)
        })
        .await?;
        first.signal(Signal::SIGKILL)?;
        // What each client had acknowledged, and where it was when the service went away.
        let (mut acked, mut cut) = (Vec::new(), Vec::new());
        while let Some(client) = clients.join_next().await {
            let (confirmed, unanswered) = client?;
            acked.extend(confirmed);
            cut.extend(unanswered);
        }
        check(!cut.is_empty(), "it should have been killed in the middle")?;
        let left = pending(&field).await?;

        let second = Served::at(&field, &address).await?;
        // Every client asks again, with the key that it had.
        let mut again = BTreeSet::new();
        for (client, n) in cut {
            let answer = until_accepted(&address, client, n).await?;
            again.insert(answer);
        }
        let promised: BTreeSet<_> = acked.iter().cloned().chain(again.iter().cloned()).collect();
        check(promised.len() == acked.len() + again.len(), "a revision was promised twice")?;
        until(Duration::from_secs(60), "payments stay pending", async || Ok(pending(&field).await? == 0))
            .await?;
        field.worked_off(Duration::from_secs(60)).await?;

        let client = client()?;
        let rows: BTreeMap<_, _> = field
            .store()
            .await?
            .deliveries()
            .await?
            .into_iter()
            .map(|row| (row.order_id.to_string(), (u64::from(row.revision), u64::from(row.applied))))
            .collect();
        for (order, revision) in &promised {
            let row = rows.get(order).ok_or(format!("{order} has no row"))?;
            check(row.0 >= *revision && row.0 == row.1, format!("{order}: {row:?}, promised {revision}"))?;
            let shown: Value =
                client.get(format!("http://{address}/deliveries/{order}")).send().await?.json().await?;
            check(shown["revision"] == row.0, format!("{order}: the API shows {shown}, the row {row:?}"))?;
        }
        for order in rows.keys() {
            in_order(&address, order).await?;
        }
        second.stop().await?;
        check(field.store().await?.parked().await?.is_empty(), "nothing should be parked")?;
        evidence(
            "service-killed",
            &json!({"acknowledged_before_the_kill": acked.len(), "pending_after_the_kill": left,
                    "asked_again": again.len(), "promised": promised.len(), "lost": 0}),
        )
    })
}

fn two_at_once(bed: &Bed) -> Result<(), Failed> {
    const PAYMENTS: usize = 60;
    bed.run(async {
        let field = bed.field(3).await?;
        let services = [Served::start(&field).await?, Served::start(&field).await?];
        let client = client()?;
        let mut clients = JoinSet::new();
        for n in 0..PAYMENTS {
            let body =
                json!({"orderId": "shared", "amountMinor": n + 1, "currency": "JPY", "address": "東京都"});
            let request = client.post(format!("http://{}/payments", services[n % 2].address)).json(&body);
            clients.spawn(async move { request.send().await?.json::<Value>().await });
        }
        let mut revisions = BTreeSet::new();
        while let Some(answer) = clients.join_next().await {
            let answer = answer??;
            let revision = answer["revision"].as_u64().ok_or(format!("not accepted: {answer}"))?;
            check(revisions.insert(revision), format!("revision {revision} was given twice"))?;
        }
        check(revisions == (1..=PAYMENTS as u64).collect(), format!("{revisions:?}"))?;
        for service in &services {
            in_order(&service.address, "shared").await?;
        }
        field.worked_off(Duration::from_secs(30)).await?;
        for service in services {
            service.stop().await?;
        }
        Ok(())
    })
}

/// One client's payments, one after the other: the order and revision of each that was acknowledged, and the first that was not.
async fn burst(
    address: &str,
    number: usize,
    acknowledged: &AtomicUsize,
) -> (Vec<(String, u64)>, Option<(usize, usize)>) {
    let (client, mut acked) = (client().expect("a client"), Vec::new());
    for n in 0..EACH {
        match post(&client, address, number, n).await {
            Ok(Some(promise)) => acked.push(promise),
            _ => return (acked, Some((number, n))),
        }
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    (acked, None)
}

/// What a 202 promises; `None` for any other answer.
async fn post(
    client: &reqwest::Client,
    address: &str,
    number: usize,
    n: usize,
) -> reqwest::Result<Option<(String, u64)>> {
    let order = format!("order-{}", (number * 7 + n) % ORDERS);
    let body = json!({"orderId": order, "amountMinor": n + 1, "currency": "EUR",
                      "address": format!("client {number}, payment {n}")});
    let request = client.post(format!("http://{address}/payments")).json(&body);
    let answer = request.header("Idempotency-Key", format!("{number}-{n}")).send().await?;
    if answer.status() != 202 {
        return Ok(None);
    }
    let body: Value = answer.json().await?;
    Ok(body["revision"].as_u64().map(|revision| (order, revision)))
}

async fn until_accepted(address: &str, number: usize, n: usize) -> Result<(String, u64), Failed> {
    let client = client()?;
    let mut promised = None;
    until(Duration::from_secs(30), "it is not accepted", async || {
        promised = post(&client, address, number, n).await?;
        Ok(promised.is_some())
    })
    .await?;
    Ok(promised.ok_or("no answer")?)
}

/// The log holds the order's revisions gap-free from 1, each for the first time after the one before.
async fn in_order(address: &str, order: &str) -> Result<(), Failed> {
    let (client, mut highest, mut from) = (client()?, 0, String::new());
    loop {
        let url = format!("http://{address}/orders/{order}/events?limit=1000{from}");
        let page: Value = client.get(url).send().await?.json().await?;
        for event in page["events"].as_array().ok_or(format!("no events: {page}"))? {
            let revision = event["revision"].as_u64().ok_or(format!("no revision: {event}"))?;
            check(revision <= highest + 1, format!("{order}: {revision} comes after {highest}"))?;
            highest = highest.max(revision);
        }
        let Some(next) = page["next"].as_i64() else { return check(highest > 0, "it should not be empty") };
        from = format!("&from={next}");
    }
}

/// Payments that were written and not placed yet.
async fn pending(field: &Field) -> Result<usize, Failed> {
    Ok(field.store().await?.pending("nobody", i64::MAX, "", 1000).await?.len())
}
