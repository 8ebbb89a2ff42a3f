//! How a consumer works through its events: from fetched to stored, visible and ready to commit.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

use super::tracker::Tracker;
use super::{ConsumerError, ServiceTime};
use crate::kafka::Fetched;
use crate::probe::Probe;
use crate::store::DeliveryStore;
use crate::view::StatusView;

mod attempts;
mod batch;
pub mod dead_letter;
mod groups;
mod keyed;
mod record;
mod steps;
#[cfg(test)]
mod tests;

use batch::BatchProcessor;
use dead_letter::DeadLetters;
pub use dead_letter::dead_letter_topic;
use keyed::KeyedProcessor;
use record::RecordProcessor;
use steps::Steps;

/// How a consumer works through its events. No mode changes what is promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// One event at a time: one durable transaction each, in order.
    #[default]
    Record,
    /// What is at hand at a time: consecutive events of one order folded, all in one durable transaction, the view in one pipeline.
    Batch,
    /// Orders side by side, so many at once, each strictly in its order; events whose calls have ended are stored in groups, as in batch mode.
    Keyed(NonZeroU16),
}

impl Mode {
    /// Keyed mode with as many orders at once as `keyed` alone means.
    pub const KEYED: Self = Self::Keyed(NonZeroU16::new(64).unwrap());

    /// Each kind of mode, in the order in which they are named to people.
    pub const KINDS: [Self; 3] = [Self::Record, Self::Batch, Self::KEYED];

    /// Most orders at once.
    const AT_ONCE_MAX: u16 = 512;

    /// How many modelled calls a consumer makes side by side, at most.
    pub fn calls_at_once(self) -> u32 {
        match self {
            Self::Record | Self::Batch => 1,
            Self::Keyed(at_once) => at_once.get().into(),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record => f.write_str("record"),
            Self::Batch => f.write_str("batch"),
            Self::Keyed(at_once) => write!(f, "keyed{at_once}"),
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "record" => return Ok(Self::Record),
            "batch" => return Ok(Self::Batch),
            "keyed" => return Ok(Self::KEYED),
            _ => {}
        }
        let Some(at_once) = text.strip_prefix("keyed") else {
            return Err(format!(
                "`{text}` is no mode; there are record, batch and keyed64 (64 orders at once)"
            ));
        };
        let in_range = at_once.parse().ok().filter(|at_once: &NonZeroU16| at_once.get() <= Self::AT_ONCE_MAX);
        let wrong = || {
            format!("`{text}`: keyed mode works on 1 to {} orders at once, as in keyed64", Self::AT_ONCE_MAX)
        };
        in_range.map(Self::Keyed).ok_or_else(wrong)
    }
}

/// The store, the view and the observer that a consumer works with.
#[derive(Clone)]
pub struct ProcessorDeps {
    /// Where delivery rows are kept.
    pub store: Arc<dyn DeliveryStore>,
    /// Where their status can be queried at once.
    pub view: Arc<dyn StatusView>,
    /// Who watches.
    pub probe: Arc<dyn Probe>,
}

/// Takes messages in the order of each partition, and completes their offsets in the tracker when all that is to be done with them is
/// done. What is in flight is bounded: [`Processor::take`] returns only when there is room for another message.
///
/// Attempts at what passes are bounded in time but not in number. Dropping a future leaves its messages to be delivered again, which the
/// domain rule makes harmless.
pub(super) trait Processor: Send {
    /// Takes a message in hand.
    ///
    /// # Errors
    /// [`ConsumerError`] of a set-up that no attempt gets past.
    fn take(&mut self, fetched: Fetched) -> impl Future<Output = Result<(), ConsumerError>> + Send;

    /// Ends with whatever is in flight; at once if nothing is. Cancel-safe.
    ///
    /// # Errors
    /// As [`Processor::take`].
    fn finish(&mut self) -> impl Future<Output = Result<(), ConsumerError>> + Send;

    /// Whether anything is in flight.
    fn is_busy(&self) -> bool;

    /// Whether time without a message at hand is idle time. Not so while something in flight tells for itself what it waits for.
    fn idles(&self) -> bool {
        !self.is_busy()
    }
}

/// That of any mode.
pub(super) enum AnyProcessor {
    Record(RecordProcessor),
    Batch(BatchProcessor),
    Keyed(KeyedProcessor),
}

/// What the processor of whichever mode does.
macro_rules! each {
    ($any:expr, $processor:ident => $does:expr) => {
        match $any {
            AnyProcessor::Record($processor) => $does,
            AnyProcessor::Batch($processor) => $does,
            AnyProcessor::Keyed($processor) => $does,
        }
    };
}

impl AnyProcessor {
    /// That of `mode`, with modelled calls of `service_time` an event.
    pub(super) fn new(
        mode: Mode,
        consumer: &str,
        deps: ProcessorDeps,
        dead_letters: DeadLetters,
        tracker: Arc<Tracker>,
        service_time: ServiceTime,
    ) -> Self {
        let steps = Arc::new(Steps::new(consumer, deps, dead_letters, tracker));
        match mode {
            Mode::Record => Self::Record(RecordProcessor::new(steps, service_time)),
            Mode::Batch => Self::Batch(BatchProcessor::new(steps, service_time)),
            Mode::Keyed(at_once) => Self::Keyed(KeyedProcessor::new(steps, service_time, at_once)),
        }
    }
}

impl Processor for AnyProcessor {
    async fn take(&mut self, fetched: Fetched) -> Result<(), ConsumerError> {
        each!(self, processor => processor.take(fetched).await)
    }

    async fn finish(&mut self) -> Result<(), ConsumerError> {
        each!(self, processor => processor.finish().await)
    }

    fn is_busy(&self) -> bool {
        each!(self, processor => processor.is_busy())
    }

    fn idles(&self) -> bool {
        each!(self, processor => processor.idles())
    }
}
