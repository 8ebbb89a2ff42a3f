//! A stack that is somebody else's: nothing is started, nothing is stopped, but everything is asked before a run.

use std::time::Duration;

use tokio::time::Instant;

use super::{Endpoints, Facts, PartFacts, StackError, checks, redact};

/// How long each part may take to answer.
const CHECK_LIMIT: Duration = Duration::from_secs(10);

/// Between two attempts at the same part.
const PAUSE: Duration = Duration::from_millis(250);

/// Where a stack is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    endpoints: Endpoints,
}

/// An external stack whose parts have answered.
#[derive(Clone, Debug)]
pub struct Connected {
    endpoints: Endpoints,
    facts: Facts,
}

impl External {
    /// Takes the addresses as they are; [`External::check`] tries them.
    pub fn new(endpoints: Endpoints) -> Self {
        Self { endpoints }
    }

    /// Asks broker, store and view, side by side.
    ///
    /// # Errors
    /// [`StackError::Unreachable`] for the first part that gives no proper answer within 10 s, with its last refusal and
    /// its address, never a password; [`StackError::Address`] for an address that can't be one.
    pub async fn check(self) -> Result<Connected, StackError> {
        let Endpoints { bootstrap, database_url, redis_url } = &self.endpoints;
        let (database_shown, redis_shown) = (redact(database_url), redact(redis_url));
        check_bootstrap(bootstrap)?;
        check_scheme("--database-url", database_url, &["postgres", "postgresql"])?;
        check_scheme("--redis-url", redis_url, &["redis", "rediss", "unix", "redis+unix"])?;
        let brokers =
            persist("broker", "--bootstrap", bootstrap.join(","), CHECK_LIMIT, || checks::kafka(bootstrap));
        let store = persist("PostgreSQL", "--database-url", database_shown, CHECK_LIMIT, || {
            checks::postgres(database_url)
        });
        let view = persist("Redis", "--redis-url", redis_shown, CHECK_LIMIT, || checks::redis(redis_url));
        // All are waited for, so that of several that are away the same one is named each time.
        let (nodes, store, view) = tokio::join!(Box::pin(brokers), Box::pin(store), Box::pin(view));
        let (nodes, store, view) = (nodes?, store?, view?);
        // A broker doesn't say which version it runs.
        let kafka = PartFacts { name: "kafka", version: None, settings: [].into() };
        Ok(Connected { endpoints: self.endpoints, facts: Facts { nodes, kafka, store, view } })
    }
}

impl Connected {
    /// As they were given.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Versions and settings as the parts told them.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// Asks again until the limit: a part may just be starting.
async fn persist<T, Answer>(
    part: &'static str,
    flag: &'static str,
    address: String,
    limit: Duration,
    mut ask: impl FnMut() -> Answer,
) -> Result<T, StackError>
where
    Answer: Future<Output = Result<T, String>>,
{
    let until = Instant::now() + limit;
    let mut reason = "no answer".to_owned();
    while let Ok(answer) = tokio::time::timeout_at(until, ask()).await {
        match answer {
            Ok(answer) => return Ok(answer),
            Err(refusal) => reason = refusal,
        }
        if Instant::now() + PAUSE >= until {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(StackError::Unreachable { part, address, limit, reason, flag })
}

/// Refuses what can never be reached, so that a typing error is told at once from a broker that is away.
fn check_bootstrap(bootstrap: &[String]) -> Result<(), StackError> {
    let error = |address: &str, reason: &str| StackError::Address {
        flag: "--bootstrap",
        address: address.to_owned(),
        reason: reason.to_owned(),
    };
    if bootstrap.is_empty() {
        return Err(error("", "no broker is named"));
    }
    for address in bootstrap {
        match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {}
            _ => return Err(error(address, "not of the form host:port")),
        }
    }
    Ok(())
}

fn check_scheme(flag: &'static str, url: &str, schemes: &[&str]) -> Result<(), StackError> {
    if url.split_once("://").is_some_and(|(scheme, _)| schemes.contains(&scheme)) {
        return Ok(());
    }
    Err(StackError::Address {
        flag,
        address: redact(url),
        reason: format!("it has to begin with `{}://`", schemes[0]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(bootstrap: &[&str], database_url: &str, redis_url: &str) -> Endpoints {
        Endpoints {
            bootstrap: bootstrap.iter().map(|&s| s.to_owned()).collect(),
            database_url: database_url.to_owned(),
            redis_url: redis_url.to_owned(),
        }
    }

    #[tokio::test]
    async fn typing_errors_are_told_at_once_and_without_passwords() {
        let check = async |endpoints| External::new(endpoints).check().await.unwrap_err().to_string();
        let good = ("postgres://app:secret@db/pay", "redis://cache");
        assert_eq!(
            check(endpoints(&["kafka"], good.0, good.1)).await,
            "--bootstrap kafka is not usable: not of the form host:port"
        );
        assert!(check(endpoints(&[], good.0, good.1)).await.contains("no broker is named"));
        assert_eq!(
            check(endpoints(&["k:9092"], "mysql://app:secret@db", good.1)).await,
            "--database-url mysql://app:***@db is not usable: it has to begin with `postgres://`"
        );
        assert_eq!(
            check(endpoints(&["k:9092"], good.0, ":secret@cache")).await,
            "--redis-url :***@cache is not usable: it has to begin with `redis://`"
        );
    }

    #[tokio::test]
    async fn an_absent_part_is_named_with_its_last_refusal() {
        let refused = || async { Err::<(), _>("connection refused".to_owned()) };
        let error = persist("broker", "--bootstrap", "k:9092".to_owned(), Duration::from_secs(1), refused)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "no broker answered at k:9092 within 1 s: connection refused");
    }

    #[test]
    fn endpoints_print_no_passwords() {
        let shown = format!("{:?}", endpoints(&["k:1"], "postgres://a:secret@db/p", "redis://:secret@cache"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
