//! Ports, held from their choice until just before their use.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::StackError;

/// Below the range from which Linux takes the local ports of outgoing connections (32768 up by default). A broker needs
/// seconds from the release of its port to listening on it, and every connection made meanwhile could take a port of
/// that range; out of this one, only a program that asks for it can.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Random tries in [`RANGE`] before the system is left to choose.
const TRIES: u32 = 100;

/// Ports that were asked for; a free one each where none was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// The first broker's, the others following.
    pub(super) kafka: Option<u16>,
    pub(super) postgres: Option<u16>,
    pub(super) redis: Option<u16>,
}

/// The ports at which clients find the parts, taken before anything is started.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) brokers: Vec<Reserved>,
    pub(super) postgres: Reserved,
    pub(super) redis: Reserved,
}

impl Ports {
    /// One for each of `nodes` brokers (1 or 3), and one each for store and view.
    pub(super) fn take(nodes: usize, wanted: Wanted) -> Result<Self, StackError> {
        if ![1, 3].contains(&nodes) {
            return Err(StackError::Nodes { nodes });
        }
        // First the ports that were asked for, so that no free choice takes one of them.
        let brokers = (0..)
            .take(nodes)
            .map(|i| {
                wanted.kafka.map(|first| Reserved::exactly(first, i, "Kafka", "--kafka-port")).transpose()
            })
            .collect::<Result<Vec<_>, _>>()?;
        let exactly = |port: Option<u16>, part, flag| {
            port.map(|port| Reserved::exactly(port, 0, part, flag)).transpose()
        };
        let postgres = exactly(wanted.postgres, "PostgreSQL", "--postgres-port")?;
        let redis = exactly(wanted.redis, "Redis", "--redis-port")?;

        let or_any =
            |reserved: Option<Reserved>, part, flag| reserved.map_or_else(|| Reserved::any(part, flag), Ok);
        Ok(Self {
            brokers: brokers
                .into_iter()
                .map(|broker| or_any(broker, "Kafka", "--kafka-port"))
                .collect::<Result<_, _>>()?,
            postgres: or_any(postgres, "PostgreSQL", "--postgres-port")?,
            redis: or_any(redis, "Redis", "--redis-port")?,
        })
    }

    /// All of them.
    #[cfg_attr(not(feature = "containers"), allow(dead_code))]
    pub(super) fn numbers(&self) -> Vec<u16> {
        self.brokers.iter().chain([&self.postgres, &self.redis]).map(Reserved::port).collect()
    }
}

/// A port on 127.0.0.1 that nobody else can have while this lives.
#[derive(Debug)]
pub(super) struct Reserved {
    listener: TcpListener,
    port: u16,
}

impl Reserved {
    /// The port `offset` above the `first` that was asked for with `flag`.
    pub(super) fn exactly(
        first: u16,
        offset: u16,
        part: &'static str,
        flag: &'static str,
    ) -> Result<Self, StackError> {
        let port = first.checked_add(offset);
        port.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the ports after it would exceed 65535")
        })
        .and_then(Self::bind)
        .map_err(|cause| StackError::Port { port: port.unwrap_or(first), part, flag, cause })
    }

    /// Any free port.
    pub(super) fn any(part: &'static str, flag: &'static str) -> Result<Self, StackError> {
        for _ in 0..TRIES {
            if let Ok(reserved) = Self::bind(rand::random_range(RANGE)) {
                return Ok(reserved);
            }
        }
        Self::bind(0).map_err(|cause| StackError::Port { port: 0, part, flag, cause })
    }

    fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// Its number.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What holds it, for something of ours to listen at.
    pub(super) fn into_listener(self) -> TcpListener {
        self.listener
    }

    /// Lets go of it, for the program that is about to be started.
    pub(super) fn release(self) -> u16 {
        drop(self.listener);
        self.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_nobody_elses_until_it_is_released() {
        let reserved = Reserved::any("Redis", "--redis-port").unwrap();
        let port = reserved.port();
        assert!(RANGE.contains(&port));
        let error = Reserved::exactly(port, 0, "Redis", "--redis-port").unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("port {port} on 127.0.0.1 can't be used for Redis")),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("`--redis-port`"));
        assert_eq!(reserved.release(), port);
        Reserved::exactly(port, 0, "Redis", "--redis-port").unwrap();
    }
}
