//! What the JIT compilers of a JVM use: while they work, the program they compile for is not what it will be.

use std::collections::HashMap;
use std::time::Duration;

use procfs::process::Process;

/// What HotSpot calls its compilers' threads, as far as the kernel's 15 characters go.
const COMPILERS: [&str; 2] = ["C1 CompilerThre", "C2 CompilerThre"];

/// CPU time of each compiler thread of some JVMs, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JitTime(HashMap<(u32, i32), Duration>);

impl JitTime {
    /// Of these processes; `None` where none of them has such a thread, so that nothing can be said.
    ///
    /// The clock tick of /proc is 10 ms.
    pub fn read(pids: &[u32]) -> Option<Self> {
        let tick = Duration::from_secs(1) / u32::try_from(procfs::ticks_per_second()).unwrap_or(100);
        let threads = pids.iter().flat_map(|&pid| {
            let tasks = Process::new(pid.cast_signed()).and_then(|process| process.tasks());
            // A thread may end between its listing and its reading.
            let stats = tasks.into_iter().flatten().filter_map(|task| task.and_then(|t| t.stat()).ok());
            stats.filter(|stat| COMPILERS.contains(&stat.comm.as_str())).map(move |stat| {
                let ticks = u32::try_from(stat.utime + stat.stime).unwrap_or(u32::MAX);
                ((pid, stat.pid), tick * ticks)
            })
        });
        let found = Self(threads.collect());
        (!found.0.is_empty()).then_some(found)
    }

    /// What was used between an earlier moment and this one. A thread that ended in between is missed.
    pub fn since(&self, earlier: &Self) -> Duration {
        let used = |(thread, now): (&(u32, i32), &Duration)| {
            now.saturating_sub(earlier.0.get(thread).copied().unwrap_or_default())
        };
        self.0.iter().map(used).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn threads_are_told_by_their_names_and_a_process_without_a_compiler_says_nothing() {
        let own = std::process::id();
        assert_eq!(JitTime::read(&[own]), None);
        assert_eq!(JitTime::read(&[]), None);
        let (stop, stopped) = mpsc::channel::<()>();
        let (ready, up) = mpsc::channel();
        let compiler = thread::Builder::new().name("C2 CompilerThread0".into()).spawn(move || {
            ready.send(()).unwrap();
            let _ended = stopped.recv();
        });
        up.recv().unwrap();
        assert_eq!(JitTime::read(&[own]).map(|found| found.0.len()), Some(1));
        drop(stop);
        compiler.unwrap().join().unwrap();
    }

    #[test]
    fn only_what_came_since_counts() {
        let time = |threads: &[(i32, u64)]| {
            JitTime(threads.iter().map(|&(tid, ms)| ((1, tid), Duration::from_millis(ms))).collect())
        };
        let (before, after) = (time(&[(1, 100), (2, 50)]), time(&[(1, 130), (3, 20)]));
        assert_eq!(after.since(&before), Duration::from_millis(50));
    }
}
