//! A worker as a process of its own: what is measured when it is not a part of this process.
//!
//! It gets all that it needs by environment (docs/worker.md), runs for a scratch directory by which a later start finds it
//! should this process be killed, and has to end on SIGTERM.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;
use payment_delivery::redact::{passwords, redact_all};

use super::process::Process;
use super::scratch::Scratch;
use super::{Component, StackError};

/// How long a worker may take, once told to stop, to finish what it has in hand, commit and leave its group.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What a JVM exits with on SIGTERM, its shutdown hooks having run: 128 + 15.
const TERMINATED: i32 = 143;

/// What the contract gives a worker whole, it must not find in parts or in another way: they may be set for the harness, by
/// whoever runs it.
const NOT_INHERITED: [&str; 7] = [
    "LANEBENCH_DATABASE_URL_FILE",
    "LANEBENCH_DATABASE_PASSWORD",
    "LANEBENCH_DATABASE_PASSWORD_FILE",
    "LANEBENCH_REDIS_URL_FILE",
    "LANEBENCH_REDIS_PASSWORD",
    "LANEBENCH_REDIS_PASSWORD_FILE",
    "LANEBENCH_REDIS_CA",
];

/// How a worker is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerCommand {
    /// A lanebench's: `PROGRAM worker --hold …`. It waits with fetching until it is told to go on, and tells of each gate
    /// in a run file: it is measured from inside.
    Own {
        /// The binary.
        program: PathBuf,
        /// More arguments.
        arguments: Vec<String>,
    },
    /// Anybody's, as a shell would start it; it must be one program, not a list of commands. It is measured from outside.
    Foreign {
        /// The command line.
        line: String,
    },
}

impl WorkerCommand {
    /// The worker of the very binary that asks.
    ///
    /// # Errors
    /// Where the system doesn't say which binary that is.
    pub fn this_binary() -> std::io::Result<Self> {
        Ok(Self::Own { program: std::env::current_exe()?, arguments: Vec::new() })
    }

    /// The same worker, measured from outside whatever it could tell.
    pub fn from_outside(&self) -> Self {
        match self {
            Self::Own { program, arguments } => {
                let words = [program.display().to_string(), "worker".into()];
                let line =
                    words.iter().chain(arguments).map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
                Self::Foreign { line }
            }
            Self::Foreign { .. } => self.clone(),
        }
    }

    /// Whether it tells of each gate itself.
    pub fn reports(&self) -> bool {
        matches!(self, Self::Own { .. })
    }
}

/// A word as it has to be typed, so that the shell leaves it as it is.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,=%+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// As it would be typed, but for passwords.
impl std::fmt::Display for WorkerCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own { program, arguments } => {
                write!(f, "{} worker", program.file_name().unwrap_or_default().to_string_lossy())?;
                arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
            }
            Self::Foreign { line } => f.write_str(&redact_all(line)),
        }
    }
}

/// A worker at work. Dropping it stops it and waits.
#[derive(Debug)]
pub struct WorkerProcess {
    // Before the directory that it runs for.
    process: Process,
    /// What it was told and must not be shown, should it write it.
    secrets: Vec<String>,
    run_file: Option<PathBuf>,
    _scratch: Scratch,
}

/// Lets a held worker fetch. Dropped, it tells the worker to stop: so none outlives a harness that was killed.
#[derive(Debug)]
pub struct Hold(ChildStdin);

impl Hold {
    /// Lets it fetch. One that has ended meanwhile hears nothing, which its exit says better.
    pub fn release(&mut self) {
        if let Err(error) = self.0.write_all(b"go\n") {
            tracing::debug!(%error, "the worker could not be told to go on");
        }
    }
}

impl WorkerProcess {
    /// Starts one with these variables in its environment. A held one fetches nothing until its [`Hold`] is released;
    /// where there is none, it fetches at once.
    ///
    /// # Errors
    /// [`StackError::Scratch`], [`StackError::Spawn`].
    pub fn start(
        command: &WorkerCommand,
        environment: &[(&str, String)],
    ) -> Result<(Self, Option<Hold>), StackError> {
        let scratch = Scratch::create(&std::env::temp_dir())?;
        let log = scratch.path().join("worker.log");
        let run_file = command.reports().then(|| scratch.path().join("run"));
        let mut started = match command {
            WorkerCommand::Own { program, arguments } => {
                let mut own = scratch.command(program);
                own.args(["worker", "--hold"]).args(arguments);
                own
            }
            // Replaced by the program, the shell is not there to keep signals from it.
            WorkerCommand::Foreign { line } => {
                let mut foreign = scratch.command(Path::new("sh"));
                foreign.arg("-c").arg(format!("exec {line}"));
                foreign
            }
        };
        at_home(&mut started)?;
        for name in NOT_INHERITED {
            started.env_remove(name);
        }
        started.envs(environment.iter().map(|(name, value)| (name, value)));
        started.envs(run_file.iter().map(|file| ("LANEBENCH_RUN_FILE", file)));
        let (component, ending) = (Component::Worker, Signal::SIGTERM);
        let (process, hold) = if command.reports() {
            let (process, stdin) = Process::spawn_with_stdin(component, started, &log, ending)?;
            (process, stdin.map(Hold))
        } else {
            (Process::spawn(component, started, &log, ending)?, None)
        };
        let secrets = environment.iter().flat_map(|(_, value)| passwords(value)).collect();
        Ok((Self { process, secrets, run_file, _scratch: scratch }, hold))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends it a signal; false if it has ended.
    pub fn signal(&self, signal: Signal) -> bool {
        self.process.signal(signal)
    }

    /// The file in which it tells of each gate, if it does. It may not be there yet.
    pub fn run_file(&self) -> Option<&Path> {
        self.run_file.as_deref()
    }

    /// The last lines of what it wrote, indented.
    pub fn log_tail(&self) -> String {
        match self.tail() {
            empty if empty.is_empty() => "    (nothing)".into(),
            tail => tail.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n"),
        }
    }

    /// Resolves with the error that tells of its end, should it end by itself.
    pub async fn ended(&self) -> StackError {
        let status = self.process.exited().await;
        self.failed(status)
    }

    /// Tells it to stop, and waits until it has. Its run file is there until this is dropped.
    ///
    /// # Errors
    /// [`StackError::WorkerEnded`] where it did not end well, [`StackError::WorkerStays`] where it did not end within
    /// [`STOP_WITHIN`]; it is killed then.
    pub async fn stop(&self) -> Result<(), StackError> {
        if let Some(status) = self.process.exit_status() {
            return Err(self.failed(status));
        }
        self.process.signal(Signal::SIGTERM);
        self.process.signal(Signal::SIGCONT); // one that is frozen hears nothing else
        match tokio::time::timeout(STOP_WITHIN, self.process.exited()).await {
            Ok(status) if ended_as_told(status) => Ok(()),
            Ok(status) => Err(self.failed(status)),
            Err(_) => {
                self.process.signal(Signal::SIGKILL);
                self.process.exited().await;
                Err(StackError::WorkerStays { within: STOP_WITHIN, log_tail: self.tail() })
            }
        }
    }

    /// The last lines of what it wrote; its own business, but errors and results show them.
    fn tail(&self) -> String {
        self.secrets.iter().fold(self.process.log_tail(), |tail, secret| tail.replace(secret, "***"))
    }

    fn failed(&self, status: ExitStatus) -> StackError {
        StackError::WorkerEnded { status, log_tail: self.tail() }
    }
}

/// Where the caller is: a command line names files as seen from there.
fn at_home(command: &mut Command) -> Result<(), StackError> {
    let home = std::env::current_dir().map_err(|cause| StackError::Scratch { path: ".".into(), cause })?;
    command.current_dir(home);
    Ok(())
}

/// Not every JVM has a shutdown hook that halts it with 0.
fn ended_as_told(status: ExitStatus) -> bool {
    status.success() || status.code() == Some(TERMINATED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_can_be_seen_from_outside_too() {
        let own = WorkerCommand::Own { program: "/a b/lanebench".into(), arguments: vec!["it's".into()] };
        let line = r"'/a b/lanebench' worker 'it'\''s'".into();
        assert_eq!(own.from_outside(), WorkerCommand::Foreign { line });
    }

    fn foreign(line: &str) -> WorkerProcess {
        let (worker, hold) = WorkerProcess::start(
            &WorkerCommand::Foreign { line: line.into() },
            &[("LANEBENCH_TOPIC", "payments".into())],
        )
        .unwrap();
        assert!(hold.is_none(), "nothing holds a foreign worker");
        worker
    }

    /// A program of the shell that says when it is ready to be stopped.
    async fn ready(worker: &WorkerProcess) {
        for _ in 0..500 {
            if worker.process.log_tail().contains("ready") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never ready: {}", worker.process.log_tail());
    }

    #[tokio::test]
    async fn one_that_ends_when_told_to_has_done_well() {
        for code in [0, TERMINATED] {
            let worker = foreign(&format!(
                "sh -c 'trap \"exit {code}\" TERM; echo ready $LANEBENCH_TOPIC; while :; do sleep 0.01; done'"
            ));
            ready(&worker).await;
            assert_eq!(worker.process.log_tail(), "ready payments");
            worker.stop().await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_it_tells_of_its_secrets_is_not_repeated() {
        let command =
            WorkerCommand::Foreign { line: "sh -c 'echo at $LANEBENCH_DATABASE_URL; exit 1'".into() };
        let url = "postgres://app:s3cret%21@db/pay".to_owned();
        let (worker, _) = WorkerProcess::start(&command, &[("LANEBENCH_DATABASE_URL", url)]).unwrap();
        let error = worker.ended().await.to_string();
        assert!(error.contains("at postgres://app:***@db/pay"), "{error}");
        let shown = WorkerCommand::Foreign { line: "java -jar w.jar redis://:s3cret@cache".into() };
        assert_eq!(shown.to_string(), "java -jar w.jar redis://:***@cache");
    }

    #[tokio::test]
    async fn one_that_ends_otherwise_is_an_error_with_its_log() {
        let worker = foreign("sh -c 'trap \"exit 7\" TERM; echo ready; while :; do sleep 0.01; done'");
        ready(&worker).await;
        let error = worker.stop().await.unwrap_err();
        assert!(error.to_string().contains("exit status: 7"), "{error}");

        let worker = foreign("no-such-worker --flag");
        let error = worker.ended().await;
        assert!(error.to_string().contains("no-such-worker"), "{error}");
        assert!(error.hint().is_some());
    }
}
