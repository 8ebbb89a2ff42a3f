//! The checks of truth over what a sound trial leaves behind.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::num::NonZeroU32;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use lanebench::record::Verification;
use lanebench::verify::{Checker, ContentDigest, Logged, RowWrite, Rules, Seen, Sent};
use lanebench::workload::Plan;
use payment_delivery::delivery::{Delivery, Status};
use payment_delivery::event::{OrderId, PaymentEvent};
use payment_delivery::kafka::Origin;
use payment_delivery::kafka::partitioner::partition_for_key;

use crate::MANY;
use crate::codec::spec;
use crate::support::Session;

const PARTITIONS: NonZeroU32 = NonZeroU32::new(3).expect("not zero");

pub(crate) fn bench(criterion: &mut Criterion, session: &Session) {
    let trial = Trial::new();
    let verified = trial.verify();
    assert!(verified.passed && verified.applied == MANY as u64, "{:?}", verified.findings);
    let mut group = criterion.benchmark_group("checkers");
    group.throughput(Throughput::Elements(MANY as u64)).sampling_mode(SamplingMode::Flat);
    session.bench(&mut group, BenchmarkId::from_parameter("verify"), |b| {
        b.iter(|| black_box(&trial).verify());
    });
    group.finish();
}

/// Three partitions and a consumer each; every event applied once.
struct Trial {
    /// By partition and offset.
    log: Vec<(Origin, PaymentEvent, ContentDigest)>,
    rows: Vec<Delivery>,
}

impl Trial {
    fn new() -> Self {
        let plan = Plan::backlog(&spec(), MANY).expect("a valid plan");
        let mut ends = [0; 3];
        let mut log = Vec::with_capacity(MANY);
        let mut rows: BTreeMap<OrderId, Delivery> = BTreeMap::new();
        for index in 0..plan.events.len() {
            let partition = partition_for_key(plan.order_id(index).as_str().as_bytes(), PARTITIONS);
            let end = &mut ends[partition as usize];
            let origin = Origin { partition, offset: *end };
            *end += 1;
            let event = plan.payment(index);
            let row = Delivery {
                order_id: event.order_id.clone(),
                revision: event.revision,
                applied: event.revision,
                status: Status::at(event.revision),
                amount_minor: event.amount_minor,
                currency: event.currency.clone(),
                address: event.address.clone(),
                origin,
            };
            rows.insert(event.order_id.clone(), row);
            let content = ContentDigest::of_event(&event);
            log.push((origin, event, content));
        }
        log.sort_by_key(|(origin, ..)| *origin);
        Self { log, rows: rows.into_values().collect() }
    }

    fn verify(&self) -> Verification {
        let rules = Rules { keyed: true, ..Rules::default() };
        let mut checker =
            Checker::new(rules, self.log.iter().map(|(_, event, _)| (&event.order_id, event.revision)));
        for (origin, event, content) in &self.log {
            let (order_id, revision) = (&event.order_id, event.revision);
            checker.sent(&Sent { order_id, revision, acked: Some(*origin), content: *content });
        }
        for row in &self.rows {
            checker.row(row);
            checker.view(&row.order_id, Some(&row.status_entry()));
        }
        for (origin, event, _) in &self.log {
            let key = Some(event.order_id.as_str().as_bytes());
            checker.log(&Logged { origin: *origin, key, event: Some(event) });
        }
        for (origin, event, content) in &self.log {
            let (order_id, revision) = (&event.order_id, event.revision);
            let consumer = ["consumer-0", "consumer-1", "consumer-2"][origin.partition as usize];
            checker.delivery(&Seen { order_id: Some(order_id), revision, origin: *origin, consumer });
            checker.write(&RowWrite {
                order_id,
                before: revision - 1,
                revision,
                origin: *origin,
                content: *content,
                after_commit: None,
            });
        }
        checker.finish()
    }
}
