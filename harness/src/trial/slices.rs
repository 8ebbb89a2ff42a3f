//! Two trials at once whose workers take turns: while one's runs, the other's is stopped.
//!
//! The speed of a machine that others use, too, changes within seconds. Two drains, one after the other, get different speeds; slices of some
//! fifty milliseconds, in turn, get the same. Both at the same time on CPUs of their own would, too (Bulej et al., "Duet benchmarking", ICPE
//! 2020), but on twice the CPUs, and broker and store would be shared by two.

use std::convert::Infallible;
use std::ops::Range;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::Pid;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;

use super::stopped::{Stopped, tree};
use crate::measure::Clock;

/// How long one works before it is the other's turn, in ms: drawn, and the same for both. An answer that a worker waits for when it is stopped comes
/// meanwhile: shorter slices hide more of such waits, longer ones get the machine at more different speeds (docs/bias.md). Were all alike, calls as long
/// as a slice would count in steps, and what the machine does every tenth of a second would fall to one side.
pub(crate) const SLICE_MS: (u32, u32) = (25, 75);

/// Who begins a phase.
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

/// The two seats of a round, the first of which begins each phase. The lengths of its slices are drawn by `seed`.
pub(crate) fn seats(seed: u64) -> [Seat; 2] {
    let state = watch::Sender::new(State::default());
    [0, 1].map(|me| Seat { state: state.clone(), me, seed })
}

/// A trial's part in it. Once it is dropped, the other waits for it no more.
#[derive(Debug)]
pub(crate) struct Seat {
    state: watch::Sender<State>,
    me: usize,
    seed: u64,
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
        // Its group, for what it starts later, and what it started in other groups.
        let groups = workers.iter().map(|pid| Pid::from_raw(-pid.cast_signed()));
        let pids = groups.chain(workers.iter().flat_map(|pid| tree(*pid))).collect();
        self.state.send_modify(|state| state.at_work[self.me] = true);
        let turns = Turns { seat: self, pids, clock, stopped: None, was_stopped: Vec::new() };
        self.meet().await;
        turns
    }

    /// The other waits for it no more.
    pub(super) fn leave(&self) {
        self.state.send_modify(|state| {
            state.met[self.me] = u32::MAX;
            state.at_work[self.me] = false;
            state.workers[self.me].clear();
        });
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

    fn is_alone(&self) -> bool {
        !self.state.borrow().at_work[self.other()]
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
        self.leave();
    }
}

/// A phase in which it takes turns. Once this is dropped, its worker runs on, and no turn is its own.
#[derive(Debug)]
pub(super) struct Turns<'s> {
    seat: &'s Seat,
    /// Its worker's, all of them.
    pids: Vec<Pid>,
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

    /// Has its worker, which is stopped, work whenever it is its turn; while the other wants none any more, as if it did.
    pub(super) async fn slices(&mut self) -> Result<Infallible, Errno> {
        let mut lengths = ChaCha8Rng::seed_from_u64(self.seat.seed);
        loop {
            let slice = Duration::from_millis(lengths.random_range(SLICE_MS.0..=SLICE_MS.1).into());
            self.turn().await;
            self.go_on();
            tokio::time::sleep(slice).await;
            self.stop()?;
            self.seat.pass_on();
            if self.seat.is_alone() {
                tokio::time::sleep(slice).await;
            }
        }
    }

    /// Stops its worker, until its next turn.
    pub(super) fn stop(&mut self) -> Result<(), Errno> {
        if self.stopped.is_none() {
            let stopped = Stopped::stop(self.pids.clone())?;
            self.stopped = Some((self.clock.now_ns(), stopped));
        }
        Ok(())
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

    const LONGEST: Duration = Duration::from_millis(SLICE_MS.1 as u64);

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

        async fn turns<'s>(&self, seat: &'s Seat, clock: Clock) -> Turns<'s> {
            let mut turns = seat.turns(&[self.0.id()], clock).await;
            // It is in the tests' own group.
            turns.pids.retain(|pid| pid.as_raw() > 0);
            turns
        }
    }

    impl Drop for Worker {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    fn pair() -> ([Seat; 2], [Worker; 2]) {
        (seats(7), [Worker::start(), Worker::start()])
    }

    /// Both at the point where their backlogs lie in the log.
    async fn stopped<'s>(seats: &'s [Seat; 2], workers: &[Worker; 2]) -> [Turns<'s>; 2] {
        let clock = Clock::start();
        let (mut one, mut two) =
            tokio::join!(workers[0].turns(&seats[0], clock), workers[1].turns(&seats[1], clock));
        one.stop().unwrap();
        two.stop().unwrap();
        tokio::join!(workers[0].comes_to(true), workers[1].comes_to(true));
        [one, two]
    }

    async fn work_for(time: Duration, turns: &mut Turns<'_>) {
        assert!(tokio::time::timeout(time, turns.slices()).await.is_err());
    }

    /// When it worked, between two stops.
    fn worked(stops: &[Range<u64>]) -> Vec<Range<u64>> {
        stops.windows(2).map(|pair| pair[0].end..pair[1].start).collect()
    }

    #[tokio::test]
    async fn while_one_works_the_other_is_stopped() {
        let (seats, workers) = pair();
        let [mut one, mut two] = stopped(&seats, &workers).await;
        tokio::join!(work_for(10 * LONGEST, &mut one), work_for(10 * LONGEST, &mut two));
        let (one, two) = tokio::join!(one.end(), two.end());
        for (mine, others) in [(&one, &two), (&two, &one)] {
            let turns = worked(mine);
            assert!(turns.len() >= 3, "{turns:?}");
            for turn in turns {
                assert!(turn.end - turn.start >= u64::from(SLICE_MS.0) * 1_000_000, "{turn:?}");
                assert!(
                    others.iter().any(|at| at.start <= turn.start && turn.end <= at.end),
                    "{one:?} {two:?}"
                );
            }
        }
        tokio::join!(workers[0].comes_to(false), workers[1].comes_to(false));
    }

    #[tokio::test]
    async fn who_is_left_works_as_before_and_both_end_together() {
        let (seats, workers) = pair();
        let [one, mut two] = stopped(&seats, &workers).await;
        let (ended, alone) = tokio::join!(one.end(), async {
            work_for(8 * LONGEST, &mut two).await;
            two.end().await
        });
        assert_eq!(ended.len(), 1);
        assert!(alone.len() >= 3, "{alone:?}");
        let (stopped, at_work) = (&alone[1..alone.len() - 1], worked(&alone));
        for (stop, turn) in stopped.iter().zip(&at_work) {
            assert!(stop.end - stop.start >= u64::from(SLICE_MS.0) * 1_000_000, "{stop:?}, {turn:?}");
        }
    }

    #[tokio::test]
    async fn one_after_the_other_the_first_seat_goes_first() {
        let (seats, workers) = pair();
        let clock = Clock::start();
        let order = std::sync::Mutex::new(Vec::new());
        let side = async |seat: &Seat, worker: &Worker, name: &'static str| {
            // As after a drain, which the second seat may have ended first.
            worker.turns(seat, clock).await.end().await;
            let turns = worker.turns(seat, clock).await;
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
        let mut turns = workers[0].turns(&one, Clock::start()).await;
        turns.stop().unwrap();
        turns.meet().await;
        work_for(4 * LONGEST, &mut turns).await;
        turns.stop().unwrap();
        workers[0].comes_to(true).await;
        drop(turns);
        workers[0].comes_to(false).await;
    }

    #[tokio::test]
    async fn what_belongs_to_another_user_can_not_be_stopped() {
        let [one, two] = seats(7);
        drop(two);
        let mut turns = one.turns(&[], Clock::start()).await;
        turns.pids.push(Pid::from_raw(1));
        if !nix::unistd::geteuid().is_root() {
            assert_eq!(turns.stop(), Err(Errno::EPERM));
        }
        turns.pids = vec![Pid::from_raw(i32::MAX)];
        assert_eq!(turns.stop(), Ok(()), "what has ended needs no stop");
    }
}
