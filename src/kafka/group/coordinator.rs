//! Where the group's coordinator is, and a connection that follows it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::Instant;

use crate::kafka::conn::cluster::{Cluster, host_port};
use crate::kafka::conn::code::KafkaCode;
use crate::kafka::conn::{ConnError, Connection};

pub(crate) const FIND_COORDINATOR: i16 = 4;

/// How often the cluster is asked whether the coordinator is still the one whose answer is waited for.
const LOOK: Duration = Duration::from_millis(500);

/// Asks who coordinates `group`. From version 4 on the plural field only: setting `key` too fails to encode.
pub(crate) fn find_coordinator_request(group: &str) -> FindCoordinatorRequest {
    FindCoordinatorRequest::default().with_coordinator_keys(vec![StrBytes::from_string(group.to_owned())])
}

/// The coordinator's address, `host:port`.
pub(crate) fn coordinator_in(response: &FindCoordinatorResponse) -> Result<String, KafkaCode> {
    let found = response.coordinators.first().ok_or(ResponseError::CoordinatorNotAvailable)?;
    KafkaCode::check(found.error_code)?;
    Ok(host_port(&found.host, found.port))
}

/// Why a request to the coordinator brought nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may work the next time.
    Passing(String),
    /// The cluster refuses to name the coordinator.
    Refused(KafkaCode),
}

impl From<ConnError> for Trouble {
    fn from(error: ConnError) -> Self {
        Self::Passing(error.to_string())
    }
}

/// Knows the coordinator, for all connections of one member.
#[derive(Debug)]
pub(super) struct Finder {
    pub(super) cluster: Cluster,
    group_id: String,
    address: Mutex<Option<String>>,
}

impl Finder {
    pub(super) fn new(cluster: Cluster, group_id: String) -> Self {
        Self { cluster, group_id, address: Mutex::default() }
    }

    fn known(&self) -> Option<String> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the coordinator, if it is still thought to be at `address`.
    fn forget(&self, address: &str) {
        let mut known = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() == Some(address) {
            *known = None;
        }
    }

    async fn find(&self, limit: Duration) -> Result<String, Trouble> {
        match self.known() {
            Some(address) => Ok(address),
            None => self.ask(limit).await,
        }
    }

    /// Where the coordinator is, once it is elsewhere than at `address`.
    ///
    /// A broker that is frozen answers nothing and closes nothing. Another coordinates in its place long before a request to it is given
    /// up, and JoinGroup may wait for as long as a rebalance.
    async fn elsewhere(&self, address: &str, limit: Duration) -> String {
        loop {
            tokio::time::sleep(LOOK).await;
            let named = match self.known() {
                Some(known) if known != address => Ok(known),
                _ => self.ask(limit).await,
            };
            if let Ok(named) = named
                && named != address
            {
                return named;
            }
        }
    }

    /// Asks the cluster, and notes what it says.
    async fn ask(&self, limit: Duration) -> Result<String, Trouble> {
        let request = find_coordinator_request(&self.group_id);
        let response =
            self.cluster.ask(FIND_COORDINATOR, request, limit, |r| coordinator_in(r).is_ok()).await?;
        match coordinator_in(&response) {
            Ok(address) => {
                *self.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(address.clone());
                Ok(address)
            }
            Err(code) if code.is_coordinator_trouble() || code.is_retriable() => {
                Err(Trouble::Passing(code.to_string()))
            }
            Err(code) => Err(Trouble::Refused(code)),
        }
    }
}

/// A connection to the coordinator, made when needed and again where the coordinator went.
#[derive(Debug)]
pub(super) struct Link {
    finder: Arc<Finder>,
    /// Bound of finding and of connecting, each; a request may be allowed longer.
    limit: Duration,
    conn: Option<Connection>,
}

impl Link {
    pub(super) fn new(finder: Arc<Finder>, limit: Duration) -> Self {
        Self { finder, limit, conn: None }
    }

    /// Sends `request` to the coordinator and waits for its answer, all of it within `limit`; no longer where the cluster names another
    /// coordinator meanwhile.
    ///
    /// When the returned future is dropped half-way, the connection is closed.
    pub(super) async fn call<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, Trouble> {
        let deadline = Instant::now() + limit;
        let left = || deadline.saturating_duration_since(Instant::now());
        let address = self.finder.find(self.limit.min(left())).await?;
        let (finder, connected) = (Arc::clone(&self.finder), self.conn.take());
        let connect_within = self.limit.min(left());
        let answered = async {
            let mut conn = match connected {
                Some(conn) if conn.is_open() && conn.address() == address => conn,
                _ => Connection::connect(&address, finder.cluster.client_id(), connect_within).await?,
            };
            let response = conn.call(version, request, left()).await?;
            Ok::<_, ConnError>((conn, response))
        };
        tokio::select! {
            answered = answered => match answered {
                Ok((conn, response)) => {
                    self.conn = Some(conn);
                    Ok(response)
                }
                Err(error) => {
                    finder.forget(&address);
                    Err(error.into())
                }
            },
            named = finder.elsewhere(&address, self.limit) => {
                Err(Trouble::Passing(format!("the coordinator was at {address} and is at {named}")))
            }
        }
    }

    /// Takes note of an error code: the coordinator may have moved.
    pub(super) fn heed(&mut self, code: KafkaCode) {
        let moved =
            matches!(code.kind(), ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable);
        if let Some(conn) = self.conn.take_if(|_| moved) {
            self.finder.forget(conn.address());
        }
    }
}
