//! Slowing one part down on purpose, to see that the bottleneck's name follows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use payment_delivery::probe::{Probe, Seen};

use super::stopped::{Stopped, tree};
use crate::error::RunError;

/// CPU time that [`Busy`] burns an event.
const BURN: Duration = Duration::from_millis(5);
/// [`MostlyStopped`] keeps its processes stopped for this long …
const HALT: Duration = Duration::from_millis(40);
/// … and then lets them run for this long.
const RUN: Duration = Duration::from_millis(10);

/// Burns CPU time on the consumer's own thread for each event it takes in hand.
pub(super) struct Busy;

impl Probe for Busy {
    fn fetched(&self, _seen: Seen<'_>) {
        let begun = Instant::now();
        while begun.elapsed() < BURN {
            std::hint::spin_loop();
        }
    }
}

/// Stops a process and its descendants for four fifths of the time; lets them run when dropped.
pub(super) struct MostlyStopped {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MostlyStopped {
    /// `pid` must be a process that this run started.
    pub(super) fn start(pid: u32) -> Result<Self, RunError> {
        let done = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&done);
        let thread = std::thread::Builder::new()
            .name("throttle".into())
            .spawn(move || {
                while !ending.load(Ordering::Relaxed) {
                    let stopped = Stopped::stop(tree(pid).collect());
                    pause(HALT);
                    drop(stopped);
                    pause(RUN);
                }
            })
            .map_err(|source| RunError::System { what: "starting the throttle", source })?;
        Ok(Self { done, thread: Some(thread) })
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, whose whole work is to wait")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

impl Drop for MostlyStopped {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the throttle panicked; its processes may be stopped");
        }
    }
}
