//! A stack that is somebody else's: nothing is started, nothing is stopped, but everything is asked before a run, and
//! whether the run may do what it will have to.
//!
//! All parts are asked side by side. What waiting can't mend is told at once; a part that is away is waited for, since it
//! may just be starting. All of it has an end after 14 s.

use std::path::PathBuf;
use std::time::Duration;

use payment_delivery::view::redis::RedisServer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::prefix::Prefix;
use super::refusal::Refusal;
use super::rights::{self, Replicas};
use super::{Backing, Endpoints, Facts, PartFacts, StackError, StackTarget, checks, redact};

/// How long each part may take to answer.
const REACH_LIMIT: Duration = Duration::from_secs(10);

/// How long each may take in all, what is allowed included. That is usually a few milliseconds, but a cluster that was
/// never used makes the topic of its groups' offsets first.
const LIMIT: Duration = Duration::from_secs(14);

/// Between two attempts at the same part.
const PAUSE: Duration = Duration::from_millis(250);

const BROKER: Part = Part { name: "broker", flag: "--bootstrap" };
const STORE: Part = Part { name: "PostgreSQL", flag: "--database-url" };
const VIEW: Part = Part { name: "Redis", flag: "--redis-url" };

/// A part, as errors name it.
#[derive(Clone, Copy, Debug)]
struct Part {
    name: &'static str,
    flag: &'static str,
}

/// Where a stack is said to be, and what a run will do there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// The addresses.
    pub endpoints: Endpoints,
    /// Certificates (PEM) of those who may have signed that of Redis, in place of the system's.
    pub redis_ca: Option<PathBuf>,
    /// What all names of a run begin with.
    pub prefix: Prefix,
    /// Of each topic.
    pub replicas: Replicas,
}

/// An external stack whose parts have answered, and allow what a run needs.
#[derive(Clone, Debug)]
pub struct Connected {
    target: StackTarget,
    facts: Facts,
}

impl External {
    /// Takes the addresses as they are; [`External::check`] tries them.
    pub fn new(endpoints: Endpoints) -> Self {
        let replicas = Replicas { replication: 1, min_isr: 1 };
        Self { endpoints, redis_ca: None, prefix: Prefix::default(), replicas }
    }

    /// Asks broker, store and view, side by side, first whether they are there, then what a run may do.
    ///
    /// # Errors
    /// [`StackError::Unreachable`] for the first part that gives no proper answer within 10 s, with its last refusal;
    /// [`StackError::Refused`] for one that will not be used, a login, a certificate or a right being wrong;
    /// [`StackError::Address`] for an address that can't be one; [`StackError::Interrupted`]. Addresses are shown, never a
    /// password.
    pub async fn check(self, cancel: &CancellationToken) -> Result<Connected, StackError> {
        let Endpoints { bootstrap, database_url, redis_url } = &self.endpoints;
        check_bootstrap(bootstrap)?;
        check_scheme(STORE, database_url, &["postgres", "postgresql"])?;
        check_scheme(VIEW, redis_url, &["redis", "rediss", "unix", "redis+unix"])?;
        let server = RedisServer { url: redis_url.clone(), ca: self.redis_ca.clone() };
        let options = checks::postgres_options(database_url)
            .map_err(|refusal| refused(STORE, redact(database_url), refusal))?;
        // Not a run's name: what is in a run's way is told when it is met, as what it is.
        let run = &format!("{}_check", self.prefix.run_id(jiff::Timestamp::now()));
        let prefix = self.prefix.as_str();
        let rule = rights::redis_rule(prefix);
        let deadline = Instant::now() + LIMIT;

        let brokers = part(
            BROKER,
            bootstrap.join(","),
            (cancel, deadline),
            || checks::ask_kafka(bootstrap),
            rights::kafka(deadline, bootstrap, prefix, run, self.replicas),
        );
        let store = part(
            STORE,
            redact(database_url),
            (cancel, deadline),
            || checks::ask_postgres(&options),
            rights::postgres(&options, run),
        );
        let view = part(
            VIEW,
            redact(redis_url),
            (cancel, deadline),
            || checks::ask_redis(&server, &rule),
            rights::redis(&server, prefix, run),
        );
        // All are waited for, so that of several that are away the same one is named each time.
        let (nodes, store, view) = tokio::join!(Box::pin(brokers), Box::pin(store), Box::pin(view));
        let (nodes, store, view) = (nodes?, store?, view?);
        // A broker doesn't say which version it runs.
        let kafka = PartFacts { name: "kafka", version: None, settings: [].into() };
        Ok(Connected { target: self.into_target(), facts: Facts { nodes, kafka, store, view } })
    }

    fn into_target(self) -> StackTarget {
        let Endpoints { bootstrap, database_url, redis_url } = self.endpoints;
        let backing = Backing::Servers { database_url, redis_url, redis_ca: self.redis_ca };
        StackTarget { bootstrap, backing, prefix: self.prefix, consumers: None }
    }
}

impl Connected {
    /// What a run works on.
    pub fn target(&self) -> &StackTarget {
        &self.target
    }

    /// Versions and settings as the parts told them.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// Reaches a part, then has it show what a run may do. An interruption ends the waiting, and lets the showing end: it may
/// have something to take back.
async fn part<T, Answer>(
    part: Part,
    address: String,
    (cancel, deadline): (&CancellationToken, Instant),
    ask: impl FnMut() -> Answer,
    rights: impl Future<Output = Result<(), Refusal>>,
) -> Result<T, StackError>
where
    Answer: Future<Output = Result<T, Refusal>>,
{
    let reached = cancel.run_until_cancelled(persist(part, &address, REACH_LIMIT, ask)).await;
    let found = reached.ok_or(StackError::Interrupted)??;
    match tokio::time::timeout_at(deadline, rights).await {
        Ok(Ok(())) => Ok(found),
        Ok(Err(refusal)) => Err(refused(part, address, refusal)),
        Err(_) => {
            let reason = format!("it did not show within {} s what is allowed", LIMIT.as_secs());
            Err(refused(part, address, Refusal::for_now(reason)))
        }
    }
}

/// Asks again until the limit: a part may just be starting. But not where that can't help.
async fn persist<T, Answer>(
    part: Part,
    address: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Answer,
) -> Result<T, StackError>
where
    Answer: Future<Output = Result<T, Refusal>>,
{
    let until = Instant::now() + limit;
    let mut last = Refusal::away("no answer");
    while let Ok(answer) = tokio::time::timeout_at(until, ask()).await {
        match answer {
            Ok(answer) => return Ok(answer),
            Err(refusal) if refusal.lasting => return Err(refused(part, address.to_owned(), refusal)),
            Err(refusal) => last = refusal,
        }
        if Instant::now() + PAUSE >= until {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let Refusal { reason, hint, answered, .. } = last;
    let Part { name: part, flag } = part;
    let (address, hint) = (address.into(), hint.map(String::into_boxed_str));
    Err(StackError::Unreachable { part, address, limit, answered, reason, flag, hint })
}

fn refused(part: Part, address: String, refusal: Refusal) -> StackError {
    let Refusal { reason, hint, .. } = refusal;
    StackError::Refused { part: part.name, address, reason, hint }
}

/// Refuses what can never be reached, so that a typing error is told at once from a broker that is away.
fn check_bootstrap(bootstrap: &[String]) -> Result<(), StackError> {
    let error = |address: &str, reason: &str| StackError::Address {
        flag: BROKER.flag,
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

fn check_scheme(part: Part, url: &str, schemes: &[&str]) -> Result<(), StackError> {
    if url.split_once("://").is_some_and(|(scheme, _)| schemes.contains(&scheme)) {
        return Ok(());
    }
    Err(StackError::Address {
        flag: part.flag,
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
        let check = async |endpoints| {
            External::new(endpoints).check(&CancellationToken::new()).await.unwrap_err().to_string()
        };
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
        let mode = "postgres://app:secret@db/pay?sslmode=perhaps";
        let told = check(endpoints(&["k:9092"], mode, good.1)).await;
        assert!(told.contains("perhaps") && !told.contains("secret"), "{told}");
    }

    #[tokio::test]
    async fn an_absent_part_is_named_with_its_last_refusal() {
        let refused = || async { Err::<(), _>(Refusal::away("connection refused")) };
        let error = persist(BROKER, "k:9092", Duration::from_secs(1), refused).await.unwrap_err();
        assert_eq!(error.to_string(), "no broker answered at k:9092 within 1 s: connection refused");

        let starting = || async { Err::<(), _>(Refusal::for_now("LOADING")) };
        let error = persist(VIEW, "redis://cache", Duration::from_secs(1), starting).await.unwrap_err();
        assert_eq!(error.to_string(), "Redis at redis://cache could not be used within 1 s: LOADING");
    }

    #[tokio::test]
    async fn what_waiting_does_not_mend_is_told_at_once_with_what_does() {
        let mut asked = 0;
        let refuse = || {
            asked += 1;
            async { Err::<(), _>(Refusal::lasting("no such user", "make it")) }
        };
        let error = persist(STORE, "postgres://db", Duration::from_secs(10), refuse).await.unwrap_err();
        assert_eq!(asked, 1);
        assert_eq!(error.to_string(), "PostgreSQL at postgres://db can't be used: no such user");
        assert_eq!(error.hint().unwrap(), "make it");
    }

    #[test]
    fn endpoints_print_no_passwords() {
        let shown = format!("{:?}", endpoints(&["k:1"], "postgres://a:secret@db/p", "redis://:secret@cache"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
