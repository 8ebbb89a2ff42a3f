//! Names what held a phase back, from measured utilisation. Pure.
//!
//! Where the machine's cores were all busy, and not for other programs most of all, nothing of it could run faster whatever else is changed: the bottleneck is the
//! **host**, and the evidence says which component used most of it and what consumers waited for.
//!
//! Otherwise a consumer is one loop that does one thing at a time, so the part of the phase that it spent on each thing says
//! what it waited for. The rule: consumers that mostly waited for messages were starved by the **broker**; else the activity that
//! took at least half of their time held them back (their own work is the **worker**, the modelled call the **service**); else
//! it is **unknown**.

use std::time::Duration;

use payment_delivery::probe::Activity;

use super::noise::foreign_cpu;
use super::timeline::{ConsumerWork, Spent};
use lanebench_result::{Bottleneck, Resource};

/// The part of the consumers' time that gives a bottleneck its name.
pub const SHARE_MIN: f64 = 0.5;

/// From this part of all CPUs busy on, the host had nothing left.
pub const HOST_FULL: f64 = 0.9;

/// From this part of all CPUs on, other programs are what keeps the host busy.
const OTHERS_MOST: f64 = 0.5;

/// What one consumer spent its part of a phase on.
///
/// The time counts until its last event: that it then had nothing left to do is the share of the keys it was given, not a
/// bottleneck.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerTime {
    /// From the phase's start until its last event was visible.
    pub busy: Duration,
    /// Waiting for a message.
    pub idle: Duration,
    /// Its own work.
    pub own: Duration,
    /// The modelled downstream call.
    pub service: Duration,
    /// Waiting for the store.
    pub store: Duration,
    /// Waiting for the view.
    pub view: Duration,
}

impl ConsumerTime {
    /// From what the timeline measured: a consumer's work, what it spent during the phase, and when the phase began
    /// (ns since the run's epoch).
    pub fn new(work: &ConsumerWork, spent: &Spent, start_ns: u64) -> Self {
        let busy = Duration::from_nanos(work.last_visible_ns.saturating_sub(start_ns));
        let get = |activity| spent.get(&work.consumer, activity);
        let (own, service) = (get(Activity::Own), get(Activity::Service));
        let (store, view) = (get(Activity::Store), get(Activity::View));
        // Work ends with the last event; whatever waiting does not fit before that came after it.
        let idle = get(Activity::Idle).min(busy.saturating_sub(own + service + store + view));
        Self { busy, idle, own, service, store, view }
    }
}

/// Names the bottleneck of a phase.
///
/// `resources` are the components' usage during it, `host` among them; `cores` the machine's.
pub fn bottleneck(consumers: &[ConsumerTime], resources: &[Resource], cores: usize) -> Bottleneck {
    let total = |of: fn(&ConsumerTime) -> Duration| consumers.iter().map(of).sum::<Duration>().as_secs_f64();
    let busy_s = total(|c| c.busy);
    if busy_s <= 0.0 {
        return Bottleneck { name: "unknown".into(), evidence: "no consumer made an event visible".into() };
    }
    // Weighted by time: each consumer counts for as long as it had something to do.
    let shares = [
        ("broker", "waiting for messages", total(|c| c.idle) / busy_s),
        ("worker", "on their own work", total(|c| c.own) / busy_s),
        ("service", "in the modelled service call", total(|c| c.service) / busy_s),
        ("store", "waiting for the store", total(|c| c.store) / busy_s),
        ("view", "waiting for the view", total(|c| c.view) / busy_s),
    ];
    let used = usage(resources, cores);
    let named = shares.iter().filter(|(_, _, share)| *share >= SHARE_MIN).max_by(|a, b| a.2.total_cmp(&b.2));
    let (name, spent) = match named {
        Some((name, doing, share)) => {
            (*name, format!("consumers spent {:.0} % of their time {doing}", share * 100.0))
        }
        None => {
            let list: Vec<String> =
                shares.iter().map(|(_, doing, share)| format!("{:.0} % {doing}", share * 100.0)).collect();
            ("unknown", format!("nothing took half of the consumers' time: {}", list.join(", ")))
        }
    };
    match host_full(resources, cores) {
        Some(most) => Bottleneck { name: "host".into(), evidence: format!("{most}; {spent}{used}") },
        None => Bottleneck { name: name.into(), evidence: format!("{spent}{used}") },
    }
}

/// That the host had nothing left, and for whom most of it went; `None` where it had.
fn host_full(resources: &[Resource], cores: usize) -> Option<String> {
    let host = resources.iter().find(|r| r.name == "host")?;
    // What other programs use up is a disturbance, of which a warning tells, and no bottleneck of the run.
    let by_others = foreign_cpu(resources, cores).is_some_and(|part| part >= OTHERS_MOST);
    if host.cores_busy < HOST_FULL * cores.max(1) as f64 || by_others {
        return None;
    }
    let components = resources.iter().filter(|r| r.name != "host");
    let most = components.max_by(|a, b| a.cores_busy.total_cmp(&b.cores_busy));
    let of = most.map_or_else(String::new, |r| format!(", most of them by {} ({:.2})", r.name, r.cores_busy));
    Some(format!("all {cores} cores of the host were busy{of}"))
}

/// For an open loop that is kept up with: consumers idle as long as nothing is due.
pub fn offered_load(resources: &[Resource], cores: usize) -> Bottleneck {
    let used = usage(resources, cores);
    match host_full(resources, cores) {
        Some(most) => Bottleneck { name: "host".into(), evidence: format!("{most}{used}") },
        None => Bottleneck {
            name: "offered load".into(),
            evidence: format!("all that was offered was worked off as it came{used}"),
        },
    }
}

/// For a worker that is seen from outside only.
pub fn unseen(resources: &[Resource], cores: usize) -> Bottleneck {
    let evidence =
        format!("from outside it can't be seen what consumers wait for{}", usage(resources, cores));
    Bottleneck { name: "unknown".into(), evidence }
}

/// "; PostgreSQL kept 1.1 cores busy, … ; 97 % of the host's 2 cores were busy".
fn usage(resources: &[Resource], cores: usize) -> String {
    let (host, components): (Vec<&Resource>, Vec<&Resource>) =
        resources.iter().partition(|r| r.name == "host");
    let mut text = String::new();
    if !components.is_empty() {
        let list: Vec<String> =
            components.iter().map(|r| format!("{} {:.2}", r.name, r.cores_busy)).collect();
        text += &format!("; cores kept busy: {}", list.join(", "));
    }
    if let Some(host) = host.first() {
        let share = host.cores_busy / cores.max(1) as f64;
        text += &format!("; {:.0} % of the host's {cores} cores were busy", share * 100.0);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of idle, own, service, store, view.
    fn consumer(busy: u64, [idle, own, service, store, view]: [u64; 5]) -> ConsumerTime {
        let ms = Duration::from_millis;
        ConsumerTime {
            busy: ms(busy),
            idle: ms(idle),
            own: ms(own),
            service: ms(service),
            store: ms(store),
            view: ms(view),
        }
    }

    fn resources(host: f64) -> Vec<Resource> {
        [("consumers", 0.4), ("postgresql", 1.1), ("host", host)]
            .map(|(name, cores_busy)| Resource {
                name: name.into(),
                cpu_s: 1.0,
                cores_busy,
                rss_bytes_max: None,
            })
            .to_vec()
    }

    #[track_caller]
    fn check(consumers: &[ConsumerTime], expected: &str, words: &str) {
        let Bottleneck { name, evidence } = bottleneck(consumers, &resources(1.2), 2);
        assert_eq!(name, expected, "{evidence}");
        assert!(evidence.contains(words), "{evidence}");
    }

    #[test]
    fn what_took_half_of_the_time_gives_the_name() {
        check(&[consumer(1000, [710, 100, 0, 150, 40])], "broker", "71 % of their time waiting for messages");
        check(&[consumer(1000, [100, 600, 0, 200, 100])], "worker", "60 % of their time on their own work");
        check(
            &[consumer(1000, [0, 50, 900, 50, 0])],
            "service",
            "90 % of their time in the modelled service",
        );
        check(&[consumer(1000, [100, 100, 0, 710, 90])], "store", "71 % of their time waiting for the store");
        check(&[consumer(1000, [100, 100, 0, 300, 500])], "view", "50 % of their time waiting for the view");
        check(
            &[consumer(1000, [200, 200, 0, 300, 300])],
            "unknown",
            "20 % waiting for messages, 20 % on their own",
        );
        // Time that no activity accounts for names nobody.
        check(&[consumer(1000, [0, 0, 0, 490, 0])], "unknown", "49 % waiting for the store");
        check(&[], "unknown", "no consumer made an event visible");
        check(&[consumer(0, [0; 5])], "unknown", "no consumer made an event visible");
    }

    #[test]
    fn a_consumer_counts_for_as_long_as_it_had_work() {
        let long = consumer(3000, [0, 300, 0, 2400, 300]);
        let starved = consumer(1000, [900, 50, 0, 50, 0]);
        check(&[long, starved, starved, starved], "unknown", "nothing took half");
        check(&[long, starved], "store", "61 %");
    }

    #[test]
    fn the_evidence_holds_the_components() {
        let store = [consumer(1000, [0, 200, 0, 800, 0])];
        assert_eq!(
            bottleneck(&store, &resources(1.6), 2).evidence,
            "consumers spent 80 % of their time waiting for the store; cores kept busy: consumers 0.40, postgresql 1.10; \
             80 % of the host's 2 cores were busy"
        );
        assert!(!bottleneck(&store, &[], 2).evidence.contains(';'));
    }

    #[test]
    fn where_all_cores_are_busy_the_host_is_the_bottleneck() {
        let store = [consumer(1000, [0, 200, 0, 800, 0])];
        let Bottleneck { name, evidence } = bottleneck(&store, &resources(1.94), 2);
        assert_eq!(name, "host");
        assert!(
            evidence.starts_with(
                "all 2 cores of the host were busy, most of them by postgresql (1.10); consumers spent 80 %"
            ),
            "{evidence}"
        );
        assert_eq!(bottleneck(&store, &resources(1.79), 2).name, "store");
        assert_eq!(bottleneck(&store, &resources(1.79), 1).name, "host");
        // Of two cores, others use one and a half.
        let mut others = resources(1.96);
        others.extend(others[1..2].to_vec());
        others[1].cores_busy = 0.06;
        (others[3].name, others[3].cores_busy) = ("kafka".into(), 0.12);
        others[0].name = "harness".into();
        assert_eq!(bottleneck(&store, &others, 2).name, "store");
    }
}
