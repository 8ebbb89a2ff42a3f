//! The sender alone: an open loop that is always late, into a sink that acknowledges at once.

use std::sync::Arc;
use std::time::Duration;

use payment_delivery::kafka::Origin;
use tokio_util::sync::CancellationToken;

use super::context::MeasurementLength;
use crate::error::RunError;
use crate::load::{Load, SendFailed};
use crate::measure::timeline::Due;
use crate::measure::{Clock, Timeline};
use crate::workload::plan::VALUE_BYTES_DEFAULT;
use crate::workload::{Keys, Plan, PlanSpec, Planned};

/// Events by which it is seen how many there have to be. Never fewer are sent.
const FIRST_EVENTS: usize = 5_000;

/// Never more: an event takes some eighty bytes of memory.
const EVENTS_MAX: usize = 2_000_000;

/// Events sent a second.
pub(super) async fn rate(
    length: MeasurementLength,
    seed: u64,
    cancel: &CancellationToken,
) -> Result<f64, RunError> {
    let first_per_s = send(FIRST_EVENTS, seed, cancel).await?;
    let warm_per_s = send(events_in(first_per_s, length.warm_up), seed, cancel).await?;
    send(events_in(warm_per_s, length.counted), seed, cancel).await
}

/// As many events as are sent in such a time.
fn events_in(per_s: f64, length: Duration) -> usize {
    ((per_s * length.as_secs_f64()) as usize).clamp(FIRST_EVENTS, EVENTS_MAX)
}

/// Sends so many events, all due at once; how many a second.
async fn send(events: usize, seed: u64, cancel: &CancellationToken) -> Result<f64, RunError> {
    let spec = PlanSpec {
        prefix: "g",
        events_per_order: 5,
        keys: Keys::Uniform,
        value_bytes: VALUE_BYTES_DEFAULT,
        seed,
    };
    let plan = Arc::new(Plan::backlog(&spec, events)?);
    let timeline = Arc::new(Timeline::new(Clock::start(), |_| None));
    let phase = timeline.add_phase("generator", Due::Planned, plan)?;
    let told = Arc::clone(&timeline);
    let sink = move |index: usize, _: Planned| -> Result<(), SendFailed> {
        told.acked(index, Origin { partition: 0, offset: index as i64 });
        Ok(())
    };
    let load = Load::open_loop(Arc::clone(&timeline), phase, timeline.clock().now_ns(), sink, cancel)?;
    let report = load.finished().await?;
    if report.cancelled {
        return Err(RunError::Interrupted);
    }
    // The start of its thread is not counted.
    let first_ns = timeline.passed(0).sent.unwrap_or(0);
    let took_s = report.ended_ns.saturating_sub(first_ns).max(1) as f64 / 1e9;
    Ok(report.sent as f64 / took_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_events_as_fit_within_bounds() {
        assert_eq!(events_in(200_000.0, Duration::from_millis(500)), 100_000);
        assert_eq!(events_in(10.0, Duration::from_secs(1)), FIRST_EVENTS);
        assert_eq!(events_in(1e9, Duration::from_secs(10)), EVENTS_MAX);
    }
}
