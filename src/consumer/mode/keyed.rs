//! Keyed mode: orders side by side within a partition, each strictly in its order.
//!
//! ```text
//! order a  ──call 1──▶ ──call 2──▶ ┐
//! order b  ──call 1──────────────▶ ├─ group ──store──▶──view──▶ offsets complete
//! order c  ──call 1──▶             ┘
//! ```
//!
//! The slow part of an event is what it calls (the modelled downstream call). Calls of different orders run side by side, so many at once;
//! the next call of an order begins when the one before has ended. Events whose calls have ended are stored in groups (`groups.rs`), in the
//! order in which they ended, which for each order is its own. Whose turn it is goes round: an order with many events holds no other up,
//! until what is in hand of it reaches its bound. Offsets are committed up to the first event that is not done, as in every mode.
//!
//! The idea, orders as the unit of parallel work below a partition, is that of Confluent's parallel consumer.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::Processor;
use super::groups::{Groups, Size, Taken};
use super::steps::{Steps, calls_within};
use crate::consumer::{ConsumerError, ServiceTime};
use crate::event::OrderId;
use crate::kafka::Fetched;
use crate::probe::Activity;
use crate::timer::LazyDelay;

/// Most that is in hand. A single message may be larger.
const IN_HAND_MAX: Size = Size { messages: 4_096, bytes: 4 << 20 };

/// Without calls to wait for, a group is stored once it has so many events.
const GROUP_MAX: usize = 1_000;

/// How long the calls may take of what is in hand, of each order and in all: a partition that is revoked waits for them.
const CALLS_MAX: Duration = Duration::from_secs(1);

/// A modelled call under way.
type Call = Pin<Box<dyn Future<Output = Result<Called, ConsumerError>> + Send>>;

/// A call that has ended.
struct Called {
    taken: Taken,
    took: Duration,
    /// Its timer, for the next one.
    delay: LazyDelay,
}

/// Works on so many orders at once.
pub(in crate::consumer) struct KeyedProcessor {
    steps: Arc<Steps>,
    service_time: ServiceTime,
    at_once: usize,
    in_hand_max: Size,
    /// Most events of one order that wait behind the one that is called.
    waiting_max: usize,
    /// Events that have not ended their calls.
    before_store: Size,
    /// The orders of which an event is called or waits for its turn, with those that wait behind it.
    orders: HashMap<OrderId, VecDeque<Taken>>,
    /// One event of each order that waits for its turn.
    turns: VecDeque<Taken>,
    calls: FuturesUnordered<Call>,
    timers: Vec<LazyDelay>,
    groups: Groups,
}

impl KeyedProcessor {
    pub(super) fn new(steps: Arc<Steps>, service_time: ServiceTime, at_once: NonZeroU16) -> Self {
        let at_once = usize::from(at_once.get());
        let calls_max = calls_within(CALLS_MAX, service_time);
        // Twice as many as are called, so that none of these waits for the store of the others.
        let messages = calls_max.saturating_mul(at_once).min(IN_HAND_MAX.messages).max(2 * at_once);
        Self {
            service_time,
            at_once,
            in_hand_max: Size { messages, ..IN_HAND_MAX },
            waiting_max: calls_max.max(1),
            before_store: Size::default(),
            orders: HashMap::new(),
            turns: VecDeque::new(),
            calls: FuturesUnordered::new(),
            timers: Vec::new(),
            groups: Groups::new(Arc::clone(&steps)),
            steps,
        }
    }

    fn in_hand(&self) -> Size {
        self.before_store.and(self.groups.in_hand())
    }

    /// Calls for those whose turn it is, while there is room.
    fn call_more(&mut self) {
        while self.calls.len() < self.at_once
            && let Some(taken) = self.turns.pop_front()
        {
            let steps = Arc::clone(&self.steps);
            let call = self.service_time.of(&taken.event.order_id, taken.event.revision);
            let mut delay = self.timers.pop().unwrap_or_default();
            self.calls.push(Box::pin(async move {
                let took = steps.serve(&mut delay, call).await?;
                Ok(Called { taken, took, delay })
            }));
        }
    }

    /// The call of an event has ended: it is to be stored, and the next of its order has its turn.
    fn called(&mut self, Called { taken, took, delay }: Called) {
        // Those that are side by side share the consumer's time.
        let beside = u32::try_from(self.calls.len() + 1).unwrap_or(u32::MAX);
        self.steps.spent(Activity::Service, took / beside);
        self.timers.push(delay);
        self.before_store.take_off(taken.bytes());
        let waiting = self.orders.get_mut(&taken.event.order_id);
        match waiting.and_then(VecDeque::pop_front) {
            Some(next) => self.turns.push_back(next),
            None => drop(self.orders.remove(&taken.event.order_id)),
        }
        self.groups.push(taken);
    }

    /// Waits until another message may be taken: one of this order, too.
    async fn make_room(&mut self, order_id: Option<&OrderId>) -> Result<(), ConsumerError> {
        let waiting = |orders: &HashMap<OrderId, VecDeque<Taken>>| {
            order_id.and_then(|order_id| orders.get(order_id)).map_or(0, VecDeque::len)
        };
        while self.in_hand().reaches(self.in_hand_max) || waiting(&self.orders) >= self.waiting_max {
            self.progress().await?;
        }
        Ok(())
    }

    /// Begins with the group that has gathered, if none is in flight.
    async fn store(&mut self) -> Result<(), ConsumerError> {
        if self.groups.is_in_flight() || self.groups.is_done() {
            return Ok(());
        }
        self.groups.start(std::future::ready(Ok(()))).await
    }

    /// Waits until something has got further; something must be in hand.
    async fn progress(&mut self) -> Result<(), ConsumerError> {
        self.call_more();
        self.store().await?;
        tokio::select! {
            Some(called) = self.calls.next(), if !self.calls.is_empty() => match called {
                Ok(called) => self.called(called),
                Err(error) => {
                    self.groups.fail();
                    return Err(error);
                }
            },
            landed = self.groups.land(), if self.groups.is_in_flight() => landed?,
            // The group was small, and stored at once.
            else => {}
        }
        Ok(())
    }
}

impl Processor for KeyedProcessor {
    async fn take(&mut self, fetched: Fetched) -> Result<(), ConsumerError> {
        let Some(taken) = self.groups.read(fetched) else { return self.make_room(None).await };
        if self.service_time.is_zero() {
            self.groups.push(taken);
            if self.groups.events().len() >= GROUP_MAX {
                self.store().await?;
            }
            self.groups.nudge_now_and_then().await?;
            return self.make_room(None).await;
        }
        let (begun, order_id) = (Instant::now(), taken.event.order_id.clone());
        self.before_store.add(taken.bytes());
        match self.orders.get_mut(&order_id) {
            Some(waiting) => waiting.push_back(taken),
            None => {
                self.orders.insert(order_id.clone(), VecDeque::new());
                self.turns.push_back(taken);
            }
        }
        self.call_more();
        self.steps.spent(Activity::Own, begun.elapsed());
        self.make_room(Some(&order_id)).await
    }

    async fn finish(&mut self) -> Result<(), ConsumerError> {
        while self.is_busy() && !self.groups.has_failed() {
            self.progress().await?;
        }
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.in_hand().messages > 0
    }
}
