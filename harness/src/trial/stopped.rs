//! Processes that are stopped for a while.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Processes that are stopped until this is dropped.
#[derive(Debug)]
pub(super) struct Stopped(Vec<u32>);

impl Stopped {
    /// `pids` must be of processes that this run started, or of their descendants.
    pub(super) fn stop(pids: Vec<u32>) -> Self {
        let stopped = Self(pids);
        stopped.signal(Signal::SIGSTOP);
        stopped
    }

    fn signal(&self, signal: Signal) {
        for &pid in &self.0 {
            // One may have exited meanwhile; there is nothing to stop then.
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal(Signal::SIGCONT);
    }
}
