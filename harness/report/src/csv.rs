//! `series.csv`: the lag samples of all trials, tidy, one a line.

use std::borrow::Cow;
use std::fmt::Write as _;

use lanebench_result::RunResult;

/// The header of the file.
pub const HEADER: &str = "configuration,round,t_ms,phase,partition,records,ns";

/// The whole file as text.
pub fn series(result: &RunResult) -> String {
    let mut out = format!("{HEADER}\n");
    for configuration in &result.configurations {
        for trial in &configuration.trials {
            for s in &trial.lag.series {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    out,
                    "{},{},{:.3},{},{},{},{}",
                    field(&configuration.name),
                    trial.round,
                    s.t_ms,
                    field(&s.phase),
                    s.partition,
                    s.records,
                    s.ns
                );
            }
        }
    }
    out
}

/// A field, quoted where RFC 4180 asks for it.
fn field(text: &str) -> Cow<'_, str> {
    if text.contains(['"', ',', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(field("3p3c"), "3p3c");
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
