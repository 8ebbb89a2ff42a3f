//! The store: events applied one by one, on one connection or several, and many rows by one call.
//!
//! Orders have their first revision before anything is counted, so that every write updates a row, as most do in a run.

use std::iter::repeat_with;
use std::sync::Arc;
use std::time::{Duration, Instant};

use payment_delivery::delivery::Fold;
use payment_delivery::event::{OrderId, PaymentEvent};
use payment_delivery::kafka::Origin;
use payment_delivery::store::{DeliveryStore, Effect, StoreError};

use super::context::{MeasurementLength, side_by_side};
use super::measurement::BULK_ROWS;
use crate::error::RunError;
use crate::workload::plan::VALUE_BYTES_DEFAULT;
use crate::workload::{Keys, Plan, PlanSpec};
use crate::workspace::Rows;

/// Orders of each connection that applies single events.
const ORDERS: u32 = 1_000;

/// Rows that a call writes before anything is counted.
const FILL: u32 = 1_000;

/// Single events applied a second, on so many connections together.
pub(super) async fn rate(
    rows: &Rows,
    connections: u32,
    length: MeasurementLength,
    seed: u64,
) -> Result<f64, RunError> {
    let writers = writers(rows, connections, ORDERS, seed).await?;
    side_by_side(writers, length, |mut writer: RowWriter, time| async move {
        let per_s = writer.apply_for(time).await?;
        Ok::<_, RunError>((writer, per_s))
    })
    .await
}

/// Rows written a second by calls of `per_call` rows each, on so many connections together.
pub(super) async fn bulk_rate(
    rows: &Rows,
    per_call: u32,
    connections: u32,
    length: MeasurementLength,
    seed: u64,
) -> Result<f64, RunError> {
    let orders = BULK_ROWS.into_iter().fold(per_call, u32::max);
    let writers = writers(rows, connections, orders, seed).await?;
    side_by_side(writers, length, move |mut writer: RowWriter, time| async move {
        let per_s = writer.write_for(per_call, time).await?;
        Ok::<_, RunError>((writer, per_s))
    })
    .await
}

/// Begins without a row.
async fn writers(rows: &Rows, connections: u32, orders: u32, seed: u64) -> Result<Vec<RowWriter>, RunError> {
    rows.clear().await?;
    let open = |connection| RowWriter::open(rows, connection, orders, seed);
    futures_util::future::try_join_all((0..connections).map(open)).await
}

/// A connection to the store, and orders that nobody else writes.
struct RowWriter {
    store: Arc<dyn DeliveryStore>,
    events: NextEvents,
}

impl RowWriter {
    /// Connects, and applies the first event of each order.
    async fn open(rows: &Rows, connection: u32, orders: u32, seed: u64) -> Result<Self, RunError> {
        let mut writer =
            Self { store: rows.consumer().await?, events: NextEvents::new(connection, orders, seed)? };
        for _ in 0..orders / FILL {
            writer.write(FILL).await?;
        }
        Ok(writer)
    }

    /// Applies single events for `length`; how many a second.
    async fn apply_for(&mut self, length: Duration) -> Result<f64, RunError> {
        let begun = Instant::now();
        let mut applied = 0_u32;
        while begun.elapsed() < length {
            let (fold, origin) = self.events.next();
            if self.store.apply(&fold, origin).await?.effect != Effect::Applied {
                return Err(not_applied());
            }
            applied += 1;
        }
        Ok(f64::from(applied) / begun.elapsed().as_secs_f64())
    }

    /// Writes so many rows a call until the calls have taken `length`; rows a second. What a call is given is made beside the clock.
    async fn write_for(&mut self, per_call: u32, length: Duration) -> Result<f64, RunError> {
        let (mut rows, mut took) = (0.0, Duration::ZERO);
        while took < length {
            took += self.write(per_call).await?;
            rows += f64::from(per_call);
        }
        Ok(rows / took.as_secs_f64())
    }

    /// Writes so many rows by one call; how long that took.
    async fn write(&mut self, rows: u32) -> Result<Duration, RunError> {
        let folds: Vec<_> = repeat_with(|| self.events.next()).take(rows as usize).collect();
        let begun = Instant::now();
        let written = self.store.apply_all(&folds).await?;
        let took = begun.elapsed();
        if written.iter().flatten().count() == folds.len() { Ok(took) } else { Err(not_applied()) }
    }
}

/// Nobody else writes those rows.
fn not_applied() -> RunError {
    StoreError::Unusable("a row did not take the event that follows it".into()).into()
}

/// The events that follow, order by order in the order of their ids, and then each order's next.
struct NextEvents {
    /// The last of each order.
    last: Vec<PaymentEvent>,
    partition: i32,
    /// How many there were.
    count: usize,
}

impl NextEvents {
    fn new(connection: u32, orders: u32, seed: u64) -> Result<Self, RunError> {
        let prefix = format!("l{connection}");
        let spec = PlanSpec {
            prefix: &prefix,
            events_per_order: 1,
            keys: Keys::Uniform,
            value_bytes: VALUE_BYTES_DEFAULT,
            seed,
        };
        let plan = Plan::backlog(&spec, orders as usize)?;
        let none_yet = |(number, order_id): (usize, &OrderId)| PaymentEvent {
            order_id: order_id.clone(),
            revision: 0,
            ..plan.payment(number)
        };
        let last = plan.orders.iter().enumerate().map(none_yet).collect();
        Ok(Self { last, partition: connection as i32, count: 0 })
    }

    fn next(&mut self) -> (Fold, Origin) {
        let order = self.count % self.last.len();
        let event = &mut self.last[order];
        event.revision += 1;
        let origin = Origin { partition: self.partition, offset: self.count as i64 };
        self.count += 1;
        (Fold::one(event.clone()), origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_has_its_next_event_in_turn() {
        let mut events = NextEvents::new(2, 3, 1).unwrap();
        let taken: Vec<(String, u32, i64)> = repeat_with(|| events.next())
            .take(5)
            .map(|(fold, origin)| (fold.event.order_id.to_string(), fold.last(), origin.offset))
            .collect();
        let named = |order: &str, revision, offset| (order.to_owned(), revision, offset);
        assert_eq!(
            taken,
            [
                named("l2-000000", 1, 0),
                named("l2-000001", 1, 1),
                named("l2-000002", 1, 2),
                named("l2-000000", 2, 3),
                named("l2-000001", 2, 4)
            ]
        );
    }

    #[test]
    fn no_call_of_a_size_has_an_order_twice() {
        let orders = BULK_ROWS.into_iter().fold(0, u32::max);
        assert!(BULK_ROWS.into_iter().chain([FILL]).all(|rows| orders % rows == 0));
        assert_eq!(ORDERS % FILL, 0);
    }
}
