//! Where somebody's servers are and how to log in to them: flags of whatever works on them.

use std::path::PathBuf;

use clap::Args;
use payment_delivery::view::redis::RedisServer;

use super::out::UsageError;
use super::secret::{Given, Secret, from_environment, with_password};
use crate::stack::{Endpoints, External, Prefix, Replicas};

/// Store and view. A password may stand in the URL, or apart from it in LANEBENCH_DATABASE_PASSWORD and
/// LANEBENCH_REDIS_PASSWORD or the files that the same names with _FILE name; it has no flag, since `ps` would show it.
#[derive(Args)]
pub(super) struct ServerFlags {
    /// Where rows are: postgres://user@host/database; with a password prefer the environment or a file, which `ps` doesn't show
    #[arg(long, value_name = "URL", env = "LANEBENCH_DATABASE_URL", hide_env_values = true)]
    database_url: Option<Secret>,
    /// A file with that URL; LANEBENCH_DATABASE_PASSWORD or LANEBENCH_DATABASE_PASSWORD_FILE may hold its password
    #[arg(long, value_name = "FILE", env = "LANEBENCH_DATABASE_URL_FILE")]
    database_url_file: Option<PathBuf>,
    /// Where statuses are: redis://user@host or, over TLS, rediss://user@host
    #[arg(long, value_name = "URL", env = "LANEBENCH_REDIS_URL", hide_env_values = true)]
    redis_url: Option<Secret>,
    /// A file with that URL; LANEBENCH_REDIS_PASSWORD or LANEBENCH_REDIS_PASSWORD_FILE may hold its password
    #[arg(long, value_name = "FILE", env = "LANEBENCH_REDIS_URL_FILE")]
    redis_url_file: Option<PathBuf>,
    /// Certificates (PEM) that vouch for Redis over TLS [default: the system's; PostgreSQL's are `sslrootcert` in its URL]
    #[arg(long, value_name = "FILE", env = "LANEBENCH_REDIS_CA")]
    redis_ca: Option<PathBuf>,
}

impl ServerFlags {
    /// The database's URL, its password included, if it is given.
    ///
    /// # Errors
    /// What is given twice, and files that can't be read.
    pub(super) fn database(&self) -> Result<Option<Secret>, UsageError> {
        complete(
            Given {
                itself: self.database_url.clone(),
                file: self.database_url_file.as_deref(),
                name: "--database-url (LANEBENCH_DATABASE_URL)",
            },
            "LANEBENCH_DATABASE_PASSWORD",
        )
    }

    /// Redis with its password, if it is given.
    ///
    /// # Errors
    /// As [`Self::database`].
    pub(super) fn redis(&self) -> Result<Option<RedisServer>, UsageError> {
        let url = complete(
            Given {
                itself: self.redis_url.clone(),
                file: self.redis_url_file.as_deref(),
                name: "--redis-url (LANEBENCH_REDIS_URL)",
            },
            "LANEBENCH_REDIS_PASSWORD",
        )?;
        let ca = self.redis_ca.clone().filter(|ca| !ca.as_os_str().is_empty());
        Ok(url.map(|url| RedisServer { url: url.expose().into(), ca }))
    }
}

/// The URL, with the password that is given apart.
fn complete(url: Given<'_>, password: &'static str) -> Result<Option<Secret>, UsageError> {
    let Some(url) = url.read()? else { return Ok(None) };
    // A file of SQLite has none; the variable is for another database then.
    if url.expose().starts_with("sqlite:") {
        return Ok(Some(url));
    }
    Ok(Some(match from_environment(password)? {
        Some(secret) => with_password(&url, &secret, password)?,
        None => url,
    }))
}

/// A stack that is somebody else's.
#[derive(Args)]
pub(super) struct ExternalFlags {
    /// Brokers of the external stack, such as 10.0.0.1:9092,10.0.0.2:9092
    #[arg(long, env = "LANEBENCH_BOOTSTRAP", value_delimiter = ',')]
    bootstrap: Vec<String>,
    #[command(flatten)]
    servers: ServerFlags,
    /// What all names begin with that a run makes on the external stack: topics, groups, its schema, keys [default: lanebench]
    #[arg(long)]
    prefix: Option<Prefix>,
}

impl ExternalFlags {
    /// The stack, for topics of so many replicas.
    ///
    /// # Errors
    /// What is missing, what is given twice, and files that can't be read.
    pub(super) fn external(&self, replicas: Replicas) -> Result<External, UsageError> {
        let missing = |flag: &str, variable: &str| UsageError {
            what: format!("the external stack needs {flag}"),
            hint: format!("give it, or set {variable}; `lanebench stack up` prints all three variables"),
        };
        if self.bootstrap.is_empty() {
            return Err(missing("--bootstrap", "LANEBENCH_BOOTSTRAP"));
        }
        let database = self.servers.database()?;
        let database = database.ok_or_else(|| missing("--database-url", "LANEBENCH_DATABASE_URL"))?;
        let redis = self.servers.redis()?.ok_or_else(|| missing("--redis-url", "LANEBENCH_REDIS_URL"))?;
        let endpoints = Endpoints {
            bootstrap: self.bootstrap.clone(),
            database_url: database.expose().into(),
            redis_url: redis.url,
        };
        Ok(External {
            endpoints,
            redis_ca: redis.ca,
            prefix: self.prefix.clone().unwrap_or_default(),
            replicas,
        })
    }

    /// Whether a prefix is given, which no other stack heeds.
    pub(super) fn has_prefix(&self) -> bool {
        self.prefix.is_some()
    }
}
