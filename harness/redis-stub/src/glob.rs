//! Patterns of `SCAN`'s `MATCH`, as Redis's `stringmatchlen` reads them: `*`, `?`, `[a-c]`, `[^a]`, `\` before a sign that
//! stands for itself. Pure.

/// Whether `pattern` fits all of `text`.
pub(super) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` doesn't fit: the star takes one more byte.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        let fitted = match (p < pattern.len(), text.get(t)) {
            (false, None) => return true,
            (true, Some(byte)) => one(&pattern[p..], *byte),
            _ => None,
        };
        match (fitted, retry) {
            (Some(len), _) => (p, t) = (p + len, t + 1),
            (None, Some((after, from))) if from < text.len() => {
                (p, t) = (after, from + 1);
                retry = Some((after, from + 1));
            }
            (None, _) => return false,
        }
    }
}

/// The length of the pattern's first sign if it fits `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [b'[', set @ ..] => {
            let (len, fits) = in_set(set, byte);
            fits.then_some(len + 1)
        }
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

/// How long a set is from behind its `[`, closing bracket included if it has one, and whether `byte` is in it.
fn in_set(set: &[u8], byte: u8) -> (usize, bool) {
    let (negated, mut at) = if set.first() == Some(&b'^') { (true, 1) } else { (false, 0) };
    let mut found = false;
    loop {
        match &set[at..] {
            [] => return (at, found != negated),
            [b']', ..] => return (at + 1, found != negated),
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(fits(pattern.as_bytes(), text.as_bytes()), "{pattern} and {text}");
        }
        for text in no {
            assert!(!fits(pattern.as_bytes(), text.as_bytes()), "{pattern} and {text}");
        }
    }

    #[test]
    fn patterns_fit_as_in_redis() {
        check("", &[""], &["a"]);
        check("*", &["", "a", "abc"], &[]);
        check(
            "run:1:delivery:*",
            &["run:1:delivery:", "run:1:delivery:o-1"],
            &["run:11:delivery:o", "run:1"],
        );
        check("a*b*c", &["abc", "aabbcc", "a*b*c"], &["ab", "abcd"]);
        check("h?llo", &["hello", "h?llo"], &["hllo", "heello"]);
        check("h[ae]llo", &["hello", "hallo"], &["hillo", "h[ae]llo"]);
        check("h[^e]llo", &["hallo"], &["hello"]);
        check("h[a-c]llo", &["hallo", "hbllo"], &["hdllo", "h-llo"]);
        check("h[c-a]llo", &["hbllo"], &["hdllo"]);
        check("\\*\\[a\\]\\?\\\\", &["*[a]?\\"], &["xa?\\", "*[a]x\\"]);
        check("[\\]]", &["]"], &["\\"]);
    }

    #[test]
    fn a_pattern_without_an_end_ends() {
        check("[ab", &["a"], &["c", "[ab"]);
        check("a\\", &["a\\"], &["a"]);
        // Exponential where stars are tried one inside the other.
        check(&"a*".repeat(30), &[], &[&format!("{}b", "b".repeat(200))]);
        check(&format!("{}c", "*a".repeat(30)), &[], &[&"a".repeat(200)]);
    }
}
