//! The broker: records produced into a topic, many at a time and one after another, and fetched again.

use std::time::{Duration, Instant};

use payment_delivery::kafka::Message;
use payment_delivery::kafka::producer::ProduceError;

use super::context::MeasurementLength;
use crate::error::RunError;
use crate::load::unpaced::{UnpacedProducer, fetch};
use crate::measure::clock::unix_ns;
use crate::workload::plan::VALUE_BYTES_DEFAULT;
use crate::workload::{Keys, Plan, PlanSpec, Planned};
use crate::workspace::{RunWorkspace, TrialWorkspace};

/// Events whose records are sent in turn.
const EVENTS: usize = 10_000;

/// How long one reading of a topic may take.
const FETCH_WITHIN: Duration = Duration::from_secs(60);

/// Records a second, produced into the trial's topic and fetched from it. The records of the warm-up lie there as well, and are fetched with
/// the others.
pub(super) async fn rates(
    workspace: &RunWorkspace,
    trial: &TrialWorkspace,
    length: MeasurementLength,
    seed: u64,
) -> Result<Vec<f64>, RunError> {
    let (bootstrap, topic) = (&trial.bootstrap, &trial.topic);
    let messages = messages(seed)?;
    let producer = connect(trial).await?;
    producer.send_for(&messages, length.warm_up).await.map_err(|error| not_sent(&error))?;
    let produced = producer.send_for(&messages, length.counted).await.map_err(|error| not_sent(&error))?;
    producer.close().await.map_err(|error| not_sent(&error))?;

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

/// Records acknowledged a second where each is before the next is sent.
pub(super) async fn single_rate(
    trial: &TrialWorkspace,
    length: MeasurementLength,
    seed: u64,
) -> Result<f64, RunError> {
    let messages = messages(seed)?;
    let producer = connect(trial).await?;
    producer.send_singly_for(&messages, length.warm_up).await.map_err(|error| not_sent(&error))?;
    let produced =
        producer.send_singly_for(&messages, length.counted).await.map_err(|error| not_sent(&error))?;
    producer.close().await.map_err(|error| not_sent(&error))?;
    Ok(produced.per_s())
}

async fn connect(trial: &TrialWorkspace) -> Result<UnpacedProducer, RunError> {
    let (bootstrap, topic) = (trial.bootstrap.clone(), trial.topic.clone());
    Ok(UnpacedProducer::connect(bootstrap, topic, trial.partitions).await?)
}

fn not_sent(error: &ProduceError) -> RunError {
    RunError::Load(error.to_string())
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
