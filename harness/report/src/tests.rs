//! The report as a reader meets it: files that open, words that are right, nothing that breaks out of its place.

use std::path::Path;

use super::chart::plane::Layout;
use super::chart::style::DARK;
use super::{chart, csv, fixture, html, markdown, ran, render, table, text, words};
use lanebench_result::{RunResult, Verdict};

/// Where the pictures are kept for looking at: `LANEBENCH_KEEP_REPORTS=DIR cargo test -p lanebench report`.
fn directory(name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let dir = match std::env::var_os("LANEBENCH_KEEP_REPORTS") {
        Some(kept) => Path::new(&kept).join(name),
        None => scratch.path().join(name),
    };
    (scratch, dir)
}

/// Part of the pixels that are not paper, and part that is red, by one pixel in seven.
fn marks(png: &[u8]) -> (f64, f64) {
    let mut reader = png::Decoder::new(png).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), chart::PNG_SIZE);
    let seen: Vec<&[u8]> = pixels.chunks(3).step_by(7).collect();
    let part = |is: fn(&&&[u8]) -> bool| seen.iter().filter(is).count() as f64 / seen.len() as f64;
    (part(|p| **p != [255, 255, 255]), part(|p| **p == [200, 16, 36]))
}

#[test]
fn every_run_renders_and_no_picture_is_empty() {
    for (name, result) in fixture::all() {
        let (_scratch, dir) = directory(name);
        let written = render(&result, &dir).unwrap();
        let names: Vec<_> = written.iter().map(|p| p.file_name().unwrap().to_string_lossy()).collect();
        let expected = [
            "index.html",
            "throughput.png",
            "latency.png",
            "lag.png",
            "order.png",
            "summary.md",
            "series.csv",
        ];
        assert_eq!(names, expected, "{name}");
        for png in written.iter().filter(|p| p.extension().is_some_and(|e| e == "png")) {
            let (marked, _) = marks(&std::fs::read(png).unwrap());
            assert!(marked > 0.01, "{} is all but empty: {marked}", png.display());
        }
    }
}

#[test]
fn an_objective_is_kept_round_by_round() {
    let mut result = fixture::ordinary();
    assert_eq!(words::objective(&result), None);
    let p99s =
        |c: &lanebench_result::Configuration| c.summary.response_time_ns_p99.as_ref().unwrap().values.clone();
    let [one, three] = [0, 1].map(|i| p99s(&result.configurations[i]));
    let between = one.iter().copied().fold(f64::INFINITY, f64::min);
    result.workload.objective_ns = Some(between as u64);
    let said = words::objective(&result).unwrap();
    let kept = three.iter().filter(|ns| **ns <= between.floor()).count();
    let second = format!("3p3c kept to it in {kept} of {} rounds", three.len());
    assert!(said.starts_with("Objective, 99 of 100 events within "), "{said}");
    assert!(said.contains("1p1c kept to it in ") && said.contains(&second), "{said}");
    result.configurations[0].summary.grows = true;
    assert!(words::objective(&result).unwrap().contains("its backlog grows"));
    result.configurations[1].summary.response_time_ns_p99 = None;
    assert!(words::objective(&result).unwrap().contains("nothing was measured of 3p3c"));
    for form in [text::render(&result, None), markdown::summary(&result), html::page(&result).unwrap()] {
        assert!(form.contains("99 of 100 events within"), "{form}");
    }
}

#[test]
fn red_is_for_violations() {
    let order = &chart::CHARTS[3];
    assert_eq!(order.file, "order.png");
    assert_eq!(marks(&order.png(&fixture::ordinary()).unwrap()).1, 0.0);
    assert!(marks(&order.png(&fixture::failed()).unwrap()).1 > 0.0005);
}

#[test]
fn the_same_charts_draw_svg_in_characters_the_font_has() {
    let mut drawn = String::new();
    for result in [fixture::ordinary(), fixture::failed(), fixture::empty()] {
        for chart in &chart::CHARTS {
            drawn += &chart.svg(&result, Layout::Page).unwrap().marks;
            drawn += &chart.svg(&result, Layout::Phone).unwrap().marks;
        }
    }
    assert!(drawn.contains("3p3c") && drawn.contains("8 of 61,233"));
    let foreign: String = drawn.chars().filter(|c| !c.is_ascii() && !"–−×µ…·".contains(*c)).collect();
    assert_eq!(foreign, "", "characters that were never seen drawn");
}

#[test]
fn every_colour_that_is_drawn_has_one_for_the_dark() {
    let known: Vec<String> =
        DARK.iter().map(|(light, _)| format!("#{:02X}{:02X}{:02X}", light.0, light.1, light.2)).collect();
    let some = [fixture::large(), fixture::failed(), fixture::hollow()];
    for result in some {
        for chart in &chart::CHARTS {
            let marks = chart.svg(&result, Layout::Page).unwrap().marks;
            let used = marks.split('"').filter(|part| part.len() == 7 && part.starts_with('#'));
            for color in used {
                assert!(known.iter().any(|k| k == color), "{}: {color}", chart.name);
            }
        }
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("taken");
    std::fs::write(&file, "").unwrap();
    let error = render(&fixture::empty(), &file).unwrap_err().to_string();
    assert!(error.contains("taken") && error.contains("could not be written"), "{error}");
}

#[track_caller]
fn says(result: &RunResult, tone: words::Tone, expected: &str) {
    let headline = words::headline(result);
    assert_eq!((headline.text.as_str(), headline.tone), (expected, tone));
}

#[test]
fn the_verdict_in_words() {
    use words::Tone::{Failed, Held, Undecided};
    says(
        &fixture::ordinary(),
        Held,
        "3p3c sustained 1.61× the throughput of 1p1c (95 % interval 1.47–1.77, 3 rounds); 0 of 183,696 \
         acknowledged events lost; 0 order violations in 122,466 adjacent pairs, each checked at log, consumer, row.",
    );
    says(
        &fixture::one_round(),
        Undecided,
        "3p3c sustained 1.67× the throughput of 1p1c in 1 round: too few rounds for a verdict; 0 of 61,232 \
         acknowledged events lost; 0 order violations in 40,822 adjacent pairs, each checked at log, consumer, row.",
    );
    says(
        &fixture::failed(),
        Failed,
        "A check of truth failed: the numbers of 2 of 6 trials are void. 3p3c (rounds 1, 2): 6 of 61,232 acknowledged \
         events lost, order violations: 4 of 40,822 pairs at log, 8 of 40,822 pairs at consumer, 0 of 40,822 pairs \
         at row. This was asked for with --inject reorder.",
    );
    says(
        &fixture::interrupted(),
        Undecided,
        "The run was interrupted and holds 1 trial: 1p1c sustained 1,460 events/s (1 round); 0 of \
         30,616 acknowledged events lost; 0 order violations in 20,411 adjacent pairs, each checked at log, consumer, \
         row.",
    );
    says(&fixture::empty(), Undecided, "Nothing was measured: no trial was finished.");
    let mut result = fixture::ordinary();
    result.passed = false;
    result.warm_up.passes[0].configurations.get_mut("3p3c").unwrap().untrue = true;
    says(&result, Failed, "A check of truth failed in the warm-up of 3p3c, so no number of this run counts.");
}

#[test]
fn verdicts_that_go_the_other_way() {
    let mut result = fixture::ordinary();
    let c = &mut result.comparisons[0];
    (c.ratio.value, c.ratio.low, c.ratio.high) = (0.82, Some(0.75), Some(0.9));
    c.verdict = Verdict::Slower;
    let slower = words::comparison(c);
    assert_eq!(
        slower,
        "3p3c sustained less than 1p1c: 0.82× its throughput (95 % interval 0.75–0.90, 3 rounds)"
    );
    c.verdict = Verdict::NotDistinguishable;
    assert!(
        words::comparison(c).starts_with("3p3c and 1p1c cannot be told apart in what they sustained: 0.82×")
    );
}

#[test]
fn the_terminal_fits_eighty_columns() {
    for (name, result) in fixture::all() {
        let text = text::render(&result, None);
        if std::env::var_os("LANEBENCH_KEEP_REPORTS").is_some() {
            println!("---- {name}\n{text}");
        }
        for line in text.lines() {
            assert!(line.chars().count() <= text::WIDTH, "{name}: {line}\n{text}");
        }
    }
}

#[test]
fn nothing_from_the_record_becomes_markup() {
    let page = html::page(&fixture::failed()).unwrap();
    assert!(!page.contains("<script"), "an order id came through unescaped");
    assert!(page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"));
    let mut result = fixture::ordinary();
    result.configurations[0].name = "<b>|1p1c".into();
    assert!(!html::page(&result).unwrap().contains("<b>"));
    assert!(markdown::summary(&result).contains("| &lt;b&gt;\\|1p1c |"));
}

#[test]
fn the_page_asks_for_nothing_from_elsewhere() {
    let page = html::page(&fixture::large()).unwrap();
    for foreign in ["http:", "https:", "<script", "<img", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("<svg ").count(), 2 * chart::CHARTS.len());
}

#[test]
fn a_demonstration_says_so_before_anything_else() {
    let result = fixture::demonstration();
    let said = words::demonstration(&result).unwrap();
    assert!(said.contains("SQLite") && said.contains("2 ms of service time an event"), "{said}");
    assert!(text::render(&result, None).starts_with("DEMONSTRATION: "));
    assert!(markdown::summary(&result).starts_with("DEMONSTRATION: "));
    let page = html::page(&result).unwrap();
    let (_, body) = page.split_once("<body>").unwrap();
    let (before, _) = body.split_once("DEMONSTRATION</strong>: ").unwrap();
    assert!(!before.contains("</"), "something stands before it: {before}");
    for chart in &chart::CHARTS {
        assert!(
            chart
                .heading(&result)
                .subtitle
                .starts_with("DEMONSTRATION on the embedded stack, modelled: 2 ms")
        );
    }
    assert_eq!(words::demonstration(&fixture::ordinary()), None);
}

#[test]
fn a_call_of_each_events_own_is_said_with_its_bounds() {
    let mut result = fixture::demonstration();
    (result.workload.service_time_ms, result.workload.service_time_range_ms) = (2.5, Some([0.0, 5.0]));
    let said = words::demonstration(&result).unwrap();
    assert!(said.contains("Modelled: 0–5 ms of service time an event, uniform (as measured"), "{said}");
    let said = ran::ran(&result);
    let (_, call) = said.iter().find(|(name, _)| *name == "service time").unwrap();
    assert!(call.starts_with("0–5 ms of service time an event, uniform ("), "{call}");
}

#[test]
fn control_drains_have_rows_of_their_own() {
    let rows = table::rows_and_control(&fixture::demonstration());
    let said: Vec<_> = rows.iter().map(|r| (r.name.as_str(), r.lanes.as_str(), r.control)).collect();
    assert_eq!(
        said[1..],
        [
            ("3p3c", "3 partitions, 3 consumers", false),
            ("1p1c", "control: service time 0", true),
            ("3p3c", "control: service time 0", true)
        ]
    );
    assert_eq!((rows[3].ratio.value.as_str(), rows[3].p50.value.as_str()), ("1.06×", "–"));
    let failed = fixture::control_failed();
    let headline = words::headline(&failed);
    assert_eq!(headline.tone, words::Tone::Failed);
    assert!(
        headline.text.contains("Control of 3p3c: 1 of 30,616 acknowledged events lost."),
        "{}",
        headline.text
    );
    assert_eq!(table::rows_and_control(&failed)[3].rounds.inline(), "2 (1 void)");
}

#[test]
fn the_rows_say_what_is_void_and_what_is_missing() {
    let rows = table::rows(&fixture::all_void());
    assert_eq!(rows[1].sustained.inline(), "void");
    assert_eq!(rows[1].order.inline(), "8 (of 40,822)");
    assert!(rows[1].void && rows[1].failed && !rows[0].failed);
    let rows = table::rows(&fixture::interrupted());
    assert_eq!(rows[1].sustained.inline(), "– (no trial)");
    assert_eq!(rows[0].ratio.inline(), "1 (baseline)");
    let rows = table::rows(&fixture::no_surge());
    assert_eq!(rows[2].peak_lag.inline(), "– (no surge)");
    assert_eq!(rows[2].bottleneck.inline(), "store (2 of 3 rounds)");
}

#[test]
fn response_times_of_a_backlog_that_grows_are_marked_everywhere_and_in_no_ratio() {
    let (held, grows) = (fixture::ordinary(), fixture::overloaded());
    let rows = table::rows(&grows);
    assert!(rows[0].grows && rows[0].p50.detail.ends_with("grows with duration"), "{:?}", rows[0].p50);
    assert!(!rows[1].grows && !rows[1].p50.detail.contains("grows"), "{:?}", rows[1].p50);
    let page = |result| html::page(result).unwrap();
    type Render = fn(&RunResult) -> String;
    let forms: [(&str, Render, &str); 4] = [
        ("text", |r| text::render(r, None), "grows"),
        ("markdown", markdown::summary, "grows with duration"),
        ("csv", csv::series, ",steady,true,"),
        ("json", |r| serde_json::to_string(r).unwrap(), "\"verdict\":\"grows\""),
    ];
    for (form, render, mark) in forms {
        assert!(render(&grows).contains(mark), "{form}");
        assert!(!render(&held).contains(mark), "{form}");
    }
    assert!(page(&grows).contains("grows with duration") && !page(&held).contains("grows with duration"));
    assert!(!page(&grows).contains("response time, median") && page(&held).contains("response time, median"));
}

#[test]
fn the_series_is_tidy() {
    let result = fixture::ordinary();
    let text = csv::series(&result);
    let samples: usize = words::all_trials(&result).flat_map(|t| &t.phases).map(|p| p.lag.series.len()).sum();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(csv::HEADER));
    assert_eq!(lines.next().map(|l| l.split(',').count()), Some(8));
    assert_eq!(lines.count() + 1, samples);
}

#[test]
fn a_flag_in_a_warning_is_code_and_stays_escaped() {
    let mut result = fixture::ordinary();
    let message = "Lower `--rate` or `<b>`.".to_owned();
    let (configuration, rounds) = (None, Vec::new());
    result.warnings = vec![lanebench_result::Warning { code: "x".into(), message, configuration, rounds }];
    let page = html::page(&result).unwrap();
    assert!(page.contains("Lower <code>--rate</code> or <code>&#60;b&#62;</code>."), "{page}");
}
