//! Gathers, from the running system, what the checks of truth look at, and gives it to them piece by piece: no trial is held twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use payment_delivery::consumer::mode::dead_letter::origin_and_reason;
use payment_delivery::consumer::{Mode, dead_letter_topic};
use payment_delivery::event::{OrderId, PaymentEvent, Revision};
use payment_delivery::kafka::fetch::read_each;
use payment_delivery::kafka::{Fetched, Origin};

use super::inject::Extra;
use super::process::WorkerReports;
use super::service::{self, Client};
use crate::error::RunError;
use crate::measure::commits::CommitSamples;
use crate::measure::timeline::{Event, PhaseId, Taken, Timeline};
use crate::record::{SeenBy, Verification};
use crate::stats::Durations;
use crate::verify::{
    Checker, ContentDigest, DeadLetter, Logged, ParkWrite, PartitionEnd, PartitionsAdded, RowWrite, Rules,
    Seen, Sent,
};
use crate::workspace::{Counted, CountedPark, CountedWrite, RunWorkspace, TrialWorkspace};

/// How long reading one partition's whole log may take.
const SCAN_TIMEOUT: Duration = Duration::from_secs(600);

/// Clocks of two processes of one machine are taken to agree so far.
const CLOCKS_AGREE: Duration = Duration::from_millis(5);

/// What else is known of a trial, beside what its timeline and the stack tell.
pub(super) struct Known<'a> {
    /// Injected events.
    pub(super) extra: &'a [Extra],
    /// What a worker process left behind; none where consumers ran in this one.
    pub(super) reports: Option<&'a WorkerReports>,
    /// What the group had committed when.
    pub(super) commits: &'a CommitSamples,
    /// The REST API, where events came in by it.
    pub(super) api: Option<&'a Client>,
    /// Whether records have their order id as key.
    pub(super) keyed: bool,
    /// Whether the view was killed on purpose: it comes back empty, and is filled again from the rows where it is asked.
    pub(super) view_emptied: bool,
    /// When the topic got more partitions.
    pub(super) partitions_added: Option<PartitionsAdded>,
    /// How consumers work through their events.
    pub(super) mode: Mode,
}

/// What the evidence comes to.
pub(super) struct Checked {
    pub(super) verification: Verification,
    /// row written − due of each phase's events, by the database's clock.
    pub(super) written: BTreeMap<PhaseId, Durations>,
    /// By what events were seen to be done, of a worker that doesn't tell.
    pub(super) seen_by: Option<SeenBy>,
}

/// Reads rows, view and log, asks the API and the database's own count of writes, and checks all that against what was sent and what
/// consumers reported.
///
/// Must be called when the consumers have stopped.
pub(super) async fn check(
    site: &RunWorkspace,
    trial: &TrialWorkspace,
    timeline: &Arc<Timeline>,
    known: Known<'_>,
) -> Result<Checked, RunError> {
    let outside = known.reports.is_some_and(|reports| reports.taken.is_none());
    let view_evicted = trial.evicted().await?;
    let Known { keyed, view_emptied, partitions_added, mode, .. } = known;
    let folds = mode != Mode::Record;
    let rules =
        Rules { keyed, outside, view_evicted, view_emptied, partitions_added, folds, ..Rules::default() };
    let mut checker = sent(rules, timeline, &known).await?;
    known
        .extra
        .iter()
        .filter(|extra| extra.poison)
        .for_each(|extra| checker.expect_dead_letter(extra.origin));
    // The view before the API, which fills from the row what the view lacks.
    rows_and_view(site, trial, &mut checker).await?;
    if let Some(client) = known.api {
        let orders = checker.orders();
        checker.api(service::ask(client, &orders).await?);
    }
    let ends = ends(site, trial).await?;
    for end in &ends {
        let log = |fetched: Fetched| {
            let event = PaymentEvent::decode(fetched.message.value.as_deref()).ok();
            let key = fetched.message.key.as_deref();
            checker.log(&Logged { origin: fetched.origin, key, event: event.as_ref() });
        };
        scan(trial, &trial.topic, end, log).await?;
        checker.end(*end);
    }
    match known.reports {
        None => deliveries(timeline, &mut checker),
        Some(WorkerReports { taken, .. }) => {
            taken.iter().flatten().for_each(|taken| reported(taken, &mut checker));
        }
    }
    // A realtime clock that was set meanwhile says nothing of when something was done in another process.
    let steady = timeline.clock().realtime_moved_by() <= CLOCKS_AGREE;
    let by_commit = trial.rows.keeps_commit_times().await?;
    let reports = known.reports.filter(|_| outside);
    let mut seen_by = reports.map(|reports| match reports.view_late_by {
        Some(_) => SeenBy::View,
        None if by_commit => SeenBy::Rows,
        None => SeenBy::Offsets,
    });
    let rows_say = seen_by == Some(SeenBy::Rows);
    let written = counted(trial, timeline, known.commits, steady, by_commit, rows_say, &mut checker).await?;
    if rows_say && written.is_empty() {
        seen_by = Some(SeenBy::Offsets); // clocks could not be compared
    }
    if !outside && (steady || known.reports.is_none()) {
        shown(timeline, known.commits, &mut checker);
    }
    for parked in site.store().parked().await? {
        checker.parked(parked);
    }
    dead_letters(site, trial, &mut checker).await?;
    // Seconds of computing for a large trial: not on a thread that others wait for.
    let verification = computed(move || checker.finish()).await?;
    Ok(Checked { verification, written, seen_by })
}

async fn computed<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RunError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| RunError::Load(format!("the checker panicked: {error}")))
}

/// Every event handed to the producer, with its outcome.
async fn sent(rules: Rules, timeline: &Arc<Timeline>, known: &Known<'_>) -> Result<Checker, RunError> {
    let (timeline, extra) = (Arc::clone(timeline), known.extra.to_vec());
    computed(move || {
        let planned = || timeline.phases().flat_map(|phase| timeline.range(phase));
        let planned = || planned().filter(|index| timeline.passed(*index).sent.is_some());
        let names = planned().map(|index| {
            let event = timeline.planned(index);
            (event.order_id, event.revision)
        });
        let mut checker =
            Checker::new(rules, names.chain(extra.iter().map(|extra| (&extra.order_id, extra.revision))));
        for index in planned() {
            let event = timeline.planned(index);
            let content = ContentDigest::of_event(&timeline.payment(index));
            let (order_id, revision) = (event.order_id, event.revision);
            checker.sent(&Sent { order_id, revision, acked: timeline.origin(index), content });
        }
        for Extra { order_id, revision, origin, content, poison: _ } in &extra {
            checker.sent(&Sent { order_id, revision: *revision, acked: Some(*origin), content: *content });
        }
        checker
    })
    .await
}

/// Rows page by page, and what the view shows for each; then what it shows for orders without a row.
async fn rows_and_view(
    site: &RunWorkspace,
    trial: &TrialWorkspace,
    checker: &mut Checker,
) -> Result<(), RunError> {
    let mut after: Option<OrderId> = None;
    loop {
        let rows = site.store().deliveries_after(after.as_ref()).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.order_id.clone());
        rows.iter().for_each(|row| checker.row(row));
        view(trial, rows.iter().map(|row| row.order_id.clone()).collect(), checker).await?;
    }
    view(trial, checker.orders_without_view(), checker).await
}

async fn view(trial: &TrialWorkspace, orders: Vec<OrderId>, checker: &mut Checker) -> Result<(), RunError> {
    for orders in orders.chunks(10_000) {
        let shown = trial.view().get(orders).await?;
        orders.iter().zip(&shown).for_each(|(id, entry)| checker.view(id, entry.as_ref()));
    }
    Ok(())
}

/// What consumers of this process took in hand.
fn deliveries(timeline: &Timeline, checker: &mut Checker) {
    let names = timeline.consumer_names();
    timeline.read_journal(|journal| {
        for delivery in journal.deliveries.iter() {
            let (order_id, revision): (&OrderId, Revision) = match delivery.event {
                Event::Planned(index) => {
                    let planned = timeline.planned(index as usize);
                    (planned.order_id, planned.revision)
                }
                Event::Unplanned(place) => {
                    let (order_id, revision) = &journal.unplanned[place as usize];
                    (order_id, *revision)
                }
            };
            let consumer = &names[delivery.consumer as usize];
            checker.delivery(&Seen { order_id: Some(order_id), revision, origin: delivery.origin, consumer });
        }
    });
}

/// What a consumer of another process says that it took in hand: the place, and the revision that it found there.
fn reported(taken: &Taken, checker: &mut Checker) {
    let Taken { origin, revision, consumer, .. } = taken;
    checker.delivery(&Seen { order_id: None, revision: *revision, origin: *origin, consumer });
}

/// What the database counted: each write of a row, and each event that was parked. Tells how long after its event was due each write came,
/// where clocks can be compared; where the `rows_say`, the timeline hears of it.
async fn counted(
    trial: &TrialWorkspace,
    timeline: &Timeline,
    commits: &CommitSamples,
    steady: bool,
    by_commit: bool,
    rows_say: bool,
    checker: &mut Checker,
) -> Result<BTreeMap<PhaseId, Durations>, RunError> {
    let clock = timeline.clock();
    let (begun, ended) = (trial.clock_offset, trial.rows.clock_offset().await?);
    let moved = Duration::from_nanos(ended.ahead_ns.abs_diff(begun.ahead_ns));
    let steady = steady && moved <= CLOCKS_AGREE + begun.within + ended.within;
    let ahead_ns = begun.ahead_ns.midpoint(ended.ahead_ns);
    let agree_ns = (CLOCKS_AGREE + moved + begun.within.max(ended.within)).as_nanos() as i64;
    let (mut compared, mut is_whole) = (0, false);
    let mut written: BTreeMap<PhaseId, Durations> = BTreeMap::new();
    let counted = |counted| match counted {
        Counted::Mark => is_whole = true,
        Counted::Park(CountedPark { order_id, first, last, origin, content }) => {
            checker.park(&ParkWrite { order_id: &order_id, first, last, origin, content });
        }
        Counted::Write(CountedWrite { order_id, before, revision, origin, content, unix_ns }) => {
            // By the places where the log has its events, not by the one that the worker names.
            let places = checker.places(&order_id, before, revision).into_iter();
            let committed_ns = places.filter_map(|place| commits.passed_ns(place)).min();
            let committed_ns = committed_ns.filter(|_| steady);
            compared += u64::from(committed_ns.is_some());
            let written_ns = clock.of_unix_ns(unix_ns - ahead_ns);
            // A fold, or a parked run, came with its last event. A revision that was not planned brings nothing that was.
            let planned = steady && timeline.due(&order_id, revision).is_some();
            for brought in (before.saturating_add(1)..=revision).filter(|_| planned) {
                let Some((phase, due_ns)) = timeline.due(&order_id, brought) else { continue };
                written.entry(phase).or_default().record(written_ns - due_ns as i64);
                if rows_say {
                    timeline.seen_in_row(&order_id, brought, u64::try_from(written_ns).unwrap_or(0));
                }
            }
            let after_ns = committed_ns.map(|committed_ns| written_ns - committed_ns as i64);
            let after_commit = after_ns.filter(|after_ns| *after_ns > agree_ns);
            let after_commit = after_commit.map(|after_ns| Duration::from_nanos(after_ns.unsigned_abs()));
            checker.write(&RowWrite { order_id: &order_id, before, revision, origin, content, after_commit });
        }
    };
    trial.rows.each_counted(by_commit, counted).await?;
    if steady {
        checker.offsets_compared(compared);
    }
    if !is_whole {
        checker.count_lost();
    }
    Ok(written)
}

/// What consumers reported visible, beside when its offset was seen committed.
fn shown(timeline: &Timeline, commits: &CommitSamples, checker: &mut Checker) {
    for index in timeline.phases().flat_map(|phase| timeline.range(phase)) {
        let (Some(origin), Some(visible_ns)) = (timeline.origin(index), timeline.passed(index).visible)
        else {
            continue;
        };
        let Some(committed_ns) = commits.passed_ns(origin) else { continue };
        let after = Duration::from_nanos(visible_ns.saturating_sub(committed_ns));
        if after > CLOCKS_AGREE {
            let event = timeline.planned(index);
            checker.visible_after_commit(event.order_id, event.revision, origin, after);
        }
    }
}

/// Where each partition begins and ends, and what the group has committed of it.
async fn ends(site: &RunWorkspace, trial: &TrialWorkspace) -> Result<Vec<PartitionEnd>, RunError> {
    let committed = site.admin.group_offsets(&trial.group, &trial.topic).await?;
    let ends = extents(site, &trial.topic).await?.into_iter();
    Ok(ends.map(|end| PartitionEnd { committed: committed.get(&end.partition).copied(), ..end }).collect())
}

async fn extents(site: &RunWorkspace, topic: &str) -> Result<Vec<PartitionEnd>, RunError> {
    let (starts, ends) = (site.admin.start_offsets(topic).await?, site.admin.end_offsets(topic).await?);
    let extent = |(partition, end)| {
        let start = starts.get(&partition).copied().unwrap_or(0);
        PartitionEnd { partition, start, end, committed: None }
    };
    Ok(ends.into_iter().map(extent).collect())
}

/// Every record of a partition, from its start to its end.
async fn scan(
    trial: &TrialWorkspace,
    topic: &str,
    end: &PartitionEnd,
    each: impl FnMut(Fetched) + Send,
) -> Result<(), RunError> {
    if end.start < end.end {
        let range = end.start..end.end;
        read_each(&trial.bootstrap, topic, end.partition, range, SCAN_TIMEOUT, each).await?;
    }
    Ok(())
}

async fn dead_letters(
    site: &RunWorkspace,
    trial: &TrialWorkspace,
    checker: &mut Checker,
) -> Result<(), RunError> {
    let topic = dead_letter_topic(&trial.topic);
    for end in extents(site, &topic).await? {
        let each = |letter: Fetched| {
            let unreadable =
                || (Origin { partition: -1, offset: -1 }, "a dead letter without our headers".to_owned());
            let (origin, reason) = origin_and_reason(&letter).unwrap_or_else(unreadable);
            checker.dead_letter(DeadLetter { origin, reason });
        };
        scan(trial, &topic, &end, each).await?;
    }
    Ok(())
}
