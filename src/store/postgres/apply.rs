//! A message meets its row: the guard, the park, and the drain of what was parked.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};

use super::{error, statements as sql};
use crate::delivery::{Decision, Fold, Status, StatusEntry, decide};
use crate::event::{OrderId, Revision};
use crate::kafka::Origin;
use crate::store::{Effect, Outcome, StoreError};

/// How often a row may move between two statements before the call gives up, to be made again.
const ROUNDS: usize = 8;

/// Parked events that a drain takes in at a time.
const PARKED_PAGE: i64 = 256;

/// Applies, ignores or parks. One statement where the message follows its row; two for a redelivery or a gap.
pub(super) async fn apply(
    connection: &mut PgConnection,
    fold: &Fold,
    origin: Origin,
) -> Result<Outcome, StoreError> {
    let order_id = &fold.event.order_id;
    for _ in 0..ROUNDS {
        if let Some(has_parked) = guard(connection, fold, origin).await? {
            let row = if has_parked { drain(connection, order_id).await? } else { at(order_id, fold.last()) };
            return Ok(Outcome { effect: Effect::Applied, row: Some(row) });
        }
        let Some(found) = missed(connection, fold, origin).await? else {
            continue;
        };
        if found.parked {
            return Ok(Outcome { effect: Effect::Parked, row: found.row });
        }
        if let Some(row) = found.row
            && fold.last() <= row.revision
        {
            // Parked events behind an applied row: someone stopped between the guard and its drain.
            let row = if found.has_parked { drain(connection, order_id).await? } else { row };
            return Ok(Outcome { effect: Effect::Ignored, row: Some(row) });
        }
    }
    Err(StoreError::Unavailable(format!(
        "the row of order {order_id} moved {ROUNDS} times under one message"
    )))
}

/// The guard: `Some(has_parked)` if the row took the message. Which statement it is depends on the message alone.
async fn guard(
    connection: &mut PgConnection,
    fold: &Fold,
    origin: Origin,
) -> Result<Option<bool>, StoreError> {
    let event = &fold.event;
    let statement = if fold.first == 1 { sql::APPLY_FIRST } else { sql::APPLY_NEXT };
    let mut query = sqlx::query(statement)
        .bind(event.order_id.as_str())
        .bind(error::integer(fold.last())?)
        .bind(Status::at(fold.last()).as_str())
        .bind(event.amount_minor)
        .bind(event.currency.as_str())
        .bind(event.address.as_str())
        .bind(origin.partition)
        .bind(origin.offset);
    if fold.first != 1 {
        query = query.bind(before(fold)?);
    }
    let row = query.fetch_optional(connection).await.map_err(error::sorted)?;
    row.map(|row| row.try_get(0).map_err(error::sorted)).transpose()
}

/// What the second statement found.
struct Found {
    /// It parked the message.
    parked: bool,
    /// The row, if anything was applied.
    row: Option<StatusEntry>,
    has_parked: bool,
}

/// After a guard that took nothing: parks, or tells the row; `None` where there was none to tell.
async fn missed(
    connection: &mut PgConnection,
    fold: &Fold,
    origin: Origin,
) -> Result<Option<Found>, StoreError> {
    let event = &fold.event;
    let query = if fold.first == 1 {
        // Nothing can be missing before revision 1.
        sqlx::query(sql::LOOK).bind(event.order_id.as_str())
    } else {
        sqlx::query(sql::PARK)
            .bind(event.order_id.as_str())
            .bind(error::integer(fold.last())?)
            .bind(event.amount_minor)
            .bind(event.currency.as_str())
            .bind(event.address.as_str())
            .bind(origin.partition)
            .bind(origin.offset)
            .bind(before(fold)?)
    };
    let row = query.fetch_optional(connection).await.map_err(error::sorted)?;
    row.map(|row| found(&event.order_id, &row)).transpose()
}

fn found(order_id: &OrderId, row: &PgRow) -> Result<Found, StoreError> {
    let get = || -> Result<(bool, i32, Option<&str>, bool), sqlx::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
    };
    let (parked, revision, status, has_parked) = get().map_err(error::sorted)?;
    let status =
        status.map(|text| Status::parse(text).ok_or_else(|| error::foreign("status", text))).transpose()?;
    let revision = error::revision(revision)?;
    let row = status.map(|status| StatusEntry { order_id: order_id.clone(), revision, status });
    Ok(Found { parked, row, has_parked })
}

/// Applies what is parked right behind the row and forgets what the row already holds, in one transaction.
async fn drain(connection: &mut PgConnection, order_id: &OrderId) -> Result<StatusEntry, StoreError> {
    let mut transaction = connection.begin().await.map_err(drain_failed)?;
    let row = sqlx::query(sql::LOCK)
        .bind(order_id.as_str())
        .fetch_one(&mut *transaction)
        .await
        .map_err(drain_failed)?;
    let mut revision = error::revision(row.try_get(0).map_err(error::sorted)?)?;
    loop {
        let page = sqlx::query(sql::PARKED_OF)
            .bind(order_id.as_str())
            .bind(PARKED_PAGE)
            .fetch_all(&mut *transaction)
            .await
            .map_err(drain_failed)?;
        let run = follow(revision, &page)?;
        if run.revision > revision {
            sqlx::query(sql::APPLY_PARKED)
                .bind(order_id.as_str())
                .bind(error::integer(run.revision)?)
                .bind(Status::at(run.revision).as_str())
                .execute(&mut *transaction)
                .await
                .map_err(drain_failed)?;
            revision = run.revision;
        }
        sqlx::query(sql::UNPARK)
            .bind(order_id.as_str())
            .bind(error::integer(revision)?)
            .execute(&mut *transaction)
            .await
            .map_err(drain_failed)?;
        if run.meets_gap || (page.len() as i64) < PARKED_PAGE {
            break;
        }
    }
    sqlx::query(sql::MARK).bind(order_id.as_str()).execute(&mut *transaction).await.map_err(drain_failed)?;
    transaction.commit().await.map_err(drain_failed)?;
    Ok(at(order_id, revision))
}

/// How far a page of parked events, sorted by their first revision, brings a row.
struct Run {
    revision: Revision,
    meets_gap: bool,
}

fn follow(mut revision: Revision, page: &[PgRow]) -> Result<Run, StoreError> {
    for row in page {
        let first = error::revision(row.try_get(0).map_err(error::sorted)?)?;
        let last = error::revision(row.try_get(1).map_err(error::sorted)?)?;
        match decide(revision, first, last) {
            Decision::Apply { .. } => revision = last,
            Decision::Ignore => {}
            Decision::Park => {
                return Ok(Run { revision, meets_gap: true });
            }
        }
    }
    Ok(Run { revision, meets_gap: false })
}

/// An error in a drain is never the fault of the message in hand, which is applied already.
fn drain_failed(failed: sqlx::Error) -> StoreError {
    match error::sorted(failed) {
        StoreError::Refused { sqlstate, message } => StoreError::Unusable(format!(
            "a parked event was refused with SQLSTATE {sqlstate} when its turn came: {message}"
        )),
        other => other,
    }
}

fn at(order_id: &OrderId, revision: Revision) -> StatusEntry {
    StatusEntry { order_id: order_id.clone(), revision, status: Status::at(revision) }
}

/// The revision that the fold's first event follows.
fn before(fold: &Fold) -> Result<i32, StoreError> {
    error::integer(fold.first.saturating_sub(1))
}
