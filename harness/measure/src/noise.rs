//! What disturbed a trial from outside, and the rule that says so.
//!
//! Recorded: pressure stall information (docs.kernel.org/accounting/psi.html) as the growth of its `total` over the
//! trial; time stolen by the hypervisor; involuntary context switches of the harness (getrusage(2)); and a canary, a fixed
//! integer loop on a thread of its own, timed by that thread's CPU clock: waiting behind our own consumers does not show in
//! it, a slower or stolen core does.

use std::hint::black_box;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use procfs::{CpuPressure, Current, CurrentSI, IoPressure, KernelStats, ProcError};

use lanebench_result::{Noise, Resource};

/// Steps of the canary's loop: six dependent instructions each, so half a millisecond at 3 GHz.
const CANARY_STEPS: u64 = 250_000;

/// How often the canary runs.
const CANARY_TICK: Duration = Duration::from_millis(200);

/// Canary runs kept at most: over an hour of ticks.
const CANARY_RUNS_MAX: usize = 1 << 15;

/// Above this part of all CPU time stolen, the host was busy.
pub const STEAL_MAX: f64 = 0.05;

/// Above this slowest ÷ fastest of the canary, the host was busy.
pub const CANARY_SPREAD_MAX: f64 = 1.5;

/// Above this part of all CPU time used by what is no part of the run, the host was busy.
pub const FOREIGN_CPU_MAX: f64 = 0.1;

/// Why noise could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum NoiseError {
    /// /proc could not be read.
    #[error("/proc could not be read: {0}")]
    Proc(#[from] ProcError),
    /// getrusage failed.
    #[error("the harness's own usage could not be read: {0}")]
    Usage(#[from] nix::Error),
    /// The operating system gave no thread.
    #[error("the canary's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The canary panicked.
    #[error("the canary's thread panicked")]
    Canary,
}

/// Listens from its start until [`Self::finish`].
pub struct NoiseMeter {
    begun: Instant,
    counters: Counters,
    canary: Canary,
}

#[derive(Clone, Copy)]
struct Counters {
    cpu_pressure_us: Option<u64>,
    io_pressure_us: Option<u64>,
    stolen_ticks: Option<u64>,
    all_ticks: u64,
    involuntary_switches: u64,
}

impl NoiseMeter {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`NoiseError`].
    pub fn start() -> Result<Self, NoiseError> {
        let canary = Canary::start()?;
        Ok(Self { begun: Instant::now(), counters: Counters::read()?, canary })
    }

    /// What was heard since the start.
    ///
    /// # Errors
    /// [`NoiseError`].
    pub fn finish(self) -> Result<Noise, NoiseError> {
        let elapsed_us = self.begun.elapsed().as_micros() as f64;
        let (from, to) = (self.counters, Counters::read()?);
        let pressure = |from: Option<u64>, to: Option<u64>| {
            Some((to?.saturating_sub(from?) as f64 / elapsed_us).clamp(0.0, 1.0))
        };
        let stolen = to.stolen_ticks.zip(from.stolen_ticks).map(|(to, from)| to.saturating_sub(from) as f64);
        let all = to.all_ticks.saturating_sub(from.all_ticks) as f64;
        Ok(Noise {
            cpu_pressure: pressure(from.cpu_pressure_us, to.cpu_pressure_us),
            io_pressure: pressure(from.io_pressure_us, to.io_pressure_us),
            steal: stolen.filter(|_| all > 0.0).map(|stolen| stolen / all),
            involuntary_switches: to.involuntary_switches.saturating_sub(from.involuntary_switches),
            canary_spread: spread(self.canary.stop()?),
        })
    }
}

impl Counters {
    fn read() -> Result<Self, NoiseError> {
        let cpu = KernelStats::current()?.total;
        let rare = [cpu.iowait, cpu.irq, cpu.softirq, cpu.steal].into_iter().flatten().sum::<u64>();
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        Ok(Self {
            // Absent in kernels without CONFIG_PSI, and in some containers.
            cpu_pressure_us: CpuPressure::current().ok().map(|p| p.some.total),
            io_pressure_us: IoPressure::current().ok().map(|p| p.some.total),
            stolen_ticks: cpu.steal,
            all_ticks: cpu.user + cpu.nice + cpu.system + cpu.idle + rare,
            involuntary_switches: u64::try_from(usage.involuntary_context_switches()).unwrap_or(0),
        })
    }
}

/// The canary at work. Dropped, it is stopped.
struct Canary {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Vec<u64>>,
}

impl Canary {
    fn start() -> Result<Self, NoiseError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let sing = move || {
            let mut runs = Vec::new();
            loop {
                if runs.len() < CANARY_RUNS_MAX {
                    runs.push(canary_ns());
                }
                if stopped.recv_timeout(CANARY_TICK) != Err(RecvTimeoutError::Timeout) {
                    return runs;
                }
            }
        };
        Ok(Self { stop, thread: thread::Builder::new().name("canary".into()).spawn(sing)? })
    }

    fn stop(self) -> Result<Vec<u64>, NoiseError> {
        drop(self.stop);
        self.thread.join().map_err(|_| NoiseError::Canary)
    }
}

/// CPU time of one run of the fixed loop.
fn canary_ns() -> u64 {
    let cpu = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default();
    let begun = cpu();
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..CANARY_STEPS {
        // A chain of dependent steps (xorshift), which the compiler can neither shorten nor spread out.
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    black_box(x);
    u64::try_from(cpu().saturating_sub(begun).as_nanos()).unwrap_or(u64::MAX)
}

/// 95th percentile ÷ fastest: one interrupt makes one run slow on any machine, a disturbed machine makes many so.
/// 1 for no runs.
fn spread(mut runs: Vec<u64>) -> Option<f64> {
    runs.sort_unstable();
    let slow = *runs.get((runs.len() * 95).div_ceil(100).saturating_sub(1))?;
    let fast = *runs.first().filter(|fast| runs.len() > 1 && **fast > 0)?;
    Some(slow as f64 / fast as f64)
}

/// CPU time used by what is no part of the run, as a part of all CPU time: `host`, less the other components of
/// `resources` (`consumers` are within `harness`). `None` without a `host` among them.
pub fn foreign_cpu(resources: &[Resource], cores: usize) -> Option<f64> {
    let host = resources.iter().find(|r| r.name == "host")?.cores_busy;
    // Components that are known by their addresses alone may be on this host: what they use can't be told from what others use.
    let brokers = |r: &Resource| matches!(r.name.as_str(), "kafka" | "broker");
    resources.iter().find(|r| brokers(r))?;
    // Threads of the harness are in its own figure already.
    let counted =
        |r: &&Resource| !matches!(r.name.as_str(), "host" | "consumers" | "api" | "broker" | "sqlite");
    let ours: f64 = resources.iter().filter(counted).map(|r| r.cores_busy).sum();
    Some(((host - ours) / cores.max(1) as f64).clamp(0.0, 1.0))
}

/// Whether something outside the run disturbed it, and what.
///
/// The rule is fixed and blind to configurations: [`STEAL_MAX`], [`CANARY_SPREAD_MAX`], [`FOREIGN_CPU_MAX`]. Pressure and
/// context switches are recorded but not judged, since a run that uses its machine well causes both.
pub fn host_was_busy(noise: &Noise, foreign_cpu: Option<f64>) -> Option<String> {
    let mut signs = Vec::new();
    if let Some(steal) = noise.steal.filter(|steal| *steal > STEAL_MAX) {
        signs.push(format!("the hypervisor took {:.1} % of the CPU time", steal * 100.0));
    }
    if let Some(spread) = noise.canary_spread.filter(|spread| *spread > CANARY_SPREAD_MAX) {
        signs.push(format!("a fixed loop took up to {spread:.1} times its shortest time"));
    }
    if let Some(foreign) = foreign_cpu.filter(|foreign| *foreign > FOREIGN_CPU_MAX) {
        signs.push(format!("other programs used {:.0} % of the CPUs", foreign * 100.0));
    }
    (!signs.is_empty()).then(|| signs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Noise = Noise {
        cpu_pressure: Some(0.9),
        io_pressure: Some(0.9),
        steal: Some(0.0),
        involuntary_switches: 100_000,
        canary_spread: Some(1.1),
    };

    #[track_caller]
    fn check(noise: &Noise, foreign: Option<f64>, expected: Option<&str>) {
        let message = host_was_busy(noise, foreign);
        match (&message, expected) {
            (Some(message), Some(words)) => assert!(message.contains(words), "{message}"),
            (message, expected) => assert_eq!(message.is_some(), expected.is_some(), "{message:?}"),
        }
    }

    #[test]
    fn only_what_comes_from_outside_makes_a_host_busy() {
        check(&QUIET, None, None);
        check(&QUIET, Some(0.1), None);
        check(&QUIET, Some(0.3), Some("other programs used 30 % of the CPUs"));
        check(&Noise { steal: Some(0.08), ..QUIET }, None, Some("the hypervisor took 8.0 %"));
        check(&Noise { canary_spread: Some(2.0), ..QUIET }, None, Some("2.0 times its shortest"));
    }

    #[test]
    fn foreign_cpu_is_what_the_components_leave() {
        let resource = |name: &str, cores_busy| Resource {
            name: name.into(),
            cpu_s: 0.0,
            cores_busy,
            rss_bytes_max: None,
        };
        let mut all = vec![resource("harness", 0.5), resource("consumers", 0.4), resource("kafka", 0.3)];
        assert_eq!(foreign_cpu(&all, 2), None);
        all.push(resource("host", 1.2));
        assert!((foreign_cpu(&all, 2).unwrap() - 0.2).abs() < 1e-9);
        all[0].cores_busy = 3.0;
        assert_eq!(foreign_cpu(&all, 2), Some(0.0));
    }

    #[test]
    fn one_slow_run_in_many_is_no_spread() {
        let mut runs = vec![100; 99];
        runs.push(900);
        assert_eq!(spread(runs), Some(1.0));
        let half = [vec![100; 50], vec![300; 50]].concat();
        assert_eq!(spread(half), Some(3.0));
        assert_eq!(spread(vec![7]), None);
        assert_eq!(spread(Vec::new()), None);
    }

    #[test]
    fn a_meter_hears_its_own_process() {
        let meter = NoiseMeter::start().unwrap();
        let (_never, wait) = mpsc::channel::<()>();
        assert_eq!(wait.recv_timeout(CANARY_TICK * 3), Err(RecvTimeoutError::Timeout));
        let noise = meter.finish().unwrap();
        println!("{noise:?}; a canary run takes {} µs", canary_ns() / 1000);
        assert!(noise.canary_spread.unwrap() >= 1.0);
        assert!((0.0..=1.0).contains(&noise.steal.unwrap()));
        assert_eq!(noise.cpu_pressure.is_some(), std::path::Path::new("/proc/pressure/cpu").exists());
        assert!(noise.cpu_pressure.is_none_or(|part| (0.0..=1.0).contains(&part)));
    }
}
