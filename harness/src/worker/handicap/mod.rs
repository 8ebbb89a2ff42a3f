//! What makes a worker worse on purpose, to prove that who measures it notices.
//!
//! `lanebench worker --handicap` takes one or more, separated by commas; the flag is not in its help, since nobody who
//! means to work wants one. Each says on stderr that it is there.
//!
//! | handicap | what it does | what should notice |
//! |---|---|---|
//! | `cpu:10%` | burns CPU on the consumers' loops: the process's CPU time an event is 10 % higher (`cpu`) | CPU, throughput |
//! | `store:10%` | each store call takes 10 % longer, waiting (`slow`) | throughput, response time |
//! | `die:1000` | the process kills itself after 1,000 events (`harm`) | a worker that ended |
//! | `never-commit` | no offset is committed, and the process ends without a goodbye | truth: `offset` |
//! | `FAULT:100` | of the events that can have it, every 100th has the fault (`planted`): `drop`, `skip`, `guard`, `twice`, `content`, `place`, `commit-ahead`, `swap`, `unpark`, `refuse`, `letter`, `phantom`, `view-back`, `view-skip` | truth, by name |
//!
//! The consumers of one process count together, and `cpu` is their common process's.

use std::fmt;
use std::num::NonZeroU64;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use payment_delivery::probe::{Both, Probe};
use payment_delivery::store::DeliveryStore;
use payment_delivery::view::StatusView;

mod cpu;
mod harm;
mod planted;
mod slow;
pub(crate) mod store;

use cpu::Burner;
use harm::Death;
pub use planted::Fault;
use planted::store::StorePlant;
use planted::view::{PlantedView, ViewPlant};
use planted::{PlantLog, Planter, RawRows, RawStatuses};
use slow::Slow;
use store::{PlantedStore, SlowStore};

use super::Settings;

/// Longer than any trial: a cadence that never commits.
const NEVER: Duration = Duration::from_secs(86_400);

/// One thing that makes a worker worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Handicap {
    /// CPU time an event is higher by this share (0.1 for 10 %).
    Cpu(f64),
    /// Store calls take longer by this share.
    Store(f64),
    /// The process dies after so many events.
    Die(NonZeroU64),
    /// No offset is committed.
    NeverCommit,
    /// Every so many-th event has this fault.
    Planted(Fault, NonZeroU64),
}

/// Why a text is no handicap.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no handicap; there are cpu:10%, store:10%, die:1000, never-commit, and drop:100 with the other planted faults"
)]
pub struct HandicapError(String);

impl FromStr for Handicap {
    type Err = HandicapError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share = |of: &str| {
            let percent: f64 = of.strip_suffix('%')?.parse().ok()?;
            (percent > 0.0 && percent <= 1_000.0).then_some(percent / 100.0)
        };
        if text == "never-commit" {
            return Ok(Self::NeverCommit);
        }
        let handicap = text.split_once(':').and_then(|(kind, much)| match kind {
            "cpu" => share(much).map(Self::Cpu),
            "store" => share(much).map(Self::Store),
            "die" => much.parse().ok().map(Self::Die),
            planted => Some(Self::Planted(Fault::parse(planted)?, much.parse().ok()?)),
        });
        handicap.ok_or_else(|| HandicapError(text.into()))
    }
}

impl fmt::Display for Handicap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(share) => write!(f, "cpu:{}%", share * 100.0),
            Self::Store(share) => write!(f, "store:{}%", share * 100.0),
            Self::Die(after) => write!(f, "die:{after}"),
            Self::NeverCommit => f.write_str("never-commit"),
            Self::Planted(fault, every) => write!(f, "{fault}:{every}"),
        }
    }
}

/// The handicaps of a process, as they are put around what its consumers work with.
pub(super) struct Handicaps {
    probes: Vec<Arc<dyn Probe>>,
    slower_by: f64,
    stores: Vec<Arc<StorePlant>>,
    views: Vec<Arc<ViewPlant>>,
    never_commits: bool,
}

impl Handicaps {
    /// Those that `settings` name; what they plant is written down in `planted`.
    pub(super) fn new(settings: &Settings, planted: Option<&Path>) -> std::io::Result<Self> {
        let log = PlantLog::create(planted)?;
        let mut all = Self {
            probes: Vec::new(),
            slower_by: 0.0,
            stores: Vec::new(),
            views: Vec::new(),
            never_commits: false,
        };
        for handicap in &settings.handicaps {
            match *handicap {
                Handicap::Cpu(share) => all.probes.push(Arc::new(Burner::new(share))),
                Handicap::Store(share) => all.slower_by += share,
                Handicap::Die(after) => all.probes.push(Arc::new(Death::new(after))),
                Handicap::NeverCommit => all.never_commits = true,
                Handicap::Planted(fault, every) => {
                    let planter = Planter::new(fault, every, log.clone());
                    if fault.is_of_view() {
                        let (server, prefix) = (settings.redis.clone(), settings.key_prefix.clone());
                        all.views.push(Arc::new(ViewPlant::new(planter, RawStatuses { server, prefix })));
                    } else {
                        let raw = RawRows(settings.database.clone());
                        all.stores.push(Arc::new(StorePlant::new(planter, raw)));
                    }
                }
            }
        }
        Ok(all)
    }

    /// The probe, and after it whatever counts and burns.
    pub(super) fn probe(&self, probe: Arc<dyn Probe>) -> Arc<dyn Probe> {
        self.probes.iter().fold(probe, |probe, then| Arc::new(Both(probe, Arc::clone(then))))
    }

    /// One consumer's store.
    pub(super) fn store(&self, mut store: Arc<dyn DeliveryStore>) -> Arc<dyn DeliveryStore> {
        for plant in &self.stores {
            store = Arc::new(PlantedStore { inner: store, plant: Arc::clone(plant) });
        }
        if self.slower_by > 0.0 {
            store = Arc::new(SlowStore { inner: store, slow: Slow::new(self.slower_by) });
        }
        store
    }

    /// One consumer's view.
    pub(super) fn view(&self, mut view: Arc<dyn StatusView>) -> Arc<dyn StatusView> {
        for plant in &self.views {
            view = Arc::new(PlantedView { inner: view, plant: Arc::clone(plant) });
        }
        view
    }

    /// How often a consumer commits.
    pub(super) fn commit_interval(&self, interval: Duration) -> Duration {
        if self.never_commits { NEVER } else { interval }
    }

    /// Whether the process ends at once when it is told to, as one that never commits must.
    pub(super) fn ends_at_once(&self) -> bool {
        self.never_commits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handicaps_are_read_and_written_alike() {
        for text in ["cpu:10%", "store:2.5%", "die:1", "never-commit"] {
            assert_eq!(text.parse::<Handicap>().unwrap().to_string(), text);
        }
        for fault in Fault::ALL {
            let text = format!("{fault}:100");
            assert_eq!(text.parse::<Handicap>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "cpu",
            "cpu:10",
            "cpu:-1%",
            "cpu:x%",
            "cpu:NaN%",
            "drop:0",
            "drop:1%",
            "die:",
            "ram:1%",
            "never-commit:1",
        ] {
            assert!(wrong.parse::<Handicap>().is_err(), "{wrong}");
        }
    }
}
