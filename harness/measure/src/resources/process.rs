//! One process and its descendants, more finely than the clock tick of /proc allows.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use procfs::process::Process;

use super::descendants;

/// CPU time of a process and its living descendants, by their CPU clocks (clock_getcpuclockid(3), nanoseconds). A descendant
/// that has ended is missed.
pub fn cpu_time(pid: u32) -> Duration {
    tree(pid).filter_map(|pid| Some(Duration::from(clock_gettime(clock_of(pid)?).ok()?))).sum()
}

/// Largest resident set since its start (VmHWM, proc_pid_status(5)) of a process, summed with those of its living descendants,
/// in bytes. None if the process is gone.
pub fn peak_memory_bytes(pid: u32) -> Option<u64> {
    tree(pid)
        .filter_map(|pid| Process::new(pid).ok()?.status().ok()?.vmhwm)
        .map(|kib| kib * 1024)
        .reduce(|a, b| a + b)
}

fn clock_of(pid: i32) -> Option<ClockId> {
    nix::time::clock_getcpuclockid(Pid::from_raw(pid)).ok()
}

fn tree(pid: u32) -> impl Iterator<Item = i32> {
    descendants(pid).into_iter().map(u32::cast_signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let own = std::process::id();
        let before = cpu_time(own);
        let spent = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
        let until = spent() + Duration::from_millis(20);
        while spent() < until {}
        assert!(cpu_time(own) - before >= Duration::from_millis(20));
        assert!(peak_memory_bytes(own).unwrap() > 1 << 20);
    }

    #[test]
    fn what_is_gone_uses_nothing() {
        let nobody = 1 << 23; // above the kernel's highest
        assert_eq!(cpu_time(nobody), Duration::ZERO);
        assert_eq!(peak_memory_bytes(nobody), None);
    }
}
