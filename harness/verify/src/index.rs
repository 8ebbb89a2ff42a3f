//! The evidence, indexed: orders and events as small numbers, so that each check is one pass over arrays.

use std::collections::HashMap;
use std::ops::Range;

use payment_delivery::delivery::{Delivery, StatusEntry};
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;

use super::evidence::{Evidence, SendOutcome};

/// What is known of one event, that is, of one (order, revision).
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) order: usize,
    pub(super) revision: Revision,
    /// It was handed to the producer.
    pub(super) sent: bool,
    /// Where the broker acknowledged it (first acknowledgement).
    pub(super) acked: Option<Origin>,
    /// Its first place in the log, by partition and offset.
    pub(super) logged: Option<Origin>,
    /// Its first delivery, as a place in [`Evidence::deliveries`].
    pub(super) taken: Option<usize>,
    /// It is part of a parked run.
    pub(super) parked: bool,
    /// It is in the dead-letter topic.
    pub(super) dead: bool,
}

/// What is known of one order.
#[derive(Clone, Debug)]
pub(super) struct Order<'a> {
    pub(super) id: &'a OrderId,
    /// Its events in [`Index::events`], by revision.
    pub(super) events: Range<usize>,
    /// At least one of its events was handed to the producer.
    pub(super) sent: bool,
    pub(super) row: Option<&'a Delivery>,
    pub(super) view: Option<&'a StatusEntry>,
    /// Its records lie on more than one partition.
    pub(super) split: bool,
}

impl Order<'_> {
    /// Revision of its row, 0 without one.
    pub(super) fn row_revision(&self) -> Revision {
        self.row.map_or(0, |row| row.revision)
    }
}

/// The evidence by number.
pub(super) struct Index<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) orders: Vec<Order<'a>>,
    /// By order, then revision.
    pub(super) events: Vec<Event>,
    /// Each offset of the log once, sorted: its place, the event there (`None` if undecodable), and its place in
    /// [`Evidence::log`].
    pub(super) log: Vec<(Origin, Option<usize>, usize)>,
    /// The event of each entry of [`Evidence::sent`].
    pub(super) sent: Vec<usize>,
    /// The event of each entry of [`Evidence::deliveries`].
    pub(super) deliveries: Vec<usize>,
    /// The event of each entry of [`Evidence::dead_letters`]; `None` where neither log nor acknowledgement knows.
    pub(super) dead_letters: Vec<Option<usize>>,
    numbers: HashMap<&'a str, usize>,
}

impl<'a> Index<'a> {
    /// Sorts everything into place; judges nothing.
    pub(super) fn new(evidence: &'a Evidence) -> Self {
        let mut index = Self {
            evidence,
            orders: Vec::new(),
            events: Vec::new(),
            log: Vec::new(),
            sent: Vec::new(),
            deliveries: Vec::new(),
            dead_letters: Vec::new(),
            numbers: HashMap::with_capacity(evidence.view.len()),
        };
        index.number_events();
        index.mark_state();
        index.mark_parked();
        index.mark_dead_letters();
        index
    }

    /// The number of an order that is known.
    pub(super) fn order(&self, id: &OrderId) -> Option<usize> {
        self.numbers.get(id.as_str()).copied()
    }

    /// The event that the log holds at `origin`: `None` if it holds nothing there, `Some(None)` if it can't be decoded.
    pub(super) fn at(&self, origin: Origin) -> Option<Option<usize>> {
        self.log.binary_search_by_key(&origin, |&(at, ..)| at).ok().map(|i| self.log[i].1)
    }

    /// Whether some event was acknowledged at `origin`. Only asked for records that can't be decoded, which are few.
    pub(super) fn acked_at(&self, origin: Origin) -> bool {
        self.evidence.sent.iter().any(|s| s.outcome == SendOutcome::Acked(origin))
    }

    /// Says what the log holds at `origin`, for messages.
    pub(super) fn describe(&self, origin: Origin) -> String {
        match self.at(origin) {
            None => "nothing".into(),
            Some(None) => "a record that is no payment event".into(),
            Some(Some(event)) => {
                let Event { order, revision, .. } = self.events[event];
                format!("order {} revision {revision}", self.orders[order].id)
            }
        }
    }

    /// The events of an order with revisions `first` to `last`.
    pub(super) fn run(&self, order: usize, first: Revision, last: Revision) -> Range<usize> {
        let Range { start, end } = self.orders[order].events;
        let events = &self.events[start..end];
        let from = events.partition_point(|e| e.revision < first);
        let to = events.partition_point(|e| e.revision <= last);
        start + from..start + to.max(from)
    }

    fn number(&mut self, id: &'a OrderId) -> usize {
        let next = self.orders.len();
        let number = *self.numbers.entry(id.as_str()).or_insert(next);
        if number == next {
            self.orders.push(Order { id, events: 0..0, sent: false, row: None, view: None, split: false });
        }
        number
    }

    /// Numbers orders as they appear, then events by order and revision, then marks where each event was seen.
    fn number_events(&mut self) {
        let evidence = self.evidence;
        let sent: Vec<_> = evidence.sent.iter().map(|s| (self.number(&s.order_id), s.revision)).collect();
        let mut log: Vec<_> = evidence
            .log
            .iter()
            .enumerate()
            .map(|(i, l)| (l.origin, l.event.as_ref().map(|(id, revision)| (self.number(id), *revision)), i))
            .collect();
        log.sort_unstable();
        log.dedup_by_key(|&mut (origin, ..)| origin);
        let seen: Vec<_> =
            evidence.deliveries.iter().map(|s| (self.number(&s.order_id), s.revision)).collect();

        let mut keys: Vec<_> =
            sent.iter().chain(&seen).copied().chain(log.iter().filter_map(|&(_, event, _)| event)).collect();
        keys.sort_unstable();
        keys.dedup();
        for (i, &(order, revision)) in keys.iter().enumerate() {
            let events = &mut self.orders[order].events;
            *events = if events.start == events.end { i..i + 1 } else { events.start..i + 1 };
            self.events.push(Event {
                order,
                revision,
                sent: false,
                acked: None,
                logged: None,
                taken: None,
                parked: false,
                dead: false,
            });
        }

        self.sent = sent.into_iter().map(|key| self.known(key)).collect();
        for (&event, sent) in self.sent.iter().zip(&evidence.sent) {
            let event = &mut self.events[event];
            event.sent = true;
            self.orders[event.order].sent = true;
            if let SendOutcome::Acked(origin) = sent.outcome {
                event.acked.get_or_insert(origin);
            }
        }
        self.log =
            log.into_iter().map(|(origin, key, i)| (origin, key.map(|key| self.known(key)), i)).collect();
        let mut partitions = vec![None; self.orders.len()];
        for &(origin, event, _) in &self.log {
            let Some(event) = event else { continue };
            let event = &mut self.events[event];
            event.logged.get_or_insert(origin);
            let partition = *partitions[event.order].get_or_insert(origin.partition);
            self.orders[event.order].split |= partition != origin.partition;
        }
        self.deliveries = seen.into_iter().map(|key| self.known(key)).collect();
        for (i, &event) in self.deliveries.iter().enumerate() {
            self.events[event].taken.get_or_insert(i);
        }
    }

    /// The number of an event that was collected before.
    fn known(&self, (order, revision): (usize, Revision)) -> usize {
        let Range { start, end } = self.orders[order].events;
        // Revisions start at 1 and rarely have gaps, so the first guess is almost always right.
        let guess = start + (revision as usize).saturating_sub(1);
        if guess < end && self.events[guess].revision == revision {
            return guess;
        }
        start + self.events[start..end].partition_point(|e| e.revision < revision)
    }

    fn mark_state(&mut self) {
        let evidence = self.evidence;
        for row in &evidence.rows {
            let order = self.number(&row.order_id);
            self.orders[order].row = Some(row);
        }
        for (id, entry) in &evidence.view {
            let order = self.number(id);
            self.orders[order].view = entry.as_ref();
        }
    }

    fn mark_parked(&mut self) {
        let evidence = self.evidence;
        for parked in &evidence.parked {
            let order = self.number(&parked.order_id);
            for event in self.run(order, parked.first, parked.last) {
                self.events[event].parked = true;
            }
        }
    }

    /// Maps dead letters back to events: by the log, or, where the record there can't be decoded, by the
    /// acknowledgement.
    fn mark_dead_letters(&mut self) {
        let evidence = self.evidence;
        if evidence.dead_letters.is_empty() {
            return;
        }
        let acked: HashMap<Origin, usize> =
            self.events.iter().enumerate().filter_map(|(i, e)| Some((e.acked?, i))).collect();
        self.dead_letters = evidence
            .dead_letters
            .iter()
            .map(|d| self.at(d.origin).flatten().or_else(|| acked.get(&d.origin).copied()))
            .collect();
        for event in self.dead_letters.iter().flatten() {
            self.events[*event].dead = true;
        }
    }
}
