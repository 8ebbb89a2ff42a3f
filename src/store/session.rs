//! A message meets its row, in either database: the guard, the park, and the drain of what was parked.

use std::collections::HashMap;
use std::future::Future;

use sqlx::{
    ColumnIndex, Connection, Database, Decode, Encode, Executor, IntoArguments, Row, SqlSafeStr, Type,
};

use super::{Effect, Outcome, StoreError, error, sql};
use crate::delivery::{Decision, Fold, Status, StatusEntry, decide};
use crate::event::{OrderId, Revision};
use crate::kafka::Origin;

/// How often a row may move between two statements before the call gives up, to be made again.
const ROUNDS: usize = 8;

/// Parked events that a drain takes in at a time.
const PARKED_PAGE: i64 = 256;

/// What two databases do differently.
pub(super) trait Dialect: Database {
    /// Starts a transaction that may write.
    const BEGIN: &'static str;

    /// Tells the revision of the order `$1`; whoever parks or applies an event of it waits from here on.
    const LOCK: &'static str;

    /// From what sqlx says to whose fault it is.
    fn sorted(error: sqlx::Error) -> StoreError;

    /// After a guard that took nothing, and for a message that does not start at revision 1: parks it as one atomic
    /// step if the row is still behind `before`, otherwise tells the row; `None` where there was none to tell.
    fn park(
        connection: &mut Self::Connection,
        fold: &Fold,
        origin: Origin,
    ) -> impl Future<Output = Result<Option<Found>, StoreError>> + Send;

    /// Applies the folds that follow their rows, by one statement; returns a row of order id and `has_parked` for each of them.
    fn apply_folds(
        connection: &mut Self::Connection,
        folds: &[(Fold, Origin)],
    ) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;
}

/// What the second statement found.
pub(super) struct Found {
    /// It parked the message.
    pub(super) parked: bool,
    /// The row, if anything was applied.
    pub(super) row: Option<StatusEntry>,
    /// Events of the order are parked.
    pub(super) has_parked: bool,
}

/// A connection for the length of one call.
pub(super) struct Session<'a, DB: Dialect>(pub(super) &'a mut DB::Connection);

impl<DB: Dialect> Session<'_, DB>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    DB::Arguments: IntoArguments<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    for<'q> i32: Encode<'q, DB> + Decode<'q, DB> + Type<DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'r> bool: Decode<'r, DB> + Type<DB>,
    for<'r> &'r str: Decode<'r, DB>,
    usize: ColumnIndex<DB::Row>,
{
    /// Applies, ignores or parks. One statement where the message follows its row; more for a redelivery or a gap.
    pub(super) async fn apply(&mut self, fold: &Fold, origin: Origin) -> Result<Outcome, StoreError> {
        let order_id = &fold.event.order_id;
        for _ in 0..ROUNDS {
            if let Some(has_parked) = self.guard(fold, origin).await? {
                let row = if has_parked { self.drain(order_id).await? } else { at(order_id, fold.last()) };
                return Ok(Outcome { effect: Effect::Applied, row: Some(row) });
            }
            // Nothing can be missing before revision 1.
            let found = if fold.first == 1 {
                self.look(order_id).await?
            } else {
                DB::park(self.0, fold, origin).await?
            };
            let Some(found) = found else {
                continue;
            };
            if found.parked {
                return Ok(Outcome { effect: Effect::Parked, row: found.row });
            }
            if let Some(row) = found.row
                && fold.last() <= row.revision
            {
                // Parked events behind an applied row: someone stopped between the guard and its drain.
                let row = if found.has_parked { self.drain(order_id).await? } else { row };
                return Ok(Outcome { effect: Effect::Ignored, row: Some(row) });
            }
        }
        Err(StoreError::Unavailable(format!(
            "the row of order {order_id} moved {ROUNDS} times under one message"
        )))
    }

    /// Applies the folds that follow their rows; tells the rows of these, parked runs included.
    pub(super) async fn apply_all(
        &mut self,
        folds: &[(Fold, Origin)],
    ) -> Result<Vec<Option<StatusEntry>>, StoreError> {
        debug_assert!(folds.is_sorted_by(|(a, _), (b, _)| a.event.order_id < b.event.order_id));
        if folds.is_empty() {
            return Ok(Vec::new());
        }
        let returned = DB::apply_folds(&mut *self.0, folds).await?;
        let mut taken = HashMap::with_capacity(returned.len());
        for row in &returned {
            let order_id: &str = row.try_get(0).map_err(DB::sorted)?;
            let has_parked: bool = row.try_get(1).map_err(DB::sorted)?;
            taken.insert(order_id, has_parked);
        }
        let mut rows = Vec::with_capacity(folds.len());
        for (fold, _) in folds {
            let order_id = &fold.event.order_id;
            rows.push(match taken.get(order_id.as_str()) {
                Some(true) => Some(self.drain(order_id).await?),
                Some(false) => Some(at(order_id, fold.last())),
                None => None,
            });
        }
        Ok(rows)
    }

    /// The guard: `Some(has_parked)` if the row took the message. Which statement it is depends on the message alone.
    async fn guard(&mut self, fold: &Fold, origin: Origin) -> Result<Option<bool>, StoreError> {
        let event = &fold.event;
        let statement = if fold.first == 1 { sql::APPLY_FIRST } else { sql::APPLY_NEXT };
        let mut query = sqlx::query::<DB>(statement)
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
        let rows = query.fetch_all(&mut *self.0).await.map_err(DB::sorted)?;
        rows.first().map(|row| row.try_get(0).map_err(DB::sorted)).transpose()
    }

    /// The row as it is.
    pub(super) async fn look(&mut self, order_id: &OrderId) -> Result<Option<Found>, StoreError> {
        let query = sqlx::query::<DB>(sql::LOOK).bind(order_id.as_str());
        let rows = query.fetch_all(&mut *self.0).await.map_err(DB::sorted)?;
        rows.first().map(|row| Self::found(order_id, row)).transpose()
    }

    /// Reads the columns that [`Dialect::park`] and [`sql::LOOK`] have in common.
    pub(super) fn found(order_id: &OrderId, row: &DB::Row) -> Result<Found, StoreError> {
        let get = || -> Result<(bool, i32, Option<&str>, bool), sqlx::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
        };
        let (parked, revision, status, has_parked) = get().map_err(DB::sorted)?;
        let status = status
            .map(|text| Status::parse(text).ok_or_else(|| error::foreign("status", text)))
            .transpose()?;
        let revision = error::revision(revision)?;
        let row = status.map(|status| StatusEntry { order_id: order_id.clone(), revision, status });
        Ok(Found { parked, row, has_parked })
    }

    /// Applies what is parked right behind the row and forgets what the row already holds, in one transaction.
    async fn drain(&mut self, order_id: &OrderId) -> Result<StatusEntry, StoreError> {
        let failed = drain_failed::<DB>;
        let order = order_id.as_str();
        let mut transaction = self.0.begin_with(DB::BEGIN.into_sql_str()).await.map_err(failed)?;
        let rows = sqlx::query::<DB>(DB::LOCK).bind(order).fetch_all(&mut *transaction).await;
        let rows = rows.map_err(failed)?;
        let row = rows.first().ok_or_else(|| failed(sqlx::Error::RowNotFound))?;
        let mut revision = error::revision(row.try_get(0).map_err(DB::sorted)?)?;
        loop {
            let page = sqlx::query::<DB>(sql::PARKED_OF).bind(order).bind(PARKED_PAGE);
            let page = page.fetch_all(&mut *transaction).await.map_err(failed)?;
            let run = Self::follow(revision, &page)?;
            if run.revision > revision {
                let apply = sqlx::query::<DB>(sql::APPLY_PARKED)
                    .bind(order)
                    .bind(error::integer(run.revision)?)
                    .bind(Status::at(run.revision).as_str())
                    .bind(error::integer(run.added)?);
                apply.execute(&mut *transaction).await.map_err(failed)?;
                revision = run.revision;
            }
            let unpark = sqlx::query::<DB>(sql::UNPARK).bind(order).bind(error::integer(revision)?);
            unpark.execute(&mut *transaction).await.map_err(failed)?;
            if run.meets_gap || (page.len() as i64) < PARKED_PAGE {
                break;
            }
        }
        sqlx::query::<DB>(sql::MARK).bind(order).execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(at(order_id, revision))
    }

    /// Goes along a page of parked events, sorted by their first revision.
    fn follow(mut revision: Revision, page: &[DB::Row]) -> Result<Run, StoreError> {
        let mut added = 0;
        for row in page {
            let first = error::revision(row.try_get(0).map_err(DB::sorted)?)?;
            let last = error::revision(row.try_get(1).map_err(DB::sorted)?)?;
            match decide(revision, first, last) {
                Decision::Apply { added: events } => (revision, added) = (last, added + events),
                Decision::Ignore => {}
                Decision::Park => return Ok(Run { revision, added, meets_gap: true }),
            }
        }
        Ok(Run { revision, added, meets_gap: false })
    }
}

/// How far a page of parked events brings a row.
struct Run {
    revision: Revision,
    /// Events that it brings.
    added: u32,
    meets_gap: bool,
}

/// An error in a drain is never the fault of the message in hand, which is applied already.
fn drain_failed<DB: Dialect>(failed: sqlx::Error) -> StoreError {
    match DB::sorted(failed) {
        StoreError::Refused { sqlstate, message } => StoreError::Unusable(format!(
            "a parked event was refused with SQLSTATE {sqlstate} when its turn came: {message}"
        )),
        other => other,
    }
}

fn at(order_id: &OrderId, revision: Revision) -> StatusEntry {
    StatusEntry { order_id: order_id.clone(), revision, status: Status::at(revision) }
}

/// How many events a fold has.
pub(super) fn count(fold: &Fold) -> Result<i32, StoreError> {
    error::integer(fold.last().saturating_sub(fold.first) + 1)
}

/// The revision that the fold's first event follows.
pub(super) fn before(fold: &Fold) -> Result<i32, StoreError> {
    error::integer(fold.first.saturating_sub(1))
}
