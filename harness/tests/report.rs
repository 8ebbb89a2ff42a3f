//! `lanebench report` as a user runs it: a result rendered again, two beside each other, and files that are no result.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lanebench::report::fixture;

/// A directory with the results named, each as `NAME/result.json`.
struct Saved(tempfile::TempDir);

fn saved(names: &[&str]) -> Saved {
    let dir = tempfile::tempdir().unwrap();
    for (name, result) in fixture::all().into_iter().filter(|(name, _)| names.contains(name)) {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("result.json"), serde_json::to_vec(&result).unwrap())
            .unwrap();
    }
    Saved(dir)
}

impl Saved {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn report(&self, arguments: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_lanebench");
        Command::new(program).arg("report").args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    /// Runs it and returns what it printed; it must end well.
    #[track_caller]
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.report(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], exit: i32, says: &[&str]) {
        let output = self.report(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{told}");
        assert!(output.stdout.is_empty(), "stdout is for data");
        for part in ["error: ", "hint: "].iter().chain(says) {
            assert!(told.contains(part), "`{part}` is not in: {told}");
        }
    }
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const REPORT: [&str; 8] = [
    "index.html",
    "lag.png",
    "latency.png",
    "order.png",
    "result.json",
    "series.csv",
    "summary.md",
    "throughput.png",
];

#[test]
fn a_result_is_rendered_beside_itself_and_left_as_it_is() {
    let here = saved(&["demonstration"]);
    let file = here.path("demonstration/result.json");
    let before = std::fs::read(&file).unwrap();
    let said = here.prints(&["demonstration/result.json"]);
    assert!(
        said.starts_with("DEMONSTRATION: ") && said.contains("report: demonstration/index.html"),
        "{said}"
    );
    assert_eq!(files(&here.path("demonstration")), REPORT);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let again = here.prints(&["demonstration", "--format", "markdown"]);
    assert_eq!(
        again.trim_end(),
        std::fs::read_to_string(here.path("demonstration/summary.md")).unwrap().trim_end()
    );
}

#[test]
fn a_report_elsewhere_takes_its_result_along_and_overwrites_nothing() {
    let here = saved(&["one-round"]);
    here.prints(&["one-round/result.json", "--out", "a/new"]);
    assert_eq!(files(&here.path("a/new")), REPORT);
    assert_eq!(files(&here.path("one-round")), ["result.json"]);
    here.refuses(&["one-round/result.json", "--out", "a/new"], 1, &["not empty"]);
    std::fs::create_dir(here.path("one-round/index.html")).unwrap();
    here.refuses(&["one-round/result.json"], 1, &["one-round can't be written", "--out"]);
}

#[test]
fn two_results_stand_beside_each_other_without_a_verdict() {
    let here = saved(&["ordinary", "failed"]);
    let both = ["ordinary/result.json", "failed/result.json"];
    let text = here.prints(&both);
    assert!(text.starts_with("A: ordinary/result.json, started "), "{text}");
    for part in
        ["carries no verdict", "B: a check of truth failed", "broken on purpose", "nothing", "reorder"]
    {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&here.prints(&[&both[..], &["--format", "json"]].concat())).unwrap();
    assert_eq!(json["differ"][0]["name"], "broken on purpose");
    assert_eq!(json["rows"][0]["a"]["n"], 3);
    assert_eq!(files(&here.path("ordinary")), ["result.json"], "a comparison writes nothing beside them");
    let named = here.prints(&[&both[..], &["--out", "x"]].concat());
    assert!(named.trim_end().ends_with("report: x/index.html"), "{named}");
    assert_eq!(files(&here.path("x")), ["index.html", "summary.md"]);
    let page = std::fs::read_to_string(here.path("x/index.html")).unwrap();
    for part in
        ["Two runs beside each other", "carries no verdict", "broken on purpose", "sustained, events/s"]
    {
        assert!(page.contains(part), "`{part}` is not in: {page}");
    }
}

#[test]
fn what_is_no_result_is_named() {
    let here = saved(&["ordinary"]);
    let whole = std::fs::read_to_string(here.path("ordinary/result.json")).unwrap();
    let write = |name: &str, content: &str| std::fs::write(here.path(name), content).unwrap();
    write("cut.json", &whole[..whole.len() / 2]);
    write("later.json", &whole.replacen("\"schema_version\":2", "\"schema_version\":7", 1));
    write("earlier.json", &whole.replacen("\"schema_version\":2", "\"schema_version\":1", 1));
    write("other.json", "{\"schema_version\":2,\"command\":[]}");
    write("empty.json", "");
    std::fs::create_dir(here.path("nothing")).unwrap();
    here.refuses(&["nothing"], 2, &["holds no result.json, gate.json, scenario.json or limits.json"]);
    here.refuses(&["cut.json"], 1, &["cut.json is cut off"]);
    here.refuses(&["empty.json"], 1, &["empty.json is cut off"]);
    here.refuses(&["later.json"], 1, &["schema_version 7", "knows 2"]);
    here.refuses(&["earlier.json"], 1, &["schema_version 1", "knows 2"]);
    here.refuses(&["other.json"], 1, &["other.json is not a result"]);
    here.refuses(&["gone.json"], 1, &["no file gone.json"]);
    here.refuses(&["ordinary/result.json", "cut.json"], 1, &["cut.json is cut off"]);
}

#[test]
fn what_is_no_directory_of_criterions_is_named() {
    let here = saved(&["ordinary"]);
    here.refuses(&["--criterion"], 1, &["no directory target/criterion", "`cargo bench`"]);
    here.refuses(
        &["--criterion", "ordinary"],
        1,
        &["no benchmark of the pipeline lies in ordinary", "-- pipeline"],
    );
    here.refuses(&["--criterion", "ordinary/result.json"], 1, &["no directory ordinary/result.json"]);
    assert!(!here.path("reports").exists(), "nothing is left of what could not be");
    assert_eq!(here.report(&[]).status.code(), Some(2), "a file or `--criterion` is needed");
}
