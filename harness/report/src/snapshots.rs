//! What a run looks like, word for word, in every form but the pictures. `INSTA_UPDATE=always cargo test` writes anew.

use super::pair::Pair;
use super::{bench, csv, fixture, html, markdown, text};
use lanebench_result::{Phase, RunResult};

/// Runs that show every kind of row: ordinary, with control drains, failed, cut short.
fn some() -> Vec<(&'static str, RunResult)> {
    let kept = [
        "ordinary",
        "one-round",
        "demonstration",
        "overloaded",
        "failed",
        "control-failed",
        "interrupted",
        "hostile",
    ];
    fixture::all().into_iter().filter(|(name, _)| kept.contains(name)).collect()
}

#[track_caller]
pub(super) fn check(name: &str, content: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, content));
}

#[test]
fn as_text() {
    for (name, result) in some() {
        check(&format!("{name}.txt"), &text::render(&result, Some("reports/latest/index.html".as_ref())));
    }
}

#[test]
fn as_markdown() {
    for (name, result) in some() {
        check(&format!("{name}.md"), &markdown::summary(&result));
    }
}

/// The first lines of each phase are enough to see the form.
#[test]
fn as_csv() {
    let mut result = fixture::demonstration();
    phases(&mut result).for_each(|phase| phase.lag.series.truncate(2));
    check("demonstration.csv", &csv::series(&result));
}

/// The schema as others read it, with short series and histograms.
#[test]
fn as_json() {
    let mut result = fixture::demonstration();
    for c in &mut result.configurations {
        c.trials.truncate(1);
    }
    result.configurations.iter_mut().for_each(|c| c.summary.response_time_ns = None);
    for phase in phases(&mut result) {
        phase.lag.series.truncate(1);
        if let Some(response) = &mut phase.response_time_ns {
            response.histogram.truncate(2);
        }
        fixture::stages_mut(&mut phase.stages_ns).into_iter().for_each(|s| s.histogram.truncate(1));
    }
    check("demonstration.json", &serde_json::to_string_pretty(&result).unwrap());
}

/// The page without what is drawn: a chart is its label and its size.
#[test]
fn as_html() {
    for name in ["demonstration", "failed"] {
        let (_, result) = some().into_iter().find(|(n, _)| *n == name).unwrap();
        check(&format!("{name}.html"), &without_drawings(&html::page(&result).unwrap()));
    }
}

pub(super) fn without_drawings(page: &str) -> String {
    let (_, body) = page.split_once("<body>").unwrap();
    let mut bare = String::new();
    for (i, part) in body.split("<svg ").enumerate() {
        match part.split_once("</svg>") {
            Some((svg, rest)) if i > 0 => {
                let (opening, _) = svg.split_once('>').unwrap();
                bare += &format!("<svg {opening}/>{rest}");
            }
            _ => bare += part,
        }
    }
    bare
}

#[test]
fn benchmarks() {
    for (name, benched) in bench::fixture::all() {
        check(&format!("{name}.md"), &bench::summary(&benched));
        let text = bench::text(&benched, Some("reports/20261124T221409Z-bench/index.html".as_ref()));
        check(&format!("{name}.txt"), &text);
        for line in text.lines() {
            assert!(line.chars().count() <= text::WIDTH || name == "bench-hostile", "{line}");
        }
    }
    check("bench.html", &without_drawings(&bench::page(&bench::fixture::embedded()).unwrap()));
    let hostile = bench::page(&bench::fixture::hostile()).unwrap();
    assert!(!hostile.contains("<b onclick"), "a name becomes markup");
}

#[test]
fn two_results() {
    let (a, mut b) = (fixture::ordinary(), fixture::demonstration());
    b.warm_up.rates.steady_per_s = 700.0;
    let pair = Pair::of(("old/result.json", &a), ("new/result.json", &b));
    check("pair.txt", &pair.text());
    check("pair.md", &pair.markdown());
    check("pair.json", &serde_json::to_string_pretty(&pair).unwrap());
    let alike = Pair::of(("a.json", &a), ("a.json", &a));
    check("pair-alike.txt", &alike.text());
    for line in pair.text().lines().chain(alike.text().lines()) {
        assert!(line.chars().count() <= text::WIDTH, "{line}");
    }
}

fn phases(result: &mut RunResult) -> impl Iterator<Item = &mut Phase> {
    result.configurations.iter_mut().flat_map(|c| &mut c.trials).flat_map(|t| &mut t.phases)
}
