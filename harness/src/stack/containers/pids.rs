//! The processes behind the containers, where they are in this machine's /proc, for measuring resources.

use std::fs;

use super::project::Project;
use crate::stack::{Component, Pids};

/// Those of the containers, and of Docker's proxies at the `published` ports. All or none: none where the daemon's processes can't be
/// seen from here.
pub(super) async fn of(project: &Project, nodes: usize, published: &[u16]) -> Pids {
    let mut kafka = Vec::new();
    for node in 1..=nodes {
        kafka.extend(project.pid(Component::Kafka { node }).await);
    }
    let (postgres, redis) = (project.pid(Component::Postgres).await, project.pid(Component::Redis).await);
    if kafka.len() < nodes || postgres.is_none() || redis.is_none() {
        return Pids::default();
    }
    Pids { kafka, postgres, redis, proxies: proxies(published) }
}

/// Docker's proxies at these ports. There are none where the daemon was told to do without (`--userland-proxy=false`).
fn proxies(published: &[u16]) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            proxied(&command).is_some_and(|port| published.contains(&port))
        })
        .collect()
}

/// The port on 127.0.0.1 that a command line (arguments, each ended by a zero byte) makes a Docker proxy of.
fn proxied(command: &[u8]) -> Option<u16> {
    let arguments: Vec<&str> = std::str::from_utf8(command).ok()?.split('\0').collect();
    if arguments.first()?.rsplit('/').next() != Some("docker-proxy") {
        return None;
    }
    let after =
        |name| arguments.iter().position(|argument| *argument == name).and_then(|at| arguments.get(at + 1));
    if *after("-host-ip")? != "127.0.0.1" {
        return None;
    }
    after("-host-port")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: &str, expected: Option<u16>) {
        assert_eq!(proxied(command.replace(' ', "\0").as_bytes()), expected, "{command}");
    }

    #[test]
    fn a_proxy_is_told_by_its_port() {
        check(
            "/usr/sbin/docker-proxy -proto tcp -host-ip 127.0.0.1 -host-port 20001 -container-ip 172.19.0.2 -container-port 6379 ",
            Some(20_001),
        );
        check("docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 20001 ", None);
        check("grep docker-proxy -host-ip 127.0.0.1 -host-port 20001 ", None);
        check("docker-proxy -host-ip 127.0.0.1 -host-port", None);
        check("", None);
    }
}
