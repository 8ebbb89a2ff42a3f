//! From what sqlx says to whose fault it is: the message's, the set-up's, or the moment's.

use crate::store::{StoreError, error};

/// What a role must be granted.
const RIGHTS: &str = "the role needs USAGE on the schema and SELECT, INSERT, UPDATE and DELETE on deliveries, \
                      parked_events and, where payments are accepted, payments; TRUNCATE to clear them; CREATE on the database to make a missing schema";

/// Sorts an error of sqlx.
pub(super) fn sorted(failed: sqlx::Error) -> StoreError {
    error::sorted(failed, |told| by_sqlstate(told.code().as_deref().unwrap_or_default(), told.message()))
}

/// Sorts an error that the server sent, by the class of its SQLSTATE (PostgreSQL's appendix A).
fn by_sqlstate(sqlstate: &str, message: &str) -> StoreError {
    let told = || format!("{message} (SQLSTATE {sqlstate})");
    match sqlstate.get(..2).unwrap_or_default() {
        // Data exception, integrity violation.
        "22" | "23" => StoreError::Refused { sqlstate: sqlstate.into(), message: message.into() },
        "42" if sqlstate == "42501" => StoreError::Unusable(format!("{}; {RIGHTS}", told())),
        // Without USAGE on the schema a role does not see its tables.
        "42" if sqlstate == "42P01" => {
            StoreError::Unusable(format!("{}; prepare() creates the tables; {RIGHTS}", told()))
        }
        // Authorisation, unknown database, unknown schema, any other fault of the statement or its rights.
        "28" | "3D" | "3F" | "42" => StoreError::Unusable(told()),
        _ => StoreError::Unavailable(told()),
    }
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
}
