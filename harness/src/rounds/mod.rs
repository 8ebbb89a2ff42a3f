//! The one runner of rounds: a place on a stack, a warm-up, and trials in random order or two at once, round by round. What is offered in a
//! round, and what is concluded from it, is the job's.

use std::time::{Duration, Instant};

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio_util::sync::CancellationToken;

mod eta;
pub mod rates;
mod settled;
pub(crate) mod warm_up;

use eta::Eta;

use crate::contender::Contender;
use crate::error::RunError;
use crate::progress::Progress;
use crate::record::{PhaseKind, Trial};
use crate::stack::{Prefix, Stack, StackTarget};
pub(crate) use crate::trial::TrialPlace;
use crate::trial::phase::{Offer, PhaseSpec, PlannedPhase};
use crate::trial::slices::{self, Seat};
use crate::trial::{TrialOptions, TrialRunner, TrialSpec};
use crate::worker::ConsumerRuntime;
use crate::workspace::RunWorkspace;

/// A run's place on a stack, and the threads of its consumers. To be closed, or its tables stay on the stack.
pub struct Session {
    workspace: RunWorkspace,
    runtime: ConsumerRuntime,
}

impl Session {
    /// Connects to the stack and creates the run's tables.
    ///
    /// # Errors
    /// [`RunError`] where a part of the stack does not answer; [`RunError::Interrupted`] once cancelled.
    pub async fn open(
        stack: &Stack,
        started: jiff::Timestamp,
        cancel: &CancellationToken,
    ) -> Result<Self, RunError> {
        let target = stack.target();
        let run_id = target.prefix.run_id(started);
        Self::open_as(target, run_id, cancel).await
    }

    /// The same beside this one, for trials that run at the same time: with tables of its own.
    ///
    /// # Errors
    /// As of [`Self::open`].
    pub(crate) async fn second(&self, stack: &Stack, cancel: &CancellationToken) -> Result<Self, RunError> {
        let run_id = format!("{}{}", self.workspace.run_id, Prefix::SECOND);
        Self::open_as(stack.target(), run_id, cancel).await
    }

    async fn open_as(
        target: StackTarget,
        run_id: String,
        cancel: &CancellationToken,
    ) -> Result<Self, RunError> {
        let runtime = ConsumerRuntime::start().map_err(RunError::threads)?;
        let workspace = RunWorkspace::open(target, run_id, cancel).await?;
        Ok(Self { workspace, runtime })
    }

    /// What runs trials here.
    pub(crate) fn runner<'a>(
        &'a self,
        options: TrialOptions,
        stack: &'a Stack,
        progress: &'a dyn Progress,
        cancel: &'a CancellationToken,
    ) -> TrialRunner<'a> {
        TrialRunner::new(&self.workspace, &self.runtime, options, stack, progress, cancel)
    }

    /// Removes the tables, and what trials left.
    pub async fn close(self, progress: &dyn Progress) {
        self.workspace.close(progress).await;
    }
}

/// How a run ended.
pub struct Outcome<R> {
    /// What was measured by then; `None` if not even one trial was finished.
    pub record: Option<R>,
    /// Whether it was interrupted.
    pub interrupted: bool,
}

/// Opens a place on the stack, lets `work` run there, and closes the place unless the run is to stay on the stack.
///
/// # Errors
/// Those of `work`; once cancelled, whatever gave up first tells of it in its own words, and that is no error.
pub(crate) async fn in_session<R>(
    stack: &Stack,
    keep: bool,
    progress: &dyn Progress,
    cancel: &CancellationToken,
    work: impl AsyncFnOnce(&Session, jiff::Timestamp) -> (Option<R>, Result<(), RunError>),
) -> Result<Outcome<R>, RunError> {
    progress.phase("connecting");
    let started = jiff::Timestamp::now();
    let session = match Session::open(stack, started, cancel).await {
        Err(RunError::Interrupted) => return Ok(Outcome { record: None, interrupted: true }),
        opened => opened?,
    };
    let (record, ended) = Box::pin(work(&session, started)).await;
    if keep {
        session.workspace.keep(progress).await;
    } else {
        session.close(progress).await;
    }
    match ended {
        Ok(()) => Ok(Outcome { record, interrupted: false }),
        Err(_) if cancel.is_cancelled() => Ok(Outcome { record, interrupted: true }),
        Err(error) => Err(error),
    }
}

/// One trial of a round.
pub(crate) struct Turn {
    /// By which the job knows it again; the same in every round.
    pub(crate) key: usize,
    /// Part of the names of its topic, group and keys.
    pub(crate) name: String,
    /// For people.
    pub(crate) title: String,
    pub(crate) contender: Contender,
    pub(crate) phases: Vec<PlannedPhase>,
    /// About how long it will take.
    pub(crate) expected: Duration,
}

impl Turn {
    /// Runs it; a seat is given up when it ends.
    async fn trial(
        &self,
        runner: &TrialRunner<'_>,
        place: TrialPlace,
        seat: Option<Seat>,
    ) -> Result<Trial, RunError> {
        let spec = TrialSpec {
            name: self.name.clone(),
            title: self.title.clone(),
            contender: &self.contender,
            place,
            phases: &self.phases,
            rig: None,
            seat: seat.as_ref(),
        };
        runner.trial(&spec).await
    }
}

/// What a round is made of, and what becomes of its trials.
pub(crate) trait Job {
    /// How many rounds there will be, where that is known.
    fn rounds(&self) -> Option<u32>;

    /// What comes before the trials of a round. It leaves nothing on the stack that a trial does not empty before it begins.
    async fn before_round(&mut self, _runner: &TrialRunner<'_>, _round: u32) -> Result<(), RunError> {
        Ok(())
    }

    /// The trials of a round, which are run in random order, or two at once. All have the round's seed.
    fn turns(&mut self, round: u32, seed: u64) -> Result<Vec<Turn>, RunError>;

    /// A trial has ended.
    fn keep(&mut self, key: usize, place: TrialPlace, trial: Result<Trial, RunError>)
    -> Result<(), RunError>;

    /// What runs the second trial of a round of two at the same time as the first, taking turns; none where one is run after the other.
    fn beside(&self) -> Option<&TrialRunner<'_>> {
        None
    }

    /// A round has ended; whether another follows.
    fn goes_on(&mut self, round: u32) -> Result<bool, RunError>;
}

/// Runs rounds until the job has enough.
pub(crate) async fn run(runner: &TrialRunner<'_>, seed: u64, job: &mut impl Job) -> Result<(), RunError> {
    let mut draws = ChaCha8Rng::seed_from_u64(seed);
    let mut eta = Eta::default();
    let mut reversed = false;
    for round in 1.. {
        let began = Instant::now();
        Box::pin(job.before_round(runner, round)).await?;
        eta.before_round(began.elapsed());
        let seed = draws.random();
        let mut turns = job.turns(round, seed)?;
        if job.beside().is_none() {
            turns.shuffle(&mut draws);
        } else {
            // Who begins is drawn for rounds 1, 3, 5 …; in the round that follows the other begins, so that what this does it does to both alike.
            let drawn: bool = draws.random();
            reversed = if round % 2 == 1 { drawn } else { !reversed };
            if reversed {
                turns.reverse();
            }
        }
        eta.round_begins(job.rounds().map(|rounds| rounds.saturating_sub(round)), &turns);
        let place = |position| TrialPlace { round, position, seed };
        let show_left = |eta: &Eta| eta.left().into_iter().for_each(|left| runner.progress.left(left));
        if let (Some(other), [one, two]) = (job.beside(), turns.as_slice()) {
            show_left(&eta);
            let began = Instant::now();
            let [first, second] = slices::seats(seed);
            let (first, second) = tokio::join!(
                Box::pin(one.trial(runner, place(1), Some(first))),
                Box::pin(two.trial(other, place(2), Some(second)))
            );
            for (turn, place, trial) in [(one, place(1), first), (two, place(2), second)] {
                job.keep(turn.key, place, trial)?;
                eta.done(turn.key, began.elapsed() / 2);
            }
        } else {
            for (position, turn) in (1..).zip(&turns) {
                show_left(&eta);
                let began = Instant::now();
                let trial = Box::pin(turn.trial(runner, place(position), None)).await;
                job.keep(turn.key, place(position), trial)?;
                eta.done(turn.key, began.elapsed());
            }
        }
        if !job.goes_on(round)? {
            break;
        }
    }
    Ok(())
}

/// What comes before all else in a trial: a worker that can't be held works itself warm.
pub(crate) fn warmed_by_itself(contender: &Contender, events: u64) -> Vec<PhaseSpec> {
    let warms_up = events > 0 && !contender.can_be_held();
    warms_up.then(|| PhaseSpec::new(PhaseKind::WarmUp, Offer::Backlog { events })).into_iter().collect()
}
