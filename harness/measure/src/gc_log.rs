//! Stop-the-world pauses of a JVM, from the log that HotSpot writes with `-Xlog:gc:file=…:timemillis`.

use std::path::PathBuf;
use std::time::Duration;

/// The logs of several JVMs.
#[derive(Clone, Debug, Default)]
pub struct GcLogs(Vec<PathBuf>);

/// Pauses of all JVMs together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GcPauses {
    /// How many.
    pub count: u64,
    /// How long, added up over JVMs.
    pub total: Duration,
}

impl GcLogs {
    /// Logs that their JVMs write to now.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self(files)
    }

    /// Pauses so far. `None` without a log, and where one can't be read.
    pub fn so_far(&self) -> Option<GcPauses> {
        if self.0.is_empty() {
            return None;
        }
        let mut all = GcPauses::default();
        for file in &self.0 {
            let text = std::fs::read_to_string(file).ok()?;
            for pause in text.lines().filter_map(pause) {
                all.count += 1;
                all.total += pause;
            }
        }
        Some(all)
    }
}

impl GcPauses {
    /// What came since an earlier reading.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            count: self.count.saturating_sub(before.count),
            total: self.total.saturating_sub(before.total),
        }
    }
}

/// The length of the pause that a line tells of, if it does: `[1764268200123ms] GC(5) Pause Young (Normal) … 3.210ms`.
fn pause(line: &str) -> Option<Duration> {
    let (_, told) = line.split_once(" Pause ")?;
    let ms: f64 = told.rsplit_once(' ')?.1.strip_suffix("ms")?.parse().ok()?;
    Duration::try_from_secs_f64(ms / 1e3).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As OpenJDK 17 and 21 write it.
    const LOG: &str = "\
[1764268200001ms] Using G1
[1764268200123ms] GC(0) Pause Young (Normal) (G1 Evacuation Pause) 24M->5M(384M) 3.250ms
[1764268200500ms] GC(1) Concurrent Mark Cycle
[1764268200510ms] GC(1) Pause Remark 40M->40M(384M) 1.500ms
[1764268200520ms] GC(1) Concurrent Mark Cycle 20.123ms
";

    #[test]
    fn pauses_are_told_from_concurrent_work() {
        let found: Vec<_> = LOG.lines().filter_map(pause).collect();
        assert_eq!(found, [3_250, 1_500].map(Duration::from_micros));
    }

    #[test]
    fn logs_add_up_and_none_is_not_zero() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| dir.path().join(name));
        files.iter().for_each(|file| std::fs::write(file, LOG).unwrap());
        let before = GcLogs::new(files[..1].to_vec()).so_far().unwrap();
        let all = GcLogs::new(files.to_vec()).so_far().unwrap();
        assert_eq!((all.count, all.total), (4, Duration::from_micros(9_500)));
        assert_eq!(all.since(&before), before);
        assert_eq!(GcLogs::default().so_far(), None);
        assert_eq!(GcLogs::new(vec![dir.path().join("gone")]).so_far(), None);
    }
}
