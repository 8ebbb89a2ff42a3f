//! What measurements work with, and how several writers work side by side.

use std::path::Path;
use std::time::Duration;

use payment_delivery::consumer::Mode;
use tokio::task::{JoinError, JoinSet};

use super::measurement::{Measurement, Replicas};
use super::{broker, fsync, generator, store, view};
use crate::contender::{Contender, Lanes};
use crate::error::RunError;
use crate::trial::TrialRunner;
use crate::workspace::TrialWorkspace;

/// How long a measurement takes.
#[derive(Clone, Copy, Debug)]
pub(in crate::job) struct MeasurementLength {
    /// What is done first, in the same way, and not counted.
    pub(in crate::job) warm_up: Duration,
    /// What is counted.
    pub(in crate::job) counted: Duration,
}

/// What the measurements of a round work with.
pub(in crate::job) struct MeasurementContext<'a> {
    runner: &'a TrialRunner<'a>,
    /// Part of the names of topics and keys.
    name: String,
    /// Of events.
    seed: u64,
    /// Where the disk below the stack's data is measured.
    data_directory: Option<&'a Path>,
    /// Whose rows and statuses are written.
    trial: TrialWorkspace,
}

impl<'a> MeasurementContext<'a> {
    /// Makes topics under this name, which [`Self::measure_all`] removes, and empties the run's rows.
    pub(in crate::job) async fn open(
        runner: &'a TrialRunner<'a>,
        name: String,
        replicas: Replicas,
        seed: u64,
        data_directory: Option<&'a Path>,
    ) -> Result<Self, RunError> {
        let trial = runner.workspace.trial(&name, &contender(1, replicas)).await?;
        Ok(Self { runner, name, seed, data_directory, trial })
    }

    /// Makes measurements, each when `begins` has been told of it, and gives back the rates of each. Removes its topics and statuses, however that
    /// ends; its rows stay until the next trial empties the tables.
    pub(in crate::job) async fn measure_all(
        self,
        measurements: &[(Measurement, MeasurementLength)],
        mut begins: impl FnMut(Measurement),
    ) -> Result<Vec<Vec<f64>>, RunError> {
        let measured = Box::pin(async {
            let mut found = Vec::new();
            for &(measurement, length) in measurements {
                begins(measurement);
                found.push(Box::pin(self.measure(measurement, length)).await?);
            }
            Ok::<_, RunError>(found)
        });
        let found = measured.await;
        self.runner.workspace.clear(&self.trial).await;
        found
    }

    /// Makes one measurement: a rate for each of its limits, a second.
    async fn measure(
        &self,
        measurement: Measurement,
        length: MeasurementLength,
    ) -> Result<Vec<f64>, RunError> {
        let (cancel, seed) = (self.runner.cancel, self.seed);
        let (trial, rows) = (&self.trial, &self.trial.rows);
        let rate = match measurement {
            Measurement::Broker { partitions, replicas } => {
                let workspace = self.runner.workspace;
                let name = format!("{partitions}x{}", replicas.replication);
                let rates = self.in_topic(&name, partitions, replicas, async |trial| {
                    broker::rates(workspace, trial, length, seed).await
                });
                return Box::pin(rates).await;
            }
            Measurement::ProduceSingle { replicas } => {
                let rate = self.in_topic("single", 1, replicas, async |trial| {
                    broker::single_rate(trial, length, seed).await
                });
                Box::pin(rate).await?
            }
            Measurement::Fsync => {
                let Some(directory) = self.data_directory else { return Ok(Vec::new()) };
                self.until_cancelled(Box::pin(fsync::rate(directory, length, cancel))).await?
            }
            Measurement::Store { connections } => {
                self.until_cancelled(Box::pin(store::rate(rows, connections, length, seed))).await?
            }
            Measurement::StoreBulk { rows: per_call, connections } => {
                let work = store::bulk_rate(rows, per_call, connections, length, seed);
                self.until_cancelled(Box::pin(work)).await?
            }
            Measurement::View { connections } => {
                self.until_cancelled(Box::pin(view::rate(trial, connections, length))).await?
            }
            Measurement::ViewPipelined { connections } => {
                self.until_cancelled(Box::pin(view::pipelined_rate(trial, connections, length))).await?
            }
            Measurement::Generator => {
                self.until_cancelled(Box::pin(generator::rate(length, seed, cancel))).await?
            }
        };
        Ok(vec![rate])
    }

    /// Lets `work` use a topic of its own, which is removed afterwards.
    async fn in_topic<T>(
        &self,
        name: &str,
        partitions: u32,
        replicas: Replicas,
        work: impl AsyncFnOnce(&TrialWorkspace) -> Result<T, RunError>,
    ) -> Result<T, RunError> {
        let workspace = self.runner.workspace;
        let name = format!("{}.{name}", self.name);
        let trial = workspace.trial(&name, &contender(partitions, replicas)).await?;
        let measured = self.until_cancelled(Box::pin(work(&trial))).await;
        workspace.clear(&trial).await;
        measured
    }

    async fn until_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, RunError>>,
    ) -> Result<T, RunError> {
        self.runner.cancel.run_until_cancelled(work).await.ok_or(RunError::Interrupted)?
    }
}

/// Whose topic has so many partitions.
pub(super) fn contender(partitions: u32, replicas: Replicas) -> Contender {
    let lanes = Lanes { partitions: partitions as i32, consumers: 1, mode: Mode::Record };
    Contender { replication: replicas.replication, min_isr: replicas.min_isr, ..Contender::of(lanes) }
}

/// Lets writers work at once, each as a task of its own, as consumers are, first for the warm-up and then for what is counted. `work` says how
/// much a writer wrote a second; this is the sum of all of them. Dropped, it ends the tasks.
pub(super) async fn side_by_side<W, F>(
    mut writers: Vec<W>,
    length: MeasurementLength,
    work: impl Fn(W, Duration) -> F,
) -> Result<f64, RunError>
where
    W: Send + 'static,
    F: Future<Output = Result<(W, f64), RunError>> + Send + 'static,
{
    let mut together = 0.0;
    for time in [length.warm_up, length.counted] {
        let mut tasks = JoinSet::new();
        for writer in writers.drain(..) {
            tasks.spawn(work(writer, time));
        }
        together = 0.0;
        while let Some(ended) = tasks.join_next().await {
            let (writer, per_s) = ended.map_err(panicked)??;
            writers.push(writer);
            together += per_s;
        }
    }
    Ok(together)
}

pub(super) fn panicked(error: JoinError) -> RunError {
    RunError::System { what: "a measurement did not come to its end", source: std::io::Error::other(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_writers_did_in_the_counted_time_is_added_up() {
        let length =
            MeasurementLength { warm_up: Duration::from_millis(1), counted: Duration::from_millis(2) };
        let work = |writer: f64, time: Duration| async move {
            Ok::<_, RunError>((writer, writer * time.as_millis() as f64))
        };
        let rate = side_by_side(vec![1.0, 10.0, 100.0], length, work).await.unwrap();
        assert!((rate - 222.0).abs() < 1e-9, "{rate}");
    }

    #[tokio::test]
    async fn one_writer_that_fails_ends_it() {
        let length = MeasurementLength { warm_up: Duration::ZERO, counted: Duration::ZERO };
        let work = |writer: u32, _: Duration| async move {
            if writer == 2 { Err(RunError::Interrupted) } else { Ok((writer, 1.0)) }
        };
        assert!(matches!(side_by_side(vec![1, 2], length, work).await, Err(RunError::Interrupted)));
    }
}
