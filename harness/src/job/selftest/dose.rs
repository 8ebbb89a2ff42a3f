//! Dose and response: time that is added at one place must come out at that place, as much as was added.
//!
//! In each round one trial has nothing added, and for each place three have 5, 10 and 20 % of a base: the sender is late, the broker holds back
//! acknowledgements or what was fetched, the store or the view takes longer. What was added is timed where it is added. Commits that are held
//! back change no stage: they show in the lag.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use payment_delivery::delivery::{Delivery, Fold, StatusEntry};
use payment_delivery::event::OrderId;
use payment_delivery::kafka::Origin;
use payment_delivery::store::{DeliveryStore, Outcome, Parked, StoreError};
use payment_delivery::timer::{DelayError, LazyDelay};
use payment_delivery::view::{Put, StatusView, ViewError};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::clock::at;
use super::{SelftestOptions, in_process};
use crate::contender::Lanes;
use crate::error::RunError;
use crate::job::options::Draw;
use crate::measure::Timeline;
use crate::measure::timeline::EventTimes;
use crate::record::{PhaseKind, Trial};
use crate::stack::{Answers, EmbeddedStack};
use crate::stats::estimate;
use crate::trial::phase::{Offer, PhaseSpec, plan};
use crate::trial::{Rig, SenderRig, TrialPlace, TrialRunner, TrialSpec};
use crate::worker::handicap::store::store;
use crate::workload::{Arrivals, Segment};

/// Parts of the base that are added.
const DOSES: [f64; 3] = [0.05, 0.1, 0.2];
const BASE: Duration = Duration::from_millis(20);
/// Of commits, which come every tenth of a second: less would not make them fewer.
const BASE_OF_COMMITS: Duration = Duration::from_secs(4);
/// So seldom that no event waits for another, whatever is added.
const RATE_PER_S: f64 = 40.0;
const LENGTH: Duration = Duration::from_secs(4);
const LANE: Lanes = Lanes { partitions: 1, consumers: 1 };

/// An interval is that of so many rounds, as in the shortest comparison.
const ROUNDS_OF_AN_INTERVAL: usize = 4;
/// The slope of what is measured over what was added is 1, but for so much.
pub const SLOPE_WITHIN: f64 = 0.1;
/// So many of all intervals hold what was added.
pub const COVERAGE_MIN: f64 = 0.93;
const CONFIDENCE: f64 = 0.95;

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
    /// Where time was added; none where none was.
    pub place: Option<DosedPlace>,
    /// The part of the base.
    pub dose: f64,
    /// What was added to each event, in ms, timed where it was added.
    pub added_ms: f64,
    /// What came out.
    pub stages_ms: StageMedians,
    /// Mean lag of committed offsets, in records.
    pub lag_records: f64,
}

/// What came of one place.
#[derive(Clone, Debug, Serialize)]
pub struct DoseResponse {
    /// The place.
    pub place: DosedPlace,
    /// The stage whose median grew most at the largest dose.
    pub attributed_to: DosedPlace,
    /// The slope of what was measured there over what was added (least squares, through the origin); none of commits.
    pub slope: Option<f64>,
    /// Intervals that hold what was added.
    pub covered: usize,
    /// All intervals, of four rounds each.
    pub intervals: usize,
    /// Mean lag, in records, without a dose and with each.
    pub lag_records: [f64; 4],
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
        let mut trials = vec![(None, 0.0)];
        trials.extend(PLACES.iter().flat_map(|place| DOSES.map(|dose| (Some(*place), dose))));
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
    place: Option<DosedPlace>,
    dose: f64,
) -> Result<DoseTrial, RunError> {
    let segment = Segment { rate_per_s: RATE_PER_S, length: LENGTH };
    let draw = Draw { arrivals: Arrivals::Constant, ..super::DRAW };
    let offer = Offer::Schedule(vec![segment]);
    let phases = plan(vec![PhaseSpec::new(PhaseKind::Steady, offer)], draw, place_of_trial.seed)?;
    let base = if place == Some(DosedPlace::Commit) { BASE_OF_COMMITS } else { BASE };
    let by = base.mul_f64(dose);
    let added = Arc::new(Added::default());
    let store = |inner| -> Arc<dyn DeliveryStore> { Arc::new(LateStore(Late::new(inner, by, &added))) };
    let around_store = move |inner: Arc<dyn DeliveryStore>, _: &Arc<Timeline>| store(inner);
    let view = |inner| -> Arc<dyn StatusView> { Arc::new(LateView(Late::new(inner, by, &added))) };
    let seen = Mutex::new(StageMedians::default());
    let look = |timeline: &Timeline| {
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = StageMedians::of(timeline);
    };
    let rig = Rig {
        store: (place == Some(DosedPlace::Store)).then_some(&around_store as _),
        view: (place == Some(DosedPlace::View)).then_some(&view as _),
        linger: Duration::ZERO,
        sender: (place == Some(DosedPlace::Sender)).then_some(SenderRig::Late(by)),
        look: &look,
    };
    let spec = TrialSpec {
        name: format!("e{}-{}", place_of_trial.round, place_of_trial.position),
        title: format!("dose: {dose} at {place:?}"),
        contender: &in_process(options, LANE),
        place: place_of_trial,
        phases: &phases,
        rig: Some(&rig),
    };
    let held = Held::start(stack, place, by);
    let trial = Box::pin(runner.trial(&spec)).await?;
    let held_ms = held.stop();
    if let Some(finding) = trial.verification.findings.first() {
        return Err(RunError::Untrue { lanes: LANE, what: finding.message.clone() });
    }
    let added_ms = match place {
        None => 0.0,
        Some(DosedPlace::Sender) => by.as_secs_f64() * 1e3,
        Some(DosedPlace::Store | DosedPlace::View) => added.mean_ms(),
        Some(DosedPlace::Ack | DosedPlace::Fetch | DosedPlace::Commit) => held_ms,
    };
    let stages_ms = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    let round = place_of_trial.round;
    Ok(DoseTrial { round, place, dose, added_ms, stages_ms, lag_records: mean_lag(&trial) })
}

fn mean_lag(trial: &Trial) -> f64 {
    let samples = trial.phases.iter().flat_map(|phase| &phase.lag.series);
    let (sum, count) = samples.fold((0, 0_u32), |(sum, count), s| (sum + s.records, count + 1));
    sum as f64 / f64::from(count.max(1))
}

/// What came of each place, given all trials.
pub(super) fn responses(ran: &[DoseTrial]) -> Vec<DoseResponse> {
    if ran.is_empty() {
        return Vec::new();
    }
    PLACES.into_iter().map(|place| response(place, ran)).collect()
}

fn response(place: DosedPlace, ran: &[DoseTrial]) -> DoseResponse {
    let rounds = ran.iter().map(|trial| trial.round).max().unwrap_or(0);
    let find = |round: u32, dose: f64| {
        let wanted = (dose > 0.0).then_some(place);
        ran.iter().find(|t| t.round == round && t.place == wanted && t.dose == dose)
    };
    let pairs =
        |dose: f64| (1..=rounds).filter_map(move |round| Some((find(round, 0.0)?, find(round, dose)?)));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let growth = |stage: DosedPlace| {
        let grown = pairs(DOSES[2]).map(|(none, dosed)| dosed.stages_ms.at(stage) - none.stages_ms.at(stage));
        mean(&grown.collect::<Vec<_>>())
    };
    let attributed_to = PLACES.into_iter().max_by(|a, b| growth(*a).total_cmp(&growth(*b))).unwrap_or(place);
    let (mut over, mut under) = (0.0, 0.0);
    let (mut covered, mut intervals) = (0, 0);
    for dose in DOSES {
        let mut ratios = Vec::new();
        for (none, dosed) in pairs(dose) {
            let (before, after) = (none.stages_ms.at(place), dosed.stages_ms.at(place));
            over += dosed.added_ms * (after - before);
            under += dosed.added_ms * dosed.added_ms;
            ratios.push(after / (before + dosed.added_ms));
        }
        for some in ratios.chunks_exact(ROUNDS_OF_AN_INTERVAL) {
            let interval = estimate(some, CONFIDENCE);
            if let (Some(low), Some(high)) = (interval.low, interval.high) {
                intervals += 1;
                covered += usize::from(low <= 1.0 && 1.0 <= high);
            }
        }
    }
    let lag = |dose: f64| {
        let of = (1..=rounds).filter_map(|round| find(round, dose));
        mean(&of.map(|trial| trial.lag_records).collect::<Vec<_>>())
    };
    let of_a_stage = place != DosedPlace::Commit;
    DoseResponse {
        place,
        attributed_to,
        slope: of_a_stage.then_some(over / under),
        covered,
        intervals,
        lag_records: [lag(0.0), lag(DOSES[0]), lag(DOSES[1]), lag(DOSES[2])],
    }
}

/// Whether each place's dose came out there, as much as was added, and intervals hold as often as they say.
pub(super) fn passed(responses: &[DoseResponse]) -> bool {
    let right = |response: &DoseResponse| match response.slope {
        Some(slope) => response.attributed_to == response.place && (slope - 1.0).abs() <= SLOPE_WITHIN,
        None => response.lag_records.is_sorted(),
    };
    let covered: usize = responses.iter().map(|response| response.covered).sum();
    let intervals: usize = responses.iter().map(|response| response.intervals).sum();
    responses.iter().all(right) && covered as f64 >= COVERAGE_MIN * intervals as f64
}

/// Time that was added to calls.
#[derive(Default)]
struct Added {
    ns: AtomicU64,
    calls: AtomicU64,
}

impl Added {
    fn note(&self, time: Duration) {
        self.ns.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn mean_ms(&self) -> f64 {
        self.ns.load(Ordering::Relaxed) as f64 / 1e6 / self.calls.load(Ordering::Relaxed).max(1) as f64
    }
}

/// Something whose calls take longer.
struct Late<T: ?Sized> {
    inner: Arc<T>,
    by: Duration,
    added: Arc<Added>,
    delay: tokio::sync::Mutex<LazyDelay>,
}

impl<T: ?Sized> Late<T> {
    fn new(inner: Arc<T>, by: Duration, added: &Arc<Added>) -> Self {
        Self { inner, by, added: Arc::clone(added), delay: tokio::sync::Mutex::default() }
    }

    async fn wait(&self) -> Result<(), DelayError> {
        let begun = Instant::now();
        self.delay.lock().await.wait(self.by).await?;
        self.added.note(begun.elapsed());
        Ok(())
    }
}

struct LateStore(Late<dyn DeliveryStore>);

impl LateStore {
    async fn applied(&self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        self.0.wait().await.map_err(|error| StoreError::Unusable(error.to_string()))?;
        self.0.inner.apply(fold, origin).await
    }
}

impl std::ops::Deref for LateStore {
    type Target = Late<dyn DeliveryStore>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

store!(LateStore);

struct LateView(Late<dyn StatusView>);

#[async_trait]
impl StatusView for LateView {
    async fn put_if_newer(&self, entry: &StatusEntry) -> Result<Put, ViewError> {
        self.0.wait().await.map_err(|error| ViewError::Unusable(error.to_string()))?;
        self.0.inner.put_if_newer(entry).await
    }

    async fn get(&self, order_ids: &[OrderId]) -> Result<Vec<Option<StatusEntry>>, ViewError> {
        self.0.inner.get(order_ids).await
    }

    async fn clear(&self) -> Result<(), ViewError> {
        self.0.inner.clear().await
    }
}

/// Brokers that hold answers back, until dropped.
struct Held<'a> {
    stack: &'a EmbeddedStack,
    before: (u64, Duration),
}

impl<'a> Held<'a> {
    fn start(stack: &'a EmbeddedStack, place: Option<DosedPlace>, by: Duration) -> Self {
        let answers = match place {
            Some(DosedPlace::Ack) => Some(Answers::Produce),
            Some(DosedPlace::Fetch) => Some(Answers::Fetch),
            Some(DosedPlace::Commit) => Some(Answers::OffsetCommit),
            _ => None,
        };
        let held = Self { stack, before: stack.held_back() };
        if let Some(answers) = answers {
            stack.delay_answers(answers, by);
        }
        held
    }

    /// How long an answer was held back, in the mean, in ms.
    fn stop(self) -> f64 {
        let (answers, time) = self.stack.held_back();
        let answers = answers.saturating_sub(self.before.0).max(1);
        time.saturating_sub(self.before.1).as_secs_f64() * 1e3 / answers as f64
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.stack.delay_answers(Answers::All, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trials of so many rounds in which a part of what is added comes out, some of it elsewhere.
    fn trials(comes_out: f64, elsewhere: f64) -> Vec<DoseTrial> {
        let mut ran = Vec::new();
        for round in 1..=8 {
            let noise = 1.0 + 0.01 * f64::from(round % 3);
            let none = StageMedians { sender: 0.1, ack: 1.0, fetch: 0.3, store: 0.5, view: 0.2 };
            let none = StageMedians { store: none.store * noise, ..none };
            let trial = |place, dose, added_ms, stages_ms| {
                let lag_records = if place == Some(DosedPlace::Commit) { 4.0 + 10.0 * dose } else { 4.0 };
                DoseTrial { round, place, dose, added_ms, stages_ms, lag_records }
            };
            ran.push(trial(None, 0.0, 0.0, none));
            for place in PLACES {
                for dose in DOSES {
                    let added = dose * 20.0;
                    let (here, there) = (added * comes_out, added * elsewhere);
                    let mut stages = none;
                    match place {
                        DosedPlace::Sender => stages.sender += here,
                        DosedPlace::Ack => stages.ack += here,
                        DosedPlace::Fetch => stages.fetch += here,
                        DosedPlace::Store => stages.store += here * noise,
                        DosedPlace::View => stages.view += here,
                        DosedPlace::Commit => {}
                    }
                    if place == DosedPlace::View {
                        stages.store += there;
                    }
                    ran.push(trial(Some(place), dose, added, stages));
                }
            }
        }
        ran
    }

    #[test]
    fn what_is_added_comes_out_where_it_was_added() {
        let sound = responses(&trials(1.0, 0.0));
        assert!(passed(&sound), "{sound:?}");
        assert!(sound[0].slope.is_some_and(|slope| (slope - 1.0).abs() < 1e-9), "{sound:?}");
        assert_eq!((sound[3].intervals, sound[5].slope, sound[5].lag_records[3]), (6, None, 6.0));
    }

    #[test]
    fn a_part_of_it_or_another_place_is_not_enough() {
        assert!(!passed(&responses(&trials(0.8, 0.0))), "a fifth is lost");
        let astray = responses(&trials(1.0, 1.5));
        assert!(!passed(&astray) && astray[4].attributed_to == DosedPlace::Store, "{astray:?}");
    }
}
