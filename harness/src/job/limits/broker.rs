//! The broker: records produced into a topic of its own, and fetched again.

use std::time::{Duration, Instant};

use payment_delivery::kafka::Message;
use payment_delivery::kafka::producer::ProduceError;

use super::{LimitsContext, LimitsOptions};
use crate::error::RunError;
use crate::load::unpaced::{BulkProducer, fetch};
use crate::measure::clock::unix_ns;
use crate::workload::plan::VALUE_BYTES_DEFAULT;
use crate::workload::{Keys, Plan, PlanSpec, Planned};
use crate::workspace::{RunWorkspace, TrialWorkspace};

/// Events whose records are sent in turn.
const EVENTS: usize = 10_000;

/// How long one reading of a topic may take.
const FETCH_WITHIN: Duration = Duration::from_secs(60);

/// Records a second, produced and fetched, in a topic that is removed afterwards.
pub(super) async fn rates(
    context: &LimitsContext<'_>,
    partitions: u32,
    round: u32,
) -> Result<Vec<f64>, RunError> {
    let (workspace, options) = (context.runner.workspace, context.setup.options);
    let name = format!("limits.{round}.{partitions}");
    let trial = workspace.trial(&name, &options.contender(partitions)).await?;
    let rates = context.until_cancelled(Box::pin(of_topic(workspace, &trial, options))).await;
    workspace.clear(&trial).await;
    rates
}

/// The records of the warm-up lie in the topic as well, and are fetched with the others.
async fn of_topic(
    workspace: &RunWorkspace,
    trial: &TrialWorkspace,
    options: &LimitsOptions,
) -> Result<Vec<f64>, RunError> {
    let (bootstrap, topic, length) = (&trial.bootstrap, &trial.topic, options.length());
    let messages = messages(options.seed)?;
    let not_sent = |error: ProduceError| RunError::Load(error.to_string());
    let producer = BulkProducer::connect(bootstrap.clone(), topic.clone(), trial.partitions).await?;
    producer.send_for(&messages, length.warm_up).await.map_err(not_sent)?;
    let produced = producer.send_for(&messages, length.counted).await.map_err(not_sent)?;
    producer.close().await.map_err(not_sent)?;

    let ends: Vec<(i32, i64)> = workspace.admin.end_offsets(topic).await?.into_iter().collect();
    let read = || fetch(bootstrap.clone(), topic.clone(), ends.clone(), FETCH_WITHIN);
    read().await?;
    let begun = Instant::now();
    let mut fetched = read().await?;
    while begun.elapsed() < length.counted {
        let again = read().await?;
        fetched += again;
    }
    Ok(vec![produced.per_s(), fetched.per_s()])
}

/// What a run sends.
fn messages(seed: u64) -> Result<Vec<Message>, RunError> {
    let spec = PlanSpec {
        prefix: "l",
        events_per_order: 5,
        keys: Keys::Uniform,
        value_bytes: VALUE_BYTES_DEFAULT,
        seed,
    };
    let plan = Plan::backlog(&spec, EVENTS)?;
    let timestamp_ms = unix_ns() / 1_000_000;
    let message = |planned: Planned| Message {
        key: Some(planned.order_id.as_str().as_bytes().to_vec()),
        value: Some(planned.value),
        timestamp_ms,
        ..Message::default()
    };
    Ok(plan.iter().map(message).collect())
}
