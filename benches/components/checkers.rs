//! The checks of truth over what a sound trial leaves behind.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use lanebench::verify::{Evidence, Logged, Seen, SendOutcome, Sent, verify};
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
    let evidence = evidence();
    let verified = verify(&evidence);
    assert!(verified.passed && verified.applied == MANY as u64, "{:?}", verified.findings);
    let mut group = criterion.benchmark_group("checkers");
    group.throughput(Throughput::Elements(MANY as u64)).sampling_mode(SamplingMode::Flat);
    session.bench(&mut group, BenchmarkId::from_parameter("verify"), |b| {
        b.iter(|| verify(black_box(&evidence)));
    });
    group.finish();
}

/// Three partitions and a consumer each; every event applied once.
fn evidence() -> Evidence {
    let plan = Plan::backlog(&spec(), MANY).expect("a valid plan");
    let consumers: Vec<Arc<str>> = (0..3).map(|n| format!("consumer-{n}").into()).collect();
    let mut evidence = Evidence { keyed: true, ..Evidence::default() };
    let mut ends = [0; 3];
    let mut rows: BTreeMap<OrderId, Delivery> = BTreeMap::new();
    for planned in plan.events {
        let (order_id, revision) = (planned.order_id, planned.revision);
        let partition = partition_for_key(order_id.as_str().as_bytes(), PARTITIONS);
        let end = &mut ends[partition as usize];
        let origin = Origin { partition, offset: *end };
        *end += 1;
        let (key, event) = (Some(order_id.as_str().as_bytes().to_vec()), Some((order_id.clone(), revision)));
        let consumer = Arc::clone(&consumers[partition as usize]);
        evidence.sent.push(Sent {
            order_id: order_id.clone(),
            revision,
            outcome: SendOutcome::Acked(origin),
        });
        evidence.log.push(Logged { origin, key, event });
        evidence.deliveries.push(Seen { order_id: order_id.clone(), revision, origin, consumer });
        let event = PaymentEvent::decode(Some(&planned.value)).expect("a planned event");
        let row = Delivery {
            order_id: order_id.clone(),
            revision,
            applied: revision,
            status: Status::at(revision),
            amount_minor: event.amount_minor,
            currency: event.currency,
            address: event.address,
            origin,
        };
        rows.insert(order_id, row);
    }
    evidence.rows = rows.into_values().collect();
    evidence.view =
        evidence.rows.iter().map(|row| (row.order_id.clone(), Some(row.status_entry()))).collect();
    evidence
}
