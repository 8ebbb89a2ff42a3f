//! The process table: who is whose child, and what each used.

use std::collections::{HashMap, HashSet};

use procfs::ProcError;
use procfs::process::all_processes;

use super::Usage;

/// A process and all its descendants at this moment; just itself where /proc cannot be read.
pub fn descendants(root: u32) -> Vec<u32> {
    let table = ProcessTable::read().unwrap_or_default();
    table.with_descendants(&[root as i32]).into_iter().map(|pid| pid as u32).collect()
}

/// All processes of the machine, and who is whose child.
#[derive(Default)]
pub(super) struct ProcessTable {
    pub(super) usages: HashMap<i32, Usage>,
    children: HashMap<i32, Vec<i32>>,
}

impl ProcessTable {
    pub(super) fn read() -> Result<Self, ProcError> {
        let page = procfs::page_size();
        // A process may end between its listing and its reading.
        let stats = all_processes()?.filter_map(|process| process.and_then(|p| p.stat()).ok());
        Ok(Self::new(stats.map(|stat| {
            let waited_for = u64::try_from(stat.cutime.saturating_add(stat.cstime)).unwrap_or(0);
            let cpu_ticks = stat.utime + stat.stime + waited_for;
            (stat.pid, stat.ppid, Usage { cpu_ticks, rss_bytes: stat.rss * page })
        })))
    }

    /// From (pid, parent's pid, usage).
    fn new(processes: impl IntoIterator<Item = (i32, i32, Usage)>) -> Self {
        let mut table = Self::default();
        for (pid, parent, usage) in processes {
            table.usages.insert(pid, usage);
            table.children.entry(parent).or_default().push(pid);
        }
        table
    }

    /// The sum over `roots` and their descendants, each process once.
    pub(super) fn tree(&self, roots: &[i32]) -> Usage {
        let mut sum = Usage::default();
        for usage in self.with_descendants(roots).iter().filter_map(|pid| self.usages.get(pid)) {
            sum.cpu_ticks += usage.cpu_ticks;
            sum.rss_bytes += usage.rss_bytes;
        }
        sum
    }

    /// `roots` and their descendants, each once.
    fn with_descendants(&self, roots: &[i32]) -> HashSet<i32> {
        let mut left = roots.to_vec();
        let mut seen = HashSet::new();
        while let Some(pid) = left.pop() {
            if seen.insert(pid) {
                left.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::super::own_ticks;
    use super::*;
    use procfs::process::Process;
    use std::process::{Command, Stdio};

    fn usage(cpu_ticks: u64, rss_bytes: u64) -> Usage {
        Usage { cpu_ticks, rss_bytes }
    }

    #[test]
    fn a_tree_counts_each_descendant_once() {
        let table = ProcessTable::new([
            (10, 1, usage(1, 100)),
            (11, 10, usage(2, 200)),
            (12, 11, usage(4, 400)),
            (20, 1, usage(8, 800)),
            (30, 2, usage(16, 1600)),
        ]);
        assert_eq!(table.tree(&[10]), usage(7, 700));
        assert_eq!(table.tree(&[10, 12, 20]), usage(15, 1500));
        assert_eq!(table.tree(&[99]), usage(0, 0));
    }

    #[test]
    fn the_time_of_children_that_have_ended_is_kept() {
        // The shell's first child burns and is waited for; then the shell waits for us with that time in its cutime.
        let script = "i=0; (while [ $i -lt 60000 ]; do i=$((i+1)); done); echo done; read line";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(shell.id()).unwrap();
        let mut line = [0; 5];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut line).unwrap();
        let burnt = ProcessTable::read().unwrap().tree(&[pid]);
        let own = own_ticks(&Process::new(pid).unwrap().stat().unwrap());
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(burnt.cpu_ticks > own, "{burnt:?}, of which its own {own}");
        assert!(burnt.rss_bytes > 0);
        assert_eq!(ProcessTable::read().unwrap().tree(&[pid]), Usage::default());
    }
}
