//! A topic that changes while it is worked on: a transaction that stays open, partitions that are added.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use payment_delivery::kafka::producer::{Producer, ProducerConfig};
use payment_delivery::store::DeliveryStore;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::Case;
use crate::bed::{Bed, Done, check, event, evidence, message, until};
use crate::served::{Served, client};
use crate::tools::kafka_tool;

pub(crate) const CASES: &[Case] = &[
    ("an open transaction is told of within 5 s and passes when it ends", open_transaction),
    ("partitions that are added are read within 35 s, and nothing is lost", added_partitions),
];

const TOLD_WITHIN: Duration = Duration::from_secs(5);

fn open_transaction(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let mut figures = Vec::new();
        for (ends, delivered) in [("commit", 2), ("abort ", 1)] {
            let field = bed.field(1).await?;
            let served = Served::start(&field).await?;
            let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/OpenTransaction.java");
            let arguments = [&field.endpoints.bootstrap.join(","), &field.topic];
            let mut producer = kafka_tool(&program.to_string_lossy(), &arguments.map(String::as_str))?
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let mut told = BufReader::new(producer.stdout.take().ok_or("no stdout")?).lines();
            let offset: i64 = told.next_line().await?.ok_or("it wrote nothing")?.parse()?;
            let begun = Instant::now();
            let (mut shown_after, mut ready_after) = (None, None);
            until(TOLD_WITHIN, "the service does not say what it waits for", async || {
                let (_, pipeline) = served.get("/pipeline").await?;
                let open = pipeline["consumers"].as_array().into_iter().flatten().flat_map(|consumer| {
                    consumer["openTransactions"].as_array().cloned().unwrap_or_default()
                });
                if open.into_iter().any(|open| open["partition"] == 0 && open["sinceOffset"] == offset) {
                    shown_after.get_or_insert_with(|| begun.elapsed());
                }
                let (status, ready) = served.get("/readyz").await?;
                if status == 503 && ready.to_string().contains("waits for a transaction that is open in partition 0") {
                    ready_after.get_or_insert_with(|| begun.elapsed());
                }
                Ok(shown_after.is_some() && ready_after.is_some())
            })
            .await?;
            let words = ["WARN", "an open transaction hides what lies behind it", "partition=0"];
            served.tells(TOLD_WITHIN.saturating_sub(begun.elapsed()), &words).await?;
            let said_after = begun.elapsed();
            let rows = field.store().await?.deliveries().await?;
            check(rows.is_empty(), format!("nothing should be delivered yet: {rows:?}"))?;

            producer.stdin.take().ok_or("no stdin")?.write_all(ends.as_bytes()).await?;
            told.next_line().await?.ok_or("it did not end")?;
            let ended = Instant::now();
            field.worked_off(Duration::from_secs(5)).await?;
            let rows = field.store().await?.deliveries().await?;
            check(rows.len() == delivered, format!("{delivered} should be delivered: {rows:?}"))?;
            until(Duration::from_secs(5), "the service is not ready again", async || {
                Ok(served.get("/readyz").await?.0 == 200)
            })
            .await?;
            figures.push(json!({"ends": ends.trim(), "in_pipeline_after_ms": ms(shown_after), "in_readyz_after_ms": ms(ready_after),
                "on_stderr_within_ms": ms(Some(said_after)), "delivered": delivered, "ready_again_after_ms": ms(Some(ended.elapsed()))}));
            producer.wait().await?;
            served.stop().await?;
        }
        evidence("open-transaction", &json!(figures))
    })
}

fn ms(time: Option<Duration>) -> Option<u64> {
    time.map(|time| time.as_millis() as u64)
}

const ORDERS: usize = 60;
/// Events that come past the service, by a producer that sends to the new partitions at once.
const PAST_PER_S: u64 = 280;
/// Payments that the service accepts, which learns of them later.
const PAYMENTS_PER_S: u64 = 20;
const READ_WITHIN: Duration = Duration::from_secs(35);

fn added_partitions(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(3).await?;
        let served = Arc::new(Served::start(&field).await?);
        let stop = Arc::new(AtomicBool::new(false));
        let grown = Arc::new(AtomicBool::new(false));
        let load = tokio::spawn(payments(Arc::clone(&served), Arc::clone(&stop)));
        let bootstrap = field.endpoints.bootstrap.clone();
        let past = tokio::spawn(past(bootstrap, field.topic.clone(), Arc::clone(&grown), Arc::clone(&stop)));
        tokio::time::sleep(Duration::from_secs(3)).await;
        alter(bed, &field.topic, 6).await?;
        grown.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        let store = field.store().await?;
        until(READ_WITHIN, "the added partitions are not read", async || {
            let (_, pipeline) = served.get("/pipeline").await?;
            let partitions = pipeline["partitions"].as_array().cloned().unwrap_or_default();
            Ok(partitions.len() == 6
                && partitions.iter().all(|p| p["committedOffset"].as_i64() > Some(0) && !p["owner"].is_null()))
        })
        .await?;
        let read_after = begun.elapsed();
        // And the service sends to them.
        served.tells(READ_WITHIN, &["WARN", "the topic has more partitions", "partitions=6", "before=3"]).await?;
        let client = client()?;
        let mut sent_to = Vec::new();
        for n in 0..40 {
            let (_, payment) = post(&client, &served, &format!("fresh-{n}"), &format!("fresh-{n}")).await?;
            sent_to.extend(payment["partition"].as_i64());
        }
        check(sent_to.iter().any(|partition| *partition >= 3), format!("payments lie in {sent_to:?} alone"))?;
        let sent_after = begun.elapsed();
        stop.store(true, Ordering::Relaxed);
        let (mut promised, past) = (load.await??, past.await??);
        let (payments, events): (u32, u32) = (promised.values().sum(), past.values().sum());
        field.worked_off(Duration::from_secs(60)).await?;

        let by_service: Vec<String> = promised.keys().cloned().collect();
        promised.extend(past);
        let rows = store.deliveries().await?;
        let by_order: BTreeMap<String, (u32, u32)> =
            rows.iter().map(|row| (row.order_id.to_string(), (row.revision, row.applied))).collect();
        let lost: Vec<_> = promised
            .iter()
            .filter(|(order, count)| by_order.get(*order) != Some(&(**count, **count)))
            .map(|(order, count)| format!("{order}: promised {count}, row {:?}", by_order.get(order)))
            .collect();
        check(lost.is_empty(), format!("{lost:?}"))?;
        let parked = store.parked().await?;
        check(parked.is_empty(), format!("gaps were filled, so nothing should wait: {parked:?}"))?;
        // Orders whose first payment lies in another partition than their next would.
        let mut moved = 0;
        for order in &by_service {
            let (_, events) = served.get(&format!("/orders/{order}/events?limit=1")).await?;
            let (first, now) = (events["firstPayment"]["partition"].as_i64(), events["partition"].as_i64());
            let (first, now) = first.zip(now).ok_or(format!("{order}: {events}"))?;
            moved += u32::from(first != now);
        }
        check(moved > 0, "some key should have moved")?;
        let metrics = served.metrics().await?;
        let figure = |name: &str| -> Result<f64, Failed> {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            Ok(line.ok_or(format!("no {name}: {metrics}"))?.trim().parse()?)
        };
        let gaps = figure("payment_delivery_events_total{outcome=\"parked\"}")?;
        let out_of_order = figure("payment_delivery_events_out_of_order_total")?;
        check(gaps >= out_of_order, format!("{gaps} gaps, {out_of_order} out of order"))?;
        evidence(
            "added-partitions",
            &json!({"from": 3, "to": 6, "offered_per_s": PAST_PER_S + PAYMENTS_PER_S, "orders": promised.len(),
                "payments": payments, "events_past_the_service": events, "lost": lost.len(),
                "read_after_ms": ms(Some(read_after)), "sent_to_after_ms": ms(Some(sent_after)), "orders_of_the_service": by_service.len(), "keys_moved": moved,
                "gaps_parked": gaps, "applied_out_of_order": out_of_order, "parked_at_the_end": parked.len()}),
        )?;
        Arc::into_inner(served).ok_or("somebody still asks")?.stop().await
    })
}

/// Posts payments of some orders in turn, open-loop, until `stop`; how many each order was promised.
async fn payments(served: Arc<Served>, stop: Arc<AtomicBool>) -> Result<BTreeMap<String, u32>, Failed> {
    let (client, mut posts, mut tick) = (client()?, JoinSet::new(), ticks(PAYMENTS_PER_S));
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        tick.tick().await;
        let order = format!("order-{}", n % ORDERS);
        let (client, served) = (client.clone(), Arc::clone(&served));
        posts.spawn(async move {
            for _ in 0..20 {
                if let Ok((202, body)) = post(&client, &served, &order, &format!("load-{n}")).await {
                    return Ok::<_, Failed>((order, body["revision"].as_u64().is_some()));
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(format!("a payment of {order} was not accepted").into())
        });
        n += 1;
    }
    let mut promised = BTreeMap::new();
    while let Some(ended) = posts.join_next().await {
        let (order, is_numbered) = ended??;
        check(is_numbered, format!("{order}: no revision"))?;
        *promised.entry(order).or_default() += 1;
    }
    Ok(promised)
}

/// One payment; named, so that one whose answer is lost may be asked for once more and counts once.
async fn post(client: &Client, served: &Served, order: &str, key: &str) -> Result<(u16, Value), Failed> {
    let body = json!({"orderId": order, "amountMinor": 100, "currency": "EUR", "address": "Hauptstraße 1"});
    let request = client.post(format!("http://{}/payments", served.address)).json(&body);
    let answer = request.header("Idempotency-Key", key).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// Sends events of some orders in turn, open-loop, until `stop`; how many of each were acknowledged. Once the topic has `grown`, by a
/// producer that knows it.
async fn past(
    bootstrap: Vec<String>,
    topic: String,
    grown: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
) -> Result<BTreeMap<String, u32>, Failed> {
    let connect = async |partitions| -> Result<Producer<Done>, Failed> {
        Ok(Producer::connect(&bootstrap, &topic, partitions, ProducerConfig::default()).await?)
    };
    let (mut producer, mut tick) = (connect(3).await?, ticks(PAST_PER_S));
    let (mut sent, mut acks) = (BTreeMap::new(), Vec::new());
    for n in 0.. {
        tick.tick().await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if grown.load(Ordering::Relaxed) && producer.partitions() == 3 {
            producer.close().await?;
            producer = connect(6).await?;
        }
        let order = format!("past-{}", n % ORDERS);
        let revision = sent.entry(order.clone()).or_default();
        *revision += 1;
        let (done, acked) = oneshot::channel();
        producer.send(message(&event(&order, *revision)), done).await?;
        acks.push(acked);
    }
    producer.close().await?;
    for acked in acks {
        acked.await??;
    }
    Ok(sent)
}

/// So many in a second; late ones are made up for.
fn ticks(per_s: u64) -> Interval {
    let mut tick = interval(Duration::from_micros(1_000_000 / per_s));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    tick
}

/// Gives a topic more partitions, by Kafka's own tool.
async fn alter(bed: &Bed, topic: &str, partitions: i32) -> Result<(), Failed> {
    let bootstrap = bed.endpoints().bootstrap.join(",");
    let count = partitions.to_string();
    let arguments = ["--bootstrap-server", &bootstrap, "--alter", "--topic", topic, "--partitions", &count];
    let mut tool = kafka_tool("org.apache.kafka.tools.TopicCommand", &arguments)?;
    let output = tool.stderr(Stdio::piped()).output().await?;
    check(output.status.success(), String::from_utf8_lossy(&output.stderr))
}
