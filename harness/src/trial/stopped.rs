//! Processes that are stopped for a while.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::measure::resources::descendants;

/// Processes that are stopped until this is dropped.
#[derive(Debug)]
pub(super) struct Stopped(Vec<Pid>);

impl Stopped {
    /// `pids` must be of processes that this run started, or of their descendants; a negative one is a process group (kill(2)).
    ///
    /// # Errors
    /// The reason why one can't be stopped, such as another user's. One that has exited meanwhile is none.
    pub(super) fn stop(pids: Vec<Pid>) -> Result<Self, Errno> {
        let stopped = Self(pids);
        stopped.signal(Signal::SIGSTOP)?;
        Ok(stopped)
    }

    fn signal(&self, signal: Signal) -> Result<(), Errno> {
        let refused = |pid: &Pid| kill(*pid, signal).err().filter(|errno| *errno != Errno::ESRCH);
        self.0.iter().filter_map(refused).next_back().map_or(Ok(()), Err)
    }
}

/// A process and its descendants.
pub(super) fn tree(pid: u32) -> impl Iterator<Item = Pid> {
    descendants(pid).into_iter().map(|pid| Pid::from_raw(pid.cast_signed()))
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // What could be stopped can be told to go on.
        let _ = self.signal(Signal::SIGCONT);
    }
}
