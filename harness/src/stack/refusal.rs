//! Why a part of a stack was not usable, as one attempt tells it: in words, whether waiting mends it, and what would.

use std::io::ErrorKind;

use payment_delivery::kafka::admin::AdminError;
use payment_delivery::tls::TlsTrouble;
use payment_delivery::view::ViewError;
use redis::RedisError;

/// What one attempt met. No password is in it: servers and their clients name users and addresses only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Refusal {
    /// Whole, its cause included.
    pub(super) reason: String,
    /// What would help, where more is known than that it is away.
    pub(super) hint: Option<String>,
    /// Whether somebody was there to refuse.
    pub(super) answered: bool,
    /// Whether it is the same however long one waits.
    pub(super) lasting: bool,
}

impl Refusal {
    /// Nobody is there; perhaps not yet.
    pub(super) fn away(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None, answered: false, lasting: false }
    }

    /// Somebody is there and can't be used now.
    pub(super) fn for_now(reason: impl Into<String>) -> Self {
        Self { answered: true, ..Self::away(reason) }
    }

    /// Somebody is there and can't be used until something is changed.
    pub(super) fn lasting(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { lasting: true, hint: Some(hint.into()), ..Self::for_now(reason) }
    }

    fn hinted(self, hint: &str) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn tls(trouble: &TlsTrouble) -> Self {
        Self::lasting(format!("no TLS connection: {trouble}"), trouble.hint())
    }

    /// What sqlx said. `login` is who asked for which database, for the statement that grants a right.
    pub(super) fn of_postgres(error: &sqlx::Error, login: &Login) -> Self {
        if let Some(trouble) = TlsTrouble::behind(error) {
            return Self::tls(&trouble);
        }
        match error {
            sqlx::Error::Database(told) => {
                by_sqlstate(told.code().as_deref().unwrap_or_default(), told.message(), login)
            }
            sqlx::Error::Tls(cause) => Self::lasting(
                format!("no TLS connection: {cause}"),
                "is `ssl` on there? `sslmode=prefer`, which is the default, takes what it offers",
            ),
            sqlx::Error::Configuration(cause) => Self::lasting(
                format!("the URL can't be used: {cause}"),
                "write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE, percent-encoded",
            ),
            sqlx::Error::Io(cause) if cause.kind() == ErrorKind::NotFound => Self::lasting(
                format!("a file that the URL names can't be read: {cause}"),
                "see `sslrootcert`, `sslcert` and `sslkey` in the URL, or the directory of its socket",
            ),
            sqlx::Error::Io(cause) => Self::away(cause.to_string()),
            other => Self::for_now(other.to_string()),
        }
    }

    /// What the client of Redis said. `rule` is the access rule that grants what is needed.
    pub(super) fn of_redis(error: &RedisError, rule: &str) -> Self {
        if let Some(trouble) = TlsTrouble::behind(error) {
            return Self::tls(&trouble);
        }
        let answers = error.clone().into_server_errors().unwrap_or_default();
        if let Some((_, answer)) = answers.first() {
            let details = answer.details().unwrap_or_default();
            return by_code(answer.code(), &format!("{} {details}", answer.code()), rule);
        }
        let told = error.to_string();
        match error.kind() {
            redis::ErrorKind::AuthenticationFailed => {
                Self::lasting("it does not let this user in with this password (WRONGPASS)", LOGIN_REDIS)
            }
            redis::ErrorKind::InvalidClientConfig => Self::lasting(
                told,
                "write the URL as redis://USER:PASSWORD@HOST:PORT/NUMBER, percent-encoded",
            ),
            redis::ErrorKind::Parse | redis::ErrorKind::UnexpectedReturnType => {
                Self::for_now(told).hinted("is it a Redis that listens there?")
            }
            _ if error.is_connection_dropped() => {
                Self::away(told).hinted("does it want TLS there? Then the URL begins with `rediss://`")
            }
            _ => Self::away(told),
        }
    }

    /// What the view said.
    pub(super) fn of_view(error: &ViewError) -> Self {
        match error {
            ViewError::Unusable(told) => Self::lasting(told.as_str(), "see `--redis-url` and `--redis-ca`"),
            ViewError::Unavailable(told) => Self::away(told.as_str()),
        }
    }

    /// What the broker said. `rules` are the access rules that grant what is needed.
    pub(super) fn of_kafka(error: &AdminError, rules: &str) -> Self {
        match error {
            // The attempt's own limit would only confuse: whoever waits has another, and says it.
            AdminError::NoBroker { last, .. } => Self::away(last.as_str()),
            AdminError::TimedOut { .. } => Self::for_now(error.to_string()).hinted(
                "its brokers advertise addresses that this machine has to reach as well: `advertised.listeners`",
            ),
            AdminError::Forbidden { .. } => Self::lasting(error.to_string(), rules),
            AdminError::Refused { code, .. } if code.is_replication() => {
                Self::lasting(error.to_string(), "lower `--replication`")
            }
            AdminError::Foreign(_) => Self::lasting(
                error.to_string(),
                "give `--bootstrap` the address of a listener that speaks PLAINTEXT: TLS and SASL to brokers are not spoken yet",
            ),
            AdminError::Address(_) | AdminError::Refused { .. } => {
                Self::lasting(error.to_string(), "see `--bootstrap`, `--replication` and `--min-isr`")
            }
        }
    }
}

const LOGIN_POSTGRES: &str = "check user and password: in the URL, or apart in LANEBENCH_DATABASE_PASSWORD or \
                              LANEBENCH_DATABASE_PASSWORD_FILE";
const LOGIN_REDIS: &str = "check user and password: in the URL, or apart in LANEBENCH_REDIS_PASSWORD or \
                           LANEBENCH_REDIS_PASSWORD_FILE";

/// Who logs in to which database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) database: String,
}

/// By PostgreSQL's appendix A.
fn by_sqlstate(sqlstate: &str, message: &str, login: &Login) -> Refusal {
    let told = format!("{message} (SQLSTATE {sqlstate})");
    let hint = match sqlstate {
        "28P01" => LOGIN_POSTGRES.into(),
        "28000" => format!(
            "the user has to exist, and `pg_hba.conf` to let it in from here, without TLS or with it \
             (`sslmode=require`); {LOGIN_POSTGRES}"
        ),
        "3D000" => "the URL ends in the name of a database that exists".into(),
        "42501" => grant(login),
        "25006" => {
            "it is a standby, or read-only by `default_transaction_read_only`: give the primary's address"
                .into()
        }
        "08P01" => {
            "is it a pooler? A run sets parameters of its session: give the server's own address".into()
        }
        "53300" => {
            return Refusal::for_now(told).hinted(
                "a run needs 3 connections, and one a consumer, a gate twice as many: close others, or raise `max_connections`, or the \
                 limit of the role or of the database",
            );
        }
        _ => match sqlstate.get(..2).unwrap_or_default() {
            // Starting, stopping, short of something, or broken.
            "" | "08" | "40" | "53" | "55" | "57" | "58" | "XX" => return Refusal::for_now(told),
            _ => "docs/external.md says what a run needs".into(),
        },
    };
    Refusal::lasting(told, hint)
}

/// The statement that lets a run make its schema.
fn grant(login: &Login) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    format!(
        "let it make a schema of its own: `GRANT CREATE ON DATABASE {} TO {}`",
        quoted(&login.database),
        quoted(&login.user)
    )
}

/// How a script of Redis 7.0 puts a right that it lacks, under the code of any error.
const SCRIPT_LACKS_RIGHT: &str = "The user executing the script can't";

/// By the first word of Redis's answer.
fn by_code(code: &str, told: &str, rule: &str) -> Refusal {
    if told.contains(SCRIPT_LACKS_RIGHT) {
        return Refusal::lasting(told, rule);
    }
    let hint = match code {
        "NOAUTH" | "WRONGPASS" => LOGIN_REDIS,
        "NOPERM" => rule,
        "READONLY" => "it is a replica: give the primary's address",
        "MISCONF" => {
            "it refuses writes since it can't save: see its log, its disk, and `stop-writes-on-bgsave-error`"
        }
        "OOM" => "it is full: raise `maxmemory`, or empty it",
        "DENIED" => "it is in protected mode: set a password there, or `protected-mode no`",
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => {
            "Redis Cluster is not supported: give a single Redis"
        }
        "LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" => return Refusal::for_now(told),
        _ => "docs/external.md says what a run needs",
    };
    Refusal::lasting(told, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        Login { user: "app".into(), database: "pay".into() }
    }

    #[track_caller]
    fn sqlstate(code: &str, lasting: bool, hint: &str) {
        let refusal = by_sqlstate(code, "words", &login());
        assert_eq!(refusal.lasting, lasting, "{code}");
        assert!(refusal.hint.clone().unwrap_or_default().contains(hint), "{code}: {refusal:?}");
    }

    #[test]
    fn what_postgresql_will_not_have_comes_with_what_changes_it() {
        sqlstate("28P01", true, "LANEBENCH_DATABASE_PASSWORD");
        sqlstate("28000", true, "pg_hba.conf");
        sqlstate("3D000", true, "name of a database");
        sqlstate("42501", true, "GRANT CREATE ON DATABASE \"pay\" TO \"app\"");
        sqlstate("25006", true, "primary");
        sqlstate("08P01", true, "pooler");
        sqlstate("42P06", true, "docs/external.md");
    }

    #[test]
    fn what_passes_by_itself_is_waited_for() {
        sqlstate("53300", false, "max_connections");
        sqlstate("57P03", false, "");
        sqlstate("", false, "");
        for code in ["LOADING", "BUSY", "MASTERDOWN"] {
            assert!(!by_code(code, code, "").lasting, "{code}");
        }
    }

    #[test]
    fn what_redis_will_not_have_comes_with_what_changes_it() {
        let hint = |code: &str, told: &str| by_code(code, told, "ACL SETUSER …").hint.unwrap();
        assert!(hint("NOAUTH", "NOAUTH Authentication required.").contains("LANEBENCH_REDIS_PASSWORD"));
        assert_eq!(hint("NOPERM", "NOPERM this user has no permissions"), "ACL SETUSER …");
        assert_eq!(hint("ERR", "ERR The user executing the script can't run this command"), "ACL SETUSER …");
        assert!(hint("READONLY", "READONLY You can't write").contains("primary"));
        assert!(hint("MISCONF", "MISCONF Redis is configured to save").contains("disk"));
        assert!(hint("MOVED", "MOVED 1 127.0.0.1:1").contains("Cluster"));
    }
}
