//! Processes stopped for a while, as the contracts' checks of frozen servers need them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Processes that are stopped until this is dropped, a failed check included.
pub(crate) struct Frozen<const N: usize>([i32; N]);

impl<const N: usize> Frozen<N> {
    pub(crate) fn freeze(pids: [i32; N]) -> Self {
        let frozen = Self(pids);
        for pid in pids {
            kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("the process is there to be stopped");
        }
        frozen
    }
}

impl<const N: usize> Drop for Frozen<N> {
    fn drop(&mut self) {
        for pid in self.0 {
            // One that has ended meanwhile needs no thawing.
            if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGCONT) {
                tracing::debug!(%error, pid, "a frozen process was not thawed");
            }
        }
    }
}
