//! Which CPUs a gate runs on.
//!
//! Where a worker's threads, the broker's and the harness's lie on several CPUs, each event pays for waking a sleeping one, several
//! times, and that costs more or less by what else the machine does: a CPU that something else keeps awake is woken for less. On
//! one CPU nothing has to be woken. So an embedded gate keeps to one (docs/evidence/gate.md has the spread of both).

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Keeps this process, and all it will start, to `count` of the CPUs it may run on: the last ones, since interrupts are mostly
/// served by the first. Returns their numbers; where it may not run on more, all of them.
///
/// # Errors
/// What the system says.
pub(super) fn keep_to(count: usize) -> Result<Vec<usize>, Errno> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let all: Vec<usize> = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false)).collect();
    let kept = all[all.len().saturating_sub(count)..].to_vec();
    let mut set = CpuSet::new();
    for &cpu in &kept {
        set.set(cpu)?;
    }
    // Each thread has its own affinity; those to come have that of the one that starts them.
    for thread in threads() {
        match sched_setaffinity(thread, &set) {
            Ok(()) | Err(Errno::ESRCH) => {} // it has ended meanwhile
            Err(error) => return Err(error),
        }
    }
    Ok(kept)
}

fn threads() -> Vec<Pid> {
    let own = procfs::process::Process::myself().and_then(|own| own.tasks());
    own.map(|tasks| tasks.flatten().map(|task| Pid::from_raw(task.tid)).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_are_kept_and_those_to_come() {
        // In a process of its own threads alone: other tests of this binary run on them meanwhile, unharmed.
        let before = sched_getaffinity(Pid::from_raw(0)).unwrap();
        let kept = keep_to(1).unwrap();
        assert_eq!(kept.len(), 1);
        let inherited = std::thread::spawn(|| sched_getaffinity(Pid::from_raw(0)).unwrap()).join().unwrap();
        let only =
            |set: &CpuSet| (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu).unwrap()).collect::<Vec<_>>();
        assert_eq!(only(&inherited), kept);
        threads().into_iter().for_each(|thread| sched_setaffinity(thread, &before).unwrap_or(()));
    }
}
