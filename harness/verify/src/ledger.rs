//! Orders and events by number, and what is known of each: a few bytes an event, however large its payload.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::OnceLock;

use hashbrown::HashTable;
use payment_delivery::delivery::{Status, StatusEntry};
use payment_delivery::event::{OrderId, Revision};
use payment_delivery::kafka::Origin;

use super::ContentDigest;
use super::evidence::Sent;
use super::places::{Holds, Places};

/// An event, by its place among all of them.
pub(super) type EventNumber = u32;
/// An order, by its place among all of them.
pub(super) type OrderNumber = u32;

/// What is known of one event, that is, of one (order, revision).
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    acked: PackedOrigin,
    logged: PackedOrigin,
    /// What was sent.
    content: u64,
    /// Its first delivery, counted from 0 over all of them.
    taken: u32,
    /// The revision that its row's write found.
    over: Revision,
    /// Who took it in hand first.
    by: u16,
    flags: u8,
}

/// Stands for "never" in [`Event`].
const NEVER: u32 = u32::MAX;

/// A place in the log, or none. The topic is the trial's own, so that its offsets begin at 0, and there are no more of them than events can be
/// numbered.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(2))] // six bytes, not eight
struct PackedOrigin {
    offset: u32,
    partition: u16,
}

const _: () = assert!(size_of::<Event>() == 32, "what is kept of an event has grown");

impl PackedOrigin {
    const NOWHERE: Self = Self { offset: u32::MAX, partition: u16::MAX };

    /// Nowhere, where it does not fit: whatever is said of it will be missed.
    fn of(origin: Origin) -> Self {
        match (u32::try_from(origin.offset), u16::try_from(origin.partition)) {
            (Ok(offset), Ok(partition)) => Self { offset, partition },
            _ => Self::NOWHERE,
        }
    }

    fn origin(self) -> Option<Origin> {
        let Self { offset, partition } = self;
        (partition != u16::MAX).then(|| Origin { partition: partition.into(), offset: offset.into() })
    }
}

/// One thing that is so, or not, of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    /// It was handed to the producer.
    Sent = 1,
    /// It was parked at some time.
    WasParked = 2,
    /// It still waits in the store.
    Parked = 4,
    /// It is in the dead-letter topic.
    Dead = 8,
    /// A write brought it into its row with others, as one of a parked run or of a fold.
    Covered = 16,
}

impl Event {
    const UNKNOWN: Self = Self {
        acked: PackedOrigin::NOWHERE,
        logged: PackedOrigin::NOWHERE,
        content: 0,
        taken: NEVER,
        over: NEVER,
        by: 0,
        flags: 0,
    };

    /// Where the broker acknowledged it.
    pub(super) fn acked(&self) -> Option<Origin> {
        self.acked.origin()
    }

    /// Its first place in the log, by partition and offset.
    pub(super) fn logged(&self) -> Option<Origin> {
        self.logged.origin()
    }

    /// Its place in the log, or at least where it was acknowledged.
    pub(super) fn place(&self) -> Option<Origin> {
        self.logged().or(self.acked())
    }

    /// Its first delivery, counted over all of them.
    pub(super) fn taken(&self) -> Option<u32> {
        (self.taken != NEVER).then_some(self.taken)
    }

    /// The number of the consumer that took it in hand first.
    pub(super) fn taken_by(&self) -> usize {
        self.by.into()
    }

    /// The revision that the write which brought it found in its row.
    pub(super) fn written_over(&self) -> Option<Revision> {
        (self.over != NEVER).then_some(self.over)
    }

    /// Whether a write brought it into its row, by itself or with others.
    pub(super) fn was_written(&self) -> bool {
        self.over != NEVER || self.is(Flag::Covered)
    }

    pub(super) fn is(&self, flag: Flag) -> bool {
        self.flags & flag as u8 != 0
    }

    pub(super) fn set(&mut self, flag: Flag) {
        self.flags |= flag as u8;
    }

    /// Whether anything at all is known of it.
    pub(super) fn exists(&self) -> bool {
        self.flags != 0 || self.logged().is_some() || self.taken != NEVER || self.over != NEVER
    }

    /// Whether it says this, as far as is known.
    pub(super) fn says(&self, content: ContentDigest) -> bool {
        !self.is(Flag::Sent) || self.content == content.bits()
    }

    pub(super) fn logged_at(&mut self, at: Origin) {
        if self.logged().is_none_or(|known| at < known) {
            self.logged = PackedOrigin::of(at);
        }
    }

    pub(super) fn taken_as(&mut self, number: u32, consumer: u16) {
        if self.taken == NEVER {
            (self.taken, self.by) = (number, consumer);
        }
    }

    pub(super) fn wrote_over(&mut self, before: Revision) {
        self.over = before;
    }
}

/// What is known of one order.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) id: OrderId,
    /// Its events of revision 1 on; those with a revision beyond are among the strange ones.
    first: EventNumber,
    len: u32,
    /// At least one of its events was handed to the producer.
    pub(super) sent: bool,
    /// The partition of its first record.
    pub(super) partition: Option<i32>,
    /// Its records lie on more than one partition.
    pub(super) split: bool,
    pub(super) row: Option<RowFacts>,
    pub(super) view: ViewFacts,
}

/// What is kept of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowFacts {
    pub(super) revision: Revision,
    pub(super) applied: u32,
    pub(super) status: Status,
    pub(super) origin: Origin,
    /// It says what its revision says.
    pub(super) says_it: bool,
}

/// What the view answered for an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ViewFacts {
    /// It was not asked.
    #[default]
    NotAsked,
    /// It has nothing.
    Nothing,
    /// This revision and status.
    Shows(Revision, Status),
    /// It answered for another order.
    Other,
}

impl Order {
    /// Revision of its row, 0 without one.
    pub(super) fn row_revision(&self) -> Revision {
        self.row.map_or(0, |row| row.revision)
    }

    /// What the view should show.
    pub(super) fn status_entry(&self) -> Option<StatusEntry> {
        self.row.map(|RowFacts { revision, status, .. }| StatusEntry {
            order_id: self.id.clone(),
            revision,
            status,
        })
    }

    /// Where the events that were laid out for it are among all.
    fn events(&self) -> Range<EventNumber> {
        self.first..self.first + self.len
    }
}

/// All orders and events of a trial.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) orders: Vec<Order>,
    /// Order by order, each by revision; behind them what was not sent and is there all the same.
    pub(super) events: Vec<Event>,
    /// Orders by id.
    numbers: HashTable<OrderNumber>,
    hasher: RandomState,
    /// The events that were sent, as many as are laid out by order.
    planned: usize,
    /// Whose the others are.
    strange: Vec<(OrderNumber, Revision)>,
    /// The same, by order and revision.
    strange_of: HashMap<OrderNumber, BTreeMap<Revision, EventNumber>>,
    /// Events by where they were acknowledged, if anybody asked.
    acked: OnceLock<HashMap<Origin, EventNumber>>,
    /// What lies at each offset.
    pub(super) places: Places,
    /// Names of consumers, by number.
    pub(super) consumers: Vec<String>,
}

impl Ledger {
    /// Lays out events, of which none is known yet.
    pub(super) fn new<'a>(events: impl Iterator<Item = (&'a OrderId, Revision)>) -> Self {
        let mut ledger = Self::default();
        for (order_id, revision) in events {
            let order = ledger.number(order_id) as usize;
            let order = &mut ledger.orders[order];
            order.len = order.len.max(revision);
        }
        let mut end = 0;
        for order in &mut ledger.orders {
            order.first = end;
            end += order.len;
        }
        ledger.planned = end as usize;
        ledger.events = vec![Event::UNKNOWN; end as usize];
        ledger
    }

    /// Notes an event that was handed to the producer.
    pub(super) fn sent(&mut self, &Sent { order_id, revision, acked, content }: &Sent<'_>) {
        let number = self.event_or_new(order_id, revision);
        let (order, _) = self.key(number);
        self.orders[order as usize].sent = true;
        let event = &mut self.events[number as usize];
        event.set(Flag::Sent);
        event.content = content.bits();
        if let (Some(at), None) = (acked, event.acked()) {
            event.acked = PackedOrigin::of(at);
        }
    }

    /// The number of an order, which from now on is known.
    pub(super) fn number(&mut self, id: &OrderId) -> OrderNumber {
        if let Some(number) = self.order(id) {
            return number;
        }
        let number = self.orders.len() as OrderNumber;
        self.orders.push(Order {
            id: id.clone(),
            first: self.planned as EventNumber,
            len: 0,
            sent: false,
            partition: None,
            split: false,
            row: None,
            view: ViewFacts::NotAsked,
        });
        let Self { orders, numbers, hasher, .. } = self;
        let hash = |number: &OrderNumber| hasher.hash_one(&orders[*number as usize].id);
        numbers.insert_unique(hash(&number), number, hash);
        number
    }

    /// The number of an order that is known.
    pub(super) fn order(&self, id: &OrderId) -> Option<OrderNumber> {
        self.numbers.find(self.hasher.hash_one(id), |number| self.orders[*number as usize].id == *id).copied()
    }

    /// The number of an event that is known.
    pub(super) fn event(&self, order: OrderNumber, revision: Revision) -> Option<EventNumber> {
        let Order { first, len, .. } = self.orders[order as usize];
        if (1..=len).contains(&revision) {
            return Some(first + revision - 1);
        }
        self.strange_of.get(&order)?.get(&revision).copied()
    }

    /// The number of an event, which from now on is known.
    pub(super) fn event_or_new(&mut self, id: &OrderId, revision: Revision) -> EventNumber {
        let order = self.number(id);
        if let Some(number) = self.event(order, revision) {
            return number;
        }
        let number = self.events.len() as EventNumber;
        self.events.push(Event::UNKNOWN);
        self.strange.push((order, revision));
        self.strange_of.entry(order).or_default().insert(revision, number);
        number
    }

    /// The number of a consumer, which from now on is known. They are few.
    pub(super) fn consumer(&mut self, name: &str) -> u16 {
        let known = self.consumers.iter().position(|known| known == name);
        let number = known.unwrap_or_else(|| {
            self.consumers.push(name.to_owned());
            self.consumers.len() - 1
        });
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    /// Whose event that is, and which.
    pub(super) fn key(&self, event: EventNumber) -> (OrderNumber, Revision) {
        match (event as usize).checked_sub(self.planned) {
            Some(at) => self.strange[at],
            None => {
                // The last that begins there or before: those without events come before the one that begins where they do.
                let order = self.orders.partition_point(|order| order.first <= event) - 1;
                (order as OrderNumber, event - self.orders[order].first + 1)
            }
        }
    }

    /// The same by name.
    pub(super) fn name(&self, event: EventNumber) -> (&OrderId, Revision) {
        let (order, revision) = self.key(event);
        (&self.orders[order as usize].id, revision)
    }

    /// Whether an event that was sent has a place, and this is none of it: neither does the log hold it there, nor was it acknowledged there,
    /// which is judged where it is.
    pub(super) fn is_elsewhere(&self, event: EventNumber, origin: Origin) -> bool {
        let noted = &self.events[event as usize];
        noted.is(Flag::Sent)
            && noted.place().is_some()
            && self.places.at(origin) != Some(Holds::Event(event))
            && noted.acked() != Some(origin)
    }

    /// The events of an order with revisions `first` to `last`, as far as any are known.
    pub(super) fn events_within(
        &self,
        order: OrderNumber,
        first: Revision,
        last: Revision,
    ) -> Vec<(Revision, EventNumber)> {
        self.events_of(order).filter(|(revision, _)| (first..=last).contains(revision)).collect()
    }

    /// What the log holds at `origin`, for messages.
    pub(super) fn describe(&self, origin: Origin) -> String {
        match self.places.at(origin) {
            None => "nothing".into(),
            Some(Holds::Unreadable) => "a record that is no payment event".into(),
            Some(Holds::Event(event)) => {
                let (id, revision) = self.name(event);
                format!("order {id} revision {revision}")
            }
        }
    }

    /// The event that the log holds at `origin`.
    pub(super) fn event_at(&self, origin: Origin) -> Option<EventNumber> {
        match self.places.at(origin) {
            Some(Holds::Event(event)) => Some(event),
            Some(Holds::Unreadable) | None => None,
        }
    }

    /// The same, or where there is none the event that was acknowledged there.
    pub(super) fn event_or_acked_at(&self, origin: Origin) -> Option<EventNumber> {
        self.event_at(origin).or_else(|| self.acked_at(origin))
    }

    /// The event that was acknowledged at `origin`, once all that was sent is known. Asked for records that can't be decoded, so its index
    /// is made when it is needed.
    pub(super) fn acked_at(&self, origin: Origin) -> Option<EventNumber> {
        let index =
            || (0..).zip(&self.events).filter_map(|(number, event)| Some((event.acked()?, number))).collect();
        self.acked.get_or_init(index).get(&origin).copied()
    }

    /// The events of an order by revision, those that nobody sent included; nothing of which nothing is known.
    pub(super) fn events_of(&self, order: OrderNumber) -> impl Iterator<Item = (Revision, EventNumber)> + '_ {
        let planned = (1..).zip(self.orders[order as usize].events());
        // Their revisions are above those that were laid out.
        let strange = self.strange_of.get(&order).into_iter().flatten().map(|(r, event)| (*r, *event));
        planned.chain(strange).filter(|(_, event)| self.events[*event as usize].exists())
    }
}
