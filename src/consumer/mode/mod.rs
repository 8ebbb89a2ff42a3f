//! How a consumer works through its events: from fetched to stored, visible and ready to commit.

use std::sync::Arc;

use super::ConsumerError;
use crate::kafka::Fetched;
use crate::probe::Probe;
use crate::store::DeliveryStore;
use crate::view::StatusView;

mod attempts;
pub mod dead_letter;
pub(crate) mod record;

pub use dead_letter::dead_letter_topic;

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
/// done. What is in flight is bounded: [`Mode::take`] returns only when there is room for another message.
///
/// Attempts at what passes are bounded in time but not in number. Dropping a future leaves its messages to be delivered again, which the
/// domain rule makes harmless.
pub(crate) trait Mode: Send {
    /// Takes a message in hand.
    ///
    /// # Errors
    /// [`ConsumerError`] of a set-up that no attempt gets past.
    fn take(&mut self, fetched: &Fetched) -> impl Future<Output = Result<(), ConsumerError>> + Send;

    /// Ends with whatever is in flight; at once if nothing is. Cancel-safe.
    ///
    /// # Errors
    /// As [`Mode::take`].
    fn finish(&mut self) -> impl Future<Output = Result<(), ConsumerError>> + Send;

    /// Whether anything is in flight.
    fn is_busy(&self) -> bool;
}
