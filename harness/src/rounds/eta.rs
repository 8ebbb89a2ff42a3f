//! How long the rest of a run will take: by what is expected at first, by what was seen as soon as there is something. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Turn;

/// What is left to do, by the key of a turn.
#[derive(Debug, Default)]
pub(super) struct Eta {
    turns: BTreeMap<usize, Kind>,
    /// Rounds after the present one, where that is known.
    rounds_after: Option<u32>,
    /// What came before the trials of the present round.
    before_round: Duration,
}

/// The turns of one key.
#[derive(Debug, Default)]
struct Kind {
    /// Of the present round.
    left: u32,
    /// Of one, by what is known.
    each: Duration,
    seen: u32,
}

impl Eta {
    /// What comes before the trials of a round took so long.
    pub(super) fn before_round(&mut self, took: Duration) {
        self.before_round = took;
    }

    /// A round begins, and so many follow.
    pub(super) fn round_begins(&mut self, after: Option<u32>, turns: &[Turn]) {
        self.begin(after, turns.iter().map(|turn| (turn.key, turn.expected)));
    }

    fn begin(&mut self, after: Option<u32>, turns: impl Iterator<Item = (usize, Duration)>) {
        self.rounds_after = after;
        for (key, expected) in turns {
            let kind = self.turns.entry(key).or_default();
            kind.left += 1;
            if kind.seen == 0 {
                kind.each = expected;
            }
        }
    }

    /// Takes note of a turn that took so long.
    pub(super) fn done(&mut self, key: usize, took: Duration) {
        let kind = self.turns.entry(key).or_default();
        kind.left = kind.left.saturating_sub(1);
        kind.each = (kind.each * kind.seen + took) / (kind.seen + 1);
        kind.seen += 1;
    }

    /// From the start of the next trial to the end of the last; `None` where nobody knows how many rounds there are.
    pub(super) fn left(&self) -> Option<Duration> {
        let after = self.rounds_after?;
        let turns: Duration = self.turns.values().map(|kind| kind.each * (kind.left + after)).sum();
        Some(turns + self.before_round * after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_replaces_what_was_expected() {
        let s = Duration::from_secs;
        let mut eta = Eta::default();
        eta.begin(Some(2), [(0, s(20)), (1, s(10))].into_iter());
        assert_eq!(eta.left(), Some(s(90)));
        eta.done(0, s(30));
        assert_eq!(eta.left(), Some(s(60 + 30)));
        eta.done(1, s(10));
        eta.begin(Some(1), [(0, s(20)), (1, s(10))].into_iter());
        eta.done(0, s(20));
        assert_eq!(eta.left(), Some(s(25 + 20)), "the mean of those seen");
        eta.before_round(s(4));
        assert_eq!(eta.left(), Some(s(25 + 20 + 4)), "it comes before the round that follows, too");
        eta.begin(None, std::iter::empty());
        assert_eq!(eta.left(), None);
    }
}
