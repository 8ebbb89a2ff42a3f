use super::*;
use lanebench_workload::{Keys, PlanSpec};
use payment_delivery::failure::Component;
use payment_delivery::probe::{Activity, Probe, Seen};
use proptest::prelude::*;
use std::time::Duration;

const SEC: u64 = 1_000_000_000;

fn plan(prefix: &str, events_per_order: u32, due_ns: &[u64]) -> Arc<Plan> {
    let spec = PlanSpec { prefix, events_per_order, keys: Keys::Uniform, value_bytes: 0, seed: 1 };
    Arc::new(Plan::new(&spec, due_ns).unwrap())
}

/// One phase `d` of a single order with `events` events, all due at once.
fn one_order(events: u32) -> (Timeline, OrderId) {
    let plan = plan("d", events, &vec![0; events as usize]);
    let order = plan.orders[0].clone();
    (timeline([("drain", plan)]), order)
}

/// A timeline of these phases, whose events all lie in partition 0.
fn timeline<const N: usize>(phases: [(&str, Arc<Plan>); N]) -> Timeline {
    let timeline = Timeline::new(Clock::start(), |_| Some(0));
    for (name, plan) in phases {
        timeline.add_phase(name, Due::Planned, plan).unwrap();
    }
    timeline
}

fn at(partition: i32, offset: i64) -> Origin {
    Origin { partition, offset }
}

fn seen(order_id: &OrderId, revision: Revision) -> Seen<'_> {
    Seen { consumer: "c0", order_id, revision, origin: at(0, i64::from(revision) - 1) }
}

fn visible(timeline: &Timeline) -> Vec<bool> {
    let all = timeline.phases().flat_map(|phase| timeline.range(phase));
    all.map(|index| timeline.passed(index).visible.is_some()).collect()
}

#[test]
fn what_is_acknowledged_at_no_place_of_a_trials_topic_is_not_acknowledged() {
    let (timeline, _) = one_order(1);
    let phase = timeline.phase("drain").unwrap();
    for nowhere in [at(0, -1), at(0, i64::from(u32::MAX)), at(-1, 0), at(i32::from(u16::MAX), 0)] {
        timeline.acked(0, nowhere);
        assert_eq!((timeline.passed(0).acked, timeline.acked_count(phase)), (None, 0), "{nowhere}");
    }
    let last = at(i32::from(u16::MAX) - 1, i64::from(u32::MAX) - 1);
    timeline.acked(0, last);
    assert_eq!((timeline.origin(0), timeline.acked_count(phase)), (Some(last), 1));
}

#[test]
fn an_event_passes_its_gates_and_the_first_pass_counts() {
    let plan = plan("s", 5, &[0, 1_000, 2_000]);
    let order = plan.order_id(2).clone();
    let revision = plan.events[2].revision;
    let timeline = timeline([("steady", plan)]);
    let phase = timeline.phase("steady").unwrap();
    assert_eq!(timeline.phase("surge"), None);
    assert_eq!(timeline.passed(2), EventTimes::default());

    timeline.start_phase(phase, 5);
    timeline.start_phase(phase, 99);
    timeline.sent(2);
    assert_eq!(timeline.origin(2), None);
    timeline.acked(2, at(1, 7));
    timeline.acked(2, at(1, 8));
    let seen = Seen { consumer: "c0", order_id: &order, revision, origin: at(1, 7) };
    timeline.fetched(seen);
    timeline.stored(seen);
    timeline.visible(seen, revision);
    let once = timeline.passed(2);
    timeline.fetched(seen);
    timeline.stored(seen);
    timeline.visible(seen, revision);
    assert_eq!(timeline.passed(2), once, "a redelivery moves no milestone");
    assert_eq!(once.due, Some(2_005));
    let milestones = [once.sent, once.acked, once.fetched, once.stored, once.visible];
    assert!(milestones.iter().all(Option::is_some) && milestones.is_sorted(), "{once:?}");
    assert_eq!(timeline.origin(2), Some(at(1, 7)));
    assert_eq!((timeline.acked_count(phase), timeline.partition_events(phase)), (1, [(1, 1)].into()));

    let journal = timeline.journal();
    assert_eq!(journal.deliveries.len(), 2, "and the journal has both");
    assert!(journal.deliveries.iter().all(|d| d.event == Event::Planned(2) && d.origin == at(1, 7)));
    assert_eq!(journal.consumers, ["c0"]);
}

#[test]
fn a_later_revision_makes_the_earlier_ones_visible_and_each_counts_once() {
    let (timeline, order) = one_order(4);
    let phase = timeline.phase("drain").unwrap();
    timeline.visible(seen(&order, 3), 3);
    assert_eq!(visible(&timeline), [true, true, true, false]);
    timeline.visible(seen(&order, 1), 3);
    timeline.visible(seen(&order, 2), 2);
    assert_eq!(timeline.visible_count(phase), 3);
    assert_eq!(timeline.last_visible_ns(phase), None);
    timeline.visible(seen(&order, 4), 4);
    assert_eq!(timeline.visible_count(phase), 4);
    let times: Vec<_> = (0..4).map(|index| timeline.passed(index).visible.unwrap()).collect();
    assert!(times[0] == times[2] && times[2] < times[3], "{times:?}");
    assert_eq!(timeline.last_visible_ns(phase), Some(times[3]));
    let work = timeline.consumer_work(phase);
    assert_eq!((work.len(), work[0].events, work[0].last_visible_ns), (1, 4, times[3]));
}

#[test]
fn a_parked_run_is_stored_with_what_completes_it() {
    let (timeline, order) = one_order(3);
    for revision in [2, 3] {
        timeline.fetched(seen(&order, revision));
        timeline.parked(seen(&order, revision));
    }
    timeline.fetched(seen(&order, 1));
    timeline.stored(seen(&order, 1));
    timeline.visible(seen(&order, 1), 3);
    let stored: Vec<_> = (0..3).map(|index| timeline.passed(index).stored.unwrap()).collect();
    assert!(stored.iter().all(|at| *at == stored[0]));
    assert_eq!(visible(&timeline), [true; 3]);
    assert_eq!(timeline.journal().parked.len(), 2);
}

#[test]
fn what_no_plan_holds_is_kept_by_name() {
    let (timeline, order) = one_order(1);
    let stranger = OrderId::new("stranger").unwrap();
    timeline.fetched(seen(&stranger, 1));
    timeline.fetched(seen(&order, 1));
    timeline.fetched(seen(&order, 2));
    timeline.stored(seen(&stranger, 1));
    timeline.visible(seen(&stranger, 1), 1);
    let journal = timeline.journal();
    let events: Vec<Event> = journal.deliveries.iter().map(|d| d.event).collect();
    assert_eq!(events, [Event::Unplanned(0), Event::Planned(0), Event::Unplanned(1)]);
    assert_eq!(journal.unplanned, [(stranger, 1), (order, 2)]);
}

#[test]
fn phases_may_not_share_an_order() {
    let timeline = timeline([("drain", plan("d", 1, &[0]))]);
    let error = timeline.add_phase("steady", Due::Planned, plan("d", 1, &[0])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "order d-000000 is in phase `steady` and in an earlier one: give each phase a prefix of its own"
    );
}

#[test]
fn a_timeline_has_an_end() {
    let timeline = timeline([]);
    for number in 0..PHASES_MAX {
        timeline
            .add_phase(&format!("p{number}"), Due::Planned, plan(&format!("p{number}"), 1, &[0]))
            .unwrap();
    }
    let error = timeline.add_phase("more", Due::Planned, plan("more", 1, &[0])).unwrap_err();
    assert_eq!(error.to_string(), "phase `more` is one too many: a trial has at most 32");
}

#[test]
fn events_are_found_over_several_phases() {
    let timeline = timeline([("a", plan("a", 3, &[0; 10])), ("b", plan("b", 2, &[0; 7]))]);
    let b = timeline.phase("b").unwrap();
    assert_eq!(timeline.range(b), 10..17);
    for index in 0..17 {
        let event = timeline.planned(index);
        assert_eq!(timeline.index_of(event.order_id, event.revision), Some(index));
        assert_eq!(event.order_id.as_str().starts_with('a'), index < 10);
    }
    let order = timeline.planned(0).order_id;
    assert_eq!((timeline.index_of(order, 0), timeline.index_of(order, 99)), (None, None));
}

#[test]
fn stages_are_signed_and_what_is_not_visible_is_counted() {
    let plan = plan("s", 1, &[0, 0]);
    let order = plan.order_id(0).clone();
    let timeline = timeline([("steady", plan)]);
    let phase = timeline.phase("steady").unwrap();
    timeline.start_phase(phase, SEC * 1_000);
    timeline.sent(0);
    // A consumer may be faster than the acknowledgement.
    timeline.fetched(seen(&order, 1));
    timeline.acked(0, at(0, 0));
    timeline.visible(seen(&order, 1), 1);
    let [first, second] = timeline.events(phase).collect::<Vec<_>>().try_into().unwrap();
    let signs = |ns: [Option<i64>; 4]| ns.map(|ns| ns.map(i64::signum));
    let times = [first.send_delay_ns(), first.ack_ns(), first.wait_ns(), first.response_ns()];
    assert_eq!(signs(times), [Some(-1), Some(1), Some(-1), Some(-1)], "{first:?}");
    assert_eq!((second.response_ns(), second.visible), (None, None));
}

#[test]
fn time_before_a_snapshot_does_not_count_after_it() {
    let (timeline, _) = one_order(1);
    timeline.spent("c0", Activity::Store, Duration::from_nanos(10));
    let before = timeline.spent_snapshot();
    assert_eq!(before.get("c0", Activity::Store), Duration::from_nanos(10));
    // Consumers were held back for an hour; all but what follows the snapshot is cut off.
    timeline.spent("c0", Activity::Idle, Duration::from_secs(3600));
    timeline.spent("c1", Activity::View, Duration::from_nanos(1));
    let spent = timeline.spent_snapshot().since(&before);
    assert_eq!(spent.get("c0", Activity::Store), Duration::ZERO);
    assert!(spent.get("c0", Activity::Idle) < Duration::from_secs(60));
    assert_eq!(spent.get("c1", Activity::View), Duration::from_nanos(1));
    assert_eq!(spent.iter().map(|(consumer, _)| consumer).collect::<Vec<_>>(), ["c0", "c1"]);
}

#[test]
fn retries_are_counted_and_only_the_last_error_is_kept() {
    let (timeline, _) = one_order(1);
    for error in ["refused", "refused", "timed out"] {
        timeline.retried("c0", Component::Store, error);
    }
    timeline.committed("c0", 2, 17);
    timeline.skipped("c0", 2, 3, 5);
    timeline.dead_lettered("c0", at(1, 4), "not JSON");
    let journal = timeline.journal();
    assert_eq!(journal.retries[&(0, Component::Store)], Retries { count: 3, last_error: "timed out".into() });
    assert_eq!((journal.commits[0].partition, journal.commits[0].next_offset), (2, 17));
    assert_eq!(journal.skipped, [Skipped { consumer: 0, partition: 2, from: 3, to: 5 }]);
    assert_eq!(
        (journal.dead_letters[0].origin, journal.dead_letters[0].reason.as_str()),
        (at(1, 4), "not JSON")
    );
}

#[test]
fn lag_in_time_follows_the_oldest_event_of_each_partition() {
    // Orders alternate between two partitions by the parity of their number.
    let parity = |order: &OrderId| Some(i32::from(order.as_str().as_bytes()[7] - b'0') % 2);
    let plan = plan("s", 1, &[0, SEC, 2 * SEC, 3 * SEC]);
    let of = |p: i32| -> Vec<usize> { (0..4).filter(|&i| parity(plan.order_id(i)) == Some(p)).collect() };
    let (zero, one) = (of(0), of(1));
    let later = self::plan("u", 1, &[0]);
    let timeline = Arc::new(Timeline::new(Clock::start(), parity));
    timeline.add_phase("steady", Due::Planned, plan.clone()).unwrap();
    timeline.add_phase("surge", Due::Planned, later).unwrap();
    let mut oldest = OldestNotVisible::new(timeline.clone());
    assert_eq!(oldest.lag_ns(0, 9 * SEC), 0, "nothing is due before the phase starts");
    timeline.start_phase(timeline.phase("steady").unwrap(), 10 * SEC);
    let due = |index: usize| 10 * SEC + plan.events[index].due_ns;
    let show = |index: usize| {
        let revision = plan.events[index].revision;
        timeline.visible(seen(plan.order_id(index), revision), revision);
    };
    let now = 20 * SEC;
    for (partition, events) in [(0, zero), (1, one)] {
        for index in events {
            assert_eq!(oldest.lag_ns(partition, due(index)), 0);
            assert_eq!(oldest.lag_ns(partition, now), now - due(index));
            show(index);
        }
        assert_eq!(oldest.lag_ns(partition, now), 0);
    }
    timeline.start_phase(timeline.phase("surge").unwrap(), 30 * SEC);
    let lags = [0, 1].map(|partition| oldest.lag_ns(partition, 31 * SEC));
    assert!(lags.contains(&SEC) && lags.contains(&0), "{lags:?}");
}

#[test]
fn an_event_is_missed_where_it_lies_and_not_where_it_was_to_go() {
    let plan = plan("s", 1, &[0, SEC, 2 * SEC]);
    let timeline = Arc::new(Timeline::new(Clock::start(), |_| Some(0)));
    let phase = timeline.add_phase("steady", Due::Planned, Arc::clone(&plan)).unwrap();
    timeline.start_phase(phase, 0);
    let mut oldest = OldestNotVisible::new(timeline.clone());
    // Partition 1 is there, and nothing is known to lie in it.
    assert_eq!(oldest.lag_ns(1, 10 * SEC), 0);
    timeline.acked(0, Origin { partition: 0, offset: 0 });
    timeline.acked(1, Origin { partition: 1, offset: 0 });
    assert_eq!([0, 1].map(|partition| oldest.lag_ns(partition, 10 * SEC)), [10 * SEC, 9 * SEC]);
    timeline.visible(seen(plan.order_id(1), 1), 1);
    timeline.acked(2, Origin { partition: 1, offset: 1 });
    assert_eq!([0, 1].map(|partition| oldest.lag_ns(partition, 10 * SEC)), [10 * SEC, 8 * SEC]);
}

#[tokio::test]
async fn waiting_ends_when_all_is_visible_or_says_how_far_it_came() {
    let (timeline, order) = one_order(2);
    let timeline = Arc::new(timeline);
    let phase = timeline.phase("drain").unwrap();
    timeline.visible(seen(&order, 1), 1);
    let error = timeline.all_visible(phase, Duration::from_millis(20)).await.unwrap_err().to_string();
    assert_eq!(error, "1 of 2 events of the drain phase were visible after 20ms");
    let waiting = tokio::spawn({
        let timeline = timeline.clone();
        async move { timeline.all_visible(phase, Duration::from_secs(60)).await }
    });
    tokio::task::yield_now().await;
    timeline.visible(seen(&order, 2), 2);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_phase_added_while_another_is_at_work_is_watched_like_it() {
    let (timeline, first) = one_order(1);
    timeline.start_phase(timeline.phase("drain").unwrap(), 0);
    let later = plan("s", 1, &[0, SEC]);
    let steady = timeline.add_phase("steady", Due::Planned, Arc::clone(&later)).unwrap();
    assert_eq!(timeline.range(steady), 1..3);
    timeline.start_phase(steady, 5);
    for order in later.orders.iter().chain([&first]) {
        timeline.visible(seen(order, 1), 1);
    }
    assert_eq!(visible(&timeline), [true; 3]);
    assert_eq!(timeline.passed(2).due, Some(SEC + 5));
}

#[tokio::test]
async fn a_closed_loop_waits_for_what_was_sent_and_its_events_are_due_then() {
    let timeline = Arc::new(Timeline::new(Clock::start(), |_| Some(0)));
    let plan = plan("c", 1, &[0; 4]);
    let phase = timeline.add_phase("sustained", Due::WhenSent, Arc::clone(&plan)).unwrap();
    let mut oldest = OldestNotVisible::new(timeline.clone());
    timeline.start_phase(phase, 0);
    assert_eq!(
        (timeline.passed(0).due, oldest.lag_ns(0, SEC)),
        (None, 0),
        "nothing is sent, so nothing is due"
    );
    let sent = [0, 1].map(|index| timeline.sent(index));
    assert_eq!((timeline.passed(1).due, oldest.lag_ns(0, SEC + sent[0])), (Some(sent[1]), SEC));
    let show = |index: usize| {
        let revision = plan.events[index].revision;
        timeline.visible(seen(plan.order_id(index), revision), revision);
    };
    show(0);
    timeline.offered(phase, 2);
    assert!(timeline.all_visible(phase, Duration::from_millis(10)).await.is_err(), "one of two");
    show(1);
    timeline.all_visible(phase, Duration::from_secs(1)).await.unwrap();
    assert_eq!(oldest.lag_ns(0, SEC * 9), 0, "what will never be sent is no lag");
}

#[tokio::test]
async fn partitions_are_assigned_when_each_has_one_owner_and_every_consumer_its_part() {
    let (timeline, _) = one_order(1);
    let within = Duration::from_millis(10);
    timeline.assigned("c0", &[0, 1, 2]);
    assert!(timeline.all_assigned(2, 3, within).await.is_err(), "c1 has not joined");
    timeline.released("c0", false);
    timeline.assigned("c0", &[0, 1]);
    assert!(timeline.all_assigned(2, 3, within).await.is_err(), "nobody owns partition 2");
    timeline.assigned("c1", &[2]);
    timeline.all_assigned(2, 3, within).await.unwrap();
    timeline.assigned("c2", &[]);
    assert!(timeline.all_assigned(3, 3, within).await.is_err());
    timeline.assigned("c1", &[1, 2]);
    assert!(timeline.all_assigned(2, 3, within).await.is_err(), "partition 1 has two owners");
    assert_eq!(timeline.journal().ownership.len(), 6);
}

proptest! {
    /// However events arrive, an event is visible from the earliest moment at which its revision or a later one was.
    #[test]
    fn visible_is_the_earliest_acknowledgement_of_this_revision_or_a_later_one(
        calls in prop::collection::vec((1u32..=6, 0u32..4), 0..30),
    ) {
        let (timeline, order) = one_order(6);
        let phase = timeline.phase("drain").unwrap();
        let mut expected = [None; 6];
        for (revision, ahead) in calls {
            let in_view = (revision + ahead).min(6);
            let before = timeline.clock.now_ns();
            timeline.visible(seen(&order, revision), in_view);
            for slot in &mut expected[..in_view as usize] {
                slot.get_or_insert((before, timeline.clock.now_ns()));
            }
        }
        for (index, expected) in expected.iter().enumerate() {
            match (timeline.passed(index).visible, expected) {
                (Some(at), Some((from, to))) => prop_assert!((*from..=*to).contains(&at)),
                (got, expected) => prop_assert!(got.is_none() && expected.is_none()),
            }
        }
        prop_assert_eq!(timeline.visible_count(phase), expected.iter().flatten().count());
    }
}

#[test]
fn watching_is_cheap() {
    let events = 30_000;
    let plan = plan("d", 5, &vec![0; events]);
    let timeline = timeline([("drain", plan.clone())]);
    // By this thread's CPU clock: what other programs take does not count.
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    let cpu = || Duration::from(nix::time::clock_gettime(clock).unwrap());
    let begun = cpu();
    for (index, planned) in plan.events.iter().enumerate() {
        let seen = seen(plan.order_id(index), planned.revision);
        timeline.fetched(seen);
        timeline.stored(seen);
        timeline.visible(seen, planned.revision);
        for activity in [Activity::Idle, Activity::Own, Activity::Store, Activity::View] {
            timeline.spent("c0", activity, Duration::from_nanos(1));
        }
    }
    let each_ns = (cpu() - begun).as_nanos() / events as u128;
    println!("watching costs {each_ns} ns an event (debug build: {})", cfg!(debug_assertions));
    // A thirtieth of the fastest commit seen (160 µs), even unoptimised.
    assert!(each_ns < 50_000, "{each_ns} ns");
}
