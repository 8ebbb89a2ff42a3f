//! The consumers of one trial as a process of its own, measured by what it reports or from outside.

use std::sync::Arc;
use std::time::Duration;

use payment_delivery::kafka::admin::{Admin, AdminError};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::in_process::FetchStart;
use crate::contender::Lanes;
use crate::error::RunError;
use crate::measure::outside::Watch;
use crate::measure::run_file::{Follower, RunFileError};
use crate::measure::timeline::{Replay, Taken, Timeline};
use crate::stack::worker::{Hold, WorkerCommand, WorkerProcess};
use crate::workspace::{CONNECT_TIMEOUT, StatusWrites, TrialWorkspace};

/// How often the run file is read. Times are in its records, so this bounds only when a wait is over.
const FOLLOW_EVERY: Duration = Duration::from_millis(10);

/// What a worker process left behind for the checks.
pub(super) struct WorkerReports {
    /// What its consumers took in hand; none where it doesn't tell.
    pub(super) taken: Option<Vec<Taken>>,
    /// By how much later than it was readable a status was seen, before there was load; none where the view does not tell, or not to the end.
    pub(super) view_late_by: Option<Vec<Duration>>,
}

/// The running process of one trial. Dropping it stops it.
pub(super) struct WorkerConsumers {
    process: WorkerProcess,
    fetch_start: Option<FetchStart>,
    reader: Option<JoinHandle<Result<Vec<Taken>, RunFileError>>>,
    /// Of one that doesn't tell.
    watch: Option<JoinHandle<Result<(), AdminError>>>,
    /// Of one that doesn't tell, where the view does.
    statuses: Option<JoinHandle<Option<StatusWrites>>>,
    /// Ends reader and watches.
    done: CancellationToken,
    _ended: DropGuard,
}

impl WorkerConsumers {
    /// Starts the process and those who watch it.
    pub(super) async fn start(
        command: &WorkerCommand,
        place: &TrialWorkspace,
        lanes: Lanes,
        service_time: Duration,
        timeline: &Arc<Timeline>,
    ) -> Result<Self, RunError> {
        let mut environment = place.contract()?;
        environment.push(("LANEBENCH_CONSUMERS", lanes.consumers.to_string()));
        environment.push(("LANEBENCH_SERVICE_TIME", format!("{}us", service_time.as_micros())));
        // Whoever watches a process tells of events by where they lie.
        timeline.keep_places();
        // Before the worker, which may write at once.
        let writes = if command.reports() { None } else { place.statuses.writes().await? };
        let (process, hold) = WorkerProcess::start(command, &environment)?;
        let done = CancellationToken::new();
        let statuses = writes.map(|writes| tokio::spawn(see(writes, Arc::clone(timeline), done.clone())));
        let reader = process.run_file().map(|file| {
            tokio::spawn(follow(Follower::new(file), Replay::new(Arc::clone(timeline)), done.clone()))
        });
        let watch = if reader.is_none() {
            let admin = Admin::connect(&place.bootstrap, CONNECT_TIMEOUT).await?;
            let (topic, group) = (place.topic.clone(), place.group.clone());
            let watch = Watch { admin, topic, group, timeline: Arc::clone(timeline) };
            Some(tokio::spawn(watch.run(done.clone())))
        } else {
            None
        };
        let fetch_start = hold.map(release_when_told);
        let _ended = done.clone().drop_guard();
        Ok(Self { process, fetch_start, reader, watch, statuses, _ended, done })
    }

    /// What lets it fetch; none where it can't be held.
    pub(super) fn fetch_start(&self) -> Option<FetchStart> {
        self.fetch_start.clone()
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
    pub(super) async fn failure(&mut self) -> RunError {
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
                    Ok(Ok(_)) => RunError::Interrupted,
                    Err(error) => RunError::Load(format!("the run file's reader panicked: {error}")),
                }
            }
        }
    }

    /// Stops it, and gathers what it left behind.
    pub(super) async fn stop(mut self) -> Result<WorkerReports, RunError> {
        let stopped = self.process.stop().await;
        // Only now: what it reports and commits while it stops counts too.
        self.done.cancel();
        let taken = match self.reader.take() {
            Some(reader) => Some(joined(reader.await)??),
            None => None,
        };
        if let Some(watch) = self.watch.take() {
            joined(watch.await)??;
        }
        let view_late_by = match self.statuses.take() {
            Some(statuses) => joined(statuses.await)?.map(|writes| writes.late_by().to_vec()),
            None => None,
        };
        stopped?;
        Ok(WorkerReports { taken, view_late_by })
    }
}

fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> Result<T, RunError> {
    ended.map_err(|error| RunError::Load(format!("who watched the worker panicked: {error}")))
}

/// Releases the worker's hold when it is released itself.
fn release_when_told(mut hold: Hold) -> FetchStart {
    let (fetch_start, mut released) = FetchStart::held();
    tokio::spawn(async move {
        if released.wait_for(|released| *released).await.is_ok() {
            hold.release();
        }
        // Kept until nobody has it any more: at the end of its input the worker stops.
        while released.changed().await.is_ok() {}
    });
    fetch_start
}

/// Tells the timeline of statuses as they can be read; `None` if the view went, and others had to say the rest.
async fn see(
    mut writes: StatusWrites,
    timeline: Arc<Timeline>,
    done: CancellationToken,
) -> Option<StatusWrites> {
    loop {
        let seen = tokio::select! {
            seen = writes.next() => seen,
            () = done.cancelled() => return Some(writes),
        };
        let at_ns = timeline.clock().now_ns();
        match seen {
            Ok(seen) => seen.iter().for_each(|s| timeline.seen_in_view(&s.order_id, s.revision, at_ns)),
            Err(error) => {
                tracing::warn!(%error, "statuses are seen no more; what comes later is seen by its committed offset");
                return None;
            }
        }
    }
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
