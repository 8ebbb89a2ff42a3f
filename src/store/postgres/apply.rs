//! What is PostgreSQL's own when a message meets its row.

use sqlx::Postgres;
use sqlx::postgres::PgConnection;

use super::{error, statements as sql};
use crate::delivery::Fold;
use crate::kafka::Origin;
use crate::store::StoreError;
use crate::store::error::integer;
use crate::store::session::{Dialect, Found, Session, before};

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
}
