//! What is PostgreSQL's own when a message meets its row.

use sqlx::Postgres;
use sqlx::postgres::{PgConnection, PgRow};

use super::{error, statements as sql};
use crate::delivery::{Fold, Status};
use crate::kafka::Origin;
use crate::store::StoreError;
use crate::store::error::integer;
use crate::store::session::{Dialect, Found, Session, before, count};

impl Dialect for Postgres {
    const BEGIN: &'static str = "BEGIN";
    const LOCK: &'static str = sql::LOCK;

    fn sorted(failed: sqlx::Error) -> StoreError {
        error::sorted(failed)
    }

    async fn park(
        connection: &mut PgConnection,
        fold: &Fold,
        origin: Origin,
    ) -> Result<Option<Found>, StoreError> {
        let event = &fold.event;
        let query = sqlx::query(sql::PARK)
            .bind(event.order_id.as_str())
            .bind(integer(fold.last())?)
            .bind(event.amount_minor)
            .bind(event.currency.as_str())
            .bind(event.address.as_str())
            .bind(origin.partition)
            .bind(origin.offset)
            .bind(before(fold)?);
        let row = query.fetch_optional(connection).await.map_err(error::sorted)?;
        row.map(|row| Session::<Postgres>::found(&event.order_id, &row)).transpose()
    }

    async fn apply_folds(
        connection: &mut PgConnection,
        folds: &[(Fold, Origin)],
    ) -> Result<Vec<PgRow>, StoreError> {
        let events = || folds.iter().map(|(fold, _)| &fold.event);
        let numbers = |of: fn(&Fold) -> Result<i32, StoreError>| {
            folds.iter().map(|(fold, _)| of(fold)).collect::<Result<Vec<i32>, StoreError>>()
        };
        let query = sqlx::query(sql::APPLY_FOLDS)
            .bind(events().map(|event| event.order_id.as_str()).collect::<Vec<_>>())
            .bind(numbers(|fold| integer(fold.last()))?)
            .bind(numbers(count)?)
            .bind(events().map(|event| Status::at(event.revision).as_str()).collect::<Vec<_>>())
            .bind(events().map(|event| event.amount_minor).collect::<Vec<_>>())
            .bind(events().map(|event| event.currency.as_str()).collect::<Vec<_>>())
            .bind(events().map(|event| event.address.as_str()).collect::<Vec<_>>())
            .bind(folds.iter().map(|(_, origin)| origin.partition).collect::<Vec<_>>())
            .bind(folds.iter().map(|(_, origin)| origin.offset).collect::<Vec<_>>());
        query.fetch_all(connection).await.map_err(error::sorted)
    }
}
