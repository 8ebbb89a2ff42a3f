//! Slowing one part down on purpose, to see that the bottleneck's name follows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use payment_delivery::event::Revision;
use payment_delivery::kafka::Origin;
use payment_delivery::probe::{Activity, Probe, Seen};

use super::ScenarioError;
use crate::measure::resources::descendants;

/// CPU time that [`Busy`] burns an event.
const BURN: Duration = Duration::from_millis(5);
/// [`Stopped`] keeps its processes stopped for this long …
const HALT: Duration = Duration::from_millis(40);
/// … and then lets them run for this long.
const RUN: Duration = Duration::from_millis(10);

/// Passes everything on and burns CPU time on the consumer's own thread for each event it takes in hand.
pub(super) struct Busy(pub(super) Arc<dyn Probe>);

impl Probe for Busy {
    fn fetched(&self, seen: Seen<'_>) {
        self.0.fetched(seen);
        let begun = Instant::now();
        while begun.elapsed() < BURN {
            std::hint::spin_loop();
        }
    }
    fn stored(&self, seen: Seen<'_>) {
        self.0.stored(seen);
    }
    fn visible(&self, seen: Seen<'_>, in_view: Revision) {
        self.0.visible(seen, in_view);
    }
    fn parked(&self, seen: Seen<'_>) {
        self.0.parked(seen);
    }
    fn dead_lettered(&self, consumer: &str, origin: Origin, reason: &str) {
        self.0.dead_lettered(consumer, origin, reason);
    }
    fn spent(&self, consumer: &str, activity: Activity, spent: Duration) {
        self.0.spent(consumer, activity, spent);
    }
    fn assigned(&self, consumer: &str, partitions: &[i32]) {
        self.0.assigned(consumer, partitions);
    }
    fn released(&self, consumer: &str, lost: bool) {
        self.0.released(consumer, lost);
    }
    fn committed(&self, consumer: &str, partition: i32, next_offset: i64) {
        self.0.committed(consumer, partition, next_offset);
    }
    fn skipped(&self, consumer: &str, partition: i32, from: i64, to: i64) {
        self.0.skipped(consumer, partition, from, to);
    }
    fn retried(&self, consumer: &str, part: &'static str, error: &str) {
        self.0.retried(consumer, part, error);
    }
}

/// Stops a process and its descendants for four fifths of the time; lets them run when dropped.
pub(super) struct Stopped {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stopped {
    /// `pid` must be a process that this run started.
    pub(super) fn start(pid: u32) -> Result<Self, ScenarioError> {
        let done = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&done);
        let thread = std::thread::Builder::new()
            .name("throttle".into())
            .spawn(move || {
                while !ending.load(Ordering::Relaxed) {
                    let pids = descendants(pid);
                    signal(&pids, Signal::SIGSTOP);
                    pause(HALT);
                    signal(&pids, Signal::SIGCONT);
                    pause(RUN);
                }
            })
            .map_err(|source| ScenarioError::System { what: "starting the throttle", source })?;
        Ok(Self { done, thread: Some(thread) })
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, whose whole work is to wait")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn signal(pids: &[u32], signal: Signal) {
    for &pid in pids {
        // A backend may have exited meanwhile; there is nothing to slow down then.
        let _ = kill(Pid::from_raw(pid as i32), signal);
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the throttle panicked; its processes may be stopped");
        }
    }
}
