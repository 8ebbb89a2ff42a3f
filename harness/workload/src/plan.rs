//! The events of one phase, fixed before it begins. What an event says is drawn when it is asked for, so that a plan of millions takes 16
//! bytes an event.

use payment_delivery::event::{DecodeError, OrderId, PaymentEvent, Revision};
use rand::{Rng, RngExt};

use super::{Keys, Purpose, rng};

/// Bytes of an encoded event, unless asked otherwise.
pub const VALUE_BYTES_DEFAULT: usize = 300;

/// Unix time of the first payment, ms. Fixed, so that two runs of one seed send the same bytes.
const FIRST_PAID_AT_MS: i64 = 1_760_000_000_000;

/// What a plan is made from, apart from due times.
#[derive(Clone, Debug)]
pub struct PlanSpec<'a> {
    /// Names the phase in every order id, so that phases never share an order: `d` gives `d-000000`, `d-000001` …
    pub prefix: &'a str,
    /// Mean events an order, at least 1; it sets the number of orders.
    pub events_per_order: u32,
    /// How events are shared among orders.
    pub keys: Keys,
    /// Bytes of each encoded event; below about 160 the event is as short as its fields allow.
    pub value_bytes: usize,
    /// The round's seed. It changes who is paid and what is in an event, never the order ids.
    pub seed: u64,
}

/// Which event is due when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedEvent {
    /// Index of its order in [`Plan::orders`].
    pub order: u32,
    /// Its revision: gap-free from 1 in plan order.
    pub revision: Revision,
    /// When it is due, in ns from the phase's start.
    pub due_ns: u64,
}

/// One event as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its order, the message key.
    pub order_id: OrderId,
    /// Its revision.
    pub revision: Revision,
    /// When it is due, in ns from the phase's start.
    pub due_ns: u64,
    /// The encoded event, the message value.
    pub value: Vec<u8>,
}

/// All events of one phase, in the order in which they are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The phase's prefix.
    pub prefix: String,
    /// The orders, by index. Chance may leave one without events.
    pub orders: Vec<OrderId>,
    /// The events.
    pub events: Vec<PlannedEvent>,
    value_bytes: usize,
    seed: u64,
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The prefix makes an order id that breaks the rule.
    #[error("the prefix `{prefix}` makes no valid order id: {source}")]
    Prefix {
        /// The prefix.
        prefix: String,
        /// What is wrong with the id.
        source: DecodeError,
    },
    /// Zero events an order.
    #[error("each order needs at least one event on average; 0 were asked for")]
    NoEventsPerOrder,
    /// More than events can be numbered.
    #[error("{0} events are more than a plan holds (2^31 − 1)")]
    TooMany(usize),
}

impl Plan {
    /// A plan of `due_ns.len()` events, due as [`super::due_times`] says (non-decreasing).
    ///
    /// # Errors
    /// [`PlanError`] when the prefix, the mean number of events an order or the number of events is out of range.
    pub fn new(spec: &PlanSpec<'_>, due_ns: &[u64]) -> Result<Self, PlanError> {
        // A revision, at most the number of events, fits PostgreSQL's `integer`.
        let total = i32::try_from(due_ns.len()).map_err(|_| PlanError::TooMany(due_ns.len()))?.unsigned_abs();
        if spec.events_per_order == 0 {
            return Err(PlanError::NoEventsPerOrder);
        }
        let orders: Vec<OrderId> = (0..total.div_ceil(spec.events_per_order))
            .map(|order| OrderId::new(&format!("{}-{order:06}", spec.prefix)))
            .collect::<Result<_, _>>()
            .map_err(|source| PlanError::Prefix { prefix: spec.prefix.into(), source })?;

        let draws = spec.keys.draws(orders.len() as u32, rng(spec.seed, Purpose::Keys, spec.prefix));
        let mut revisions = vec![0; orders.len()];
        let events = due_ns
            .iter()
            .zip(draws)
            .map(|(&due_ns, order)| {
                let revision = &mut revisions[order as usize];
                *revision += 1;
                PlannedEvent { order, revision: *revision, due_ns }
            })
            .collect();
        let PlanSpec { value_bytes, seed, .. } = *spec;
        Ok(Self { prefix: spec.prefix.into(), orders, events, value_bytes, seed })
    }

    /// A plan of `events` events that are all due at once, when the phase starts.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn backlog(spec: &PlanSpec<'_>, events: usize) -> Result<Self, PlanError> {
        Self::new(spec, &vec![0; events])
    }

    /// The index of an order among [`Self::orders`]; `None` if it is none of them. Its name says it, so that no index has to be kept.
    pub fn order(&self, id: &OrderId) -> Option<u32> {
        let number =
            id.as_str().strip_prefix(self.prefix.as_str())?.strip_prefix('-')?.parse::<u32>().ok()?;
        // An id of others may read alike, as `d-7` for `d-000007`.
        (self.orders.get(number as usize) == Some(id)).then_some(number)
    }

    /// The order of an event, by its index.
    pub fn order_id(&self, index: usize) -> &OrderId {
        &self.orders[self.events[index].order as usize]
    }

    /// What an event says, by its index. The same on every call.
    pub fn payment(&self, index: usize) -> PaymentEvent {
        let mut bodies = rng(self.seed, Purpose::Bodies, &self.prefix);
        // Each event has a block of the stream of its own, so that it can be drawn without those before it.
        bodies.set_word_pos(index as u128 * BLOCK_WORDS);
        let PlannedEvent { revision, due_ns, .. } = self.events[index];
        body(self.order_id(index).clone(), revision, due_ns, self.value_bytes, &mut bodies)
    }

    /// An event as it is sent, by its index.
    pub fn event(&self, index: usize) -> Planned {
        let PlannedEvent { revision, due_ns, .. } = self.events[index];
        let order_id = self.order_id(index).clone();
        Planned { order_id, revision, due_ns, value: self.payment(index).encode() }
    }

    /// All events as they are sent.
    pub fn iter(&self) -> impl Iterator<Item = Planned> + '_ {
        (0..self.events.len()).map(|index| self.event(index))
    }
}

/// Words of 32 bits in a block of ChaCha: more than an event draws.
const BLOCK_WORDS: u128 = 16;

/// The event itself: an amount and an address at random, and a note to the driver that fills it up to `value_bytes`.
fn body(
    order_id: OrderId,
    revision: Revision,
    due_ns: u64,
    value_bytes: usize,
    rng: &mut impl Rng,
) -> PaymentEvent {
    const STREETS: [&str; 8] = [
        "Harbour Street",
        "Mill Lane",
        "Station Road",
        "Orchard Way",
        "Kings Parade",
        "Chapel Hill",
        "Garden Terrace",
        "Bridge Street",
    ];
    const CITIES: [&str; 6] = ["Leeds", "Bristol", "Cardiff", "Exeter", "Glasgow", "Norwich"];
    // ASCII without quotes or backslashes: one character is one byte of JSON.
    const NOTE: &[u8] = b", ring twice, or leave it with the neighbour behind the green door";

    let amount_minor = rng.random_range(100..=50_000);
    let house = rng.random_range(1..=199u32);
    let street = STREETS[rng.random_range(0..STREETS.len() as u32) as usize];
    let city = CITIES[rng.random_range(0..CITIES.len() as u32) as usize];
    let mut event = PaymentEvent {
        order_id,
        revision,
        amount_minor,
        currency: "EUR".into(),
        address: format!("{house} {street}, {city}"),
        paid_at_ms: FIRST_PAID_AT_MS.saturating_add_unsigned(due_ns / 1_000_000),
    };
    let missing = value_bytes.saturating_sub(event.encode().len());
    event.address.extend(NOTE.iter().cycle().take(missing).map(|&byte| char::from(byte)));
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arrivals, Segment, due_times};
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::time::Duration;

    fn spec(keys: Keys, seed: u64) -> PlanSpec<'static> {
        PlanSpec { prefix: "d", events_per_order: 5, keys, value_bytes: VALUE_BYTES_DEFAULT, seed }
    }

    #[test]
    fn events_have_the_size_asked_for_and_can_be_read_back() {
        for value_bytes in [VALUE_BYTES_DEFAULT, 1024, 200] {
            let plan = Plan::backlog(&PlanSpec { value_bytes, ..spec(Keys::Uniform, 1) }, 200).unwrap();
            for planned in plan.iter() {
                assert_eq!(planned.value.len(), value_bytes);
                let event = PaymentEvent::decode(Some(&planned.value)).unwrap();
                assert_eq!((&event.order_id, event.revision), (&planned.order_id, planned.revision));
            }
        }
        let short = Plan::backlog(&PlanSpec { value_bytes: 0, ..spec(Keys::Uniform, 1) }, 200).unwrap();
        assert!(short.iter().all(|event| event.value.len() < 165));
    }

    #[test]
    fn order_ids_do_not_depend_on_the_seed_but_draws_do() {
        let plan = |seed| Plan::backlog(&spec(Keys::Uniform, seed), 100).unwrap();
        let (one, two) = (plan(1), plan(2));
        assert_eq!(one.orders.len(), 20);
        assert_eq!(one.orders[7].as_str(), "d-000007");
        assert_eq!(one.orders, two.orders);
        assert_ne!(one.events, two.events);
        assert_ne!(one.payment(0).address, two.payment(0).address);
        let other = Plan::backlog(&PlanSpec { prefix: "s", ..spec(Keys::Uniform, 1) }, 100).unwrap();
        let orders = |p: &Plan| p.events.iter().map(|e| e.order).collect::<Vec<_>>();
        assert_ne!(orders(&one), orders(&other), "phases draw independently");
    }

    #[test]
    fn an_order_is_found_by_its_name_alone() {
        let plan = Plan::backlog(&spec(Keys::Uniform, 1), 100).unwrap();
        assert!((0..).zip(&plan.orders).all(|(number, id)| plan.order(id) == Some(number)));
        let others =
            ["d-000020", "d-7", "d-+00007", "d-0000007", "d000007", "s-000007", "d-", "d", "d-4294967296"];
        for id in others {
            assert_eq!(plan.order(&OrderId::new(id).unwrap()), None, "{id}");
        }
    }

    #[test]
    fn the_bytes_of_a_seed_are_fixed() {
        // A change here changes what every published seed stands for: it needs a line in the changelog.
        let plan = Plan::backlog(&PlanSpec { value_bytes: 0, ..spec(Keys::Uniform, 42) }, 20).unwrap();
        let text = String::from_utf8(plan.event(19).value).unwrap();
        let orders: Vec<u32> = plan.events.iter().map(|e| e.order).collect();
        assert_eq!(orders, FIXED_ORDERS);
        assert_eq!(text, FIXED_EVENT);
    }
    const FIXED_ORDERS: [u32; 20] = [1, 1, 2, 2, 2, 3, 2, 0, 1, 3, 0, 1, 2, 2, 0, 1, 1, 3, 3, 3];
    const FIXED_EVENT: &str = concat!(
        r#"{"orderId":"d-000003","revision":5,"amountMinor":22211,"currency":"EUR","#,
        r#""address":"177 Orchard Way, Exeter","paidAtMs":1760000000000}"#
    );

    #[test]
    fn what_cannot_be_planned_is_said() {
        let refused = |spec: PlanSpec<'_>| Plan::backlog(&spec, 10).unwrap_err().to_string();
        let base = spec(Keys::Uniform, 1);
        assert!(refused(PlanSpec { events_per_order: 0, ..base.clone() }).contains("at least one"));
        assert!(refused(PlanSpec { prefix: "\n", ..base.clone() }).contains("prefix"));
        assert!(Plan::backlog(&base, 0).unwrap().events.is_empty());
    }

    proptest! {
        #[test]
        fn revisions_are_gap_free_and_the_same_seed_gives_the_same_plan(
            seed: u64,
            rate in 10.0f64..2000.0,
            events_per_order in 1u32..50,
            keys in prop_oneof![
                Just(Keys::Uniform),
                (0.0f64..2.0).prop_map(Keys::Zipf),
                (0.01f64..=1.0).prop_map(Keys::Hot),
            ],
        ) {
            let segments = [Segment { rate_per_s: rate, length: Duration::from_millis(300) }];
            let due = due_times(&segments, Arrivals::Poisson, seed);
            let spec = PlanSpec { events_per_order, ..spec(keys, seed) };
            let plan = Plan::new(&spec, &due).unwrap();
            prop_assert_eq!(plan.orders.len(), due.len().div_ceil(events_per_order as usize));
            let mut last: HashMap<&OrderId, Revision> = HashMap::new();
            for (index, (event, due)) in plan.events.iter().zip(&due).enumerate() {
                let last = last.entry(plan.order_id(index)).or_default();
                prop_assert_eq!(event.revision, *last + 1);
                *last = event.revision;
                prop_assert_eq!(plan.event(index), plan.event(index), "the same whenever it is asked for");
                prop_assert_eq!(event.due_ns, *due);
            }
            prop_assert_eq!(&plan, &Plan::new(&spec, &due).unwrap());
        }
    }
}
