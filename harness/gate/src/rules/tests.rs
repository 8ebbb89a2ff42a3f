//! What `gate.toml` may say, and what is said of it where it may not.

use std::path::Path;

use super::*;
use lanebench_result::gate::{OnUndecided, Worse};
use lanebench_settings::SettingsError;

fn parse(text: &str) -> Result<Vec<GateRule>, RulesError> {
    super::parse::rules(text, Path::new("gate.toml"))
}

/// The error of a file and its hint, one below the other.
#[track_caller]
fn check(text: &str, error: &str, hint: &str) {
    let found = parse(text).expect_err("the file was accepted");
    assert_eq!((found.to_string().as_str(), found.hint().as_str()), (error, hint), "{text}");
}

const METRICS: &str = r#""throughput", "cpu-per-event", "peak-memory", "steady-p99""#;

#[test]
fn a_file_that_says_everything() {
    let rules = parse(
        r#"
        [[metric]]
        name = "steady-p99"
        tolerance = "12.5 %"
        required = true
        undecided = "warn"
        worse = "higher"

        [[metric]]
        name = "throughput"
        tolerance = "3%"
        required = false
        "#,
    )
    .unwrap();
    let p99 = GateRule {
        metric: Metric::SteadyP99,
        worse: Worse::Higher,
        tolerance: 0.125,
        required: true,
        undecided: OnUndecided::Warn,
    };
    let throughput = GateRule {
        metric: Metric::Throughput,
        worse: Worse::Lower,
        tolerance: 0.03,
        required: false,
        undecided: OnUndecided::Fail,
    };
    assert_eq!(rules, [p99, throughput]);
}

#[test]
fn what_is_left_out_is_as_built_in() {
    let all: String = Metric::ALL.map(|m| format!("[[metric]]\nname = \"{}\"\n", m.as_str())).concat();
    assert_eq!(parse(&all).unwrap(), Rules::built_in().as_slice());
    let required: Vec<_> = Rules::built_in().required().map(|rule| rule.metric).collect();
    assert_eq!(required, [Metric::Throughput, Metric::CpuPerEvent, Metric::PeakMemory]);
}

#[test]
fn what_is_no_toml() {
    let found = parse("[[metric]]\nname = \"throughput\"\ntolerance = 6%\n").unwrap_err();
    assert!(found.to_string().starts_with("gate.toml, line 3, column 1"), "{found}");
    let found = parse("[[metric]\n").unwrap_err();
    assert!(found.to_string().starts_with("gate.toml, line 1, column "), "{found}");
}

#[test]
fn unknown_keys() {
    check(
        "[[metric]]\nname = \"throughput\"\n  tolerence = \"6%\"\n",
        "gate.toml, line 3, column 3: unknown key `tolerence`",
        r#"did you mean "tolerance"? Allowed: "name", "tolerance", "required", "undecided", "worse""#,
    );
    check(
        "[[metrics]]\nname = \"throughput\"\n",
        "gate.toml, line 1, column 3: unknown key `metrics`",
        r#"did you mean "metric"? Allowed: "metric""#,
    );
    check(
        "[[metric]]\nname = \"throughput\"\n[zoo]\nx = 1\n",
        "gate.toml, line 3, column 2: unknown key `zoo`",
        r#"allowed: "metric""#,
    );
}

#[test]
fn unknown_words() {
    check(
        "[[metric]]\nname = \"cpu_per_event\"\n",
        "gate.toml, line 2, column 8: `name` is \"cpu_per_event\", and there is no such metric",
        &format!("did you mean \"cpu-per-event\"? Allowed: {METRICS}"),
    );
    check(
        "[[metric]]\nname = \"zebra\"\n",
        "gate.toml, line 2, column 8: `name` is \"zebra\", and there is no such metric",
        &format!("allowed: {METRICS}"),
    );
    check(
        "[[metric]]\nname = \"throughput\"\nundecided = \"ignore\"\n",
        "gate.toml, line 3, column 13: `undecided` is \"ignore\", and there is no such way to take it",
        r#"allowed: "fail", "warn""#,
    );
}

#[test]
fn wrong_types() {
    check(
        "[[metric]]\nname = \"throughput\"\ntolerance = 0.06\n",
        "gate.toml, line 3, column 13: `tolerance` is a float, and has to be a percentage in quotes",
        "write it as a string with a percent sign, such as \"6%\", so that 6 % can't be taken for 600 %",
    );
    check(
        "[[metric]]\nname = \"throughput\"\nrequired = \"yes\"\n",
        "gate.toml, line 3, column 12: `required` is a string, and has to be true or false",
        "write required = and then true or false",
    );
    check(
        "[metric]\nname = \"throughput\"\n",
        "gate.toml, line 1, column 1: `metric` is a table, and has to be an array of tables, [[metric]]",
        "write [[metric]], in two brackets, once for each metric",
    );
    check(
        "metric = [1]\n",
        "gate.toml, line 1, column 11: `metric` is an integer, and has to be an array of tables, [[metric]]",
        "write [[metric]], in two brackets, once for each metric",
    );
}

#[test]
fn tolerances_out_of_range() {
    for tolerance in ["0%", "100%", "-3%", "6", "six%", "%", "NaN%", "inf%", "1e9%"] {
        check(
            &format!("[[metric]]\nname = \"throughput\"\ntolerance = \"{tolerance}\"\n"),
            &format!(
                "gate.toml, line 3, column 13: `tolerance` is \"{tolerance}\", and has to be a percentage above 0 % and \
                 below 100 %"
            ),
            "write it as, for example, \"6%\" or \"2.5%\"",
        );
    }
}

#[test]
fn contradictions() {
    check(
        "[[metric]]\nname = \"throughput\"\nworse = \"higher\"\n",
        "gate.toml, line 3, column 9: `worse` is \"higher\", but for throughput lower is worse",
        "leave `worse` out, or write \"lower\"",
    );
    check(
        "[[metric]]\nname = \"throughput\"\n[[metric]]\nname = \"throughput\"\n",
        "gate.toml, line 4, column 8: throughput is named again, after line 2",
        "keep one of the two",
    );
}

#[test]
fn what_is_missing() {
    check(
        "\n[[metric]]\ntolerance = \"6%\"\n",
        "gate.toml, line 2, column 1: this [[metric]] has no `name`",
        &format!("add name = and one of {METRICS}"),
    );
    let nothing = "gate.toml names no required metric, so the gate would have nothing to decide on";
    let hint =
        "set required = true for at least one metric; to look without deciding, use `lanebench compare`";
    check("", nothing, hint);
    check("[[metric]]\nname = \"throughput\"\nrequired = false\n", nothing, hint);
}

#[test]
fn columns_count_characters() {
    check(
        "metric = [{ name = \"§\" }]",
        "gate.toml, line 1, column 20: `name` is \"§\", and there is no such metric",
        &format!("allowed: {METRICS}"),
    );
    check(
        "[[metric]]\n\"ä\" = 1\n\"öö\" = 1\n",
        "gate.toml, line 2, column 1: unknown key `ä`",
        r#"allowed: "name", "tolerance", "required", "undecided", "worse""#,
    );
}

#[test]
fn files_are_found_or_missed() {
    let missing = Rules::find(Some(Path::new("no/such/gate.toml"))).unwrap_err();
    assert_eq!(missing.to_string(), "there is no file no/such/gate.toml");
    let dir = tempfile::tempdir().unwrap();
    let unreadable = Rules::load(dir.path()).unwrap_err();
    assert!(matches!(unreadable, RulesError::Settings(SettingsError::Read { .. })), "{unreadable}");
    let file = dir.path().join("rules.toml");
    std::fs::write(&file, "[[metric]]\nname = \"peak-memory\"\n").unwrap();
    let rules = Rules::find(Some(&file)).unwrap();
    assert_eq!((rules.file(), rules.as_slice().len()), (Some(file.as_path()), 1));
    assert_eq!(Rules::find(None).unwrap(), Rules::built_in(), "the tests' directory has no {RULES_FILE}");
}
