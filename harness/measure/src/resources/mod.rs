//! CPU time and memory of each component, from /proc.
//!
//! **Method.** A component is a set of processes with all their descendants: PostgreSQL works in children that come and go.
//! Its CPU time is the sum over the living of utime + stime + cutime + cstime (proc_pid_stat(5)): when a child ends, the kernel
//! adds its whole time to its parent's cutime and cstime as it is waited for, so the sum goes on without a step. What it misses:
//! a child of a parent that ignores SIGCHLD, and a child whose parent died first. The clock tick is 10 ms. Memory is the sum of
//! the resident sets, in which a page shared by several processes (PostgreSQL's buffers) counts for each of them, at its
//! largest over the samples taken.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use procfs::process::{Process, Stat};
use procfs::{CurrentSI, KernelStats, ProcError};

use lanebench_result::Resource;

mod jit;
mod process;
mod table;

pub use jit::JitTime;
pub use process::{cpu_time, peak_memory_bytes};
use table::ProcessTable;
pub use table::descendants;

/// Threads of this process that run a consumer have names that begin so. (The main thread is called `lanebench`.)
pub const CONSUMER_THREAD_PREFIX: &str = "consumer-";

/// What the names of the REST API's threads begin with, where it runs in this process.
pub const API_THREAD_PREFIX: &str = "api-";

/// How often memory is sampled, unless asked otherwise: a sample reads the whole process table, some
/// milliseconds of CPU time, which at a shorter tick would show in what is measured.
pub const TICK_DEFAULT: Duration = Duration::from_secs(1);

/// What belongs to a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessScope {
    /// These processes and all their descendants.
    Processes(Vec<i32>),
    /// This process, without its children.
    Harness,
    /// The threads of this process whose names begin so; their memory is the harness's and counts 0 here.
    Threads(&'static str),
    /// All that ran on the machine, stolen time excluded; memory counts 0.
    Host,
}

/// A component by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its name in the result, such as `postgresql`.
    pub name: String,
    /// What belongs to it.
    pub part: ProcessScope,
}

/// Why usage could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// /proc could not be read.
    #[error("/proc could not be read: {0}")]
    Proc(#[from] ProcError),
    /// The operating system gave no thread.
    #[error("the meter's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Watches components on a thread of its own until it is dropped.
pub struct Meter {
    components: Arc<[Component]>,
    state: Arc<Mutex<State>>,
    /// Dropped first, which ends the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Where an interval began.
#[derive(Clone, Debug)]
pub struct Mark {
    at: Instant,
    cpu_ticks: Vec<u64>,
}

#[derive(Default)]
struct State {
    /// The largest seen. CPU time only grows; a component that has died keeps what it had.
    cpu_ticks: Vec<u64>,
    /// The largest seen since the last mark.
    rss_bytes: Vec<u64>,
    /// A sample that failed since the last mark: the maxima may be too small.
    failed: Option<ProcError>,
}

/// Usage of one component at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    cpu_ticks: u64,
    rss_bytes: u64,
}

impl Meter {
    /// Starts watching, with a sample every `tick`.
    ///
    /// # Errors
    /// [`ResourceError`] when /proc cannot be read or no thread can be had.
    pub fn start(components: Vec<Component>, tick: Duration) -> Result<Self, ResourceError> {
        let components: Arc<[Component]> = components.into();
        let state = Arc::new(Mutex::new(State {
            cpu_ticks: vec![0; components.len()],
            rss_bytes: vec![0; components.len()],
            ..State::default()
        }));
        sample(&components, &state)?;
        let (stop, stopped) = mpsc::channel::<()>();
        let watched = (components.clone(), state.clone());
        let watch = move || {
            while stopped.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = sample(&watched.0, &watched.1) {
                    lock(&watched.1).failed = Some(error);
                }
            }
        };
        let thread = thread::Builder::new().name("meter".into()).spawn(watch)?;
        Ok(Self { components, state, stop: Some(stop), thread: Some(thread) })
    }

    /// Begins an interval: CPU time counts from here, and so do the maxima of memory.
    ///
    /// # Errors
    /// [`ResourceError::Proc`].
    pub fn mark(&self) -> Result<Mark, ResourceError> {
        {
            let mut state = lock(&self.state);
            state.rss_bytes.fill(0);
            state.failed = None;
        }
        sample(&self.components, &self.state)?;
        Ok(Mark { at: Instant::now(), cpu_ticks: lock(&self.state).cpu_ticks.clone() })
    }

    /// What each component used since the last mark, in the order in which they were given.
    ///
    /// # Errors
    /// [`ResourceError::Proc`], also when a sample in between failed.
    pub fn since(&self, mark: &Mark) -> Result<Vec<Resource>, ResourceError> {
        sample(&self.components, &self.state)?;
        let elapsed_s = mark.at.elapsed().as_secs_f64();
        let mut state = lock(&self.state);
        if let Some(error) = state.failed.take() {
            return Err(error.into());
        }
        let ticks_per_s = procfs::ticks_per_second() as f64;
        let resource = |(index, component): (usize, &Component)| {
            let ticks = state.cpu_ticks[index].saturating_sub(mark.cpu_ticks[index]);
            let cpu_s = ticks as f64 / ticks_per_s;
            Resource {
                name: component.name.clone(),
                cpu_s,
                cores_busy: cpu_s / elapsed_s,
                rss_bytes_max: Some(state.rss_bytes[index]).filter(|bytes| *bytes > 0),
            }
        };
        Ok(self.components.iter().enumerate().map(resource).collect())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has no way to panic that is not already on stderr.
            let _ended = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Numbers only: whatever a panicking thread left is a number that was true.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sample(components: &[Component], state: &Mutex<State>) -> Result<(), ProcError> {
    let usages = usages(components)?;
    let mut state = lock(state);
    for (index, usage) in usages.into_iter().enumerate() {
        state.cpu_ticks[index] = usage.cpu_ticks.max(state.cpu_ticks[index]);
        state.rss_bytes[index] = usage.rss_bytes.max(state.rss_bytes[index]);
    }
    Ok(())
}

fn usages(components: &[Component]) -> Result<Vec<Usage>, ProcError> {
    let any_processes = components.iter().any(|c| matches!(c.part, ProcessScope::Processes(_)));
    let table = if any_processes { ProcessTable::read()? } else { ProcessTable::default() };
    components
        .iter()
        .map(|component| match &component.part {
            ProcessScope::Processes(roots) => Ok(table.tree(roots)),
            ProcessScope::Harness => harness(),
            ProcessScope::Threads(prefix) => threads(prefix),
            ProcessScope::Host => host(),
        })
        .collect()
}

fn own_ticks(stat: &Stat) -> u64 {
    stat.utime + stat.stime
}

fn harness() -> Result<Usage, ProcError> {
    let stat = Process::myself()?.stat()?;
    Ok(Usage { cpu_ticks: own_ticks(&stat), rss_bytes: stat.rss * procfs::page_size() })
}

fn threads(prefix: &str) -> Result<Usage, ProcError> {
    // A thread may end between its listing and its reading.
    let threads = Process::myself()?.tasks()?.filter_map(|task| task.and_then(|t| t.stat()).ok());
    let named = threads.filter(|stat| stat.comm.starts_with(prefix));
    Ok(Usage { cpu_ticks: named.map(|stat| own_ticks(&stat)).sum(), rss_bytes: 0 })
}

fn host() -> Result<Usage, ProcError> {
    let cpu = KernelStats::current()?.total;
    let interrupts = cpu.irq.unwrap_or(0) + cpu.softirq.unwrap_or(0);
    Ok(Usage { cpu_ticks: cpu.user + cpu.nice + cpu.system + interrupts, rss_bytes: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(part: ProcessScope) -> Component {
        Component { name: format!("{part:?}"), part }
    }

    /// Keeps this thread busy until it has used `cpu` of CPU time.
    fn burn(cpu: Duration) {
        let spent = || nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
        let until = Duration::from(spent()) + cpu;
        while Duration::from(spent()) < until {}
    }

    #[test]
    fn cpu_time_goes_to_the_consumer_the_harness_and_the_host() {
        let parts =
            [ProcessScope::Harness, ProcessScope::Threads(CONSUMER_THREAD_PREFIX), ProcessScope::Host]
                .map(component);
        let meter = Meter::start(parts.to_vec(), Duration::from_millis(20)).unwrap();
        let mark = meter.mark().unwrap();
        let consumer = thread::Builder::new().name(format!("{CONSUMER_THREAD_PREFIX}0")).spawn(|| {
            burn(Duration::from_millis(300));
            // Alive until a sample has seen it.
            let (_never, wait) = mpsc::channel::<()>();
            let _timed_out = wait.recv_timeout(Duration::from_millis(100));
        });
        burn(Duration::from_millis(100));
        consumer.unwrap().join().unwrap();
        let used = meter.since(&mark).unwrap();
        let [harness, consumers, host] = [0, 1, 2].map(|i| used[i].cpu_s);
        assert!((0.28..0.35).contains(&consumers), "{used:?}");
        assert!(harness >= consumers + 0.08, "{used:?}");
        assert!(host >= harness - 0.03, "{used:?}");
        assert!(
            used[0].cores_busy > 0.1
                && used[0].rss_bytes_max > Some(1 << 20)
                && used[1].rss_bytes_max.is_none()
        );
    }

    #[test]
    fn a_component_that_died_keeps_the_time_it_had() {
        let state = Mutex::new(State { cpu_ticks: vec![500], rss_bytes: vec![7], ..State::default() });
        sample(&[component(ProcessScope::Processes(vec![i32::MAX]))], &state).unwrap();
        let state = lock(&state);
        assert_eq!((state.cpu_ticks[0], state.rss_bytes[0]), (500, 7));
    }

    #[test]
    fn a_sample_is_cheap() {
        let parts = [
            ProcessScope::Processes(vec![1]),
            ProcessScope::Harness,
            ProcessScope::Threads(CONSUMER_THREAD_PREFIX),
            ProcessScope::Host,
        ]
        .map(component);
        let processes = ProcessTable::read().unwrap().usages.len();
        let begun = Instant::now();
        for _ in 0..10 {
            usages(&parts).unwrap();
        }
        let each = begun.elapsed() / 10;
        println!("a sample over {processes} processes takes {each:?}");
        assert!(each < TICK_DEFAULT, "a sample takes {each:?}, longer than the tick");
    }
}
