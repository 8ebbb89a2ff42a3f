//! A proxy in front of each part, on the way that only consumers take: what lies between them fails, and both are well.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use lanebench_proxy::Proxy;

use super::ports::Reserved;
use super::{Component, Endpoints, StackError};
use crate::scenario::Action;

/// The proxies of a stack.
#[derive(Debug)]
pub(super) struct Proxies {
    kafka: Vec<Proxy>,
    postgres: Proxy,
    redis: Proxy,
    endpoints: Endpoints,
}

/// Ports for them, taken before anything is started.
#[derive(Debug)]
pub(super) struct ProxyPorts {
    /// Of each broker, in their order.
    kafka: Vec<Reserved>,
    postgres: Reserved,
    redis: Reserved,
}

impl ProxyPorts {
    /// For so many brokers, a store and a view.
    pub(super) fn take(nodes: usize) -> Result<Self, StackError> {
        let any = |part| Reserved::any(part, "--kafka-port");
        Ok(Self {
            kafka: (0..nodes).map(|_| any("the proxy of a broker")).collect::<Result<_, _>>()?,
            postgres: any("the proxy of PostgreSQL")?,
            redis: any("the proxy of Redis")?,
        })
    }

    /// Where each broker tells consumers that it is.
    pub(super) fn kafka(&self) -> Vec<u16> {
        self.kafka.iter().map(Reserved::port).collect()
    }
}

impl Proxies {
    /// Starts them: each broker listens at one of these ports for what comes through its proxy, store and view at their `direct` ones.
    pub(super) fn start(ports: ProxyPorts, brokers: &[u16], direct: &Endpoints) -> Result<Self, StackError> {
        let proxy = |port: Reserved, to: u16, component| {
            let failed = |cause| StackError::Proxy { component, cause };
            Proxy::start(port.into_listener(), (Ipv4Addr::LOCALHOST, to).into()).map_err(failed)
        };
        let mut kafka = Vec::new();
        for (node, (port, to)) in (1..).zip(ports.kafka.into_iter().zip(brokers)) {
            kafka.push(proxy(port, *to, Component::Kafka { node })?);
        }
        let (database, view) = (port_of(&direct.database_url), port_of(&direct.redis_url));
        let postgres = proxy(ports.postgres, database, Component::Postgres)?;
        let redis = proxy(ports.redis, view, Component::Redis)?;
        let endpoints = Endpoints {
            bootstrap: kafka.iter().map(|proxy| proxy.address().to_string()).collect(),
            database_url: at(&direct.database_url, database, postgres.address()),
            redis_url: at(&direct.redis_url, view, redis.address()),
        };
        Ok(Self { kafka, postgres, redis, endpoints })
    }

    /// Where consumers find the parts.
    pub(super) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Does it to what lies between the consumers and a part; `None` if there is no such part.
    pub(super) async fn break_down(&self, component: Component, how: Action) -> Option<()> {
        let proxy = self.of(component)?;
        match how {
            Action::Cut => proxy.cut(),
            Action::Refuse => proxy.refuse().await,
            Action::Slow { by } => proxy.slow(by),
            _ => return None,
        }
        Some(())
    }

    /// Lets all pass again.
    pub(super) async fn mend(&self, component: Component) -> Result<(), StackError> {
        let Some(proxy) = self.of(component) else { return Ok(()) };
        proxy.slow(Duration::ZERO);
        proxy.accept().await.map_err(|cause| StackError::Proxy { component, cause })
    }

    fn of(&self, component: Component) -> Option<&Proxy> {
        match component {
            Component::Kafka { node } => self.kafka.get(node.checked_sub(1)?),
            Component::Postgres => Some(&self.postgres),
            Component::Redis => Some(&self.redis),
            Component::Worker => None,
        }
    }
}

/// The port of an address that was made here: `…@127.0.0.1:PORT/…`.
fn port_of(url: &str) -> u16 {
    let after = url.rsplit_once("127.0.0.1:").map_or("", |(_, after)| after);
    let digits = after.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(after.len());
    after[..digits].parse().unwrap_or_default()
}

/// The same address at another place.
fn at(url: &str, port: u16, place: SocketAddr) -> String {
    url.replace(&format!("127.0.0.1:{port}"), &place.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_and_moved() {
        let url = "postgres://lanebench:0ab1@127.0.0.1:21001/postgres?sslmode=disable";
        assert_eq!(port_of(url), 21_001);
        let moved = at(url, 21_001, (Ipv4Addr::LOCALHOST, 31_002).into());
        assert_eq!(moved, "postgres://lanebench:0ab1@127.0.0.1:31002/postgres?sslmode=disable");
        assert_eq!(port_of("redis://127.0.0.1:21002"), 21_002);
    }
}
