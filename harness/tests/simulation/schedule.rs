//! What goes wrong, and when: drawn from a seed, so that it can be repeated.

use std::time::Duration;

use payment_delivery::consumer::Mode;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

pub(crate) const CONSUMERS: usize = 3;
pub(crate) const PARTITIONS: i32 = 3;
pub(crate) const NODES: i32 = 3;
/// Faults begin within this time; load goes on for longer.
const BEGIN_WITHIN_MS: u64 = 2_400;
const LONGER_THAN_A_SESSION_MS: u64 = 2_000;

/// One thing that is done to the running pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A consumer finishes what it has in hand, commits, and leaves.
    Stop(usize),
    /// A consumer is gone, without a word.
    Kill(usize),
    /// Another takes its place, unless it is there.
    Start(usize),
    /// A consumer does nothing at all for a time, heartbeats included, in the middle of a call: a zombie, if that is longer than a session.
    Freeze(usize, Duration),
    /// The store refuses to answer, or does again.
    StoreAway(bool),
    /// The store does what it is asked to, and its answers are lost.
    AnswersLost(bool),
    /// The view refuses to answer.
    ViewAway(bool),
    /// The view has forgotten everything.
    ViewEmptied,
    /// A broker closes its connections.
    DropConnections(i32),
    /// A broker answers late; zero ends it.
    Delay(i32, Duration),
    /// A broker is down.
    StopNode(i32),
    /// And up again.
    StartNode(i32),
    /// A partition gets another leader.
    MoveLeader(i32, i32),
}

/// Steps by time since the load began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    /// How all consumers work.
    pub(crate) mode: Mode,
    pub(crate) steps: Vec<(Duration, Step)>,
    pub(crate) faults: usize,
    /// Nothing fails: consumers come and go as they should.
    pub(crate) is_gentle: bool,
}

impl Schedule {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let is_gentle = rng.random_ratio(1, 5);
        let faults = rng.random_range(3..=6);
        let mut steps = Vec::new();
        for number in 0..faults {
            let at = rng.random_range(200..BEGIN_WITHIN_MS);
            let kind = match (is_gentle, number) {
                (true, _) => 0,
                // At least one that the group notices.
                (false, 0) => rng.random_range(0..3),
                (false, _) => rng.random_range(0..11),
            };
            let freeze_min_ms = if number == 0 { LONGER_THAN_A_SESSION_MS } else { 300 };
            fault(kind, at, freeze_min_ms, &mut rng, &mut steps);
        }
        steps.sort_by_key(|(at, _)| *at);
        // From the seed itself, so that it moves no other draw.
        let mode = [Mode::Batch, Mode::Record, Mode::KEYED][(seed / 2 % 3) as usize];
        Self { seed, mode, steps, faults, is_gentle }
    }
}

fn fault(kind: u32, at: u64, freeze_min_ms: u64, rng: &mut ChaCha8Rng, steps: &mut Vec<(Duration, Step)>) {
    let slot = rng.random_range(0..CONSUMERS);
    let node = rng.random_range(1..=NODES);
    let mut lasts = |from: u64, to: u64| rng.random_range(from..to);
    let mut step = |at: u64, step: Step| steps.push((Duration::from_millis(at), step));
    match kind {
        0 | 1 => {
            step(at, if kind == 0 { Step::Stop(slot) } else { Step::Kill(slot) });
            step(at + lasts(200, 1_500), Step::Start(slot));
        }
        2 => step(at, Step::Freeze(slot, Duration::from_millis(lasts(freeze_min_ms, 3_500)))),
        3..=5 => {
            let switch = [Step::StoreAway, Step::AnswersLost, Step::ViewAway][kind as usize - 3];
            step(at, switch(true));
            step(at + lasts(100, 1_500), switch(false));
        }
        6 => step(at, Step::ViewEmptied),
        7 => step(at, Step::DropConnections(node)),
        8 => {
            step(at, Step::Delay(node, Duration::from_millis(lasts(50, 900))));
            step(at + lasts(200, 1_500), Step::Delay(node, Duration::ZERO));
        }
        9 => {
            step(at, Step::StopNode(node));
            step(at + lasts(200, 1_500), Step::StartNode(node));
        }
        _ => step(at, Step::MoveLeader(node - 1, lasts(1, NODES as u64 + 1) as i32)),
    }
}
