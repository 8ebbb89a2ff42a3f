//! What is taken from a store or a view by its own commands: connections, the right to write, room.

use std::time::Duration;

use payment_delivery::tls;
use payment_delivery::view::redis::RedisServer;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};

use super::{Component, Endpoints, StackError};
use crate::scenario::Action;

/// What holds all connections calls itself so, and is told from those that it takes them from.
const HOLDER: &str = "lanebench-holds-connections";

/// Those that are cut connect again at once, so that it takes some turns to have all.
const TURNS: usize = 300;
/// Between two of them.
const BETWEEN: Duration = Duration::from_millis(10);

/// Each answers within this, or is taken to refuse.
const ANSWER: Duration = Duration::from_secs(2);

/// Connections that nobody else has meanwhile. Dropped, they are free again.
#[derive(Debug, Default)]
#[must_use = "dropped, the connections are free again"]
pub struct HeldConnections(#[expect(dead_code, reason = "held")] Vec<PgConnection>);

/// Takes away what a store or a view needs.
pub(super) async fn begin(endpoints: &Endpoints, how: Action) -> Result<HeldConnections, StackError> {
    match how {
        Action::UseUp => return take_connections(&endpoints.database_url).await,
        // A replica of nobody: it keeps what it has, and takes no write.
        Action::Demote => command(&endpoints.redis_url, &["REPLICAOF", "127.0.0.1", "1"]).await?,
        Action::Fill => command(&endpoints.redis_url, &["CONFIG", "SET", "maxmemory", "1"]).await?,
        _ => {}
    }
    Ok(HeldConnections::default())
}

/// Gives it back; connections are, once they are dropped.
pub(super) async fn end(endpoints: &Endpoints, how: Action) -> Result<(), StackError> {
    match how {
        Action::Demote => command(&endpoints.redis_url, &["REPLICAOF", "NO", "ONE"]).await,
        Action::Fill => command(&endpoints.redis_url, &["CONFIG", "SET", "maxmemory", "0"]).await,
        _ => Ok(()),
    }
}

/// Takes every connection that a PostgreSQL has: of those that have one, too.
async fn take_connections(url: &str) -> Result<HeldConnections, StackError> {
    const CUT: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                       where backend_type = 'client backend' and application_name <> $1";
    // Those that are kept for superusers are only theirs to take.
    const ALL: &str = "select current_setting('max_connections')::int - case current_setting('is_superuser') \
                       when 'on' then 0 else current_setting('superuser_reserved_connections')::int end";
    let failed = |error: &dyn std::fmt::Display| StackError::Starving {
        component: Component::Postgres,
        reason: error.to_string(),
    };
    tls::provide();
    let options: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| failed(&error))?;
    let options = options.application_name(HOLDER);
    let mut held = vec![options.connect().await.map_err(|error| failed(&error))?];
    let row = sqlx::query(ALL).fetch_one(&mut held[0]).await.map_err(|error| failed(&error))?;
    let all: i32 = row.try_get(0).map_err(|error| failed(&error))?;
    for _ in 0..TURNS {
        while let Ok(Ok(more)) = tokio::time::timeout(ANSWER, options.connect()).await {
            held.push(more);
        }
        // One that is being taken is not yet to be seen among the others, so that they can't be counted.
        if held.len() >= all as usize {
            return Ok(HeldConnections(held));
        }
        sqlx::query(CUT).bind(HOLDER).fetch_one(&mut held[0]).await.map_err(|error| failed(&error))?;
        tokio::time::sleep(BETWEEN).await;
    }
    Err(failed(&format!("of {all} connections others always had some, beside {} that are held", held.len())))
}

/// Tells a Redis something.
async fn command(url: &str, words: &[&str]) -> Result<(), StackError> {
    let failed = |error: &dyn std::fmt::Display| StackError::Starving {
        component: Component::Redis,
        reason: error.to_string(),
    };
    let client = RedisServer::from(url).client().map_err(|error| failed(&error))?;
    let asked = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query_async::<()>(&mut connection).await
    };
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(answered) => answered.map_err(|error| failed(&error)),
        Err(_) => Err(failed(&"no answer")),
    }
}
