//! The sender: hands planned events over at their due times, or as fast as they are accepted.
//!
//! Open loop: the schedule was fixed before the run. A late sender sends at once until it has caught up; it shifts no due
//! time and skips none, so that waiting caused by a slow system counts as response time and is not left out
//! ("coordinated omission"). It sleeps in the kernel and never spins: on two cores a spinning sender would take a
//! third of the machine from what it measures.
//!
//! Closed loop: a bounded number of events is in flight, sent and not yet visible, and one more is sent for each that
//! becomes visible. That finds what a configuration sustains, and says nothing of response times.

pub mod client;
pub mod feed;
pub mod unpaced;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use lanebench_measure::Timeline;
use lanebench_measure::clock::precise_sleep;
use lanebench_measure::timeline::PhaseId;
use lanebench_workload::Planned;

/// A cancelled sender notices within this time, however far away the next event is.
const CANCEL_WITHIN_NS: u64 = 50_000_000;

/// How often a closed loop looks for what became visible.
const LOOK_EVERY_NS: u64 = 1_000_000;

/// The message key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Key {
    /// The order id: all events of an order in one partition.
    OrderId,
    /// No key, partitions in turn: a negative control, since it breaks the order of each order's events.
    None,
}

/// Takes events over: the producer.
pub trait Sink: Send {
    /// Takes over the event with this index of the timeline, and blocks while there is no room (back-pressure).
    /// Whoever cancels the sender must also end such a wait. The acknowledgement comes later, through
    /// [`Timeline::acked`].
    ///
    /// # Errors
    /// [`SendFailed`] when no further event will be accepted.
    fn send(&mut self, index: usize, event: Planned) -> Result<(), SendFailed>;
}

impl<F> Sink for F
where
    F: FnMut(usize, Planned) -> Result<(), SendFailed> + Send,
{
    fn send(&mut self, index: usize, event: Planned) -> Result<(), SendFailed> {
        self(index, event)
    }
}

/// The sink accepts no more events.
#[derive(Debug, thiserror::Error)]
#[error("event {index} could not be handed to the producer: {reason}")]
pub struct SendFailed {
    /// Its index in the timeline.
    pub index: usize,
    /// What the producer said.
    pub reason: String,
}

/// Why a sender did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The operating system gave no thread.
    #[error("the sender's thread could not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// The thread's sleeps could not be made precise.
    #[error("the sender's timer slack could not be set: {0}")]
    TimerSlack(#[source] nix::Error),
    /// The sink failed.
    #[error("after {sent} events: {source}")]
    Sink {
        /// Events handed over until then.
        sent: usize,
        /// What failed.
        source: SendFailed,
    },
    /// The thread panicked.
    #[error("the sender's thread panicked")]
    Panicked,
}

/// What a sender did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// Events handed over.
    pub sent: usize,
    /// The largest sent − due, ns; 0 where no schedule says what is due.
    pub late_max_ns: u64,
    /// When the last event had been handed over, in ns since the run's epoch.
    pub ended_ns: u64,
    /// Whether it was cancelled before its end.
    pub cancelled: bool,
}

/// A sender at work, on a thread of its own. Dropped, it is cancelled.
#[must_use = "a dropped sender is cancelled"]
pub struct Load {
    cancel: CancellationToken,
    report: oneshot::Receiver<Result<LoadReport, LoadError>>,
}

impl Load {
    /// Sends a phase at its due times, which count from `start_ns`: this starts the phase, unless that was done before.
    ///
    /// # Errors
    /// [`LoadError::Thread`].
    pub fn open_loop(
        timeline: Arc<Timeline>,
        phase: PhaseId,
        start_ns: u64,
        sink: impl Sink + 'static,
        cancel: &CancellationToken,
    ) -> Result<Self, LoadError> {
        Self::open_loop_late(timeline, phase, start_ns, Duration::ZERO, sink, cancel)
    }

    /// The same by a sender that is late with every event, to see that it is seen.
    ///
    /// # Errors
    /// [`LoadError::Thread`].
    pub fn open_loop_late(
        timeline: Arc<Timeline>,
        phase: PhaseId,
        start_ns: u64,
        late_by: Duration,
        sink: impl Sink + 'static,
        cancel: &CancellationToken,
    ) -> Result<Self, LoadError> {
        timeline.start_phase(phase, start_ns);
        let start_ns = timeline.started_ns(phase).unwrap_or(start_ns);
        let start_ns = start_ns + u64::try_from(late_by.as_nanos()).unwrap_or(u64::MAX / 2);
        Self::spawn(timeline, phase, Pace::Schedule { start_ns }, Box::new(sink), cancel)
    }

    /// Sends events of a phase for `length`, such that at most `in_flight` of them are sent and not yet visible. This starts
    /// the phase; when it ends, events that were not sent are no longer offered ([`Timeline::offered`]).
    ///
    /// # Errors
    /// [`LoadError::Thread`].
    pub fn closed_loop(
        timeline: Arc<Timeline>,
        phase: PhaseId,
        in_flight: usize,
        length: Duration,
        sink: impl Sink + 'static,
        cancel: &CancellationToken,
    ) -> Result<Self, LoadError> {
        let start_ns = timeline.clock().now_ns();
        timeline.start_phase(phase, start_ns);
        let end_ns = start_ns + u64::try_from(length.as_nanos()).unwrap_or(u64::MAX / 2);
        Self::spawn(
            timeline,
            phase,
            Pace::InFlight { most: in_flight.max(1), end_ns },
            Box::new(sink),
            cancel,
        )
    }

    /// Sends a phase as fast as the sink accepts it. The phase is not started by this: its backlog is due when someone calls
    /// [`Timeline::start_phase`].
    ///
    /// # Errors
    /// [`LoadError::Thread`].
    pub fn backlog(
        timeline: Arc<Timeline>,
        phase: PhaseId,
        sink: impl Sink + 'static,
        cancel: &CancellationToken,
    ) -> Result<Self, LoadError> {
        Self::spawn(timeline, phase, Pace::Backlog, Box::new(sink), cancel)
    }

    fn spawn(
        timeline: Arc<Timeline>,
        phase: PhaseId,
        pace: Pace,
        mut sink: Box<dyn Sink>,
        cancel: &CancellationToken,
    ) -> Result<Self, LoadError> {
        let cancel = cancel.child_token();
        let sender = Sender { timeline, phase, pace, cancel: cancel.clone() };
        let (done, report) = oneshot::channel();
        let run = move || {
            let outcome = sender.run(&mut *sink);
            // Nobody listens any more when the handle was dropped.
            let _unheard = done.send(outcome);
        };
        thread::Builder::new().name("load".into()).spawn(run).map_err(LoadError::Thread)?;
        Ok(Self { cancel, report })
    }

    /// Ends the sender before its time; [`Self::finished`] still reports.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// [`LoadError`] when it came neither to its end nor to its cancellation.
    pub async fn finished(mut self) -> Result<LoadReport, LoadError> {
        (&mut self.report).await.unwrap_or(Err(LoadError::Panicked))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// What an event waits for before it is sent.
#[derive(Clone, Copy)]
enum Pace {
    /// For nothing.
    Backlog,
    /// For its due time, which counts from the start.
    Schedule { start_ns: u64 },
    /// For fewer than `most` in flight; from `end_ns` on, none is sent.
    InFlight { most: usize, end_ns: u64 },
}

/// What becomes of the next event.
enum Next {
    Send,
    End,
    Cancelled,
}

/// What the thread works with.
struct Sender {
    timeline: Arc<Timeline>,
    phase: PhaseId,
    pace: Pace,
    cancel: CancellationToken,
}

impl Sender {
    fn run(&self, sink: &mut dyn Sink) -> Result<LoadReport, LoadError> {
        precise_sleep().map_err(LoadError::TimerSlack)?;
        let plan = self.timeline.plan(self.phase);
        let mut report = LoadReport { sent: 0, late_max_ns: 0, ended_ns: 0, cancelled: false };
        for (number, index) in self.timeline.range(self.phase).enumerate() {
            // Made before it is due, so that its making delays nothing.
            let event = plan.event(number);
            match self.wait(&event, report.sent) {
                Next::Send => {}
                Next::End => break,
                Next::Cancelled => {
                    report.cancelled = true;
                    break;
                }
            }
            let sent_ns = self.timeline.sent(index);
            if let Pace::Schedule { start_ns } = self.pace {
                report.late_max_ns = report.late_max_ns.max(sent_ns.saturating_sub(start_ns + event.due_ns));
            }
            sink.send(index, event).map_err(|source| LoadError::Sink { sent: report.sent, source })?;
            report.sent += 1;
        }
        if matches!(self.pace, Pace::InFlight { .. }) {
            self.timeline.offered(self.phase, report.sent);
        }
        report.ended_ns = self.timeline.clock().now_ns();
        Ok(report)
    }

    /// Waits until the next event may be sent, `sent` of the phase being sent already.
    fn wait(&self, event: &Planned, sent: usize) -> Next {
        let clock = self.timeline.clock();
        loop {
            if self.cancel.is_cancelled() {
                return Next::Cancelled;
            }
            let now_ns = clock.now_ns();
            let until_ns = match self.pace {
                Pace::Backlog => return Next::Send,
                Pace::Schedule { start_ns } => start_ns + event.due_ns,
                Pace::InFlight { end_ns, .. } if now_ns >= end_ns => return Next::End,
                Pace::InFlight { most, .. } if sent < most + self.timeline.visible_count(self.phase) => {
                    now_ns
                }
                Pace::InFlight { .. } => now_ns + LOOK_EVERY_NS,
            };
            if now_ns >= until_ns {
                return Next::Send;
            }
            // In slices short enough to notice a cancellation.
            clock.sleep_until(until_ns.min(now_ns + CANCEL_WITHIN_NS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanebench_measure::Clock;
    use lanebench_measure::timeline::Due;
    use lanebench_workload::{Arrivals, Keys, Plan, PlanSpec, Segment, due_times};
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    const MS: u64 = 1_000_000;

    fn timeline(rate_per_s: f64, length: Duration) -> (Arc<Timeline>, PhaseId) {
        phase(rate_per_s, length, Due::Planned)
    }

    fn phase(rate_per_s: f64, length: Duration, due: Due) -> (Arc<Timeline>, PhaseId) {
        let times = due_times(&[Segment { rate_per_s, length }], Arrivals::Constant, 1);
        let spec =
            PlanSpec { prefix: "s", events_per_order: 5, keys: Keys::Uniform, value_bytes: 300, seed: 1 };
        let plan = Arc::new(Plan::new(&spec, &times).unwrap());
        let timeline = Timeline::new(Clock::start(), |_| None);
        let phase = timeline.add_phase("steady", due, plan).unwrap();
        (Arc::new(timeline), phase)
    }

    fn slips(timeline: &Timeline, phase: PhaseId) -> Vec<u64> {
        let slips = timeline.events(phase).filter_map(|event| event.send_delay_ns());
        slips.map(|ns| u64::try_from(ns).expect("nothing is sent before it is due")).collect()
    }

    #[tokio::test]
    async fn every_event_is_sent_once_in_order_and_never_early() {
        let (timeline, phase) = timeline(2_000.0, Duration::from_millis(500));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let taken = taken.clone();
            move |index: usize, _: Planned| {
                taken.lock().unwrap().push(index);
                Ok(())
            }
        };
        let start = timeline.clock().now_ns() + 10 * MS;
        let load = Load::open_loop(timeline.clone(), phase, start, sink, &CancellationToken::new()).unwrap();
        let report = load.finished().await.unwrap();
        assert_eq!((report.sent, report.cancelled), (1_000, false));
        assert!(taken.lock().unwrap().iter().copied().eq(0..1_000));
        let mut slips = slips(&timeline, phase);
        assert_eq!(slips.iter().max(), Some(&report.late_max_ns));
        slips.sort_unstable();
        println!(
            "slip at 2,000/s: p50 {} µs, p99 {} µs, max {} µs",
            slips[500] / 1000,
            slips[990] / 1000,
            slips[999] / 1000
        );
    }

    #[tokio::test]
    async fn a_stalled_sink_shifts_no_due_time() {
        let (timeline, phase) = timeline(1_000.0, Duration::from_millis(1_000));
        let clock = timeline.clock();
        let sink = move |index: usize, _: Planned| {
            if index == 100 {
                let until = clock.now_ns() + 200 * MS;
                while clock.now_ns() < until {
                    clock.sleep_until(until);
                }
            }
            Ok(())
        };
        let start = clock.now_ns() + 5 * MS;
        let load = Load::open_loop(timeline.clone(), phase, start, sink, &CancellationToken::new()).unwrap();
        let report = load.finished().await.unwrap();
        assert_eq!(report.sent, 1_000);
        let due: Vec<u64> = (0..1_000).map(|index| timeline.passed(index).due.unwrap() - start).collect();
        assert!(
            due.iter().enumerate().all(|(index, due)| *due == index as u64 * MS),
            "due times are as planned"
        );
        let slips = slips(&timeline, phase);
        println!("slip after the stall: {} µs, at the end: {} µs", slips[101] / 1000, slips[999] / 1000);
        // What was held up is late by the stall, less the millisecond that each was due later …
        for (index, slip) in slips.iter().enumerate().take(200).skip(101) {
            assert!(*slip >= (300 - index as u64) * MS, "event {index} was {slip} ns late");
        }
        // … and the lateness ends: a shifted schedule would keep all 200 ms of it.
        assert!(slips[900..].iter().min().unwrap() < &(100 * MS));
    }

    #[tokio::test]
    async fn a_sleeping_sender_notices_its_cancellation() {
        for drop_it in [false, true] {
            let (timeline, phase) = timeline(1.0, Duration::from_secs(1));
            let start = timeline.clock().now_ns() + 3_600_000 * MS;
            let gone = Arc::new(());
            let sink = {
                let gone = gone.clone();
                move |_: usize, _: Planned| {
                    let _held = &gone;
                    Ok(())
                }
            };
            let load = Load::open_loop(timeline, phase, start, sink, &CancellationToken::new()).unwrap();
            if drop_it {
                drop(load);
            } else {
                load.cancel();
                let report = load.finished().await.unwrap();
                assert_eq!((report.sent, report.cancelled), (0, true));
            }
            let deadline = Instant::now() + Duration::from_secs(10);
            while Arc::strong_count(&gone) > 1 {
                assert!(Instant::now() < deadline, "the sender's thread is still there");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    #[tokio::test]
    async fn a_failed_sink_ends_the_sender_and_says_where() {
        let (timeline, phase) = timeline(100_000.0, Duration::from_millis(1));
        let sink = |index: usize, _: Planned| {
            let refused = || SendFailed { index, reason: "the delivery deadline passed".into() };
            (index < 3).then_some(()).ok_or_else(refused)
        };
        let load = Load::backlog(timeline, phase, sink, &CancellationToken::new()).unwrap();
        let error = load.finished().await.unwrap_err().to_string();
        assert_eq!(
            error,
            "after 3 events: event 3 could not be handed to the producer: the delivery deadline passed"
        );
    }

    #[tokio::test]
    async fn a_backlog_is_sent_at_once_and_starts_no_phase() {
        let (timeline, phase) = timeline(10.0, Duration::from_secs(100));
        let load =
            Load::backlog(timeline.clone(), phase, |_: usize, _: Planned| Ok(()), &CancellationToken::new());
        let report = load.unwrap().finished().await.unwrap();
        assert_eq!((report.sent, report.late_max_ns), (1_000, 0));
        assert_eq!(timeline.started_ns(phase), None);
        assert!(timeline.passed(999).sent.is_some());
    }

    #[tokio::test]
    async fn a_closed_loop_sends_one_for_each_that_becomes_visible_and_ends_in_time() {
        use payment_delivery::kafka::Origin;
        use payment_delivery::probe::{Probe as _, Seen};

        const MOST: usize = 8;
        let (timeline, phase) = phase(1_000.0, Duration::from_secs(1), Due::WhenSent);
        let (most, taken) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
        let sink = {
            let (timeline, most, taken) = (timeline.clone(), most.clone(), taken.clone());
            move |index: usize, event: Planned| {
                let in_flight = index + 1 - timeline.visible_count(phase);
                let mut most = most.lock().unwrap();
                *most = in_flight.max(*most);
                taken.lock().unwrap().push((event.order_id, event.revision));
                Ok(())
            }
        };
        let length = Duration::from_millis(200);
        let load = Load::closed_loop(timeline.clone(), phase, MOST, length, sink, &CancellationToken::new())
            .unwrap();
        // A consumer that shows four events every ten milliseconds.
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let shown: Vec<_> = {
                let mut taken = taken.lock().unwrap();
                let most = taken.len().min(4);
                taken.drain(..most).collect()
            };
            for (order_id, revision) in shown {
                let origin = Origin { partition: 0, offset: 0 };
                timeline.visible(Seen { consumer: "c0", order_id: &order_id, revision, origin }, revision);
            }
        }
        let report = load.finished().await.unwrap();
        assert_eq!(*most.lock().unwrap(), MOST);
        assert!(report.sent >= MOST && report.sent < 1_000, "{report:?}");
        assert_eq!(timeline.offered_count(phase), report.sent, "what was not sent is waited for by nobody");
        assert!(report.ended_ns - timeline.started_ns(phase).unwrap() >= 200 * MS);
    }
}
