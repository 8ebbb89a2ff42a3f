//! `series.csv`: the lag samples of all trials, tidy, one a line; times are from the start of the phase.

use std::borrow::Cow;
use std::fmt::Write as _;

use lanebench_result::{GrowthVerdict, Phase, RunResult};

/// The header of the file.
pub const HEADER: &str = "configuration,round,phase,grows,t_ms,partition,records,ns";

/// The whole file as text.
pub fn series(result: &RunResult) -> String {
    let mut out = format!("{HEADER}\n");
    for configuration in &result.configurations {
        for trial in &configuration.trials {
            for phase in &trial.phases {
                lines(&mut out, &configuration.name, trial.round, phase);
            }
        }
    }
    out
}

fn lines(out: &mut String, configuration: &str, round: u32, phase: &Phase) {
    let grows = phase.grows.map_or("", |growth| match growth.verdict {
        GrowthVerdict::Grows => "true",
        GrowthVerdict::Holds => "false",
    });
    for s in &phase.lag.series {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{},{round},{},{grows},{:.3},{},{},{}",
            field(configuration),
            field(&phase.name),
            s.t_ms,
            s.partition,
            s.records,
            s.ns
        );
    }
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
