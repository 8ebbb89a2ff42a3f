//! A failure of each class at each component: what stderr, `/pipeline` and `/readyz` say, and when.

use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use payment_delivery::consumer::dead_letter_topic;
use payment_delivery::kafka::Message;
use payment_delivery::store::DeliveryStore;
use serde_json::{Value, json};

use crate::Case;
use crate::bed::{Bed, Field, check, event, evidence, message, until};
use crate::served::Served;
use crate::tools::{psql, redis_cli};
use crate::trouble::{Frozen, send};

pub(crate) const CASES: &[Case] = &[
    ("a component that is away is said at once, and its return too", passing),
    ("a message at fault is said, and stands in nobody's way", at_fault),
    ("a set-up that is wrong ends the service with its name", set_up),
];

/// Nothing may be tried again in silence for longer.
const SAID_WITHIN: Duration = Duration::from_secs(1);
/// The first look of a poll, and the pause of whoever looks.
const POLL: Duration = Duration::from_millis(600);
/// A call that is not answered ends by its own time-out, and is then shown as tried again.
const SHOWN_WITHIN: Duration = Duration::from_secs(12);
const BACK_WITHIN: Duration = Duration::from_secs(30);

fn passing(bed: &Bed) -> Result<(), Failed> {
    let pids = bed.stack.pids();
    let postgres = pids.postgres.ok_or("no PostgreSQL")?;
    let redis = pids.redis.ok_or("no Redis")?;
    let brokers = pids.kafka;
    // PostgreSQL has a process for each connection, and those come and go.
    let pids_of = |component: &str| match component {
        "store" => lanebench::measure::resources::descendants(postgres),
        "view" => vec![redis],
        _ => brokers.clone(),
    };
    let mut figures = Vec::new();
    for component in ["store", "view", "broker"] {
        let figure = bed.run(away(bed, component, || pids_of(component)));
        let figure = figure.map_err(|failed| format!("{component}: {failed:?}"))?;
        figures.push(figure);
    }
    evidence("failures-passing", &json!(figures))
}

/// Freezes a component and lets it go on.
async fn away(bed: &Bed, component: &'static str, pids: impl Fn() -> Vec<u32>) -> Result<Value, Failed> {
    let field = bed.field(1).await?;
    let served = Served::start(&field).await?;
    let order = format!("{component}-away");
    if component != "broker" {
        send(&field, message(&event(&order, 1))).await?;
        field.worked_off(Duration::from_secs(10)).await?;
    }
    let frozen = Frozen::new(pids());
    let begun = Instant::now();
    if component != "broker" {
        send(&field, message(&event(&order, 2))).await?;
    }
    served.tells(SAID_WITHIN + POLL, &["WARN", "no answer yet", component]).await?;
    let said_after = begun.elapsed();
    let mut shown = None;
    until(SHOWN_WITHIN, "/pipeline does not show it", async || {
        let (status, pipeline) = served.get("/pipeline").await?;
        let retrying = pipeline["consumers"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|consumer| consumer["retrying"].as_array().cloned().unwrap_or_default());
        // Without a broker there is no answer to give, and that is the answer.
        let found = if component == "broker" {
            (status == 503).then(|| pipeline["detail"].clone())
        } else {
            retrying.into_iter().find(|retrying| retrying["component"] == component)
        };
        shown = shown.take().or(found);
        Ok(shown.is_some())
    })
    .await?;
    let shown_after = begun.elapsed();
    let (status, ready) = served.get("/readyz").await?;
    let named = ready["errors"].as_array().into_iter().flatten().any(|error| error["parameter"] == component);
    check(status == 503 && named, format!("/readyz should name the {component}: {status} {ready}"))?;
    drop(frozen);
    let back = Instant::now();
    until(BACK_WITHIN, "the service is not ready again", async || Ok(served.get("/readyz").await?.0 == 200))
        .await?;
    let (_, pipeline) = served.get("/pipeline").await?;
    let still = pipeline["consumers"].to_string();
    check(!still.contains("\"component\""), format!("nothing should be tried again: {still}"))?;
    if component == "broker" {
        send(&field, message(&event(&order, 1))).await?;
    }
    field.worked_off(BACK_WITHIN).await?;
    let rows = field.store().await?.deliveries().await?;
    let revision = if component == "broker" { 1 } else { 2 };
    check(rows.len() == 1 && rows[0].revision == revision, format!("{rows:?}"))?;
    let ready_after = back.elapsed();
    served.stop().await?;
    Ok(json!({"component": component, "on_stderr_after_ms": said_after.as_millis() as u64,
        "in_pipeline_and_readyz_after_ms": shown_after.as_millis() as u64,
        "ready_again_after_ms": ready_after.as_millis() as u64, "lost": 0}))
}

fn at_fault(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(1).await?;
        let served = Served::start(&field).await?;
        let garbled = Message { value: Some(b"{ no event".to_vec()), ..message(&event("garbled", 1)) };
        send(&field, garbled).await?;
        let mut refused = event("refused", 1);
        refused.address = "a NUL \0".into();
        send(&field, message(&refused)).await?;
        send(&field, message(&event("good", 1))).await?;
        served.tells(SAID_WITHIN + POLL, &["WARN", "message dead-lettered"]).await?;
        field.worked_off(Duration::from_secs(5)).await?;
        let (status, _) = served.get("/readyz").await?;
        check(status == 200, "a message at fault is no trouble of the service")?;
        let (_, pipeline) = served.get("/pipeline").await?;
        check(pipeline["lag"] == 0, format!("{pipeline}"))?;
        let metrics = served.metrics().await?;
        let counted = metrics.contains("payment_delivery_events_total{outcome=\"dead_lettered\"} 2");
        check(counted, format!("two dead letters should be counted: {metrics}"))?;
        let rows = field.store().await?.deliveries().await?;
        check(rows.len() == 1 && rows[0].order_id.as_str() == "good", format!("{rows:?}"))?;
        served.stop().await?;
        evidence(
            "failures-message",
            &json!({"dead_lettered": 2, "delivered": rows.len(), "lag": 0, "ready": true}),
        )
    })
}

fn set_up(bed: &Bed) -> Result<(), Failed> {
    let mut figures = Vec::new();
    for component in ["store", "view", "dead letters", "broker"] {
        let figure = bed.run(broken(bed, component)).map_err(|failed| format!("{component}: {failed:?}"))?;
        figures.push(figure);
    }
    evidence("failures-set-up", &json!(figures))
}

/// Takes away what a component needs, while the service works.
async fn broken(bed: &Bed, component: &'static str) -> Result<Value, Failed> {
    let field = bed.field(1).await?;
    let mut served = Served::start(&field).await?;
    let poison = Message { value: Some(b"no event".to_vec()), ..message(&event("poison", 1)) };
    let begun = Instant::now();
    let (words, within) = match component {
        "store" => {
            psql(bed, &format!("ALTER TABLE {}.deliveries RENAME TO elsewhere", field.schema())).await?;
            send(&field, message(&event("order", 1))).await?;
            (vec!["error:", "the store can't be used", "deliveries"], 10)
        }
        "view" => {
            redis_cli(bed, &["SET", &format!("{}:delivery:order", field.name), "text"]).await?;
            send(&field, message(&event("order", 1))).await?;
            (vec!["error:", "the view can't be used", "WRONGTYPE"], 10)
        }
        "dead letters" => {
            field.admin.delete_topic(&dead_letter_topic(&field.topic)).await?;
            send(&field, poison).await?;
            (vec!["error:", ".DLT"], 45)
        }
        _ => {
            delete_topics(&field).await?;
            (vec!["error:", field.topic.as_str()], 60)
        }
    };
    let code = served.ended(Duration::from_secs(within)).await.map_err(|failed| told(&served, &failed))?;
    check(code == Some(1), format!("it should end with 1: {code:?}"))?;
    served.tells(Duration::ZERO, &words).await?;
    Ok(json!({"component": component, "exit": code, "after_ms": begun.elapsed().as_millis() as u64}))
}

fn told(served: &Served, failed: &Failed) -> Failed {
    format!("{failed:?}: {}", served.told().unwrap_or_default()).into()
}

async fn delete_topics(field: &Field) -> Result<(), Failed> {
    Ok(field.admin.delete_topic(&field.topic).await?)
}
