//! Two trials at once whose workers take turns: while one's runs, the other's is stopped.
//!
//! A machine that others use, too, is now faster, now slower, over seconds. Two drains, one after the other, meet it in different
//! states; slices of a twentieth of a second, in turn, meet it in the same. Both at the same time on CPUs of their own would, too (Bulej
//! et al., "Duet benchmarking", ICPE 2020), but on twice the CPUs, and broker and store would be shared by two.

use std::convert::Infallible;
use std::ops::Range;
use std::time::Duration;

use tokio::sync::watch;

use super::stopped::Stopped;
use crate::measure::Clock;
use crate::measure::resources::descendants;

/// How long one runs before it is the other's turn. An answer that a worker waits for when it is stopped comes meanwhile: shorter slices hide more
/// of such waits, longer ones meet the machine in more different states (docs/bias.md).
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// Who goes first when both begin at the same time. Trials come in random order.
const FIRST: usize = 0;

/// How far the two are.
#[derive(Debug, Default)]
struct State {
    /// How often each has come to a meeting.
    met: [u32; 2],
    /// Which want turns.
    at_work: [bool; 2],
    /// Whose turn it is.
    turn: usize,
    /// The processes of each side's worker.
    workers: [Vec<u32>; 2],
}

/// Where two trials take turns.
#[derive(Debug, Default)]
pub(crate) struct Slices(watch::Sender<State>);

impl Slices {
    /// Seat 0 or 1.
    pub(crate) fn seat(&self, index: usize) -> Seat {
        Seat { state: self.0.clone(), me: index }
    }
}

/// A trial's part in it. Once it is dropped, the other waits for it no more.
#[derive(Debug)]
pub(crate) struct Seat {
    state: watch::Sender<State>,
    me: usize,
}

impl Seat {
    /// Tells the other trial of its own worker, and waits to be told of the other's; of none if that trial has ended.
    pub(super) async fn introduce(&self, workers: &[u32]) -> Vec<u32> {
        self.state.send_modify(|state| state.workers[self.me] = workers.to_vec());
        self.meet().await;
        self.state.borrow().workers[self.other()].clone()
    }

    /// Wants turns from now on, and waits until the other trial does, too.
    pub(super) async fn turns<'s>(&'s self, workers: &[u32], clock: Clock) -> Turns<'s> {
        let pids = workers.iter().flat_map(|pid| descendants(*pid)).collect();
        self.state.send_modify(|state| state.at_work[self.me] = true);
        let turns = Turns { seat: self, pids, clock, stopped: None, was_stopped: Vec::new() };
        self.meet().await;
        turns
    }

    /// Waits until the other trial has come as far.
    async fn meet(&self) {
        self.state.send_modify(|state| {
            state.met[self.me] += 1;
            if state.met[self.me] == state.met[self.other()] {
                state.turn = FIRST;
            }
        });
        self.until(|state, me, other| state.met[other] >= state.met[me]).await;
    }

    /// The other's turn, if it was its own.
    fn pass_on(&self) {
        self.state.send_modify(|state| {
            if state.turn == self.me {
                state.turn = self.other();
            }
        });
    }

    fn other(&self) -> usize {
        1 - self.me
    }

    async fn until(&self, holds: impl Fn(&State, usize, usize) -> bool) {
        let mut changes = self.state.subscribe();
        // Never closed: a sender is here.
        let _changed = changes.wait_for(|state| holds(state, self.me, self.other())).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.state.send_modify(|state| {
            state.met[self.me] = u32::MAX;
            state.at_work[self.me] = false;
            state.workers[self.me].clear();
        });
    }
}

/// A phase in which it takes turns. Once this is dropped, its worker runs on, and no turn is its own.
#[derive(Debug)]
pub(super) struct Turns<'s> {
    seat: &'s Seat,
    /// Its worker's, all of them.
    pids: Vec<u32>,
    clock: Clock,
    /// Since when it is stopped, in ns since the run's epoch.
    stopped: Option<(u64, Stopped)>,
    was_stopped: Vec<Range<u64>>,
}

impl Turns<'_> {
    /// Waits until the other trial has come as far.
    pub(super) async fn meet(&self) {
        self.seat.meet().await;
    }

    /// Waits for its turn.
    pub(super) async fn turn(&self) {
        self.seat.until(|state, me, other| state.turn == me || !state.at_work[other]).await;
    }

    /// Has its worker, which is stopped, run whenever it is its turn.
    pub(super) async fn slices(&mut self) -> Infallible {
        loop {
            self.turn().await;
            self.go_on();
            let alone = self.seat.until(|state, _, other| !state.at_work[other]);
            if tokio::time::timeout(SLICE, alone).await.is_ok() {
                return std::future::pending().await;
            }
            self.stop();
            self.seat.pass_on();
        }
    }

    /// Stops its worker, until its next turn.
    pub(super) fn stop(&mut self) {
        if self.stopped.is_none() {
            let stopped = Stopped::stop(self.pids.clone());
            self.stopped = Some((self.clock.now_ns(), stopped));
        }
    }

    fn go_on(&mut self) {
        if let Some((since_ns, stopped)) = self.stopped.take() {
            self.was_stopped.push(since_ns..self.clock.now_ns());
            drop(stopped);
        }
    }

    /// Wants no more turns, and waits until the other trial does not, either: what follows would be in its way. When its worker was stopped, in ns
    /// since the run's epoch.
    pub(super) async fn end(mut self) -> Vec<Range<u64>> {
        self.go_on();
        let (seat, was_stopped) = (self.seat, std::mem::take(&mut self.was_stopped));
        drop(self);
        seat.meet().await;
        was_stopped
    }
}

impl Drop for Turns<'_> {
    fn drop(&mut self) {
        self.stopped = None;
        self.seat.state.send_modify(|state| state.at_work[self.seat.me] = false);
        self.seat.pass_on();
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// A worker that does nothing, until it is dropped.
    struct Worker(Child);

    impl Worker {
        fn start() -> Self {
            Self(Command::new("sleep").arg("60").spawn().unwrap())
        }

        fn is_stopped(&self) -> bool {
            let stat = procfs::process::Process::new(self.0.id().cast_signed()).unwrap().stat().unwrap();
            stat.state == 'T'
        }

        /// Returns once it is stopped, or works again: a signal takes a moment.
        async fn comes_to(&self, stopped: bool) {
            while self.is_stopped() != stopped {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    impl Drop for Worker {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    fn pair() -> ([Seat; 2], [Worker; 2]) {
        let slices = Slices::default();
        ([slices.seat(0), slices.seat(1)], [Worker::start(), Worker::start()])
    }

    /// Both at the point where their backlogs lie in the log.
    async fn stopped<'s>(seats: &'s [Seat; 2], workers: &[Worker; 2], clock: Clock) -> [Turns<'s>; 2] {
        let pids = [[workers[0].0.id()], [workers[1].0.id()]];
        let (mut one, mut two) =
            tokio::join!(seats[0].turns(&pids[0], clock), seats[1].turns(&pids[1], clock));
        one.stop();
        two.stop();
        tokio::join!(workers[0].comes_to(true), workers[1].comes_to(true));
        [one, two]
    }

    #[tokio::test]
    async fn while_one_works_the_other_is_stopped() {
        let (seats, workers) = pair();
        let clock = Clock::start();
        let [mut one, mut two] = stopped(&seats, &workers, clock).await;
        let at_work = async { tokio::join!(one.slices(), two.slices()) };
        assert!(tokio::time::timeout(7 * SLICE, at_work).await.is_err());
        let (one, two) = tokio::join!(one.end(), two.end());
        let gaps = |stopped: &[Range<u64>]| -> Vec<Range<u64>> {
            stopped.windows(2).map(|pair| pair[0].end..pair[1].start).collect()
        };
        for (mine, others) in [(&one, &two), (&two, &one)] {
            let worked = gaps(mine);
            assert!(worked.len() >= 2, "{worked:?}");
            for turn in worked {
                assert!(turn.end - turn.start >= SLICE.as_nanos() as u64, "{turn:?}");
                assert!(
                    others.iter().any(|at| at.start <= turn.start && turn.end <= at.end),
                    "{one:?} {two:?}"
                );
            }
        }
        tokio::join!(workers[0].comes_to(false), workers[1].comes_to(false));
    }

    #[tokio::test]
    async fn who_is_left_runs_on_and_both_end_together() {
        let (seats, workers) = pair();
        let [one, mut two] = stopped(&seats, &workers, Clock::start()).await;
        let (ended, alone) = tokio::join!(one.end(), async {
            tokio::select! {
                never = two.slices() => match never {},
                () = workers[1].comes_to(false) => {}
            }
            // For longer than a turn.
            assert!(tokio::time::timeout(2 * SLICE, two.slices()).await.is_err());
            assert!(!workers[1].is_stopped());
            two.end().await
        });
        assert_eq!((ended.len(), alone.len()), (1, 1));
    }

    #[tokio::test]
    async fn one_after_the_other_the_first_seat_goes_first() {
        let (seats, workers) = pair();
        let clock = Clock::start();
        let order = std::sync::Mutex::new(Vec::new());
        let side = async |seat: &Seat, worker: &Worker, name: &'static str| {
            // As after a drain, which the second seat may have ended first.
            seat.turns(&[worker.0.id()], clock).await.end().await;
            let turns = seat.turns(&[worker.0.id()], clock).await;
            turns.turn().await;
            order.lock().unwrap().push(name);
            tokio::time::sleep(Duration::from_millis(20)).await;
            order.lock().unwrap().push(name);
            turns.end().await;
        };
        tokio::join!(side(&seats[1], &workers[1], "second"), side(&seats[0], &workers[0], "first"));
        assert_eq!(*order.lock().unwrap(), ["first", "first", "second", "second"]);
    }

    #[tokio::test]
    async fn a_trial_that_has_ended_is_waited_for_no_more() {
        let ([one, two], workers) = pair();
        let pids = [workers[0].0.id()];
        let (known, ()) = tokio::join!(one.introduce(&pids), async { drop(two) });
        assert_eq!(known, [0; 0]);
        let mut turns = one.turns(&pids, Clock::start()).await;
        turns.stop();
        turns.meet().await;
        assert!(tokio::time::timeout(2 * SLICE, turns.slices()).await.is_err());
        assert!(!workers[0].is_stopped());
        turns.stop();
        workers[0].comes_to(true).await;
        drop(turns);
        workers[0].comes_to(false).await;
    }
}
