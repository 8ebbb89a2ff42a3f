//! One child process: started in a group of its own, watched, stopped for certain, its log at hand.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::Notify;

use super::{Component, StackError};

/// How long a program may take to end by itself before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(8);

/// How long a killed program is waited for. Longer means that it hangs in the kernel; then it can't be helped.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// How often readiness is asked for.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// Lines of a log that an error shows.
pub(super) const TAIL_LINES: usize = 12;

/// A child. Dropping it stops it and waits, on any path, a panic included.
#[derive(Debug)]
pub(super) struct Process {
    component: Component,
    log: PathBuf,
    ending: Signal,
    /// How it is started, and started again.
    command: Mutex<Command>,
    life: Mutex<Life>,
}

/// From a start to its end.
#[derive(Clone, Debug)]
struct Life {
    group: Pid,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    exit: Mutex<Option<ExitStatus>>,
    for_threads: Condvar,
    for_tasks: Notify,
}

impl Shared {
    /// A poisoned lock is taken all the same: the value is one word, and children must be stopped whatever happened.
    fn exit(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.exit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Starts `command` with its output going to `log`. `ending` is the signal that makes it end quickly.
    ///
    /// It gets a process group of its own: a Ctrl-C in the terminal goes to the whole foreground group, and when the
    /// stack ends is for the harness to decide, not for the terminal.
    pub(super) fn spawn(
        component: Component,
        mut command: Command,
        log: &Path,
        ending: Signal,
    ) -> Result<Self, StackError> {
        command.stdin(Stdio::null());
        Self::start(component, command, log, ending).map(|(process, _)| process)
    }

    /// The same, with a pipe to its standard input.
    pub(super) fn spawn_with_stdin(
        component: Component,
        mut command: Command,
        log: &Path,
        ending: Signal,
    ) -> Result<(Self, Option<ChildStdin>), StackError> {
        command.stdin(Stdio::piped());
        Self::start(component, command, log, ending)
    }

    fn start(
        component: Component,
        mut command: Command,
        log: &Path,
        ending: Signal,
    ) -> Result<(Self, Option<ChildStdin>), StackError> {
        let log_error = |cause| StackError::Scratch { path: log.to_owned(), cause };
        let out = File::options().create(true).append(true).open(log).map_err(log_error)?;
        let err = out.try_clone().map_err(log_error)?;
        command.stdout(out).stderr(err).process_group(0);
        let (life, stdin) = Life::begin(component, &mut command)?;
        let (command, life) = (Mutex::new(command), Mutex::new(life));
        Ok((Self { component, log: log.to_owned(), ending, command, life }, stdin))
    }

    /// Starts it again, once it has ended, as it was started before; what it writes goes behind what it wrote.
    pub(super) fn start_again(&self) -> Result<(), StackError> {
        let mut command = self.command.lock().unwrap_or_else(PoisonError::into_inner);
        let (life, _) = Life::begin(self.component, &mut command)?;
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = life;
        Ok(())
    }

    fn life(&self) -> Life {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Which part of the stack it is.
    pub(super) fn component(&self) -> Component {
        self.component
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.life().group.as_raw().cast_unsigned()
    }

    /// How it ended, if it has.
    pub(super) fn exit_status(&self) -> Option<ExitStatus> {
        *self.life().shared.exit()
    }

    /// Waits for it to end.
    pub(super) async fn exited(&self) -> ExitStatus {
        let Life { shared, .. } = self.life();
        loop {
            let notified = shared.for_tasks.notified();
            tokio::pin!(notified);
            notified.as_mut().enable(); // before the look, so that no end falls between the two
            if let Some(status) = *shared.exit() {
                return status;
            }
            notified.await;
        }
    }

    /// Sends `signal` to its group; false if it has ended.
    ///
    /// The lock keeps the watcher from reaping it meanwhile, so the id can't have gone to somebody else.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        let Life { group, shared } = self.life();
        let exit = shared.exit();
        exit.is_none() && killpg(group, signal).is_ok()
    }

    /// Asks it to end, without waiting: several can end side by side.
    ///
    /// It alone is asked, not its group: `initdb` ends its own children in order, who would leave their shared memory
    /// behind if they were ended from outside.
    pub(super) fn ask_to_stop(&self) {
        let Life { group, shared } = self.life();
        let exit = shared.exit();
        if exit.is_none() && kill(group, self.ending).is_ok() {
            // A failure test may have frozen it, and a frozen process takes no signal but SIGKILL. This can fail
            // only if it is gone.
            let _ = killpg(group, Signal::SIGCONT);
        }
    }

    /// Stops it and waits, blocking the thread.
    pub(super) fn stop(&self) {
        self.ask_to_stop();
        if self.wait(STOP_LIMIT) {
            return;
        }
        self.signal(Signal::SIGKILL);
        if !self.wait(KILL_LIMIT) {
            tracing::error!(component = %self.component, pid = self.pid(), "a killed process did not end");
        }
    }

    fn wait(&self, limit: Duration) -> bool {
        let Life { shared, .. } = self.life();
        let exit = shared.exit();
        let (exit, _) = shared
            .for_threads
            .wait_timeout_while(exit, limit, |exit| exit.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        exit.is_some()
    }

    /// The last lines of its log, or why they can't be read.
    pub(super) fn log_tail(&self) -> String {
        match std::fs::read(&self.log) {
            Ok(bytes) => tail(&String::from_utf8_lossy(&bytes), TAIL_LINES),
            Err(error) => format!("({} can't be read: {error})", self.log.display()),
        }
    }

    /// The error that says how it ended.
    pub(super) fn ended(&self, status: ExitStatus) -> StackError {
        StackError::Exited { component: self.component, status, log_tail: self.log_tail() }
    }

    /// Waits for a program that does one thing and ends, such as `initdb`.
    pub(super) async fn success(self, deadline: Deadline) -> Result<(), StackError> {
        match tokio::time::timeout_at(deadline.at.into(), self.exited()).await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.ended(status)),
            Err(_) => {
                let waiting_for = "its preparation has not ended".to_owned();
                Err(deadline.missed(self.component, waiting_for, self.log_tail()))
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Life {
    fn begin(component: Component, command: &mut Command) -> Result<(Self, Option<ChildStdin>), StackError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let spawn_error = |cause| StackError::Spawn { component, program: program.clone(), cause };
        let shared = Arc::new(Shared::default());

        // The watcher comes first: should it not start, there is no child yet that would be left behind.
        let (hand_over, taken) = mpsc::channel::<Child>();
        let watched = Arc::clone(&shared);
        std::thread::Builder::new()
            .name(format!("watch {component}"))
            .spawn(move || taken.iter().for_each(|child| watch(child, &watched)))
            .map_err(spawn_error)?;
        let mut child = command.spawn().map_err(spawn_error)?;
        let (group, stdin) = (group_of(&child), child.stdin.take());
        hand_over.send(child).expect("the watcher waits for a child until this sender is gone");
        Ok((Self { group, shared }, stdin))
    }
}

/// A child that leads a group: both have the same id.
fn group_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Waits for the end twice: first without reaping, then, under the lock, reaping. So whoever holds the lock and sees
/// no end may send a signal to the id.
fn watch(mut child: Child, shared: &Shared) {
    while let Err(Errno::EINTR) =
        waitid(Id::Pid(group_of(&child)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
    {}
    let mut exit = shared.exit();
    // It can fail only if the child was reaped elsewhere; then it is gone all the same.
    *exit = Some(child.wait().unwrap_or_else(|_| ExitStatus::from_raw(0)));
    shared.for_threads.notify_all();
    shared.for_tasks.notify_waiters();
}

/// When a start has to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// In `limit` from now.
    pub(super) fn after(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, limit }
    }

    /// Whether it has passed.
    pub(super) fn has_passed(self) -> bool {
        Instant::now() >= self.at
    }

    /// The error that says who missed it.
    pub(super) fn missed(self, component: Component, waiting_for: String, log_tail: String) -> StackError {
        StackError::NotReady { component, limit: self.limit, waiting_for, log_tail }
    }
}

/// Asks again and again until the answer is yes, one of `processes` has ended, or time is up. A question must be
/// bounded by itself; what a "no" says becomes part of the error.
pub(super) async fn until_ready<T, Answer>(
    processes: &[&Process],
    deadline: Deadline,
    mut ask: impl FnMut() -> Answer,
) -> Result<T, StackError>
where
    Answer: Future<Output = Result<T, String>>,
{
    loop {
        let answer = ask().await;
        for process in processes {
            // Also after a yes: it may have come from a stranger who took the port.
            if let Some(status) = process.exit_status() {
                return Err(process.ended(status));
            }
        }
        match answer {
            Ok(answer) => return Ok(answer),
            Err(waiting_for) if deadline.has_passed() => {
                return Err(deadline.missed(processes[0].component, waiting_for, processes[0].log_tail()));
            }
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// The last `lines` lines of `text` that say something: no blank ones, and none of the frames of a Java stack trace,
/// between which its causes would be lost.
pub(super) fn tail(text: &str, lines: usize) -> String {
    let frame = |line: &str| line.starts_with("\tat ") || line.starts_with("\t... ");
    let all: Vec<&str> =
        text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !frame(line)).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIS: Component = Component::Redis;

    fn shell(script: &str, directory: &Path) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn(REDIS, command, &directory.join("log"), Signal::SIGTERM).unwrap()
    }

    fn alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn a_tail_is_the_last_lines_without_blank_ones() {
        assert_eq!(tail("a\n\nb  \nc\n\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
        assert_eq!(tail("", 2), "");
        let trace =
            "fatal\n\tat kafka.Kafka.main(Kafka.scala)\nCaused by: in use\n\tat java.Net\n\t... 18 more\n";
        assert_eq!(tail(trace, 2), "fatal\nCaused by: in use");
    }

    #[tokio::test]
    async fn an_end_is_seen_with_its_status_and_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let process = shell("echo one; echo two >&2; exit 3", directory.path());
        assert_eq!(process.exited().await.code(), Some(3));
        assert_eq!(process.exit_status().unwrap().code(), Some(3));
        assert_eq!(process.log_tail(), "one\ntwo");
        assert!(!process.signal(Signal::SIGTERM), "its id may belong to somebody else");
    }

    #[tokio::test]
    async fn dropping_stops_it_and_leaves_no_zombie() {
        let directory = tempfile::tempdir().unwrap();
        let process = shell("sleep 600", directory.path());
        let pid = process.pid();
        assert!(alive(pid));
        drop(process);
        assert!(!alive(pid));
    }

    #[tokio::test]
    async fn a_frozen_one_is_stopped_too() {
        let directory = tempfile::tempdir().unwrap();
        let process = shell("sleep 600", directory.path());
        assert!(process.signal(Signal::SIGSTOP));
        let started = Instant::now();
        process.stop();
        assert!(process.exit_status().is_some());
        assert!(started.elapsed() < STOP_LIMIT, "it took a SIGKILL");
    }

    #[tokio::test]
    async fn a_panic_stops_it() {
        let directory = tempfile::tempdir().unwrap();
        let process = shell("sleep 600", directory.path());
        let pid = process.pid();
        let outcome = std::thread::spawn(move || {
            let _held = process;
            panic!("on purpose");
        })
        .join();
        assert!(outcome.is_err());
        assert!(!alive(pid));
    }

    #[tokio::test]
    async fn readiness_ends_at_the_first_exit_and_shows_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let process = shell("echo bad option; exit 1", directory.path());
        let deadline = Deadline::after(Duration::from_secs(60));
        let error = until_ready(&[&process], deadline, async || Err::<(), _>("refused".to_owned()))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("bad option"), "{error}");
    }

    #[tokio::test]
    async fn readiness_is_bounded_and_says_what_was_missing() {
        let directory = tempfile::tempdir().unwrap();
        let process = shell("sleep 600", directory.path());
        let deadline = Deadline::after(Duration::from_millis(100));
        let error = until_ready(&[&process], deadline, async || Err::<(), _>("1 of 3 brokers".to_owned()))
            .await
            .unwrap_err();
        assert!(matches!(error, StackError::NotReady { .. }));
        assert!(error.to_string().contains("1 of 3 brokers"), "{error}");
    }

    #[tokio::test]
    async fn what_can_not_run_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = Process::spawn(
            REDIS,
            Command::new("/nonexistent/redis-server"),
            &directory.path().join("log"),
            Signal::SIGTERM,
        )
        .unwrap_err();
        assert!(error.to_string().starts_with("can't run /nonexistent/redis-server for Redis"), "{error}");
    }
}
