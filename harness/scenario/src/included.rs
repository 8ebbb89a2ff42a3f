//! The scenarios that come with lanebench, and how one is found.

use std::path::Path;

use super::{Scenario, ScenarioError, file};

/// The files of `harness/scenarios/`, in the order in which they are listed.
const FILES: [(&str, &str); 21] = [
    ("consumer-stopped", include_str!("../../scenarios/consumer-stopped.toml")),
    ("consumer-killed", include_str!("../../scenarios/consumer-killed.toml")),
    ("consumer-frozen", include_str!("../../scenarios/consumer-frozen.toml")),
    ("broker-killed", include_str!("../../scenarios/broker-killed.toml")),
    ("broker-frozen", include_str!("../../scenarios/broker-frozen.toml")),
    ("broker-frozen-long", include_str!("../../scenarios/broker-frozen-long.toml")),
    ("broker-cut-off", include_str!("../../scenarios/broker-cut-off.toml")),
    ("leader-refused", include_str!("../../scenarios/leader-refused.toml")),
    ("leader-moved", include_str!("../../scenarios/leader-moved.toml")),
    ("coordinator-killed", include_str!("../../scenarios/coordinator-killed.toml")),
    ("store-restarted", include_str!("../../scenarios/store-restarted.toml")),
    ("store-frozen", include_str!("../../scenarios/store-frozen.toml")),
    ("store-used-up", include_str!("../../scenarios/store-used-up.toml")),
    ("store-slowed", include_str!("../../scenarios/store-slowed.toml")),
    ("view-emptied", include_str!("../../scenarios/view-emptied.toml")),
    ("view-demoted", include_str!("../../scenarios/view-demoted.toml")),
    ("view-full", include_str!("../../scenarios/view-full.toml")),
    ("connections-cut", include_str!("../../scenarios/connections-cut.toml")),
    ("poison-message", include_str!("../../scenarios/poison-message.toml")),
    ("partitions-added", include_str!("../../scenarios/partitions-added.toml")),
    ("partitions-added-drained", include_str!("../../scenarios/partitions-added-drained.toml")),
];

/// The scenarios that come with lanebench.
///
/// # Panics
/// Never: a test reads each of them.
pub fn included() -> Vec<Scenario> {
    FILES.iter().map(|(name, text)| read(name, text).expect("a test reads each of them")).collect()
}

/// The scenario of a file, or the one of this name that comes with lanebench. What has a `/`, ends in `.toml` or is there is a file.
///
/// # Errors
/// [`ScenarioError`] if there is none, or if the file says something that is none.
pub fn find(name: &str) -> Result<Scenario, ScenarioError> {
    let path = Path::new(name);
    if name.contains('/') || name.ends_with(".toml") || path.is_file() {
        return file::scenario(&lanebench_settings::read(path)?, path);
    }
    match FILES.iter().find(|(known, _)| *known == name) {
        Some((name, text)) => read(name, text),
        None => {
            let names: Vec<&'static str> = FILES.iter().map(|(name, _)| *name).collect();
            let likely = lanebench_settings::likely(name, &names);
            Err(ScenarioError::Unknown { name: name.into(), likely })
        }
    }
}

fn read(name: &str, text: &str) -> Result<Scenario, ScenarioError> {
    file::scenario(text, Path::new(&format!("{name}.toml")))
}
