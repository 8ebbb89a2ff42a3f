//! Who made what is at the daemon, as a label says it, and whether that process still lives.
//!
//! A process id alone would not do: ids are given again, and a daemon may be shared by several machines or containers, each
//! counting from 1. So the label has the id, the time the process started (proc_pid_stat(5), in clock ticks since boot), the
//! kernel's boot id, and the namespace in which the id counts. Only of an owner of this boot and this namespace can be said
//! that it is dead; of any other, what has stopped and is old is taken for abandoned.

use std::fmt;
use std::fs;
use std::str::FromStr;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use procfs::process::Process;

/// How old what belongs to an owner elsewhere must be, beside having stopped, to be taken for abandoned.
const ABANDONED: Duration = Duration::from_secs(3_600);

/// A process, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pid: i32,
    /// Clock ticks from the boot to its start.
    started: u64,
    boot: String,
    namespace: u64,
}

/// What can be said of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    Dead,
    /// Not to be seen from here: before a reboot, on another machine, or in another container.
    Elsewhere,
}

impl Owner {
    /// This process.
    pub(super) fn me() -> Result<Self, String> {
        let pid = std::process::id().cast_signed();
        let started = start_of(pid).ok_or("this process is not in /proc")?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(|e| e.to_string())?;
        let namespace = fs::metadata("/proc/self/ns/pid").map_err(|e| e.to_string())?;
        let namespace = std::os::unix::fs::MetadataExt::ino(&namespace);
        Ok(Self { pid, started, boot: boot.trim().to_owned(), namespace })
    }

    /// Whether it lives, as far as can be seen from `here`, which is this process.
    pub(super) fn life(&self, here: &Self) -> Life {
        if self.boot != here.boot || self.namespace != here.namespace {
            return Life::Elsewhere;
        }
        match start_of(self.pid) {
            Some(started) if started == self.started => Life::Alive,
            Some(_) => Life::Dead, // its id has gone to another process
            // Where /proc hides other users' processes, a signal still tells: it is refused, not undeliverable.
            None if kill(Pid::from_raw(self.pid), None) == Err(Errno::EPERM) => Life::Alive,
            None => Life::Dead,
        }
    }
}

/// Whether what `owner` made `age` ago, and still runs or not, may be removed.
pub(super) fn is_abandoned(owner: &Owner, here: &Owner, age: Duration, running: bool) -> bool {
    match owner.life(here) {
        Life::Alive => false,
        Life::Dead => true,
        Life::Elsewhere => !running && age > ABANDONED,
    }
}

/// When a living process started. A zombie does nothing any more: it is dead.
fn start_of(pid: i32) -> Option<u64> {
    let stat = Process::new(pid).ok()?.stat().ok()?;
    (!matches!(stat.state, 'Z' | 'X')).then_some(stat.starttime)
}

/// `pid:started:boot:namespace`.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, started, boot, namespace } = self;
        write!(f, "{pid}:{started}:{boot}:{namespace}")
    }
}

impl FromStr for Owner {
    type Err = ();

    fn from_str(label: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = label.split(':').collect();
        let [pid, started, boot, namespace] = parts[..] else { return Err(()) };
        let pid = pid.parse().map_err(drop)?;
        // 0 and below mean groups of processes to kill(2).
        if pid < 1 || boot.is_empty() {
            return Err(());
        }
        Ok(Self {
            pid,
            started: started.parse().map_err(drop)?,
            boot: boot.to_owned(),
            namespace: namespace.parse().map_err(drop)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YOUNG: Duration = Duration::from_secs(5);
    const OLD: Duration = Duration::from_secs(7_200);

    #[test]
    fn a_label_is_read_as_it_was_written() {
        let me = Owner::me().unwrap();
        assert_eq!(me.to_string().parse(), Ok(me));
    }

    #[test]
    fn what_is_no_label_of_ours_is_not_taken_for_one() {
        for label in ["", "1", "x:1:b:1", "1:1::1", "0:1:b:1", "-1:1:b:1", "1:1:b:1:1", "1:1:b:x"] {
            assert_eq!(label.parse::<Owner>(), Err(()), "{label}");
        }
    }

    #[test]
    fn this_process_lives_and_owns_what_it_made() {
        let me = Owner::me().unwrap();
        assert_eq!(me.life(&me), Life::Alive);
        assert!(!is_abandoned(&me, &me, OLD, false));
    }

    #[test]
    fn a_process_that_ended_is_dead_even_if_nobody_has_waited_for_it() {
        let me = Owner::me().unwrap();
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id().cast_signed();
        let owner = Owner { pid, started: start_of(pid).unwrap(), ..me.clone() };
        assert_eq!(owner.life(&me), Life::Alive);
        child.kill().unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while owner.life(&me) == Life::Alive && std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        assert_eq!(owner.life(&me), Life::Dead, "a zombie");
        child.wait().unwrap();
        assert!(is_abandoned(&owner, &me, YOUNG, true));
    }

    #[test]
    fn an_id_that_went_to_another_process_is_not_its_owner() {
        let me = Owner::me().unwrap();
        let before = Owner { started: me.started - 1, ..me.clone() };
        assert_eq!(before.life(&me), Life::Dead);
    }

    #[test]
    fn of_an_owner_elsewhere_only_what_stopped_long_ago_is_abandoned() {
        let me = Owner::me().unwrap();
        let rebooted = Owner { boot: "another".to_owned(), ..Owner::me().unwrap() };
        let contained = Owner { namespace: me.namespace + 1, ..me.clone() };
        for other in [rebooted, contained] {
            assert_eq!(other.life(&me), Life::Elsewhere);
            assert!(!is_abandoned(&other, &me, OLD, true), "it may be in use");
            assert!(!is_abandoned(&other, &me, YOUNG, false), "it may be starting");
            assert!(is_abandoned(&other, &me, OLD, false));
        }
    }
}
