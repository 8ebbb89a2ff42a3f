//! Gathers, from the running system, what the checks of truth look at.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use payment_delivery::consumer::dead_letter_topic;
use payment_delivery::consumer::mode::dead_letter::origin_and_reason;
use payment_delivery::event::{OrderId, PaymentEvent, Revision};
use payment_delivery::kafka::fetch::read_all;
use payment_delivery::kafka::{Fetched, Origin};

use super::inject::Extra;
use super::process::WorkerReports;
use super::service::{self, Client};
use crate::error::RunError;
use crate::load::feed::Failures;
use crate::measure::timeline::{Event, Taken, Timeline};
use crate::record::Verification;
use crate::verify::{self, DeadLetter, Evidence, Logged, Seen, SendOutcome, Sent};
use crate::workspace::{RunWorkspace, TrialWorkspace};

/// How long reading one partition's whole log may take.
const SCAN_TIMEOUT: Duration = Duration::from_secs(60);

/// What else is known of a trial, beside what its timeline and the stack tell.
pub(super) struct Known<'a> {
    /// Events that were not acknowledged.
    pub(super) failures: &'a Failures,
    /// Injected events.
    pub(super) extra: &'a [Extra],
    /// What a worker process left behind; none where consumers ran in this one.
    pub(super) reports: Option<&'a WorkerReports>,
    /// The REST API, where events came in by it.
    pub(super) api: Option<&'a Client>,
    /// Whether records have their order id as key.
    pub(super) keyed: bool,
}

/// Reads the log, the rows and the view, asks the API, and checks all that against what was sent and what consumers reported.
///
/// Must be called when the consumers have stopped.
pub(super) async fn check(
    site: &RunWorkspace,
    trial: &TrialWorkspace,
    timeline: &Timeline,
    known: Known<'_>,
) -> Result<Verification, RunError> {
    let Known { failures, extra, reports, api, keyed } = known;
    let sent = sent(timeline, failures, extra);
    let rows = site.store().deliveries().await?;
    let orders: BTreeSet<OrderId> =
        sent.iter().map(|s| s.order_id.clone()).chain(rows.iter().map(|r| r.order_id.clone())).collect();
    let orders: Vec<OrderId> = orders.into_iter().collect();
    // The view first: asked for what it lacks, the API fills it from the row.
    let shown = trial.view().get(&orders).await?;
    let view_evicted = trial.evicted().await?;
    let answers = match api {
        Some(client) => Some(service::ask(client, &orders).await?),
        None => None,
    };
    let log: Vec<Logged> = scan(site, trial, &trial.topic).await?.into_iter().map(logged).collect();
    let (deliveries, outside) = match reports {
        None => (deliveries(timeline), false),
        Some(WorkerReports { taken: Some(taken), .. }) => (reported(taken, &log), false),
        Some(WorkerReports { taken: None, .. }) => (Vec::new(), true),
    };
    let evidence = Evidence {
        sent,
        log,
        deliveries,
        outside,
        rows,
        parked: site.store().parked().await?,
        dead_letters: dead_letters(site, trial).await?,
        view: orders.into_iter().zip(shown).collect(),
        view_evicted,
        api: answers,
        keyed,
        allow_parked: false,
        allow_dead_letters: false,
    };
    // Seconds of computing for a large trial: not on a thread that others wait for.
    tokio::task::spawn_blocking(move || verify::verify(&evidence))
        .await
        .map_err(|error| RunError::Load(format!("the checker panicked: {error}")))
}

/// Every event handed to the producer, with its outcome.
fn sent(timeline: &Timeline, failures: &Failures, extra: &[Extra]) -> Vec<Sent> {
    let failures = failures.all();
    let planned = timeline.phases().flat_map(|phase| timeline.range(phase)).filter_map(|index| {
        timeline.passed(index).sent?;
        let event = timeline.planned(index);
        let outcome = match (timeline.origin(index), failures.get(&index)) {
            (Some(origin), _) => SendOutcome::Acked(origin),
            (None, Some(error)) => SendOutcome::Failed(error.clone()),
            (None, None) => SendOutcome::Unresolved,
        };
        Some(Sent { order_id: event.order_id.clone(), revision: event.revision, outcome })
    });
    let injected = extra.iter().map(|e| Sent {
        order_id: e.order_id.clone(),
        revision: e.revision,
        outcome: SendOutcome::Acked(e.origin),
    });
    planned.chain(injected).collect()
}

fn deliveries(timeline: &Timeline) -> Vec<Seen> {
    let journal = timeline.journal();
    let names: Vec<Arc<str>> = journal.consumers.iter().map(|name| name.as_str().into()).collect();
    let event = |event: Event| -> (OrderId, Revision) {
        match event {
            Event::Planned(index) => {
                let planned = timeline.planned(index as usize);
                (planned.order_id.clone(), planned.revision)
            }
            Event::Unplanned(place) => journal.unplanned[place as usize].clone(),
        }
    };
    journal
        .deliveries
        .iter()
        .map(|delivery| {
            let (order_id, revision) = event(delivery.event);
            let consumer = Arc::clone(&names[delivery.consumer as usize]);
            Seen { order_id, revision, origin: delivery.origin, consumer }
        })
        .collect()
}

/// What consumers of another process took in hand: they tell the place, the log which event lies there.
fn reported(taken: &[Taken], log: &[Logged]) -> Vec<Seen> {
    let events: HashMap<Origin, &(OrderId, Revision)> =
        log.iter().filter_map(|logged| Some((logged.origin, logged.event.as_ref()?))).collect();
    let seen = |taken: &Taken| {
        let (order_id, revision) = (*events.get(&taken.origin)?).clone();
        Some(Seen { order_id, revision, origin: taken.origin, consumer: Arc::clone(&taken.consumer) })
    };
    taken.iter().filter_map(seen).collect()
}

/// Every record of `topic`, from each partition's start to its end.
async fn scan(site: &RunWorkspace, trial: &TrialWorkspace, topic: &str) -> Result<Vec<Fetched>, RunError> {
    let (starts, ends) = (site.admin.start_offsets(topic).await?, site.admin.end_offsets(topic).await?);
    let mut all = Vec::new();
    for (partition, to) in ends {
        let from = starts.get(&partition).copied().unwrap_or(0);
        if from < to {
            all.extend(read_all(&trial.bootstrap, topic, partition, from, to, SCAN_TIMEOUT).await?);
        }
    }
    Ok(all)
}

fn logged(fetched: Fetched) -> Logged {
    let event = PaymentEvent::decode(fetched.message.value.as_deref()).ok().map(|e| (e.order_id, e.revision));
    Logged { origin: fetched.origin, key: fetched.message.key, event }
}

async fn dead_letters(site: &RunWorkspace, trial: &TrialWorkspace) -> Result<Vec<DeadLetter>, RunError> {
    let letters = scan(site, trial, &dead_letter_topic(&trial.topic)).await?;
    let unreadable =
        || (Origin { partition: -1, offset: -1 }, "a dead letter without our headers".to_owned());
    Ok(letters
        .iter()
        .map(|letter| {
            let (origin, reason) = origin_and_reason(letter).unwrap_or_else(unreadable);
            DeadLetter { origin, reason }
        })
        .collect())
}
