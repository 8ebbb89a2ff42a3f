//! The view: statuses written one after another, and many by one call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use payment_delivery::delivery::{Status, StatusEntry};
use payment_delivery::event::OrderId;
use payment_delivery::view::{Put, StatusView, ViewError};

use super::context::{MeasurementLength, side_by_side};
use super::measurement::STATUSES;
use crate::error::RunError;
use crate::workspace::TrialWorkspace;

/// Statuses written a second, one after another on each of so many connections.
pub(super) async fn rate(
    trial: &TrialWorkspace,
    connections: u32,
    length: MeasurementLength,
) -> Result<f64, RunError> {
    let writers = writers(trial, connections).await?;
    side_by_side(writers, length, |mut writer: StatusWriter, time| async move {
        let per_s = writer.put_for(time).await?;
        Ok::<_, RunError>((writer, per_s))
    })
    .await
}

/// Statuses written a second, by calls of [`STATUSES`] on each of so many connections.
pub(super) async fn pipelined_rate(
    trial: &TrialWorkspace,
    connections: u32,
    length: MeasurementLength,
) -> Result<f64, RunError> {
    let writers = writers(trial, connections).await?;
    side_by_side(writers, length, |mut writer: StatusWriter, time| async move {
        let per_s = writer.put_all_for(time).await?;
        Ok::<_, RunError>((writer, per_s))
    })
    .await
}

/// Begins without a status.
async fn writers(trial: &TrialWorkspace, connections: u32) -> Result<Vec<StatusWriter>, RunError> {
    trial.view().clear().await?;
    let mut writers = Vec::new();
    for connection in 0..connections {
        writers.push(StatusWriter::open(trial, connection).await?);
    }
    Ok(writers)
}

/// A connection to the view, and the statuses that were written last, which nobody else writes.
struct StatusWriter {
    view: Arc<dyn StatusView>,
    entries: Vec<StatusEntry>,
}

impl StatusWriter {
    /// Connects.
    async fn open(trial: &TrialWorkspace, connection: u32) -> Result<Self, RunError> {
        let entry = |number: u32| StatusEntry {
            order_id: OrderId::new(&format!("v{connection}-{number:06}"))
                .expect("a letter and two numbers are an order id"),
            revision: 0,
            status: Status::at(0),
        };
        Ok(Self { view: trial.statuses.consumer().await?, entries: (0..STATUSES).map(entry).collect() })
    }

    /// Writes one status after another for `length`; how many a second.
    async fn put_for(&mut self, length: Duration) -> Result<f64, RunError> {
        let begun = Instant::now();
        let mut written = 0;
        while begun.elapsed() < length {
            let number = written % self.entries.len();
            let entry = &mut self.entries[number];
            amend(entry);
            let put = self.view.put_if_newer(entry).await?;
            check(entry, put)?;
            written += 1;
        }
        Ok(written as f64 / begun.elapsed().as_secs_f64())
    }

    /// Writes all statuses by one call after another, until the calls have taken `length`; how many a second.
    async fn put_all_for(&mut self, length: Duration) -> Result<f64, RunError> {
        let (mut written, mut took) = (0, Duration::ZERO);
        while took < length {
            self.entries.iter_mut().for_each(amend);
            let begun = Instant::now();
            let puts = self.view.put_all_if_newer(&self.entries).await?;
            took += begun.elapsed();
            self.entries.iter().zip(&puts).try_for_each(|(entry, put)| check(entry, *put))?;
            written += puts.len();
        }
        Ok(written as f64 / took.as_secs_f64())
    }
}

/// The status after the order's next event.
fn amend(entry: &mut StatusEntry) {
    entry.revision += 1;
    entry.status = Status::at(entry.revision);
}

/// Nobody else writes those statuses.
fn check(entry: &StatusEntry, put: Put) -> Result<(), RunError> {
    if put.revision == entry.revision {
        return Ok(());
    }
    Err(ViewError::Unusable(format!("the status of {} did not take what follows it", entry.order_id)).into())
}
