//! Rows of either database, read back.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Error, Row};

use super::{Parked, StoreError, error};
use crate::delivery::{Delivery, Status};
use crate::kafka::Origin;

/// The columns of a row by name, in the types that there are.
pub(super) trait Columns {
    fn text(&self, column: &'static str) -> Result<&str, Error>;
    fn integer(&self, column: &'static str) -> Result<i32, Error>;
    fn bigint(&self, column: &'static str) -> Result<i64, Error>;
    fn bytes(&self, column: &'static str) -> Result<&[u8], Error>;
    fn maybe_text(&self, column: &'static str) -> Result<Option<&str>, Error>;
    fn maybe_integer(&self, column: &'static str) -> Result<Option<i32>, Error>;
    fn maybe_bigint(&self, column: &'static str) -> Result<Option<i64>, Error>;
}

/// The same calls on either row, which are types of their own to sqlx.
macro_rules! columns {
    ($row:ty) => {
        impl Columns for $row {
            fn text(&self, column: &'static str) -> Result<&str, Error> {
                self.try_get(column)
            }
            fn integer(&self, column: &'static str) -> Result<i32, Error> {
                self.try_get(column)
            }
            fn bigint(&self, column: &'static str) -> Result<i64, Error> {
                self.try_get(column)
            }
            fn bytes(&self, column: &'static str) -> Result<&[u8], Error> {
                self.try_get(column)
            }
            fn maybe_text(&self, column: &'static str) -> Result<Option<&str>, Error> {
                self.try_get(column)
            }
            fn maybe_integer(&self, column: &'static str) -> Result<Option<i32>, Error> {
                self.try_get(column)
            }
            fn maybe_bigint(&self, column: &'static str) -> Result<Option<i64>, Error> {
                self.try_get(column)
            }
        }
    };
}

columns!(PgRow);
columns!(SqliteRow);

/// A row of `deliveries`.
pub(super) fn delivery(row: &impl Columns) -> Result<Delivery, StoreError> {
    let text = |column| row.text(column).map_err(error::unreadable);
    let status = text("status")?;
    Ok(Delivery {
        order_id: error::order_id(text("order_id")?)?,
        revision: count(row, "revision")?,
        applied: count(row, "applied")?,
        status: Status::parse(status).ok_or_else(|| error::foreign("status", status))?,
        amount_minor: row.bigint("amount_minor").map_err(error::unreadable)?,
        currency: text("currency")?.into(),
        address: text("address")?.into(),
        origin: origin(row)?,
    })
}

/// A row of `parked_events`.
pub(super) fn parked(row: &impl Columns) -> Result<Parked, StoreError> {
    Ok(Parked {
        order_id: error::order_id(row.text("order_id").map_err(error::unreadable)?)?,
        first: count(row, "first")?,
        last: count(row, "last")?,
        origin: origin(row)?,
    })
}

fn count(row: &impl Columns, column: &'static str) -> Result<u32, StoreError> {
    error::revision(row.integer(column).map_err(error::unreadable)?)
}

fn origin(row: &impl Columns) -> Result<Origin, StoreError> {
    Ok(Origin {
        partition: row.integer("log_partition").map_err(error::unreadable)?,
        offset: row.bigint("log_offset").map_err(error::unreadable)?,
    })
}
