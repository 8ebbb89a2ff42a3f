//! Questions that show a part to be usable: one attempt each, bounded, the refusal in words.

use std::collections::BTreeMap;
use std::time::Duration;

use payment_delivery::kafka::admin::Admin;
use payment_delivery::tls;
use payment_delivery::view::redis::RedisServer;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::refusal::{Login, Refusal};
use super::{Component, Endpoints, PartFacts};

/// One attempt. A part that is there answers in milliseconds; one that is starting refuses, or holds its tongue.
const ATTEMPT: Duration = Duration::from_secs(2);

/// PostgreSQL's settings that decide what a commit costs.
const POSTGRES_SETTINGS: [&str; 6] = [
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_connections",
    "wal_sync_method",
];

/// Whether each of `bootstrap` answers, and all of them are known as brokers.
///
/// A broker appears in metadata once the elected controller has registered it and found it caught up, so all of them
/// being there says that the cluster has a controller too. Each is asked by itself, since one that has not heard
/// of anybody yet would deny the topic that its neighbour just made.
pub(super) async fn kafka_cluster(bootstrap: &[String]) -> Result<(), String> {
    for address in bootstrap {
        let known = kafka(std::slice::from_ref(address)).await?;
        if known < bootstrap.len() {
            return Err(format!("{address} knows {known} of {} brokers", bootstrap.len()));
        }
    }
    Ok(())
}

/// How many brokers the cluster behind `bootstrap` has; one of the addresses is enough.
pub(super) async fn kafka(bootstrap: &[String]) -> Result<usize, String> {
    ask_kafka(bootstrap).await.map_err(|refusal| refusal.reason)
}

/// Whether a part answers by itself, whoever else is away.
pub(super) async fn answers(component: Component, endpoints: &Endpoints) -> Result<(), String> {
    match component {
        Component::Kafka { node } => kafka(&endpoints.bootstrap[node - 1..node]).await.map(drop),
        Component::Postgres => postgres(&endpoints.database_url).await.map(drop),
        Component::Redis => redis(&endpoints.redis_url).await.map(drop),
        Component::Worker => Ok(()), // no part of a stack
    }
}

/// Whether the server at `url` runs a query; its version and settings if so.
pub(super) async fn postgres(url: &str) -> Result<PartFacts, String> {
    let asked = async { ask_postgres(&postgres_options(url)?).await };
    asked.await.map_err(|refusal: Refusal| refusal.reason)
}

/// Whether the server at `url` answers PING; its version and settings if so.
pub(super) async fn redis(url: &str) -> Result<PartFacts, String> {
    ask_redis(&url.into(), "").await.map_err(|refusal| refusal.reason)
}

/// As [`kafka`]; what was refused, and what to do about it.
pub(super) async fn ask_kafka(bootstrap: &[String]) -> Result<usize, Refusal> {
    let said = |error| Refusal::of_kafka(&error, "it has to tell its brokers to this client");
    let admin = Admin::connect(bootstrap, ATTEMPT).await.map_err(said)?;
    Ok(admin.brokers().await.map_err(said)?.len())
}

/// What a URL of PostgreSQL means.
pub(super) fn postgres_options(url: &str) -> Result<PgConnectOptions, Refusal> {
    tls::provide();
    let options: Result<PgConnectOptions, _> = url.parse();
    let options = options.map_err(|error| Refusal::of_postgres(&error, &Login::default()))?;
    Ok(options.application_name("lanebench"))
}

/// Who logs in by these.
pub(super) fn login(options: &PgConnectOptions) -> Login {
    let user = options.get_username().to_owned();
    // Without a name of its own a connection is to the database that is called as the user.
    Login { database: options.get_database().unwrap_or(&user).to_owned(), user }
}

/// As [`postgres`]; what was refused, and what to do about it.
pub(super) async fn ask_postgres(options: &PgConnectOptions) -> Result<PartFacts, Refusal> {
    let login = login(options);
    let said = |error: sqlx::Error| Refusal::of_postgres(&error, &login);
    bounded(async {
        let mut connection = options.connect().await.map_err(said)?;
        let version: String =
            sqlx::query_scalar("show server_version").fetch_one(&mut connection).await.map_err(said)?;
        let rows = sqlx::query("select name, current_setting(name) from pg_settings where name = any($1)")
            .bind(&POSTGRES_SETTINGS[..])
            .fetch_all(&mut connection)
            .await
            .map_err(said)?;
        let mut settings = BTreeMap::new();
        for row in rows {
            settings.insert(row.try_get(0).map_err(said)?, row.try_get(1).map_err(said)?);
        }
        // Debian appends its own version in brackets.
        let version = version.split_whitespace().next().map(str::to_owned);
        connection.close().await.map_err(said)?;
        Ok(PartFacts { name: "postgresql", version, settings })
    })
    .await
}

/// As [`redis`]; what was refused, and what to do about it, which may be `rule`.
pub(super) async fn ask_redis(server: &RedisServer, rule: &str) -> Result<PartFacts, Refusal> {
    let said = |error: redis::RedisError| Refusal::of_redis(&error, rule);
    bounded(async {
        let client = server.client().map_err(|error| Refusal::of_view(&error))?;
        let mut connection = client.get_multiplexed_async_connection().await.map_err(said)?;
        let pong: String = redis::cmd("PING").query_async(&mut connection).await.map_err(said)?;
        if pong != "PONG" {
            return Err(Refusal::for_now(format!("PING was answered by {pong:?}")));
        }
        let info: String = redis::cmd("INFO").query_async(&mut connection).await.map_err(said)?;
        let line = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(|v| v.trim().to_owned()))
        };
        let mut settings = BTreeMap::new();
        for name in ["aof_enabled", "maxmemory", "maxmemory_policy"] {
            settings.extend(line(name).map(|value| (name.to_owned(), value)));
        }
        Ok(PartFacts { name: "redis", version: line("redis_version"), settings })
    })
    .await
}

async fn bounded<T>(question: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    match tokio::time::timeout(ATTEMPT, question).await {
        Ok(answer) => answer,
        Err(_) => Err(Refusal::away(format!("no answer within {} s", ATTEMPT.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers whatever comes with `bytes` and closes.
    async fn stranger(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut some = [0; 64];
                let _ = stream.read(&mut some).await;
                let _ = stream.write_all(bytes).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_stranger_is_not_taken_for_a_broker() {
        let address = stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let refusal = kafka(std::slice::from_ref(&address)).await.unwrap_err();
        assert!(
            refusal.contains(&address) && refusal.contains("speaks HTTP, not the Kafka protocol"),
            "{refusal}"
        );
    }

    #[tokio::test]
    async fn a_stranger_is_not_taken_for_redis() {
        let address = stranger(b"+HELLO\r\n").await;
        redis(&format!("redis://{address}")).await.unwrap_err();
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let refusal = kafka(std::slice::from_ref(&address)).await.unwrap_err();
        assert!(refusal.contains(&address), "{refusal}");
        let refusal = postgres(&format!("postgres://app:secret@{address}/pay")).await.unwrap_err();
        assert!(!refusal.contains("secret"), "{refusal}");
    }
}
