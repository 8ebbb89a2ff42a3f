//! How numbers read: thousands separators, three significant digits, units that suit their size.

use lanebench_result::Estimate;

/// What stands where there is no number.
pub const NONE: &str = "–";

/// A whole number with thousands separators: `61,234`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number to three significant digits or whole, whichever is longer: `5,432`, `54.3`, `5.43`, `0.054`.
pub fn number(x: f64) -> String {
    if !x.is_finite() {
        return NONE.into();
    }
    let sign = if x < 0.0 { "−" } else { "" };
    let x = x.abs();
    // The bounds are where rounding would carry into one more digit.
    let decimals = match x {
        _ if x >= 99.95 => 0,
        _ if x >= 9.995 => 1,
        _ if x >= 0.0995 => 2,
        _ if x == 0.0 => 0,
        _ => 3,
    };
    if decimals == 0 {
        return format!("{sign}{}", count(x.round() as u64));
    }
    format!("{sign}{x:.decimals$}")
}

/// A number of things that are not divided, such as records: `96`, `5,432`.
pub fn whole(x: f64) -> String {
    if x.is_finite() { count(x.round() as u64) } else { NONE.into() }
}

/// A ratio: `1.62×`.
pub fn ratio(x: f64) -> String {
    if x.is_finite() { format!("{}×", number(x)) } else { NONE.into() }
}

/// A part of a whole, 0 to 1, as `33.4 %`.
pub fn percent(part: f64) -> String {
    if !part.is_finite() {
        return NONE.into();
    }
    let text = format!("{:.1}", (part * 100.0).abs());
    let text = text.strip_suffix(".0").unwrap_or(&text);
    let sign = if part < 0.0 && text != "0" { "−" } else { "" };
    format!("{sign}{text} %")
}

/// The unit in which a duration reads best, and how many nanoseconds it has.
pub fn unit_of(ns: f64) -> (&'static str, f64) {
    match ns {
        _ if ns >= 999.5e6 => ("s", 1e9),
        _ if ns >= 999.5e3 => ("ms", 1e6),
        _ if ns >= 1e3 => ("µs", 1e3),
        _ => ("ns", 1.0),
    }
}

/// Nanoseconds in the unit that suits them: `12.3 ms`.
pub fn duration(ns: f64) -> String {
    if !ns.is_finite() {
        return NONE.into();
    }
    if ns == 0.0 {
        return "0 ms".into();
    }
    let (unit, size) = unit_of(ns.abs());
    format!("{} {unit}", number(ns / size))
}

/// A tick of an axis of durations, without needless zeros: `5 ms`, `2.5 s`.
pub fn duration_tick(ns: f64) -> String {
    if ns == 0.0 {
        return "0".into();
    }
    let (unit, size) = unit_of(ns.abs());
    format!("{} {unit}", tick(ns / size))
}

/// A tick of an axis, without needless zeros: `0.5`, `2`, `10,000`, `1.5 M`.
pub fn tick(x: f64) -> String {
    if x.abs() >= 1e6 {
        return format!("{} M", tick(x / 1e6));
    }
    if x.abs() >= 100.0 {
        return number(x);
    }
    let text = format!("{x:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes as KiB, MiB or GiB.
pub fn bytes(n: u64) -> String {
    const KIB: f64 = 1024.0;
    let n = n as f64;
    match n {
        _ if n >= KIB * KIB * KIB => format!("{} GiB", number(n / (KIB * KIB * KIB))),
        _ if n >= KIB * KIB => format!("{} MiB", number(n / (KIB * KIB))),
        _ if n >= KIB => format!("{} KiB", number(n / KIB)),
        _ => format!("{n} B"),
    }
}

/// One thing or several: `1 round`, `3 rounds`.
pub fn counted(n: u64, one: &str, several: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { several })
}

/// An interval whose ends are further apart than this says nothing of where the value lies.
const TOO_UNEVEN: f64 = 10.0;

/// The interval of an estimate as `1.41–1.86`, each bound written by `show`; where there is none, the rounds' values. Where the
/// interval's ends differ by more than a factor of ten, the range of the values and a word.
pub fn spread(estimate: &Estimate, show: impl Fn(f64) -> String) -> String {
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) if high > TOO_UNEVEN * low => {
            format!("{}, too uneven to estimate", values(estimate, show))
        }
        (Some(low), Some(high)) => range(low, high, show),
        _ if estimate.values.len() > 1 => {
            estimate.values.iter().map(|&v| show(v)).collect::<Vec<_>>().join(", ")
        }
        _ => "1 round".into(),
    }
}

/// From the smallest to the largest of the rounds' values.
pub fn values(estimate: &Estimate, show: impl Fn(f64) -> String) -> String {
    let low = estimate.values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = estimate.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    range(low, high, show)
}

/// From low to high; a unit that both share is written once: `12.3–14.1 ms`.
pub fn range(low: f64, high: f64, show: impl Fn(f64) -> String) -> String {
    let (low, high) = (show(low), show(high));
    if low == high {
        return low;
    }
    match (low.rsplit_once(' '), high.rsplit_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number}–{high}"),
        (Some(_), Some(_)) => format!("{low} – {high}"),
        _ => format!("{low}–{high}"),
    }
}

/// The confidence of an interval: `95 %`.
pub fn confidence(estimate: &Estimate) -> String {
    percent(estimate.confidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators_and_three_digits() {
        let cases = [
            (0.0, "0"),
            (0.0543, "0.054"),
            (0.999, "1.00"),
            (5.4321, "5.43"),
            (9.996, "10.0"),
            (54.321, "54.3"),
            (99.96, "100"),
            (999.9, "1,000"),
            (5432.1, "5,432"),
            (12_345_678.0, "12,345,678"),
            (-12.34, "−12.3"),
            (f64::NAN, "–"),
        ];
        for (x, expected) in cases {
            assert_eq!(number(x), expected, "{x}");
        }
        assert_eq!(whole(96.4), "96");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn durations_take_the_unit_that_suits_them() {
        let cases = [
            (0.0, "0 ms"),
            (870.0, "870 ns"),
            (45_600.0, "45.6 µs"),
            (999_700.0, "1.00 ms"),
            (12_345_678.0, "12.3 ms"),
            (999_600_000.0, "1.00 s"),
            (83.4e9, "83.4 s"),
        ];
        for (ns, expected) in cases {
            assert_eq!(duration(ns), expected, "{ns}");
        }
    }

    #[test]
    fn a_shared_unit_is_written_once() {
        assert_eq!(range(12.3e6, 14.1e6, duration), "12.3–14.1 ms");
        assert_eq!(range(900e3, 1.1e6, duration), "900 µs – 1.10 ms");
        assert_eq!(range(1.41, 1.86, number), "1.41–1.86");
        assert_eq!(range(5.0, 5.0, number), "5.00");
    }

    #[test]
    fn without_an_interval_the_values_stand() {
        let e =
            Estimate { n: 2, value: 2.0, low: None, high: None, confidence: 0.95, values: vec![1.0, 4.0] };
        assert_eq!(spread(&e, number), "1.00, 4.00");
        let one = Estimate { n: 1, values: vec![1.0], ..e };
        assert_eq!(spread(&one, number), "1 round");
    }

    #[test]
    fn an_interval_of_more_than_a_factor_of_ten_is_none() {
        let uneven = Estimate {
            n: 3,
            value: 20.0,
            low: Some(1.0),
            high: Some(400.0),
            confidence: 0.95,
            values: vec![30.0, 5.0, 54.0],
        };
        assert_eq!(spread(&uneven, number), "5.00–54.0, too uneven to estimate");
        assert_eq!(spread(&Estimate { high: Some(10.0), ..uneven }, number), "1.00–10.0");
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!([0.0, 5e6, 2.5e9, 150e3].map(duration_tick), ["0", "5 ms", "2.5 s", "150 µs"]);
        assert_eq!([0.5, 20.0, 150_000.0, 1.5e6].map(tick), ["0.5", "20", "150,000", "1.5 M"]);
    }

    #[test]
    fn bytes_and_parts() {
        assert_eq!(bytes(25_769_803_776), "24.0 GiB");
        assert_eq!(percent(0.3341), "33.4 %");
        assert_eq!(percent(0.95), "95 %");
        assert_eq!(percent(-0.0002), "0 %");
        assert_eq!(percent(-0.021), "−2.1 %");
        assert_eq!(counted(1, "round", "rounds"), "1 round");
    }
}
