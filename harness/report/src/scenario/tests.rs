//! Scenarios as a reader meets them: the page word for word, and pictures in which something is drawn.

use super::{fixture, page, png, words};
use crate::chart::plane::Layout;
use crate::chart::style::DARK;
use crate::snapshots::{check, without_drawings};

/// Where the pictures are kept for looking at, with `LANEBENCH_KEEP_REPORTS=DIR`.
fn keep(name: &str, file: &str, content: &[u8]) {
    if let Some(dir) = std::env::var_os("LANEBENCH_KEEP_REPORTS") {
        let dir = std::path::Path::new(&dir).join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(file), content).unwrap();
    }
}

#[test]
fn as_html() {
    for (name, record) in fixture::all() {
        let html = page(&record).unwrap();
        keep(name, "index.html", html.as_bytes());
        if matches!(name, "scenario-demonstration" | "scenario-failed") {
            check(&format!("{name}.html"), &without_drawings(&html));
        }
    }
}

#[test]
fn every_picture_shows_something_and_grows_with_what_it_shows() {
    let mut heights = Vec::new();
    for (name, record) in fixture::all() {
        let png = png(&record).unwrap();
        keep(name, super::chart::PICTURE_FILE, &png);
        let mut reader = png::Decoder::new(png.as_slice()).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.width, 1600, "{name}");
        let seen: Vec<&[u8]> = pixels.chunks(3).step_by(7).collect();
        let marked = seen.iter().filter(|p| **p != [255, 255, 255]).count() as f64 / seen.len() as f64;
        assert!(marked > 0.05, "{name} is all but empty: {marked}");
        heights.push((name, info.height));
    }
    let height = |name| heights.iter().find(|(n, _)| *n == name).unwrap().1;
    assert!(height("scenario-empty") < height("scenario"));
    assert!(height("scenario") < height("scenario-crowded"));
}

#[test]
fn charts_say_what_broke_in_colours_and_characters_that_are_known() {
    let known: Vec<String> =
        DARK.iter().map(|(light, _)| format!("#{:02X}{:02X}{:02X}", light.0, light.1, light.2)).collect();
    for layout in [Layout::Page, Layout::Phone] {
        let draw = |run| super::chart::svg(run, layout).unwrap().marks;
        let record = fixture::failed();
        let [consumer, broker] = [&record.scenarios[0], &record.scenarios[1]].map(draw);
        for said in ["kill consumer 0", "1p1c", "3p3c", "void", "21.3 s", "6.40 s", "p2"] {
            assert!(consumer.contains(said), "{said}");
        }
        assert!(broker.contains("kill leader 0 (Kafka node 2)") && !broker.contains("void"));
        let drawn = consumer + &broker;
        for color in drawn.split('"').filter(|part| part.len() == 7 && part.starts_with('#')) {
            assert!(known.iter().any(|k| k == color), "{color}");
        }
        assert!(drawn.is_ascii(), "characters that were never seen drawn");
    }
}

#[test]
fn nothing_from_the_record_becomes_markup_or_asks_for_anything() {
    let html = page(&fixture::hostile()).unwrap();
    for foreign in ["<b onclick", "<script", "http:", "https:", "<img", "@import", "url("] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    assert_eq!(html.matches("<svg ").count(), 2 * 2);
}

#[test]
fn a_demonstration_says_so_before_anything_else() {
    let html = page(&fixture::demonstration()).unwrap();
    let (_, body) = html.split_once("<body>").unwrap();
    let (before, _) = body.split_once("DEMONSTRATION</strong>: ").unwrap();
    assert!(!before.contains("</"), "something stands before it: {before}");
    assert!(!page(&fixture::ordinary()).unwrap().contains("DEMONSTRATION"));
}

#[test]
fn a_verdict_says_how_much_was_silent_and_for_how_long() {
    let said: Vec<String> =
        fixture::ordinary().scenarios.iter().flat_map(|s| &s.configurations).map(words::verdict).collect();
    assert_eq!(
        said[0],
        "1p1c: its only partition, 100 % of the events, was silent, for 21.2–21.3 s at most."
    );
    assert!(
        said[1].starts_with("3p3c: 1 of 3 partitions, ") && said[1].contains("for 6.31–6.40 s"),
        "{}",
        said[1]
    );
    assert!(said[3].starts_with("3p3c: all 3 partitions, 100 % of the events, were silent"), "{}", said[3]);
}

#[test]
fn a_verdict_says_what_became_of_orders_that_moved() {
    let mut configuration = fixture::ordinary().scenarios.remove(0).configurations.remove(0);
    for trial in &mut configuration.trials {
        let fault = &mut trial.phases[0].faults[0];
        (fault.target, fault.action, fault.what) = ("topic".into(), "add".into(), "1 to 3 partitions".into());
        assert_eq!(super::rows::fault(fault), "add partitions (1 to 3 partitions)");
        trial.verification.orders_moved = 600;
    }
    let said = |configuration: &lanebench_result::scenario::ScenarioConfiguration| {
        words::verdict(configuration).split_once("at most. ").unwrap().1.to_owned()
    };
    assert_eq!(
        said(&configuration),
        "In all trials: 1,200 orders went on in another partition; no event was taken in hand before its predecessor."
    );
    let truth = &mut configuration.trials[0].verification;
    truth.parked_meanwhile = 1;
    truth.order_checks.get_mut("consumer").unwrap().violations = 40;
    assert_eq!(
        said(&configuration),
        "In all trials: 1,200 orders went on in another partition; 40 times an event was taken in hand before its predecessor, and 1 event was \
         parked until its predecessor came."
    );
}

#[test]
fn as_text_and_as_markdown() {
    for (name, record) in fixture::all() {
        let text = super::text::render(&record, None);
        let wide =
            text.lines().filter(|line| !line.starts_with("repeat: ")).find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{name}");
        if matches!(name, "scenario" | "scenario-failed" | "scenario-empty") {
            check(&format!("{name}.txt"), &text);
            check(&format!("{name}.md"), &super::markdown::summary(&record));
        }
    }
}
