//! The consumers of one trial as processes of their own, measured by what they report or from outside: one process with all of them, or one
//! for each, so that one can break.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use payment_delivery::consumer::ServiceTime;
use payment_delivery::kafka::admin::{Admin, AdminError};
use payment_delivery::probe::Probe as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::in_process::FetchStart;
use crate::contender::Lanes;
use crate::error::RunError;
use crate::measure::outside::Watch;
use crate::measure::run_file::{Follower, consumer_name};
use crate::measure::timeline::{Replay, Taken, Timeline};
use crate::scenario::Action;
use crate::stack::worker::{Hold, WorkerCommand, WorkerProcess};
use crate::workspace::{CONNECT_TIMEOUT, StatusWrites, TrialWorkspace};

/// How often the run file is read. Times are in its records, so this bounds only when a wait is over.
const FOLLOW_EVERY: Duration = Duration::from_millis(10);

/// What worker processes left behind for the checks.
pub(super) struct WorkerReports {
    /// What their consumers took in hand, in the order in which that happened; none where they don't tell.
    pub(super) taken: Option<Vec<Taken>>,
    /// By how much later than it was readable a status was seen, before there was load; none where the view does not tell, or not to the end.
    pub(super) view_late_by: Option<Vec<Duration>>,
}

/// The running processes of one trial. Dropping it stops them.
pub(super) struct WorkerConsumers {
    workers: Arc<Workers>,
    fetch_start: Option<FetchStart>,
    /// Why one ended by itself, or can't be followed.
    failures: mpsc::UnboundedReceiver<RunError>,
    /// Of workers that don't tell.
    watch: Option<JoinHandle<Result<(), AdminError>>>,
    /// Of workers that don't tell, where the view does.
    statuses: Option<JoinHandle<Option<StatusWrites>>>,
    _ended: DropGuard,
}

/// The processes, and how one more is started.
pub(super) struct Workers {
    command: WorkerCommand,
    environment: Vec<(&'static str, String)>,
    timeline: Arc<Timeline>,
    failed: mpsc::UnboundedSender<RunError>,
    running: Mutex<Vec<Worker>>,
    /// Ends those who watch.
    done: CancellationToken,
}

/// One process.
struct Worker {
    /// The number of its first consumer.
    first: u16,
    process: Arc<WorkerProcess>,
    /// It was told to end: that is no failure.
    expected: Arc<AtomicBool>,
    reader: Option<JoinHandle<Vec<Taken>>>,
    /// Lets it fetch. Kept, since a worker stops at the end of its input.
    hold: Option<Hold>,
}

impl Workers {
    /// Starts a process whose consumers have numbers from `first` on. Where it can be held it is, until [`Self::release`].
    fn start(&self, first: u16) -> Result<(), RunError> {
        let (process, hold) = WorkerProcess::start(&self.command, &self.environment)?;
        let (process, expected) = (Arc::new(process), Arc::new(AtomicBool::new(false)));
        let reader = process.run_file().map(|file| {
            let replay = Replay::new(Arc::clone(&self.timeline), first);
            tokio::spawn(follow(Follower::new(file), replay, self.failed.clone(), self.done.clone()))
        });
        let (watched, told, failed) = (Arc::clone(&process), Arc::clone(&expected), self.failed.clone());
        let done = self.done.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = watched.ended() => if !told.load(Ordering::Acquire) {
                    let _ = failed.send(ended.into()); // nobody waits for it once the trial is over
                },
                () = done.cancelled() => {}
            }
        });
        self.running().push(Worker { first, process, expected, reader, hold });
        Ok(())
    }

    /// Lets all of them fetch.
    fn release(&self) {
        self.running().iter_mut().filter_map(|worker| worker.hold.as_mut()).for_each(Hold::release);
    }

    /// The newest process of a consumer.
    fn of(&self, consumer: u16) -> Option<(Arc<WorkerProcess>, Arc<AtomicBool>)> {
        let running = self.running();
        let worker = running.iter().rev().find(|worker| worker.first == consumer)?;
        Some((Arc::clone(&worker.process), Arc::clone(&worker.expected)))
    }

    /// Breaks the process of a consumer. What is stopped or killed has ended when this returns.
    ///
    /// # Errors
    /// [`RunError::Fault`] where there is no such process; that of its end where it did not stop well.
    pub(super) async fn break_down(&self, consumer: u16, action: Action) -> Result<(), RunError> {
        let (process, expected) = self.of(consumer).ok_or_else(|| gone(consumer))?;
        if action == Action::Pause {
            return process.signal(Signal::SIGSTOP).then_some(()).ok_or_else(|| gone(consumer));
        }
        expected.store(true, Ordering::Release);
        if action == Action::Stop {
            return Ok(process.stop().await?);
        }
        if !process.signal(Signal::SIGKILL) {
            return Err(gone(consumer));
        }
        process.ended().await;
        // It can't tell any more that it owns nothing.
        self.timeline.released(&consumer_name(consumer), true);
        Ok(())
    }

    /// The process of a consumer.
    ///
    /// # Errors
    /// [`RunError::Fault`] where there is none.
    pub(super) fn pid(&self, consumer: u16) -> Result<u32, RunError> {
        self.of(consumer).map(|(process, _)| process.pid()).ok_or_else(|| gone(consumer))
    }

    /// Lets a frozen consumer go on.
    pub(super) fn thaw(&self, consumer: u16) {
        if let Some((process, _)) = self.of(consumer) {
            process.signal(Signal::SIGCONT);
        }
    }

    /// Starts a consumer that was stopped or killed again.
    ///
    /// # Errors
    /// Those of a start.
    pub(super) fn start_again(&self, consumer: u16) -> Result<(), RunError> {
        self.start(consumer)?;
        self.release();
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, Vec<Worker>> {
        // A worker is in the list or not, whoever panicked.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone(consumer: u16) -> RunError {
    RunError::Fault(format!("the process of consumer {consumer} has ended"))
}

impl WorkerConsumers {
    /// Starts the processes and those who watch them: `each` consumer has one of its own, or all share one.
    pub(super) async fn start(
        command: &WorkerCommand,
        place: &TrialWorkspace,
        lanes: Lanes,
        each: bool,
        service_time: ServiceTime,
        timeline: &Arc<Timeline>,
    ) -> Result<Self, RunError> {
        let (processes, consumers) = if each { (lanes.consumers, 1) } else { (1, lanes.consumers) };
        let mut environment = place.contract()?;
        environment.push(("LANEBENCH_CONSUMERS", consumers.to_string()));
        environment.push(("LANEBENCH_MODE", lanes.mode.to_string()));
        environment.push(("LANEBENCH_SERVICE_TIME", service_time.to_string()));
        // Whoever watches a process tells of events by where they lie.
        timeline.keep_places();
        // Before the worker, which may write at once.
        let writes = if command.reports() { None } else { place.statuses.writes().await? };
        let done = CancellationToken::new();
        let _ended = done.clone().drop_guard();
        let statuses = writes.map(|writes| tokio::spawn(see(writes, Arc::clone(timeline), done.clone())));
        let (failed, failures) = mpsc::unbounded_channel();
        let workers = Arc::new(Workers {
            command: command.clone(),
            environment,
            timeline: Arc::clone(timeline),
            failed,
            running: Mutex::default(),
            done: done.clone(),
        });
        for first in 0..processes {
            workers.start(first as u16)?;
        }
        let watch = if command.reports() {
            None
        } else {
            let admin = Admin::connect(&place.bootstrap, CONNECT_TIMEOUT).await?;
            let (topic, group) = (place.topic.clone(), place.group.clone());
            let watch = Watch { admin, topic, group, timeline: Arc::clone(timeline) };
            Some(tokio::spawn(watch.run(done)))
        };
        let fetch_start = command.reports().then(|| release_when_told(Arc::clone(&workers)));
        Ok(Self { workers, fetch_start, failures, watch, statuses, _ended })
    }

    /// What lets them fetch; none where they can't be held.
    pub(super) fn fetch_start(&self) -> Option<FetchStart> {
        self.fetch_start.clone()
    }

    /// The processes.
    pub(super) fn workers(&self) -> &Arc<Workers> {
        &self.workers
    }

    /// Their process ids.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.workers.running().iter().map(|worker| worker.process.pid()).collect()
    }

    /// The end of their logs.
    pub(super) fn log_tail(&self) -> String {
        let running = self.workers.running();
        running.iter().map(|worker| worker.process.log_tail()).collect::<Vec<_>>().join("\n")
    }

    /// Resolves when one ended by itself, or can't be followed; never otherwise.
    pub(super) async fn failure(&mut self) -> RunError {
        match self.failures.recv().await {
            Some(error) => error,
            None => std::future::pending().await, // it is kept open by the workers
        }
    }

    /// Stops them, and gathers what they left behind.
    pub(super) async fn stop(mut self) -> Result<WorkerReports, RunError> {
        let running: Vec<Worker> = self.workers.running().drain(..).collect();
        let mut stopped = Ok(());
        let stops = running.iter().filter(|worker| !worker.expected.swap(true, Ordering::AcqRel));
        for ended in futures_util::future::join_all(stops.map(|worker| worker.process.stop())).await {
            stopped = stopped.and(ended);
        }
        // Only now: what they report and commit while they stop counts too.
        self.workers.done.cancel();
        let several = running.len() > 1;
        let mut taken = None;
        for worker in running {
            if let Some(reader) = worker.reader {
                taken.get_or_insert_with(Vec::new).extend(joined(reader.await)?);
            }
        }
        if let Some(taken) = taken.as_mut().filter(|_| several) {
            // Each list is in its order; among several their common clock decides.
            taken.sort_by_key(|taken| taken.at_unix_ns);
        }
        if let Ok(error) = self.failures.try_recv() {
            return Err(error);
        }
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

/// Releases the workers when it is released itself.
fn release_when_told(workers: Arc<Workers>) -> FetchStart {
    let (fetch_start, mut released) = FetchStart::held();
    tokio::spawn(async move {
        if released.wait_for(|released| *released).await.is_ok() {
            workers.release();
        }
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
    failed: mpsc::UnboundedSender<RunError>,
    done: CancellationToken,
) -> Vec<Taken> {
    loop {
        let last = done.is_cancelled();
        match file.poll() {
            Ok(records) => replay.play(records),
            Err(error) => {
                let _ = failed.send(error.into()); // nobody waits for it once the trial is over
                return replay.taken();
            }
        }
        if last {
            return replay.taken();
        }
        let _slept = tokio::time::timeout(FOLLOW_EVERY, done.cancelled()).await;
    }
}
