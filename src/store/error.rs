//! What the databases' errors have in common, and numbers and texts at the border.

use crate::event::{DecodeError, OrderId};
use crate::store::StoreError;
use crate::tls::TlsTrouble;

/// SQLSTATE of a number that its column cannot hold.
const OUT_OF_RANGE: &str = "22003";

/// Sorts an error of sqlx; `by_database` those that the database itself told.
pub(super) fn sorted(
    error: sqlx::Error,
    by_database: impl FnOnce(&dyn sqlx::error::DatabaseError) -> StoreError,
) -> StoreError {
    if let Some(trouble) = TlsTrouble::behind(&error) {
        return StoreError::Unusable(format!("no TLS connection: {trouble}; {}", trouble.hint()));
    }
    match error {
        sqlx::Error::Database(error) => by_database(&*error),
        // The URL, a server without TLS, or a table of another shape: trying again cannot help.
        sqlx::Error::Configuration(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::InvalidArgument(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::TypeNotFound { .. } => StoreError::Unusable(error.to_string()),
        sqlx::Error::Encode(_) => {
            StoreError::Refused { sqlstate: "22000".into(), message: error.to_string() }
        }
        other => StoreError::Unavailable(other.to_string()),
    }
}

/// A column that cannot be read: the table is of another shape.
pub(super) fn unreadable(error: sqlx::Error) -> StoreError {
    sorted(error, |told| StoreError::Unusable(told.to_string()))
}

/// A revision as SQL's `integer`.
pub(super) fn integer(revision: u32) -> Result<i32, StoreError> {
    i32::try_from(revision).map_err(|_| StoreError::Refused {
        sqlstate: OUT_OF_RANGE.into(),
        message: format!("revision {revision} does not fit an integer"),
    })
}

/// A revision read back.
pub(super) fn revision(stored: i32) -> Result<u32, StoreError> {
    u32::try_from(stored).map_err(|_| {
        StoreError::Unusable(format!("a row holds {stored} where a revision or a count belongs"))
    })
}

/// An order id or status read back that is none.
pub(super) fn foreign(what: &str, found: &str) -> StoreError {
    StoreError::Unusable(format!("a row holds {found:?} as its {what}"))
}

/// An order id read back.
pub(super) fn order_id(stored: &str) -> Result<OrderId, StoreError> {
    OrderId::new(stored).map_err(|_: DecodeError| foreign("order id", stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_beyond_integer_is_the_messages_fault() {
        assert!(matches!(integer(1 << 31), Err(StoreError::Refused { .. })));
        assert_eq!(integer(i32::MAX as u32).ok(), Some(i32::MAX));
    }
}
