//! What `/metrics` tells, by Prometheus' naming: base units, `_total`, `_seconds`.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::consumers::Consumers;
use super::pipeline::Pipeline;
use crate::failure::Component;
use crate::kafka::Origin;
use crate::probe::{Probe, Seen};

/// Upper bounds of the request histogram, seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Partition {
    topic: String,
    partition: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Part {
    part: &'static str,
}

/// What became of a payment, by the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payment {
    /// 202, new.
    Accepted,
    /// 202, the first answer again.
    Replayed,
    /// It breaks a rule, or conflicts with what is known.
    Refused,
    /// It could not be accepted, or not be seen to be, for now.
    Failed,
}

/// Everything that is counted. Consumers that run beside the service report to it as a [`Probe`].
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Histogram, fn() -> Histogram>,
    payments: Family<Outcome, Counter>,
    resent: Counter<u64, AtomicU64>,
    events: Family<Outcome, Counter>,
    retries: Family<Part, Counter>,
    lag: Family<Partition, Gauge<i64, AtomicI64>>,
    end: Family<Partition, Gauge<i64, AtomicI64>>,
    members: Gauge<i64, AtomicI64>,
    up: Family<Part, Gauge<i64, AtomicI64>>,
    retrying: Family<Part, Gauge<i64, AtomicI64>>,
    out_of_order: Counter,
    commits_refused: Counter,
    /// What the consumers of this process are at.
    pub(super) consumers: Consumers,
    /// Events applied or ignored.
    stored: AtomicU64,
    ignored: AtomicU64,
}

impl Metrics {
    /// Nothing counted yet. `version` and `commit` tell the build.
    pub fn new(version: &str, commit: &str) -> Self {
        let mut registry = Registry::with_prefix("payment_delivery");
        let requests = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        let (payments, events, retries) = (Family::default(), Family::default(), Family::default());
        let (lag, end, up) = (Family::default(), Family::default(), Family::default());
        let (resent, members, retrying) = (Counter::default(), Gauge::default(), Family::default());
        let (out_of_order, commits_refused) = (Counter::default(), Counter::default());
        let build = Info::new(vec![
            ("version".to_owned(), version.to_owned()),
            ("commit".to_owned(), commit.to_owned()),
        ]);
        registry.register("build", "Version and commit of the program", build);
        registry.register_with_unit(
            "http_request_duration",
            "How long requests took, by route, method and status",
            Unit::Seconds,
            requests.clone(),
        );
        registry.register("payments", "Payments asked for, by what became of them", payments.clone());
        registry.register("payments_resent", "Payments sent once more", resent.clone());
        registry.register("events", "Events seen by the consumers of this process", events.clone());
        registry.register("retries", "Attempts of these consumers that failed", retries.clone());
        registry.register(
            "retrying",
            "Consumers of this process that try a part again, since an attempt failed and none has succeeded yet",
            retrying.clone(),
        );
        registry.register(
            "events_out_of_order",
            "Events that came before their predecessor and were applied once that had come",
            out_of_order.clone(),
        );
        registry.register(
            "commits_refused",
            "Commits of these consumers that the group did not take",
            commits_refused.clone(),
        );
        registry.register("lag_records", "Records that the group has not committed", lag.clone());
        registry.register("end_offset", "Offset that the partition's next record gets", end.clone());
        registry.register("group_members", "Members of the consumer group", members.clone());
        registry.register("up", "Whether a part of the pipeline answers (1) or not (0)", up.clone());
        let known: [&Family<Outcome, Counter>; 2] = [&payments, &events];
        let outcomes: [&[&'static str]; 2] = [
            &["accepted", "replayed", "refused", "failed"],
            &["applied", "ignored", "parked", "dead_lettered"],
        ];
        for (family, outcomes) in known.iter().zip(outcomes) {
            for outcome in outcomes {
                drop(family.get_or_create(&Outcome { outcome })); // a zero is a figure, too
            }
        }
        let (stored, ignored) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            registry,
            requests,
            payments,
            resent,
            events,
            retries,
            lag,
            end,
            members,
            up,
            retrying,
            out_of_order,
            commits_refused,
            consumers: Consumers::default(),
            stored,
            ignored,
        }
    }

    pub(super) fn request(&self, route: &str, method: &str, status: u16, took: Duration) {
        let label = Request { route: route.to_owned(), method: method.to_owned(), status };
        self.requests.get_or_create(&label).observe(took.as_secs_f64());
    }

    pub(super) fn payment(&self, payment: Payment) {
        let outcome = match payment {
            Payment::Accepted => "accepted",
            Payment::Replayed => "replayed",
            Payment::Refused => "refused",
            Payment::Failed => "failed",
        };
        self.payments.get_or_create(&Outcome { outcome }).inc();
    }

    /// The state of the pipeline at this moment; `None` where it could not be had.
    pub(super) fn pipeline(&self, pipeline: Option<&Pipeline>) {
        self.up("broker", pipeline.is_some());
        // Old values would look like present ones.
        self.lag.clear();
        self.end.clear();
        let Some(pipeline) = pipeline else { return };
        self.members.set(pipeline.members.len() as i64);
        for partition in &pipeline.partitions {
            let label = Partition { topic: pipeline.topic.clone(), partition: partition.partition };
            self.lag.get_or_create(&label).set(partition.lag);
            self.end.get_or_create(&label).set(partition.end_offset);
        }
    }

    pub(super) fn up(&self, part: &'static str, up: bool) {
        self.up.get_or_create(&Part { part }).set(up.into());
    }

    /// The text format, version 0.0.4. `resent` is counted by the intake.
    pub(super) fn text(&self, resent: u64) -> String {
        self.resent.inner().store(resent, Relaxed);
        self.count_applied();
        for component in [Component::Broker, Component::Store, Component::View] {
            let retrying = self.consumers.retrying(component) as i64;
            self.retrying.get_or_create(&Part { part: component.as_str() }).set(retrying);
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }

    /// What was stored and not ignored. Never goes back, though the two are not read at one moment.
    fn count_applied(&self) {
        let load = |count: &AtomicU64| count.load(Relaxed);
        let applied = load(&self.stored).saturating_sub(load(&self.ignored));
        self.events.get_or_create(&Outcome { outcome: "applied" }).inner().fetch_max(applied, Relaxed);
    }

    fn event(&self, outcome: &'static str) {
        self.events.get_or_create(&Outcome { outcome }).inc();
    }
}

impl Probe for Metrics {
    fn stored(&self, _seen: Seen<'_>) {
        self.stored.fetch_add(1, Relaxed);
    }
    fn ignored(&self, _seen: Seen<'_>) {
        self.ignored.fetch_add(1, Relaxed);
        self.event("ignored");
    }
    fn parked(&self, _seen: Seen<'_>) {
        self.event("parked");
    }
    fn dead_lettered(&self, _consumer: &str, _origin: Origin, _reason: &str) {
        self.event("dead_lettered");
    }
    fn out_of_order(&self, _seen: Seen<'_>, events: u32) {
        self.out_of_order.inc_by(events.into());
    }
    fn assigned(&self, consumer: &str, partitions: &[i32]) {
        self.consumers.assigned(consumer, partitions);
    }
    fn released(&self, consumer: &str, _lost: bool) {
        self.consumers.revoked(consumer);
    }
    fn retried(&self, consumer: &str, component: Component, error: &str) {
        self.retries.get_or_create(&Part { part: component.as_str() }).inc();
        self.consumers.retried(consumer, component, error);
    }
    fn recovered(&self, consumer: &str, component: Component) {
        self.consumers.recovered(consumer, component);
    }
    fn fetch_started(&self, consumer: &str, partition: i32) {
        self.consumers.fetch_started(consumer, partition);
    }
    fn reads_raw(&self, consumer: &str, partition: i32, why: &str) {
        self.consumers.reads_raw(consumer, partition, why);
    }
    fn open_transaction(&self, consumer: &str, partition: i32, since_offset: Option<i64>) {
        self.consumers.open_transaction(consumer, partition, since_offset);
    }
    fn commit_refused(&self, _consumer: &str) {
        self.commits_refused.inc();
    }
}
