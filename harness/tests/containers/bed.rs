//! The program under test, and what the daemon says is there.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptions,
};
use testcontainers::core::client::docker_client_instance;

/// For anything that has to happen at some time: a start takes half a minute on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// The label under which the stack says who made something: its process id comes first.
const OWNER: &str = "lanebench.owner";

/// Fails with `what` unless `holds`.
#[track_caller]
pub(crate) fn check(holds: bool, what: impl std::fmt::Display) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(format!("{what} ({})", std::panic::Location::caller()).into()) }
}

/// `lanebench`, in a directory of its own that is also its temporary one.
pub(crate) fn lanebench(directory: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
    command.args(arguments.split_whitespace()).current_dir(directory).env("TMPDIR", directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Both streams of a finished program, for a message.
pub(crate) fn shown(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("exit {:?}\n--- stdout\n{out}\n--- stderr\n{err}", output.status.code())
}

/// A program that is running. Dropped, it is told to stop, and waited for.
pub(crate) struct Runs(Option<Child>);

impl Runs {
    pub(crate) fn spawn(mut command: Command) -> Result<Self, Failed> {
        Ok(Self(Some(command.spawn()?)))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.as_ref().expect("it runs").id()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Failed> {
        Ok(kill(Pid::from_raw(self.pid().cast_signed()), signal)?)
    }

    /// Reads its stdout until a line that begins so.
    pub(crate) fn says(&mut self, start: &str) -> Result<String, Failed> {
        let stdout = self.0.as_mut().and_then(|child| child.stdout.as_mut()).ok_or("no stdout")?;
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if line.starts_with(start) {
                return Ok(line);
            }
        }
        let mut told = String::new();
        if let Some(stderr) = self.0.as_mut().and_then(|child| child.stderr.as_mut()) {
            stderr.read_to_string(&mut told)?;
        }
        Err(format!("it never said `{start}`: {told}").into())
    }

    /// Waits for its end.
    pub(crate) fn ends(mut self) -> Result<Output, Failed> {
        Ok(self.0.take().expect("it runs").wait_with_output()?)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        if self.0.is_some() {
            let _ = self.signal(Signal::SIGTERM);
            let _ = self.0.take().map(Child::wait_with_output);
        }
    }
}

/// What the daemon has of one owner.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Belongings {
    pub(crate) containers: Vec<String>,
    pub(crate) networks: Vec<String>,
    /// Volumes of those containers.
    pub(crate) volumes: Vec<String>,
}

impl Belongings {
    /// What the process `pid` made and is still there.
    pub(crate) fn of(pid: u32) -> Result<Self, Failed> {
        asked(async |docker| {
            let ours = |labels: Option<HashMap<String, String>>| {
                labels
                    .unwrap_or_default()
                    .get(OWNER)
                    .is_some_and(|owner| owner.starts_with(&format!("{pid}:")))
            };
            let filters: HashMap<String, Vec<String>> = [("label".to_owned(), vec![OWNER.to_owned()])].into();
            let all = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
            let mut found = Self::default();
            for container in docker.list_containers(Some(all)).await? {
                if ours(container.labels) {
                    found.containers.extend(container.names.unwrap_or_default());
                    let mounts = container.mounts.unwrap_or_default();
                    found.volumes.extend(mounts.into_iter().filter_map(|mount| mount.name));
                }
            }
            let all = ListNetworksOptionsBuilder::new().filters(&filters).build();
            let networks = docker.list_networks(Some(all)).await?.into_iter();
            found
                .networks
                .extend(networks.filter(|network| ours(network.labels.clone())).filter_map(|n| n.name));
            Ok(found)
        })
    }

    /// Fails if anything of `pid` is left, or one of `volumes`.
    pub(crate) fn gone(pid: u32, volumes: &[String]) -> Result<(), Failed> {
        let left = Self::of(pid)?;
        check(left == Self::default(), format!("left behind: {left:?}"))?;
        let there: HashSet<String> = asked(async |docker| {
            let found = docker.list_volumes(None::<ListVolumesOptions>).await?.volumes.unwrap_or_default();
            Ok(found.into_iter().map(|volume| volume.name).collect())
        })?;
        let left: Vec<_> = volumes.iter().filter(|volume| there.contains(*volume)).collect();
        check(left.is_empty(), format!("volumes left behind: {left:?}"))
    }

    /// Waits until `pid` has `containers` or more.
    pub(crate) fn until(pid: u32, containers: usize) -> Result<Self, Failed> {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = Self::of(pid)?;
            if found.containers.len() >= containers {
                return Ok(found);
            }
            check(Instant::now() < until, format!("there are only {found:?}"))?;
        }
    }
}

/// Puts a question to the daemon.
fn asked<T>(question: impl AsyncFnOnce(Docker) -> Result<T, Failed>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async { question(docker_client_instance().await?).await })
}
