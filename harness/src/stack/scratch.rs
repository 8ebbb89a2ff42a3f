//! The directory that a native stack lives in, and the removal of those whose owner was killed.
//!
//! A directory `lanebench-<pid>-XXXXXX` belongs to the process that holds the lock (flock) on its `lock` file. The
//! kernel drops that lock when its holder dies, however it dies, so a free lock means an owner who can't tidy up any
//! more. Each start first sweeps such directories, with the processes that still run for them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

use super::{Progress, StackError};

/// Set in the environment of every child to the directory that it runs for: the proof, for a later sweep, that a
/// process is one of ours. Nobody else's process has it, whatever its name or id. Redis alone needs another proof, see
/// [`is_redis_in`].
const MARK: &str = "LANEBENCH_SCRATCH";

const PREFIX: &str = "lanebench-";

/// Between the making of a directory and the taking of its lock; a younger one is left alone while its maker lives.
const GRACE: Duration = Duration::from_secs(10);

/// How long left-over processes may take to end by themselves.
const END_LIMIT: Duration = Duration::from_secs(8);

/// And how long to go once they are killed.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// A locked directory; dropping it removes it.
#[derive(Debug)]
pub(super) struct Scratch {
    // Before the lock, so that it is dropped first: no sweep may come between.
    directory: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes one under `parent`.
    pub(super) fn create(parent: &Path) -> Result<Self, StackError> {
        let error = |path: &Path, cause| StackError::Scratch { path: path.to_owned(), cause };
        let directory = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir_in(parent)
            .map_err(|cause| error(parent, cause))?;
        let path = directory.path();
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(|cause| error(&lock_path, cause))?;
        lock.lock().map_err(|cause| error(&lock_path, cause))?;
        // Run by root, PostgreSQL is another user, who has to reach its own directory in here: enter, not list.
        let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|cause| error(path, cause))?;
        Ok(Self { directory, _lock: lock })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A command that runs in and for this directory.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // The C locale: error messages are shown, and one is recognised.
        command.current_dir(self.path()).env(MARK, self.path()).env("LC_ALL", "C");
        // What the caller's shell says to clients of other servers, and to other JVMs, is not meant for these.
        let names = std::env::vars_os().map(|(name, _)| name);
        names.filter(|name| is_foreign(&name.to_string_lossy())).for_each(|name| {
            command.env_remove(name);
        });
        command
    }
}

/// Whether a variable is one that PostgreSQL, Redis, Kafka or a JVM heeds.
fn is_foreign(name: &str) -> bool {
    const PREFIXES: [&str; 5] = ["PG", "REDIS", "JAVA_", "JDK_", "KAFKA_"];
    const NAMES: [&str; 3] = ["_JAVA_OPTIONS", "CLASSPATH", "LOG_DIR"];
    // JAVA_HOME says where Java is, which is for the caller to say.
    (PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !matches!(name, "JAVA_HOME" | "KAFKA_HOME"))
        || NAMES.contains(&name)
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) directories: usize,
    pub(super) processes: usize,
}

/// Removes the directories under `parent` whose owner is gone, and ends the processes marked as theirs.
///
/// What can't be removed is logged and left: it must not keep a new run from starting.
pub(super) async fn sweep(parent: &Path) -> Swept {
    let mut swept = Swept::default();
    for (directory, _lock) in stale(parent) {
        let processes = end_processes_of(&directory).await;
        match fs::remove_dir_all(&directory) {
            Ok(()) => swept.directories += 1,
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "can't remove what a killed run left");
            }
        }
        swept.processes += processes;
    }
    swept
}

/// [`sweep`]s, and tells of what was found.
pub(super) async fn sweep_and_tell(parent: &Path, progress: &(dyn Fn(Progress) + Send + Sync)) {
    let Swept { directories, processes } = sweep(parent).await;
    if directories > 0 {
        progress(Progress::Swept { directories, processes });
    }
}

/// Directories without an owner, each with its lock, now held by us: a second sweep passes it by.
fn stale(parent: &Path) -> Vec<(PathBuf, Option<File>)> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Some(owner) = owner_in_name(&entry.file_name()) else {
            continue;
        };
        let path = entry.path();
        // Not through a link, and not another user's.
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        if !meta.is_dir() || meta.uid() != geteuid().as_raw() {
            continue;
        }
        let lock = match File::open(path.join("lock")) {
            Ok(file) => match file.try_lock() {
                Ok(()) => Some(file),
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) => continue,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => continue,
        };
        let young = meta
            .modified()
            .is_ok_and(|made| SystemTime::now().duration_since(made).unwrap_or_default() < GRACE);
        if young && Path::new("/proc").join(owner.to_string()).exists() {
            continue;
        }
        found.push((path, lock));
    }
    found
}

/// The process id in `lanebench-<pid>-XXXXXX`.
fn owner_in_name(name: &OsStr) -> Option<u32> {
    let (pid, _) = name.to_str()?.strip_prefix(PREFIX)?.split_once('-')?;
    pid.parse().ok()
}

/// Ends what is marked as running for `directory`, also what starts meanwhile; returns how many there were.
async fn end_processes_of(directory: &Path) -> usize {
    let (mut found, mut looks_without_any) = (BTreeSet::new(), 0);
    let begun = tokio::time::Instant::now();
    loop {
        // Looked for anew each time: an id may have gone to somebody else, whose environment says so.
        let left = marked(directory);
        looks_without_any = if left.is_empty() { looks_without_any + 1 } else { 0 };
        // In the moment in which a process becomes another program its environment can't be read.
        if looks_without_any == 2 {
            return found.len();
        }
        if begun.elapsed() > END_LIMIT + KILL_LIMIT && !left.is_empty() {
            tracing::warn!(directory = %directory.display(), ?left, "processes of a killed run can't be ended");
            return found.len() - left.iter().filter(|pid| found.contains(*pid)).count();
        }
        for pid in left {
            let is_new = found.insert(pid);
            if begun.elapsed() > END_LIMIT {
                send(pid, Signal::SIGKILL);
            } else if is_new {
                ask_to_end(pid);
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn ask_to_end(pid: i32) {
    match Leftover::of(pid) {
        // A broker saves nothing that anybody wants, and a node that lost its cluster takes long to stop.
        Leftover::Java => send(pid, Signal::SIGKILL),
        // It ends by itself within seconds, and must: ended from outside, it would leave its shared memory behind.
        Leftover::InitDb => {}
        Leftover::Other => send(pid, Signal::SIGTERM),
    }
}

fn send(pid: i32, signal: Signal) {
    // It fails if the process is gone, which the caller looks for anyway.
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Kinds of left-over processes that end in different ways.
enum Leftover {
    Java,
    /// What `initdb` runs: PostgreSQL without a server.
    InitDb,
    Other,
}

impl Leftover {
    fn of(pid: i32) -> Self {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command); // anywhere in it, since there is a shell in between
        if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("java")) {
            Self::Java
        } else if ["--boot", "--single", "--check"].iter().any(|mode| command.contains(mode)) {
            Self::InitDb
        } else {
            Self::Other
        }
    }
}

/// The processes that run for `directory`. Those of other users can't be read, nor are they ours.
fn marked(directory: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let environ = fs::read(format!("/proc/{pid}/environ"));
            environ.is_ok_and(|environ| has_mark(&environ, directory)) || is_redis_in(directory, *pid)
        })
        .collect()
}

/// Whether a process is a Redis that works in `directory`, where only ours does. It writes its title over its environment.
fn is_redis_in(directory: &Path, pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "redis-server")
        && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(directory))
}

/// Whether an environment block (`NAME=value`, each ended by a zero byte) carries the mark of `directory`.
fn has_mark(environ: &[u8], directory: &Path) -> bool {
    environ.split(|&byte| byte == 0).any(|variable| {
        variable
            .strip_prefix(MARK.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
            .is_some_and(|value| value == directory.as_os_str().as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    /// An id that no process has: above the kernel's highest.
    const NOBODY: u32 = 1 << 23;

    fn abandoned(parent: &Path) -> PathBuf {
        let path = parent.join(format!("{PREFIX}{NOBODY}-abc"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("lock"), "").unwrap();
        path
    }

    #[test]
    fn the_mark_is_one_whole_variable() {
        let directory = Path::new("/tmp/lanebench-1-a");
        assert!(has_mark(b"A=b\0LANEBENCH_SCRATCH=/tmp/lanebench-1-a\0C=d\0", directory));
        for other in [
            &b""[..],
            b"LANEBENCH_SCRATCH=/tmp/lanebench-1-abc\0",
            b"LANEBENCH_SCRATCH=/tmp/lanebench-1-\0",
            b"X_LANEBENCH_SCRATCH=/tmp/lanebench-1-a\0",
            b"PWD=/tmp/lanebench-1-a\0",
        ] {
            assert!(!has_mark(other, directory), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn names_tell_their_owner() {
        assert_eq!(owner_in_name(OsStr::new("lanebench-42-Ab3xYz")), Some(42));
        for other in ["lanebench-42", "lanebench-x-y", "lanebench", "redis-42-a"] {
            assert_eq!(owner_in_name(OsStr::new(other)), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_held_directory_is_left_alone_and_goes_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(parent.path()).unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(sweep(parent.path()).await, Swept::default());
        assert!(path.exists());
        drop(scratch);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn an_abandoned_directory_goes_with_its_processes_and_nobody_elses() {
        let parent = tempfile::tempdir().unwrap();
        let path = abandoned(parent.path());
        let sleeper = |mark: &Path| {
            Command::new("sleep").arg("600").env(MARK, mark).stdin(Stdio::null()).spawn().unwrap()
        };
        let mut ours = sleeper(&path);
        let mut other = sleeper(&parent.path().join("lanebench-1-other"));
        // A child of ours stays as a zombie until it is waited for; a zombie's environment is empty.
        let waiter = std::thread::spawn(move || ours.wait().unwrap());

        assert_eq!(sweep(parent.path()).await, Swept { directories: 1, processes: 1 });
        assert!(!waiter.join().unwrap().success());
        assert!(!path.exists());
        assert!(other.try_wait().unwrap().is_none(), "a stranger was ended");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[tokio::test]
    async fn a_directory_in_the_making_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join(format!("{PREFIX}{}-abc", std::process::id()));
        fs::create_dir(&path).unwrap();
        assert_eq!(sweep(parent.path()).await, Swept::default());
        assert!(path.exists());
    }

    #[tokio::test]
    async fn links_are_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let target = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(target.path(), parent.path().join(format!("{PREFIX}{NOBODY}-abc")))
            .unwrap();
        assert_eq!(sweep(parent.path()).await, Swept::default());
        assert!(target.path().exists());
    }
}
