//! From what sqlx says to whose fault it is, as PostgreSQL would put it.
//!
//! SQLite has result codes where PostgreSQL has SQLSTATE. A message is refused for its own faults with the SQLSTATE that
//! PostgreSQL gives for the same fault:
//!
//! | SQLite | SQLSTATE |
//! |---|---|
//! | `CONSTRAINT_CHECK` | 23514, check violation |
//! | `CONSTRAINT_NOTNULL` | 23502, not-null violation |
//! | `CONSTRAINT_UNIQUE`, `_PRIMARYKEY`, `_ROWID` | 23505, unique violation |
//! | `CONSTRAINT_FOREIGNKEY` | 23503, foreign-key violation |
//! | `CONSTRAINT_DATATYPE` (a STRICT table) | 22000, data exception |
//! | any other `CONSTRAINT` | 23000, integrity violation |
//! | `TOOBIG` | 22001, too long |
//!
//! `BUSY`, `LOCKED`, `FULL` and what else a later attempt may get past is the moment's fault; anything else is the file's.

use sqlx::error::DatabaseError;

use crate::delivery::Fold;
use crate::store::{StoreError, error};

/// SQLSTATE of a character that text cannot hold.
const NOT_IN_REPERTOIRE: &str = "22021";

/// Sorts an error of sqlx.
pub(super) fn sorted(failed: sqlx::Error) -> StoreError {
    match failed {
        // A name that is not UTF-8.
        sqlx::Error::Io(error) => StoreError::Unusable(error.to_string()),
        other => error::sorted(other, by_database),
    }
}

fn by_database(told: &dyn DatabaseError) -> StoreError {
    let code = told.code().and_then(|code| code.parse().ok()).unwrap_or_default();
    by_code(code, told.message())
}

/// Sorts an error that SQLite told, by its extended result code (<https://www.sqlite.org/rescode.html>).
fn by_code(code: i32, message: &str) -> StoreError {
    let refused = |sqlstate: &str| StoreError::Refused { sqlstate: sqlstate.into(), message: message.into() };
    let told = || format!("{message} (SQLite result code {code})");
    // The low byte is the primary code, the rest says which kind.
    match (code & 0xff, code >> 8) {
        (CONSTRAINT, 1) => refused("23514"),
        (CONSTRAINT, 3) => refused("23503"),
        (CONSTRAINT, 5) => refused("23502"),
        (CONSTRAINT, 6 | 8 | 10) => refused("23505"),
        (CONSTRAINT, 12) => refused("22000"),
        (CONSTRAINT, _) => refused("23000"),
        (TOOBIG, _) => refused("22001"),
        (BUSY | LOCKED | NOMEM | INTERRUPT | IOERR | FULL | PROTOCOL | SCHEMA, _) => {
            StoreError::Unavailable(told())
        }
        (ERROR, _) => StoreError::Unusable(format!("{}; prepare() creates the tables", told())),
        _ => StoreError::Unusable(told()),
    }
}

/// SQLite's primary result codes.
const ERROR: i32 = 1;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const FULL: i32 = 13;
const PROTOCOL: i32 = 15;
const SCHEMA: i32 = 17;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;

/// Refuses a NUL, as PostgreSQL does. SQLite would take it and then disagree with itself about the text's length.
pub(super) fn storable(fold: &Fold) -> Result<(), StoreError> {
    for (name, text) in [("currency", &fold.event.currency), ("address", &fold.event.address)] {
        if text.contains('\0') {
            return Err(StoreError::Refused {
                sqlstate: NOT_IN_REPERTOIRE.into(),
                message: format!("the {name} holds a NUL"),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(code: i32, expected: &str) {
        let got = by_code(code, "words");
        assert!(
            matches!(&got, StoreError::Refused { sqlstate, .. } if sqlstate == expected),
            "{code}: {got:?}"
        );
    }

    #[test]
    fn a_message_is_blamed_for_its_own_faults_in_postgresqls_words() {
        for (code, sqlstate) in [
            (275, "23514"),
            (787, "23503"),
            (1299, "23502"),
            (1555, "23505"),
            (2067, "23505"),
            (2579, "23505"),
            (3091, "22000"),
            (19, "23000"),
            (1811, "23000"),
            (18, "22001"),
        ] {
            refused(code, sqlstate);
        }
    }

    #[test]
    fn the_moment_and_the_file_are_told_apart() {
        // Busy (recovery, snapshot, timeout), locked, out of memory or disk, interrupted, I/O (short read, fsync).
        for code in [5, 261, 517, 773, 6, 262, 7, 13, 9, 10, 522, 1034, 15, 17] {
            let got = by_code(code, "words");
            assert!(matches!(got, StoreError::Unavailable(_)), "{code}: {got:?}");
        }
        // No table, no right, read-only (the file was moved), corrupt, cannot be opened, not a database; and none at all.
        for code in [1, 3, 8, 1032, 11, 14, 23, 26, 0] {
            let got = by_code(code, "words");
            assert!(matches!(got, StoreError::Unusable(_)), "{code}: {got:?}");
        }
        assert!(by_code(1, "no such table: deliveries").to_string().contains("prepare()"));
    }
}
