//! What being measured costs a consumer: all that it tells of an event, to the timeline and to the silent probe.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use lanebench::measure::Clock;
use lanebench::measure::timeline::{Due, Timeline};
use lanebench::workload::Plan;
use payment_delivery::event::OrderId;
use payment_delivery::kafka::Origin;
use payment_delivery::probe::{Activity, Probe, Seen, Worked};

use crate::MANY;
use crate::codec::spec;
use crate::support::Session;

pub(crate) fn bench(criterion: &mut Criterion, session: &Session) {
    let plan = Arc::new(Plan::backlog(&spec(), MANY).expect("a valid plan"));
    let mut group = criterion.benchmark_group("probe");
    group.throughput(Throughput::Elements(MANY as u64));
    session.bench(&mut group, BenchmarkId::from_parameter("timeline"), |b| {
        // A timeline is for one trial, so each iteration has its own, which is made beside the clock.
        b.iter_custom(|iterations| (0..iterations).map(|_| told(&timeline(&plan), &plan)).sum());
    });
    session.bench(&mut group, BenchmarkId::from_parameter("silent"), |b| {
        b.iter_custom(|iterations| (0..iterations).map(|_| told(&(), &plan)).sum());
    });
    group.finish();
}

fn timeline(plan: &Arc<Plan>) -> Timeline {
    let timeline = Timeline::new(Clock::start(), |_| Some(0));
    let phase = timeline.add_phase("drain", Due::Planned, Arc::clone(plan)).expect("one phase");
    timeline.start_phase(phase, 0);
    for index in 0..plan.events.len() {
        timeline.sent(index);
        timeline.acked(index, origin(index));
    }
    timeline
}

/// How long it takes to tell of every event what record mode does.
fn told(probe: &dyn Probe, plan: &Plan) -> Duration {
    let (consumer, spent) = ("consumer-0", Duration::from_micros(7));
    let orders: Vec<&OrderId> = (0..plan.events.len()).map(|index| plan.order_id(index)).collect();
    let begun = Instant::now();
    for (index, order_id) in orders.into_iter().enumerate() {
        let (revision, origin) = (plan.events[index].revision, origin(index));
        let seen = Seen { consumer, order_id, revision, origin };
        let probe = black_box(probe);
        probe.fetched(seen);
        probe.spent(consumer, Activity::Store, spent);
        probe.stored(seen);
        probe.spent(consumer, Activity::View, spent);
        probe.visible(seen, revision);
        probe.spent(consumer, Activity::Own, spent);
        probe.spent(consumer, Activity::Idle, spent);
        probe.worked(Worked { consumer, origin, waited: spent, took: spent });
    }
    begun.elapsed()
}

fn origin(index: usize) -> Origin {
    Origin { partition: 0, offset: index as i64 }
}
