//! Progress on stderr: one line that rewrites itself on a terminal, plain lines elsewhere, nothing with `--quiet`.
//!
//! The line is laid out for 80 columns and never fills them: a `^C` echoed at its end must not start another line. indicatif
//! pads a line to the terminal's width, so it is told of a narrower one ([`Narrowed`]).

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::style::ProgressTracker;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

use super::out::tell;
use crate::progress::{PhaseProgress, Progress};
use crate::report::units::{count, number};

/// Spinner 2, elapsed 9, message 55, time left 11: 77 columns.
const TEMPLATE: &str = "{spinner} {elapsed_precise} {msg:!55} {left}";

/// Most redraws a second.
const HZ: u8 = 20;

/// Columns left free at the end of the line: for `^C`, and one so that the cursor is not at the edge.
const FREE_COLUMNS: u16 = 3;

/// Where progress is shown.
pub(super) enum Console {
    /// Nowhere.
    Silent,
    /// A line a phase; the last one, since a phase is said once.
    Lines(Mutex<String>),
    /// On a terminal.
    Terminal(Line),
}

/// The line on a terminal.
pub(super) struct Line {
    bar: ProgressBar,
    phase: Mutex<String>,
    ends: Ends,
}

impl Console {
    /// A terminal gets lines too where logs go there: the two would tear each other.
    pub(super) fn new(quiet: bool) -> Self {
        if quiet {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() || std::env::var_os("LANEBENCH_LOG").is_some() {
            return Self::Lines(Mutex::default());
        }
        let ends = Ends::default();
        let style = ProgressStyle::with_template(TEMPLATE)
            .unwrap_or_else(|_| ProgressStyle::default_spinner())
            .with_key("left", ends.clone());
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Narrowed(Term::buffered_stderr())), HZ);
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(125));
        Self::Terminal(Line { bar, phase: Mutex::default(), ends })
    }
}

impl Progress for Console {
    fn phase(&self, text: &str) {
        match self {
            Self::Silent => {}
            Self::Lines(last) => {
                let mut last = lock(last);
                if *last != text {
                    tell(text);
                    text.clone_into(&mut last);
                }
            }
            Self::Terminal(line) => {
                text.clone_into(&mut lock(&line.phase));
                line.bar.set_message(text.to_owned());
            }
        }
    }

    fn warn(&self, text: &str) {
        let text = format!("warning: {text}");
        match self {
            Self::Silent | Self::Lines(_) => tell(&text),
            Self::Terminal(line) => line.bar.suspend(|| tell(&text)),
        }
    }

    fn provisional(&self, configuration: &str, per_s: f64) {
        let text = format!("provisional: {configuration} works off {} events/s, cold", number(per_s));
        match self {
            Self::Silent => {}
            Self::Lines(_) => tell(&text),
            Self::Terminal(line) => line.bar.suspend(|| tell(&text)),
        }
    }

    fn left(&self, left: Duration) {
        if let Self::Terminal(line) = self {
            line.ends.set(Instant::now() + left);
        }
    }

    fn watches(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    fn pulse(&self, pulse: PhaseProgress) {
        if let Self::Terminal(line) = self {
            line.bar.set_message(with_pulse(&lock(&line.phase), pulse));
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Self::Terminal(line) = self {
            line.bar.finish_and_clear(); // leaves the terminal as it was
        }
    }
}

/// `round 2/3, 3p3c: surge  62 %  912/s  lag 85`; where it gets long, what comes last is cut.
fn with_pulse(phase: &str, pulse: PhaseProgress) -> String {
    let mut text = phase.to_owned();
    // Writing to a String cannot fail.
    let _ = match (pulse.visible * 100).checked_div(pulse.events) {
        Some(percent) if pulse.visible > 0 => {
            write!(text, "  {percent} %  {}/s  lag {}", number(pulse.rate_per_s), count(pulse.lag_records))
        }
        _ => Ok(()),
    };
    text
}

/// stderr's terminal, a little narrower than it is.
#[derive(Debug)]
struct Narrowed(Term);

impl TermLike for Narrowed {
    fn width(&self) -> u16 {
        self.0.width().saturating_sub(FREE_COLUMNS).max(1)
    }
    fn height(&self) -> u16 {
        self.0.height()
    }
    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }
    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }
    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }
    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }
    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }
    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

/// When the run is expected to end; the key `left` of the template.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Option<Instant>>>);

impl Ends {
    fn set(&self, at: Instant) {
        *lock(&self.0) = Some(at);
    }
}

impl ProgressTracker for Ends {
    fn clone_box(&self) -> Box<dyn ProgressTracker> {
        Box::new(self.clone())
    }
    fn tick(&mut self, _state: &ProgressState, _now: Instant) {}
    fn reset(&mut self, _state: &ProgressState, _now: Instant) {}
    fn write(&self, _state: &ProgressState, out: &mut dyn std::fmt::Write) {
        let Some(at) = *lock(&self.0) else { return };
        let left_s = at.saturating_duration_since(Instant::now()).as_secs();
        // A line that can't be written is written again an eighth of a second later.
        let _ = write!(out, "{}:{:02} left", left_s / 60, left_s % 60);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_tells_part_rate_and_lag() {
        let pulse = PhaseProgress { visible: 620, events: 1000, rate_per_s: 912.4, lag_records: 1085 };
        let text = with_pulse("round 2/3, 3p3c: surge", pulse);
        assert_eq!(text, "round 2/3, 3p3c: surge  62 %  912/s  lag 1,085");
        assert_eq!(
            with_pulse("connecting", PhaseProgress { visible: 0, ..pulse }),
            "connecting",
            "nothing to tell"
        );
    }
}
