//! What makes a worker worse on purpose, to prove that who measures it notices.
//!
//! `lanebench worker --handicap` takes one or more, separated by commas; the flag is not in its help, since nobody who
//! means to work wants one. Each says on stderr that it is there.
//!
//! | handicap | what it does | what should notice |
//! |---|---|---|
//! | `cpu:10%` | burns CPU on the consumers' loops: the process's CPU time an event is 10 % higher (`cpu`) | CPU, throughput |
//! | `store:10%` | each store call takes 10 % longer, waiting (`slow`) | throughput, response time |
//! | `drop:100` | every 100th event is acknowledged and shown, and not stored (`harm`) | truth: lost events |
//! | `die:1000` | the process kills itself after 1,000 events (`harm`) | a worker that ended |
//!
//! With the consumers of one process `drop` and `die` count together, and `cpu` is their common process's.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::sync::Arc;

use payment_delivery::probe::{Both, Probe};
use payment_delivery::store::DeliveryStore;

mod cpu;
mod harm;
mod slow;
mod store;

use cpu::Burner;
use harm::{Death, Drops};
use slow::Slow;
use store::HandicappedStore;

/// One thing that makes a worker worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Handicap {
    /// CPU time an event is higher by this share (0.1 for 10 %).
    Cpu(f64),
    /// Store calls take longer by this share.
    Store(f64),
    /// Every so many-th event is lost.
    Drop(NonZeroU64),
    /// The process dies after so many events.
    Die(NonZeroU64),
}

/// Why a text is no handicap.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no handicap; there are cpu:10%, store:10%, drop:100 and die:1000")]
pub struct HandicapError(String);

impl FromStr for Handicap {
    type Err = HandicapError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share = |of: &str| {
            let percent: f64 = of.strip_suffix('%')?.parse().ok()?;
            (percent > 0.0 && percent <= 1_000.0).then_some(percent / 100.0)
        };
        let handicap = text.split_once(':').and_then(|(kind, much)| match kind {
            "cpu" => share(much).map(Self::Cpu),
            "store" => share(much).map(Self::Store),
            "drop" => much.parse().ok().map(Self::Drop),
            "die" => much.parse().ok().map(Self::Die),
            _ => None,
        });
        handicap.ok_or_else(|| HandicapError(text.into()))
    }
}

impl fmt::Display for Handicap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(share) => write!(f, "cpu:{}%", share * 100.0),
            Self::Store(share) => write!(f, "store:{}%", share * 100.0),
            Self::Drop(every) => write!(f, "drop:{every}"),
            Self::Die(after) => write!(f, "die:{after}"),
        }
    }
}

/// The handicaps of a process, as they are put around what its consumers work with.
pub(super) struct Handicaps {
    probes: Vec<Arc<dyn Probe>>,
    slower_by: f64,
    drops: Option<Arc<Drops>>,
}

impl Handicaps {
    pub(super) fn new(handicaps: &[Handicap]) -> Self {
        let mut all = Self { probes: Vec::new(), slower_by: 0.0, drops: None };
        for handicap in handicaps {
            match *handicap {
                Handicap::Cpu(share) => all.probes.push(Arc::new(Burner::new(share))),
                Handicap::Store(share) => all.slower_by += share,
                Handicap::Drop(every) => all.drops = Some(Arc::new(Drops::new(every))),
                Handicap::Die(after) => all.probes.push(Arc::new(Death::new(after))),
            }
        }
        all
    }

    /// The probe, and after it whatever counts and burns.
    pub(super) fn probe(&self, probe: Arc<dyn Probe>) -> Arc<dyn Probe> {
        self.probes.iter().fold(probe, |probe, then| Arc::new(Both(probe, Arc::clone(then))))
    }

    /// One consumer's store.
    pub(super) fn store(&self, store: Arc<dyn DeliveryStore>) -> Arc<dyn DeliveryStore> {
        let slow = (self.slower_by > 0.0).then(|| Slow::new(self.slower_by));
        if slow.is_none() && self.drops.is_none() {
            return store;
        }
        Arc::new(HandicappedStore { inner: store, drops: self.drops.clone(), slow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handicaps_are_read_and_written_alike() {
        for text in ["cpu:10%", "store:2.5%", "drop:100", "die:1"] {
            assert_eq!(text.parse::<Handicap>().unwrap().to_string(), text);
        }
        for wrong in
            ["", "cpu", "cpu:10", "cpu:-1%", "cpu:x%", "cpu:NaN%", "drop:0", "drop:1%", "die:", "ram:1%"]
        {
            assert!(wrong.parse::<Handicap>().is_err(), "{wrong}");
        }
    }
}
