//! Why a payment was not accepted, or is not known to be.

use crate::event::Revision;
use crate::store::StoreError;

/// Why there is no answer that says "accepted".
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The time was up before anything was written, and nothing will be.
    #[error("the payment's turn did not come in time; this request accepted nothing")]
    Late,
    /// The store failed before anything was written.
    #[error("this request accepted nothing: {0}")]
    Store(#[from] StoreError),
    /// An earlier payment of the order is not in the log yet, and nothing may overtake it.
    #[error(
        "this request accepted nothing, since an earlier payment of the order is still to be sent: {cause}"
    )]
    Behind {
        /// What stands in the way of that one.
        cause: String,
    },
    /// The payment is written, or may be: it will be sent, but that was not seen before the time was up.
    #[error("the payment may have been accepted and is then sent as soon as that is possible: {cause}")]
    Unconfirmed {
        /// What stood in the way.
        cause: String,
    },
    /// The client takes another revision for the next.
    #[error("the order's next revision is {next}, not {expected}")]
    Conflict {
        /// What the client takes for the next.
        expected: Revision,
        /// The next revision.
        next: Revision,
    },
    /// The idempotency key belongs to another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Revisions of this order are used up.
    #[error("the order has had the highest revision that there is")]
    Exhausted,
}

/// Why payments can't be accepted at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The table of accepted payments can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Revisions of one order are counted over the whole table, so it serves one topic.
    #[error("the table of accepted payments belongs to topic {found}, not to {wanted}")]
    OtherTopic {
        /// The topic of the payments in it.
        found: String,
        /// The topic of this intake.
        wanted: String,
    },
}
