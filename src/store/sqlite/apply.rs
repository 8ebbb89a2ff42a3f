//! What is SQLite's own when a message meets its row.

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Sqlite};

use super::{error, statements as sql};
use crate::delivery::{Fold, Status};
use crate::kafka::Origin;
use crate::store::StoreError;
use crate::store::error::integer;
use crate::store::session::{Dialect, Found, Session, before, count};

impl Dialect for Sqlite {
    const BEGIN: &'static str = sql::BEGIN;
    const LOCK: &'static str = sql::LOCK;

    fn sorted(failed: sqlx::Error) -> StoreError {
        error::sorted(failed)
    }

    /// A redelivery is told by a read alone: revisions only grow, so "already held" stays true. Whether there is a gap
    /// is judged again under the write lock, by the statement that parks.
    async fn park(
        connection: &mut SqliteConnection,
        fold: &Fold,
        origin: Origin,
    ) -> Result<Option<Found>, StoreError> {
        let event = &fold.event;
        let order = event.order_id.as_str();
        let before = before(fold)?;
        if let Some(found) = Session::<Sqlite>(connection).look(&event.order_id).await?
            && found.row.as_ref().is_some_and(|row| fold.last() <= row.revision)
        {
            return Ok(Some(found));
        }
        let mut transaction = connection.begin_with(sql::BEGIN).await.map_err(error::sorted)?;
        let gap = sqlx::query(sql::GAP).bind(order).bind(before).fetch_all(&mut *transaction).await;
        let gap = gap.map_err(error::sorted)?;
        let Some(row) = gap.first() else {
            transaction.rollback().await.map_err(error::sorted)?;
            return Ok(None);
        };
        let found = Session::<Sqlite>::found(&event.order_id, row)?;
        let keep = sqlx::query(sql::KEEP)
            .bind(order)
            .bind(integer(fold.last())?)
            .bind(event.amount_minor)
            .bind(event.currency.as_str())
            .bind(event.address.as_str())
            .bind(origin.partition)
            .bind(origin.offset)
            .bind(before);
        if let Err(failed) = keep.execute(&mut *transaction).await.map_err(error::sorted) {
            // A refused message leaves neither the row of revision 0 behind nor the transaction open. After any other error
            // SQLite may have ended the transaction already, and the connection is not used again.
            if matches!(failed, StoreError::Refused { .. }) {
                transaction.rollback().await.map_err(error::sorted)?;
            }
            return Err(failed);
        }
        transaction.commit().await.map_err(error::sorted)?;
        Ok(Some(found))
    }

    async fn apply_folds(
        connection: &mut SqliteConnection,
        folds: &[(Fold, Origin)],
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let columns = |(fold, origin): &(Fold, Origin)| -> Result<Value, StoreError> {
            let event = &fold.event;
            Ok(json!([
                event.order_id.as_str(),
                integer(fold.last())?,
                count(fold)?,
                Status::at(fold.last()).as_str(),
                event.amount_minor,
                event.currency,
                event.address,
                origin.partition,
                origin.offset
            ]))
        };
        let folds = folds.iter().map(columns).collect::<Result<Value, StoreError>>()?;
        let query = sqlx::query(sql::APPLY_FOLDS).bind(folds.to_string());
        query.fetch_all(connection).await.map_err(error::sorted)
    }
}
