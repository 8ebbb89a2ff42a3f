//! The service while no broker answers: what it says meanwhile, and what becomes of the payments that it is asked to accept.

use std::collections::BTreeMap;
use std::time::Duration;

use libtest_mimic::Failed;
use payment_delivery::event::OrderId;
use payment_delivery::store::DeliveryStore;
use payment_delivery::store::payments::PaymentLog as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Case;
use crate::bed::{Bed, Field, check, evidence, until};
use crate::served::{Served, client};
use crate::trouble::Frozen;

pub(crate) const NIGHTLY: &[Case] = &[(
    "without brokers for a minute all but payments are answered at once, and none is lost or accepted in secret",
    a_minute,
)];

const AWAY: Duration = Duration::from_secs(60);
/// Payments come in before and after that, too.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(8);
const OFFERED_EVERY: Duration = Duration::from_millis(20);
const LOOKED_EVERY: Duration = Duration::from_millis(25);
const ANSWERED_WITHIN: Duration = Duration::from_millis(100);
const BACK_WITHIN: Duration = Duration::from_secs(60);
const LOOKED_AT: [&str; 3] = ["/deliveries/known", "/metrics", "/healthz"];

/// What a client was told of its payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Accepted,
    /// Nothing was accepted, and nothing will be.
    Refused,
    /// It may be.
    Unconfirmed,
}

fn a_minute(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(3).await?;
        let served = Served::start(&field).await?;
        let known = offer(client()?, served.address.clone(), "known".into()).await?;
        check(known == Told::Accepted, format!("{known:?}"))?;
        until(Duration::from_secs(10), "it is not delivered", async || {
            Ok(served.get("/deliveries/known").await?.0 == 200)
        })
        .await?;

        let from = Instant::now() + BEFORE;
        let outage = async {
            sleep_until(from).await;
            let frozen = Frozen::new(bed.stack.pids().kafka);
            let looks = LOOKED_AT.map(|path| tokio::spawn(look(served.address.clone(), path, from + AWAY)));
            let mut slowest = BTreeMap::new();
            for (path, look) in LOOKED_AT.into_iter().zip(looks) {
                let (looks, longest) = look.await??;
                check(looks > 1_000, format!("{path} was asked for {looks} times"))?;
                check(longest < ANSWERED_WITHIN, format!("{path} took {longest:?}"))?;
                slowest.insert(path, json!({"asked": looks, "slowest_ms": longest.as_secs_f64() * 1e3}));
            }
            drop(frozen);
            Ok::<_, Failed>(slowest)
        };
        let (offered, slowest) = tokio::join!(offer_until(&served.address, from + AWAY + AFTER), outage);
        let (offered, slowest) = (offered?, slowest?);
        let figures = account(&field, &offered).await?;
        served.stop().await?;
        evidence(
            "brokers-away",
            &json!({"away_s": AWAY.as_secs(), "looks": slowest, "payments": figures, "lost": 0, "in_secret": 0}),
        )
    })
}

/// A payment every 20 ms, each of an order of its own; what was told of each, also of those that are answered later.
async fn offer_until(address: &str, until: Instant) -> Result<BTreeMap<String, Told>, Failed> {
    let (client, mut asked) = (client()?, JoinSet::new());
    let mut due = Instant::now();
    for n in 0.. {
        if due >= until {
            break;
        }
        sleep_until(due).await;
        due += OFFERED_EVERY;
        let (client, address, order) = (client.clone(), address.to_owned(), format!("order-{n}"));
        asked.spawn(async move { (order.clone(), offer(client, address, order).await) });
    }
    asked.join_all().await.into_iter().map(|(order, told)| Ok((order, told?))).collect()
}

async fn offer(client: reqwest::Client, address: String, order: String) -> Result<Told, String> {
    let body =
        json!({"orderId": order, "amountMinor": 1, "currency": "EUR", "address": "Hauptstraße 1, Köln"});
    let Ok(answer) = client.post(format!("http://{address}/payments")).json(&body).send().await else {
        return Ok(Told::Unconfirmed);
    };
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or_default();
    match (status, body["type"].as_str()) {
        (202, _) => Ok(Told::Accepted),
        (503, Some("urn:problem:unconfirmed")) => Ok(Told::Unconfirmed),
        (503, Some(_)) => Ok(Told::Refused),
        _ => Err(format!("{status}: {body}")),
    }
}

/// Asks again and again; how often, and how long the slowest answer took.
async fn look(address: String, path: &str, until: Instant) -> Result<(u32, Duration), String> {
    let client = client().map_err(|failed| format!("{failed:?}"))?;
    let (mut looks, mut longest) = (0, Duration::ZERO);
    while Instant::now() < until {
        let begun = Instant::now();
        let answer = client.get(format!("http://{address}{path}")).send().await;
        let answer = answer.map_err(|error| format!("{path}: {error}"))?;
        let status = answer.status();
        answer.bytes().await.map_err(|error| format!("{path}: {error}"))?;
        if status != 200 {
            return Err(format!("{path} answered {status}"));
        }
        longest = longest.max(begun.elapsed());
        looks += 1;
        sleep(LOOKED_EVERY).await;
    }
    Ok((looks, longest))
}

/// Once the brokers are back: all that was promised is delivered, once, and nothing that was refused.
async fn account(field: &Field, offered: &BTreeMap<String, Told>) -> Result<Value, Failed> {
    let store = field.store().await?;
    let begun = Instant::now();
    until(BACK_WITHIN, "payments stay pending", async || {
        Ok(store.pending("nobody", i64::MAX, "", 1000).await?.is_empty())
    })
    .await?;
    field.worked_off(BACK_WITHIN).await?;
    let worked_off_after = begun.elapsed();
    let rows: BTreeMap<_, _> = store
        .deliveries()
        .await?
        .into_iter()
        .map(|row| (row.order_id.to_string(), (row.revision, row.applied)))
        .collect();
    let (mut counts, mut delivered): (BTreeMap<Told, u32>, _) = (BTreeMap::new(), 0);
    for (order, told) in offered {
        *counts.entry(*told).or_default() += 1;
        let kept = store.look(&OrderId::new(order)?, None, None).await?.last.is_some();
        let row = rows.get(order);
        check(kept == row.is_some(), format!("{order}, {told:?}: kept {kept}, row {row:?}"))?;
        check(row.is_none_or(|row| *row == (1, 1)), format!("{order} was delivered twice: {row:?}"))?;
        match told {
            Told::Accepted => check(kept, format!("{order} was accepted and is lost"))?,
            Told::Refused => check(!kept, format!("{order} was refused and accepted all the same"))?,
            Told::Unconfirmed => delivered += u32::from(kept),
        }
    }
    let count = |told| counts.get(&told).copied().unwrap_or_default();
    let (refused, unconfirmed) = (count(Told::Refused), count(Told::Unconfirmed));
    let accepted = count(Told::Accepted);
    check(accepted > 0 && refused > 0 && unconfirmed > 0, format!("the test shows nothing: {counts:?}"))?;
    Ok(json!({"offered": offered.len(), "accepted": accepted, "refused": refused,
        "unconfirmed": unconfirmed, "of_these_delivered": delivered,
        "worked_off_after_ms": worked_off_after.as_millis() as u64}))
}
