//! Dose and response: time that is added at one place must come out at that place, as much as was added.
//!
//! In each round each place has four trials: in all of them it waits for a standing time, and in three for 5, 10 and 20 % more. The sender is
//! late, the broker holds back acknowledgements or what was fetched, the store or the view takes longer. It stands, since what follows a wait
//! takes some hundredths of a millisecond longer than what follows none: the CPU has slept. What was added is timed where it is added.
//! Commits that are held back change no stage: they show in the lag.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use payment_delivery::consumer::Mode;
use payment_delivery::store::DeliveryStore;
use payment_delivery::view::StatusView;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

mod late;
mod response;

use late::{Added, Held, Late, LateStore, LateView};
pub use response::{COVERAGE_MIN, DoseResponse, SLOPE_WITHIN};
pub(super) use response::{passed, responses};

use super::clock::at;
use super::{SelftestOptions, in_process};
use crate::contender::Lanes;
use crate::error::RunError;
use crate::job::options::Draw;
use crate::measure::Timeline;
use crate::measure::timeline::EventTimes;
use crate::record::{PhaseKind, Trial};
use crate::stack::EmbeddedStack;
use crate::trial::phase::{Offer, PhaseSpec, plan};
use crate::trial::{Rig, SenderRig, TrialPlace, TrialRunner, TrialSpec};
use crate::workload::{Arrivals, Segment};

/// Parts of the standing time that are added.
const DOSES: [f64; 3] = [0.05, 0.1, 0.2];
const STANDING: Duration = Duration::from_millis(20);
/// Of commits, which come every tenth of a second, these parts are added to none: less would not make them fewer.
const OF_COMMITS: Duration = Duration::from_secs(4);
/// So seldom that no event waits for another, whatever is added.
const RATE_PER_S: f64 = 25.0;
const LENGTH: Duration = Duration::from_secs(4);
const LANE: Lanes = Lanes { partitions: 1, consumers: 1, mode: Mode::Record };

/// Where time is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DosedPlace {
    /// The sender is late.
    Sender,
    /// The broker holds back acknowledgements.
    Ack,
    /// It holds back what was fetched.
    Fetch,
    /// A store call takes longer.
    Store,
    /// A view call takes longer.
    View,
    /// The broker holds back commits.
    Commit,
}

const PLACES: [DosedPlace; 6] = [
    DosedPlace::Sender,
    DosedPlace::Ack,
    DosedPlace::Fetch,
    DosedPlace::Store,
    DosedPlace::View,
    DosedPlace::Commit,
];

/// The median of each stage in one trial, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StageMedians {
    /// sent − due.
    pub sender: f64,
    /// acked − sent.
    pub ack: f64,
    /// fetched − acked.
    pub fetch: f64,
    /// stored − fetched.
    pub store: f64,
    /// visible − stored.
    pub view: f64,
}

/// One trial.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DoseTrial {
    /// From 1.
    pub round: u32,
    /// Where it waited.
    pub place: DosedPlace,
    /// The part of the standing time that was added to it.
    pub dose: f64,
    /// How long it waited there, the standing time included; the median in ms, timed there.
    pub waited_ms: f64,
    /// What came out.
    pub stages_ms: StageMedians,
    /// Mean lag of committed offsets, in records.
    pub lag_records: f64,
}

impl StageMedians {
    fn of(timeline: &Timeline) -> Self {
        let events: Vec<EventTimes> =
            timeline.phases().next().map(|phase| timeline.events(phase).collect()).unwrap_or_default();
        let median = |time: fn(&EventTimes) -> Option<i64>| {
            let times: Vec<f64> = events.iter().filter_map(time).map(|ns| ns as f64 / 1e6).collect();
            at(&times, 0.5)
        };
        Self {
            sender: median(EventTimes::send_delay_ns),
            ack: median(EventTimes::ack_ns),
            fetch: median(EventTimes::wait_ns),
            store: median(EventTimes::store_ns),
            view: median(EventTimes::view_ns),
        }
    }

    fn at(&self, place: DosedPlace) -> f64 {
        match place {
            DosedPlace::Sender => self.sender,
            DosedPlace::Ack => self.ack,
            DosedPlace::Fetch => self.fetch,
            DosedPlace::Store => self.store,
            DosedPlace::View => self.view,
            DosedPlace::Commit => 0.0,
        }
    }
}

pub(super) async fn test(
    options: &SelftestOptions,
    stack: &EmbeddedStack,
    runner: &TrialRunner<'_>,
) -> Result<Vec<DoseTrial>, RunError> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut ran = Vec::new();
    for round in 1..=options.dose_rounds {
        let doses = || std::iter::once(0.0).chain(DOSES);
        let mut trials: Vec<_> =
            PLACES.into_iter().flat_map(|place| doses().map(move |dose| (place, dose))).collect();
        trials.shuffle(&mut rng);
        for (position, (place, dose)) in (1..).zip(trials) {
            let place_of_trial = TrialPlace { round, position, seed: options.seed + u64::from(round) };
            ran.push(Box::pin(trial(options, stack, runner, place_of_trial, place, dose)).await?);
        }
    }
    Ok(ran)
}

async fn trial(
    options: &SelftestOptions,
    stack: &EmbeddedStack,
    runner: &TrialRunner<'_>,
    place_of_trial: TrialPlace,
    place: DosedPlace,
    dose: f64,
) -> Result<DoseTrial, RunError> {
    let segment = Segment { rate_per_s: RATE_PER_S, length: LENGTH };
    let draw = Draw { arrivals: Arrivals::Constant, ..super::DRAW };
    let offer = Offer::Schedule(vec![segment]);
    let phases = plan(vec![PhaseSpec::new(PhaseKind::Steady, offer)], draw, place_of_trial.seed)?;
    let by = match place {
        DosedPlace::Commit => OF_COMMITS.mul_f64(dose),
        _ => STANDING.mul_f64(1.0 + dose),
    };
    let added = Arc::new(Added::default());
    let store = |inner| -> Arc<dyn DeliveryStore> { Arc::new(LateStore(Late::new(inner, by, &added))) };
    let around_store = move |inner: Arc<dyn DeliveryStore>, _: &Arc<Timeline>| store(inner);
    let view = |inner| -> Arc<dyn StatusView> { Arc::new(LateView(Late::new(inner, by, &added))) };
    let seen = Mutex::new(StageMedians::default());
    let look = |timeline: &Timeline| {
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = StageMedians::of(timeline);
    };
    let rig = Rig {
        store: (place == DosedPlace::Store).then_some(&around_store as _),
        view: (place == DosedPlace::View).then_some(&view as _),
        batch_interval: Duration::ZERO,
        sender: (place == DosedPlace::Sender).then_some(SenderRig::Late(by)),
        look: &look,
    };
    let spec = TrialSpec {
        name: format!("e{}-{}", place_of_trial.round, place_of_trial.position),
        title: format!("dose: {:.0} % at {place:?}", dose * 100.0),
        contender: &in_process(options, LANE),
        place: place_of_trial,
        phases: &phases,
        rig: Some(&rig),
        seat: None,
    };
    let held = Held::start(stack, place, by);
    let trial = Box::pin(runner.trial(&spec)).await?;
    let held_ms = held.stop();
    if let Some(finding) = trial.verification.findings.first() {
        return Err(RunError::Untrue { lanes: LANE, what: finding.message.clone() });
    }
    let waited_ms = match place {
        DosedPlace::Sender => by.as_secs_f64() * 1e3,
        DosedPlace::Store | DosedPlace::View => added.median_ms(),
        DosedPlace::Ack | DosedPlace::Fetch | DosedPlace::Commit => held_ms,
    };
    let stages_ms = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    let round = place_of_trial.round;
    Ok(DoseTrial { round, place, dose, waited_ms, stages_ms, lag_records: mean_lag(&trial) })
}

fn mean_lag(trial: &Trial) -> f64 {
    let samples = trial.phases.iter().flat_map(|phase| &phase.lag.series);
    let (sum, count) = samples.fold((0, 0_u32), |(sum, count), s| (sum + s.records, count + 1));
    sum as f64 / f64::from(count.max(1))
}
