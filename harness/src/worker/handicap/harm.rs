//! A sudden end.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use payment_delivery::event::Revision;
use payment_delivery::probe::{Probe, Seen};

/// Kills the process when so many events are visible, as an operator's `kill -9` would: no commit, no goodbye.
#[derive(Debug)]
pub(super) struct Death {
    after: NonZeroU64,
    visible: AtomicU64,
}

impl Death {
    pub(super) fn new(after: NonZeroU64) -> Self {
        Self { after, visible: AtomicU64::new(0) }
    }

    /// Whether the event that became visible is the last.
    fn comes(&self) -> bool {
        self.visible.fetch_add(1, Ordering::Relaxed) + 1 == self.after.get()
    }
}

impl Probe for Death {
    fn visible(&self, _seen: Seen<'_>, _in_view: Revision) {
        if self.comes()
            && let Err(error) = kill(Pid::this(), Signal::SIGKILL)
        {
            tracing::error!(%error, "the process was to kill itself and could not");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn death_comes_once_and_when_it_was_said() {
        let death = Death::new(NonZeroU64::new(3).unwrap());
        assert_eq!([(); 5].map(|()| death.comes()), [false, false, true, false, false]);
    }
}
