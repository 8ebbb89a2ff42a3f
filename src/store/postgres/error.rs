//! From what sqlx says to whose fault it is: the message's, the set-up's, or the moment's.

use crate::event::DecodeError;
use crate::store::StoreError;

/// SQLSTATE of a number that its column cannot hold.
const OUT_OF_RANGE: &str = "22003";

/// Sorts an error of sqlx.
pub(super) fn sorted(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(error) => {
            by_sqlstate(error.code().as_deref().unwrap_or_default(), error.message())
        }
        // The URL, or a table of another shape: trying again cannot help.
        sqlx::Error::Configuration(_)
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

/// Sorts an error that the server sent, by the class of its SQLSTATE (PostgreSQL's appendix A).
fn by_sqlstate(sqlstate: &str, message: &str) -> StoreError {
    let told = || format!("{message} (SQLSTATE {sqlstate})");
    match sqlstate.get(..2).unwrap_or_default() {
        // Data exception, integrity violation.
        "22" | "23" => StoreError::Refused { sqlstate: sqlstate.into(), message: message.into() },
        "42" if sqlstate == "42501" => StoreError::Unusable(format!(
            "{}; the role needs SELECT, INSERT, UPDATE and DELETE on deliveries and parked_events, TRUNCATE to \
             clear them, USAGE on their schema, and CREATE on the database where the schema is missing",
            told()
        )),
        "42" if sqlstate == "42P01" => {
            StoreError::Unusable(format!("{}; prepare() creates the tables", told()))
        }
        // Authorisation, unknown database, unknown schema, any other fault of the statement or its rights.
        "28" | "3D" | "3F" | "42" => StoreError::Unusable(told()),
        _ => StoreError::Unavailable(told()),
    }
}

/// A revision as PostgreSQL's `integer`.
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
pub(super) fn order_id(stored: &str) -> Result<crate::event::OrderId, StoreError> {
    crate::event::OrderId::new(stored).map_err(|_: DecodeError| foreign("order id", stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sqlstate: &str, expected: &str) {
        let is = match by_sqlstate(sqlstate, "words") {
            StoreError::Unavailable(_) => "unavailable",
            StoreError::Refused { .. } => "refused",
            StoreError::Unusable(_) => "unusable",
        };
        assert_eq!(is, expected, "{sqlstate}");
    }

    #[test]
    fn a_message_is_blamed_only_for_its_own_faults() {
        for refused in ["22001", "22003", "22021", "23502", "23505", "23514"] {
            check(refused, "refused");
        }
        for unusable in ["28P01", "28000", "3D000", "3F000", "42501", "42P01", "42703"] {
            check(unusable, "unusable");
        }
        let passing = [
            "08006", "25006", "25P03", "26000", "40001", "40P01", "53100", "53200", "53300", "55P03",
            "57014", "57P01", "57P03", "58030", "XX000", "XX001", "",
        ];
        for unavailable in passing {
            check(unavailable, "unavailable");
        }
    }

    #[test]
    fn a_missing_right_and_a_missing_table_say_what_helps() {
        assert!(
            by_sqlstate("42501", "permission denied for table deliveries").to_string().contains("SELECT")
        );
        assert!(by_sqlstate("42P01", "relation does not exist").to_string().contains("prepare()"));
    }

    #[test]
    fn a_revision_beyond_integer_is_the_messages_fault() {
        assert!(matches!(integer(1 << 31), Err(StoreError::Refused { .. })));
        assert_eq!(integer(i32::MAX as u32).ok(), Some(i32::MAX));
    }
}
