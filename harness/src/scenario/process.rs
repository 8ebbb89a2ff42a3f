//! The consumers of one trial as a process of its own, measured by what it reports or from outside.

use std::sync::Arc;
use std::time::Duration;

use payment_delivery::kafka::admin::{Admin, AdminError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::ScenarioError;
use super::lanes::Gate;
use super::options::Lanes;
use super::site::{CONNECT_TIMEOUT, TrialSite};
use crate::measure::outside::{CommitSamples, Watch};
use crate::measure::run_file::{Follower, RunFileError};
use crate::measure::timeline::{Replay, Taken, Timeline};
use crate::stack::worker::{Hold, WorkerCommand, WorkerProcess};

/// How often the run file is read. Times are in its records, so this bounds only when a wait is over.
const FOLLOW_EVERY: Duration = Duration::from_millis(10);

/// What a worker process left behind for the checks.
pub(super) struct Reports {
    /// What its consumers took in hand; none where it doesn't tell.
    pub(super) taken: Option<Vec<Taken>>,
    /// The offsets it committed.
    pub(super) commits: CommitSamples,
}

/// The running process of one trial. Dropping it stops it.
pub(super) struct RunningProcess {
    process: WorkerProcess,
    gate: Option<Gate>,
    reader: Option<JoinHandle<Result<Vec<Taken>, RunFileError>>>,
    watch: JoinHandle<Result<CommitSamples, AdminError>>,
    /// Ends reader and watch.
    done: CancellationToken,
    _ended: DropGuard,
}

impl RunningProcess {
    /// Starts the process and those who watch it.
    pub(super) async fn start(
        command: &WorkerCommand,
        site: &TrialSite,
        lanes: Lanes,
        service_time: Duration,
        timeline: &Arc<Timeline>,
    ) -> Result<Self, ScenarioError> {
        let admin = Admin::connect(&site.bootstrap, CONNECT_TIMEOUT).await?;
        let mut environment = site.contract()?;
        environment.push(("LANEBENCH_CONSUMERS", lanes.consumers.to_string()));
        environment.push(("LANEBENCH_SERVICE_TIME", format!("{}us", service_time.as_micros())));
        let (process, hold) = WorkerProcess::start(command, &environment)?;
        let done = CancellationToken::new();
        let reader = process.run_file().map(|file| {
            tokio::spawn(follow(Follower::new(file), Replay::new(Arc::clone(timeline)), done.clone()))
        });
        let watch = Watch {
            admin,
            topic: site.topic.clone(),
            group: site.group.clone(),
            timeline: Arc::clone(timeline),
            tells: reader.is_none(),
        };
        let watch = tokio::spawn(watch.run(done.clone()));
        let gate = hold.map(release_when_opened);
        Ok(Self { process, gate, reader, watch, _ended: done.clone().drop_guard(), done })
    }

    /// What lets it fetch; none where it can't be held.
    pub(super) fn gate(&self) -> Option<Gate> {
        self.gate.clone()
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The end of its log.
    pub(super) fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// Resolves when it ended by itself, or can't be followed; never otherwise.
    pub(super) async fn failure(&mut self) -> ScenarioError {
        let unread = async {
            match &mut self.reader {
                Some(reader) => reader.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = self.process.ended() => ended.into(),
            read = unread => {
                self.reader = None;
                match read {
                    Ok(Err(error)) => error.into(),
                    Ok(Ok(_)) => ScenarioError::Interrupted,
                    Err(error) => ScenarioError::Load(format!("the run file's reader panicked: {error}")),
                }
            }
        }
    }

    /// Stops it, and gathers what it left behind.
    pub(super) async fn stop(mut self) -> Result<Reports, ScenarioError> {
        let stopped = self.process.stop().await;
        // Only now: what it reports and commits while it stops counts too.
        self.done.cancel();
        let taken = match self.reader.take() {
            Some(reader) => Some(joined(reader.await)??),
            None => None,
        };
        let commits = joined((&mut self.watch).await)??;
        stopped?;
        Ok(Reports { taken, commits })
    }
}

fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> Result<T, ScenarioError> {
    ended.map_err(|error| ScenarioError::Load(format!("who watched the worker panicked: {error}")))
}

/// A gate that releases the hold when it is opened.
fn release_when_opened(mut hold: Hold) -> Gate {
    let (gate, mut opened) = watch::channel(false);
    tokio::spawn(async move {
        if opened.wait_for(|open| *open).await.is_ok() {
            hold.release();
        }
        // Kept until nobody has the gate any more: at the end of its input the worker stops.
        while opened.changed().await.is_ok() {}
    });
    gate
}

/// Plays what is appended to the run file into the timeline, and a last time once `done`.
async fn follow(
    mut file: Follower,
    mut replay: Replay,
    done: CancellationToken,
) -> Result<Vec<Taken>, RunFileError> {
    loop {
        let last = done.is_cancelled();
        replay.play(file.poll()?);
        if last {
            return Ok(replay.taken());
        }
        let _slept = tokio::time::timeout(FOLLOW_EVERY, done.cancelled()).await;
    }
}
