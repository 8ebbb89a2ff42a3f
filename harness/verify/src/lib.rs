//! The checks of truth: whether what a trial measured is also what it should have done.
//!
//! A [`Checker`] is given what was sent, then what the system holds, piece by piece, so that a trial of millions of events is checked in
//! some fifty bytes an event; [`Checker::finish`] judges. It does no I/O: whoever ran the trial gathers the pieces. Every check has tests by
//! mutation: healthy evidence, spoilt in one way, must give that finding and no other.
//!
//! ```text
//! sent ──▶ log ──▶ deliveries ──▶ writes ──▶ rows, parked, dead letters ──▶ view
//!      provenance: nothing that nobody sent, every acknowledgement true
//!      contents:   what was sent, what the log has and what a write brought say the same
//!      writes:     each write brings the next event, or a parked run behind it, once; where the mode folds, several of the log
//!      accounting: acked = applied + parked + dead-lettered, as sets of (order, revision)
//!      order:      per key, at the log, at the consumer, in the row
//!      agreement:                                     row and view show the same
//!      offsets:    committed when finished, not before, and up to the log's end
//!      service:    where events were sent through the REST API, it tells what row and log have
//! ```
//!
//! None of it rests on a worker's own word where there is another witness: writes are counted by the database, the log is read by the
//! harness, and a worker's report is held against both.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use payment_delivery::delivery::{Delivery, StatusEntry};
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;
use payment_delivery::store::Parked;

mod accounting;
mod agreement;
mod content;
mod evidence;
mod findings;
mod ledger;
mod offsets;
mod order;
mod places;
mod provenance;
mod service;
#[cfg(test)]
mod tests;
mod writes;

pub use content::ContentDigest;
pub use evidence::{
    ApiAnswers, DeadLetter, Logged, ParkWrite, PartitionEnd, PartitionsAdded, RowWrite, Rules, Seen, Sent,
};
pub use findings::{FINDINGS_PER_KIND, Kind};

use findings::{Findings, Subject};
use lanebench_result::{Finding, Verification};
use ledger::{EventNumber, Flag, Ledger, OrderNumber, RowFacts, ViewFacts};

/// Checks a trial, piece by piece.
///
/// The pieces must cover the whole trial, since what is missing here counts as missing in the system, and come in this order: what was
/// sent; rows, views and the API's answers; the log; what was parked at some time ([`Checker::park`]); all the rest.
pub struct Checker {
    known: Known,
    findings: Findings,
    counted: Verification,
}

/// What is known when all pieces were given.
struct Known {
    rules: Rules,
    ledger: Ledger,
    /// Records of the log that hold an event.
    records: u64,
    /// Messages taken in hand, repeats included.
    deliveries: u32,
    /// Offsets taken in hand.
    offsets_taken: u64,
    /// Those of them where the log holds nothing.
    taken_from_nowhere: HashSet<Origin>,
    unreadable: Vec<Origin>,
    /// Writes that put an earlier revision over a later one.
    writes_back: u64,
    /// First events of what was parked at some time.
    parks: Vec<EventNumber>,
    parked: Vec<Parked>,
    dead_letters: Vec<DeadLetter>,
    dead: HashSet<Origin>,
    api: Option<ApiAnswers>,
    /// What the log has of the orders whose messages the API was asked for.
    histories: HashMap<OrderNumber, Vec<(Revision, Origin)>>,
    ends: Vec<PartitionEnd>,
    /// Where messages lie that have to come to the dead-letter topic.
    expected_letters: HashSet<Origin>,
    /// The database no longer has what it had counted.
    count_lost: bool,
    /// Events whose work was compared with the commit of their offset; none where that can't be compared.
    offsets_compared: Option<u64>,
}

impl Known {
    /// All orders.
    fn orders(&self) -> std::ops::Range<OrderNumber> {
        0..self.ledger.orders.len() as OrderNumber
    }
}

impl Checker {
    /// Lays out the events that may have been sent, by order and revision.
    pub fn new<'a>(rules: Rules, events: impl Iterator<Item = (&'a OrderId, Revision)>) -> Self {
        let known = Known {
            rules,
            ledger: Ledger::new(events),
            records: 0,
            deliveries: 0,
            offsets_taken: 0,
            taken_from_nowhere: HashSet::new(),
            unreadable: Vec::new(),
            writes_back: 0,
            parks: Vec::new(),
            parked: Vec::new(),
            dead_letters: Vec::new(),
            dead: HashSet::new(),
            api: None,
            histories: HashMap::new(),
            ends: Vec::new(),
            expected_letters: HashSet::new(),
            count_lost: false,
            offsets_compared: None,
        };
        Self { known, findings: Findings::default(), counted: Verification::default() }
    }

    /// An event that was handed to the producer.
    pub fn sent(&mut self, sent: &Sent<'_>) {
        self.counted.produced += 1;
        self.known.ledger.sent(sent);
    }

    /// A row of the store. Each is given once.
    pub fn row(&mut self, row: &Delivery) {
        let ledger = &mut self.known.ledger;
        let order = ledger.number(&row.order_id);
        let event = ledger.event(order, row.revision).map(|event| ledger.events[event as usize]);
        let says_it = event.is_none_or(|event| event.says(ContentDigest::of_row(row)));
        let order = &mut ledger.orders[order as usize];
        if order.row.is_some() {
            let subject = Subject::event(&row.order_id, row.revision, Some(row.origin));
            self.findings
                .add(Kind::Unexpected, subject, || format!("order {} has more than one row", row.order_id));
        }
        let Delivery { revision, applied, status, origin, .. } = *row;
        order.row = Some(RowFacts { revision, applied, status, origin, says_it });
    }

    /// What the view answered when it was asked for an order.
    pub fn view(&mut self, order_id: &OrderId, entry: Option<&StatusEntry>) {
        let order = self.known.ledger.number(order_id);
        self.known.ledger.orders[order as usize].view = match entry {
            None => ViewFacts::Nothing,
            Some(entry) if entry.order_id != *order_id => ViewFacts::Other,
            Some(entry) => ViewFacts::Shows(entry.revision, entry.status),
        };
    }

    /// Orders that are known so far: of what was sent, and of rows.
    pub fn orders(&self) -> Vec<OrderId> {
        self.known.ledger.orders.iter().map(|order| order.id.clone()).collect()
    }

    /// Orders that are known and that the view was not asked for: those that have no row.
    pub fn orders_without_view(&self) -> Vec<OrderId> {
        let orders = self.known.ledger.orders.iter();
        orders.filter(|order| order.view == ViewFacts::NotAsked).map(|order| order.id.clone()).collect()
    }

    /// What the REST API answered.
    pub fn api(&mut self, answers: ApiAnswers) {
        for (id, _) in &answers.histories {
            let order = self.known.ledger.number(id);
            self.known.histories.insert(order, Vec::new());
        }
        self.known.api = Some(answers);
    }

    /// A record of the topic. Those of a partition come by offset; an offset that comes twice counts once.
    pub fn log(&mut self, record: &Logged<'_>) {
        provenance::record(&mut self.known, record, &mut self.findings);
    }

    /// A message that a processing loop took in hand, in the one true order in which that happened.
    pub fn delivery(&mut self, seen: &Seen<'_>) {
        provenance::delivery(&mut self.known, seen, &mut self.findings);
    }

    /// Where the log has the events that a write brings, each where it lies first. Where the mode folds they are all that it passes over, but for those that were parked:
    /// their offsets may have been committed before.
    pub fn places(&self, order_id: &OrderId, before: Revision, revision: Revision) -> Vec<Origin> {
        let ledger = &self.known.ledger;
        let Some(order) = ledger.order(order_id) else { return Vec::new() };
        let Some(last) = ledger.event(order, revision) else { return Vec::new() };
        let passed_over = if self.known.rules.folds { before.saturating_add(1)..revision } else { 0..0 };
        let passed_over = passed_over.filter_map(|revision| ledger.event(order, revision));
        let never_parked = |event: &u32| !ledger.events[*event as usize].is(Flag::WasParked);
        let events = passed_over.filter(never_parked).chain([last]);
        events.filter_map(|event| ledger.events[event as usize].logged()).collect()
    }

    /// A write of a row. They come in any order.
    pub fn write(&mut self, write: &RowWrite<'_>) {
        writes::write(&mut self.known, write, &mut self.findings, &mut self.counted);
    }

    /// An event that was parked at some time. They come in any order, but before the writes.
    pub fn park(&mut self, park: &ParkWrite<'_>) {
        writes::park(&mut self.known, park, &mut self.findings);
    }

    /// An event became visible this long after its offset was seen committed.
    pub fn visible_after_commit(
        &mut self,
        order_id: &OrderId,
        revision: Revision,
        origin: Origin,
        after: Duration,
    ) {
        let ledger = &self.known.ledger;
        let event = ledger.order(order_id).and_then(|order| ledger.event(order, revision));
        // What is parked is done with until what it waits for comes.
        if event.is_none_or(|event| !ledger.events[event as usize].is(Flag::WasParked)) {
            offsets::ahead(
                Subject::event(order_id, revision, Some(origin)),
                "shown",
                after,
                &mut self.findings,
            );
        }
    }

    /// The database no longer has what it had counted of the writes, so nothing rests on what is left of it.
    pub fn count_lost(&mut self) {
        self.known.count_lost = true;
        self.counted.writes_counted = 0;
    }

    /// So many writes were compared with the moment at which the offset of their event was seen committed. Not called where moments can't be
    /// compared.
    pub fn offsets_compared(&mut self, writes: u64) {
        *self.known.offsets_compared.get_or_insert(0) += writes;
    }

    /// The message at this place has to come to the dead-letter topic.
    pub fn expect_dead_letter(&mut self, origin: Origin) {
        self.known.expected_letters.insert(origin);
    }

    /// An event that still waits in the store.
    pub fn parked(&mut self, parked: Parked) {
        let ledger = &mut self.known.ledger;
        if let Some(order) = ledger.order(&parked.order_id) {
            for (_, event) in ledger.events_within(order, parked.first, parked.last) {
                ledger.events[event as usize].set(Flag::Parked);
            }
        }
        self.known.parked.push(parked);
    }

    /// A record of the dead-letter topic.
    pub fn dead_letter(&mut self, letter: DeadLetter) {
        let ledger = &mut self.known.ledger;
        if let Some(event) = ledger.event_or_acked_at(letter.origin) {
            ledger.events[event as usize].set(Flag::Dead);
        }
        self.known.dead.insert(letter.origin);
        self.known.dead_letters.push(letter);
    }

    /// The offsets of a partition when all was done and the consumers had stopped.
    pub fn end(&mut self, end: PartitionEnd) {
        self.known.ends.push(end);
    }

    /// Judges. A trial passes if nothing at all was found; repeats (`resent`, `redelivered`) are counted, not found.
    ///
    /// A check that had nothing to look at is itself a finding ([`Kind::NothingChecked`]): no acknowledged event, no pair at some place
    /// although an order has two acknowledged events, rows of which no write was counted, no write that could be compared with a commit, or
    /// an applied event that no consumer reported.
    pub fn finish(self) -> Verification {
        let Self { mut known, mut findings, counted: mut verification } = self;
        writes::follow(&mut known, &mut findings, &verification);
        provenance::check(&known, &mut findings);
        accounting::check(&known, &mut findings, &mut verification);
        order::check(&known, &mut findings, &mut verification);
        agreement::check(&known, &mut findings, &mut verification);
        offsets::check(&known, &mut findings, &mut verification);
        service::check(&known, &mut findings, &mut verification);
        verification.findings_total = findings.total();
        verification.findings_by_kind = findings.by_kind();
        verification.passed = findings.total() == 0;
        verification.findings = findings.into_kept();
        verification
    }
}

/// Adds that a phase did not come to its end: whatever else holds, the trial's numbers do not count.
pub fn note_unfinished(verification: &mut Verification, what: &str) {
    verification.passed = false;
    verification.findings_total += 1;
    verification.findings.push(Finding {
        kind: "unfinished".into(),
        order_id: String::new(),
        revision: 0,
        partition: None,
        offset: None,
        message: what.into(),
    });
}
