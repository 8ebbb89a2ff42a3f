//! Whether a run may do on somebody's stack what it will have to: tried, or asked, before minutes of work rest on it.
//!
//! Nothing is left by it, however it ends: PostgreSQL tries in a transaction that is rolled back, Kafka is asked (it tells
//! rights, and checks a topic without making it), and of Redis's one key every try is the last but its removal.

use std::time::Duration;

use payment_delivery::consumer::dead_letter_topic;
use payment_delivery::delivery::Status;
use payment_delivery::kafka::admin::{Admin, Operation};
use payment_delivery::view::redis::{PUT_IF_NEWER, RedisServer};
use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::Instant;

use super::checks::login;
use super::refusal::Refusal;

/// Of each topic that a run makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas {
    /// Replicas of each partition.
    pub replication: i16,
    /// `min.insync.replicas`.
    pub min_isr: i16,
}

/// The access rules of Kafka that let a run work: what is named by its prefix may be made, used and removed.
pub(super) fn kafka_rules(bootstrap: &[String], prefix: &str) -> String {
    let server = bootstrap.first().map_or("HOST:PORT", String::as_str);
    let add = format!("kafka-acls.sh --bootstrap-server {server} --add --allow-principal User:NAME");
    let prefixed = "--resource-pattern-type prefixed";
    format!(
        "`{add} --operation Create --operation Read --operation Write --operation Delete {prefixed} --topic {prefix}_` \
         and `{add} --operation Read --operation Delete {prefixed} --group {prefix}_`; over a listener without \
         authentication NAME is ANONYMOUS"
    )
}

/// The access rule of Redis that lets a run work.
pub(super) fn redis_rule(prefix: &str) -> String {
    format!(
        "`ACL SETUSER NAME ~{prefix}_* +ping +info +select +scan +evalsha +script|load +hget +hset +hmget +unlink`"
    )
}

/// Left of the whole for the answer to a request that was not answered in time.
const MARGIN: Duration = Duration::from_millis(500);

/// Asks Kafka, until `deadline`, for the rights on the topics and the group of a run named `run`, and whether it has brokers enough.
pub(super) async fn kafka(
    deadline: Instant,
    bootstrap: &[String],
    prefix: &str,
    run: &str,
    replicas: Replicas,
) -> Result<(), Refusal> {
    let rules = kafka_rules(bootstrap, prefix);
    let said = |error| Refusal::of_kafka(&error, &rules);
    let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(MARGIN);
    let admin = Admin::connect(bootstrap, left).await.map_err(said)?;
    let min_isr = replicas.min_isr.to_string();
    let topic = format!("{run}.check.payment-completed");
    for topic in [topic.clone(), dead_letter_topic(&topic)] {
        let rights = admin.topic_rights(&topic).await.map_err(said)?;
        for operation in [Operation::Read, Operation::Write, Operation::Delete] {
            if !rights.allow(operation) {
                return Err(lacks("topics", operation, &topic, &rules));
            }
        }
        let configs = [("min.insync.replicas", min_isr.as_str())];
        let refused = admin.could_create_topic(&topic, 1, replicas.replication, &configs).await;
        if let Err(error) = refused {
            let refusal = said(error);
            let brokers = admin.brokers().await.map_or(0, |brokers| brokers.len());
            return Err(with_brokers(refusal, brokers));
        }
    }
    let group = format!("{run}.check.deliveries");
    let rights = admin.group_rights(&group).await.map_err(said)?;
    for operation in [Operation::Read, Operation::Delete] {
        if !rights.allow(operation) {
            return Err(lacks("groups", operation, &group, &rules));
        }
    }
    Ok(())
}

fn lacks(kind: &str, operation: Operation, name: &str, rules: &str) -> Refusal {
    let noun = kind.trim_end_matches('s');
    let operation = format!("{operation:?}").to_uppercase();
    Refusal::lasting(format!("a run needs {operation} on its {kind}, such as {noun} `{name}`"), rules)
}

/// How many replicas there can be.
fn with_brokers(refusal: Refusal, brokers: usize) -> Refusal {
    match &refusal.hint {
        Some(hint) if hint.contains("--replication") && brokers > 0 => {
            let noun = if brokers == 1 { "broker" } else { "brokers" };
            Refusal { hint: Some(format!("the cluster has {brokers} {noun}; {hint}")), ..refusal }
        }
        _ => refusal,
    }
}

/// As the store's own `create.sql` and `schema.sql`, and the count of writes (`workspace/audit/postgres.sql`), in small: the server itself quotes the name.
const TRY: &str = "DO $$ BEGIN
  EXECUTE format('CREATE SCHEMA %I', current_setting('payment_delivery.schema'));
  CREATE TABLE probe (id int PRIMARY KEY);
  CREATE FUNCTION probe() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
  CREATE TRIGGER probe AFTER INSERT ON probe FOR EACH ROW EXECUTE FUNCTION probe();
END $$";

/// Makes a schema, a table and a trigger in it, and takes all of it back.
pub(super) async fn postgres(options: &PgConnectOptions, run: &str) -> Result<(), Refusal> {
    let login = login(options);
    let said = |error: sqlx::Error| Refusal::of_postgres(&error, &login);
    // As a run's connections are made, so that a pooler that takes no parameters refuses now.
    let options = options.clone().options([("search_path", run), ("payment_delivery.schema", run)]);
    let mut connection = options.connect().await.map_err(said)?;
    let mut transaction = connection.begin().await.map_err(said)?;
    sqlx::query(TRY).execute(&mut *transaction).await.map_err(said)?;
    transaction.rollback().await.map_err(said)?;
    connection.close().await.map_err(said)
}

/// Does to one key of the run what the view does to each, its removal before its making.
pub(super) async fn redis(server: &RedisServer, prefix: &str, run: &str) -> Result<(), Refusal> {
    let rule = redis_rule(prefix);
    let said = |error| Refusal::of_redis(&error, &rule);
    let client = server.client().map_err(|error| Refusal::of_view(&error))?;
    let mut connection = client.get_multiplexed_async_connection().await.map_err(said)?;
    try_key(&mut connection, &format!("{run}:check:delivery:probe")).await.map_err(said)
}

async fn try_key(connection: &mut MultiplexedConnection, key: &str) -> RedisResult<()> {
    redis::cmd("UNLINK").arg(key).exec_async(connection).await?;
    // One step of a scan, which looks at a key or a few.
    redis::cmd("SCAN").arg(0).arg("MATCH").arg(key).arg("COUNT").arg(1).exec_async(connection).await?;
    redis::cmd("HMGET").arg(key).arg("revision").arg("status").exec_async(connection).await?;
    let script = redis::Script::new(PUT_IF_NEWER);
    let mut put = script.key(key);
    put.arg(1).arg(Status::at(1).as_str());
    let written: RedisResult<(u32, bool)> = put.invoke_async(connection).await;
    redis::cmd("UNLINK").arg(key).exec_async(connection).await?;
    written.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_brokers_are_counted() {
        let refused = Refusal::lasting("INVALID_REPLICATION_FACTOR (38)", "lower `--replication`");
        assert_eq!(with_brokers(refused, 1).hint.unwrap(), "the cluster has 1 broker; lower `--replication`");
    }

    #[test]
    fn a_missing_right_is_named_as_kafka_names_it() {
        let refusal = lacks("topics", Operation::Delete, "lanebench_1.check", "kafka-acls.sh …");
        assert_eq!(refusal.reason, "a run needs DELETE on its topics, such as topic `lanebench_1.check`");
        assert!(refusal.lasting);
    }
}
