use super::*;
use crate::WarmUp;
use crate::fixture;

fn result() -> RunResult {
    RunResult {
        schema_version: SCHEMA_VERSION,
        command: "compare".into(),
        command_line: "lanebench compare".into(),
        started_at: "2026-01-01T00:00:00Z".into(),
        complete: false,
        environment: fixture::environment(),
        stack: fixture::stack(),
        workload: fixture::workload(),
        warm_up: WarmUp::default(),
        warnings: Vec::new(),
        passed: true,
        configurations: Vec::new(),
        comparisons: Vec::new(),
        control: None,
        ceilings: None,
        scenario: None,
    }
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Loads `bytes` from a file and returns the error.
#[track_caller]
fn refused(bytes: &[u8]) -> FileError {
    let dir = scratch();
    let path = dir.path().join(RESULT_FILE);
    fs::write(&path, bytes).unwrap();
    let error = load(&path).unwrap_err();
    assert!(!error.hint().is_empty());
    error
}

#[test]
fn what_was_saved_is_loaded() {
    let dir = scratch();
    let out = create_output_dir(Some(dir.path().join("a/b")), "compare").unwrap();
    let mut run = result();
    let path = out.save(&run).unwrap();
    assert_eq!(path, dir.path().join("a/b/result.json"));
    assert!(!load(&path).unwrap().complete);
    run.complete = true;
    out.save(&run).unwrap();
    drop(out);
    assert!(load(&path).unwrap().complete);
    assert_eq!(names(path.parent().unwrap()), ["result.json"], "no temporary file stays");
}

#[test]
fn a_result_is_readable_by_others_as_the_umask_allows() {
    let dir = scratch();
    let plain = dir.path().join("plain");
    File::create(&plain).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&save(&result(), dir.path()).unwrap()), mode(&plain));
}

#[test]
fn nothing_is_overwritten() {
    let dir = scratch();
    fs::write(dir.path().join("theirs"), "x").unwrap();
    let error = create_output_dir(Some(dir.path().into()), "compare").unwrap_err();
    assert!(matches!(error, FileError::NotEmpty { .. }), "{error}");
    assert!(error.hint().contains("--out"));
    assert_eq!(names(dir.path()), ["theirs"]);
}

#[test]
fn an_empty_directory_is_used_and_left_in_place() {
    let dir = scratch();
    drop(create_output_dir(Some(dir.path().into()), "compare").unwrap());
    assert!(dir.path().is_dir());
}

#[test]
fn a_run_that_could_not_start_leaves_nothing() {
    let dir = scratch();
    drop(create_output_dir(Some(dir.path().join("a/b/c")), "compare").unwrap());
    drop(create_under(&dir.path().join("reports"), "x").unwrap());
    assert_eq!(names(dir.path()), [] as [&str; 0]);
}

#[test]
fn what_cannot_be_a_directory_is_said_at_once() {
    let dir = scratch();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = create_output_dir(Some(file.clone()), "compare").unwrap_err();
    assert!(matches!(error, FileError::NotADirectory { .. }), "{error}");
    let error = create_output_dir(Some(file.join("below")), "compare").unwrap_err();
    assert!(matches!(error, FileError::Unwritable { .. }), "{error}");
    // Refused to root as well, which permissions are not.
    let error = create_output_dir(Some("/proc/lanebench/out".into()), "compare").unwrap_err();
    assert!(matches!(error, FileError::Unwritable { .. }), "{error}");
}

#[test]
fn two_runs_in_one_second_get_two_directories() {
    let dir = scratch();
    let dirs: Vec<_> =
        (0..3).map(|_| create_under(dir.path(), "20260101T000000Z-compare").unwrap()).collect();
    let last: Vec<_> =
        dirs.iter().map(|d| d.path().file_name().unwrap().to_str().unwrap().to_string()).collect();
    assert_eq!(
        last,
        ["20260101T000000Z-compare", "20260101T000000Z-compare-2", "20260101T000000Z-compare-3"]
    );
}

#[test]
fn names_run_out_with_an_error() {
    let dir = scratch();
    let _dirs: Vec<_> = (0..SUFFIX_MAX).map(|_| create_under(dir.path(), "x").unwrap()).collect();
    assert!(matches!(create_under(dir.path(), "x"), Err(FileError::NoFreeName { .. })));
}

#[test]
fn latest_points_to_the_last_run_that_saved() {
    let dir = scratch();
    let latest = dir.path().join(LATEST);
    let first = create_under(dir.path(), "1-compare").unwrap();
    assert!(!latest.exists(), "no result yet");
    first.save(&result()).unwrap();
    let second = create_under(dir.path(), "2-compare").unwrap();
    assert_eq!(fs::read_link(&latest).unwrap(), Path::new("1-compare"));
    second.save(&result()).unwrap();
    second.save(&result()).unwrap();
    assert_eq!(fs::read_link(&latest).unwrap(), Path::new("2-compare"));
    assert!(load(&latest.join(RESULT_FILE)).is_ok());
    assert_eq!(names(dir.path()), ["1-compare", "2-compare", "latest"]);
}

#[test]
fn a_latest_that_is_no_link_is_left_alone() {
    let dir = scratch();
    fs::write(dir.path().join(LATEST), "theirs").unwrap();
    create_under(dir.path(), "1-compare").unwrap().save(&result()).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join(LATEST)).unwrap(), "theirs");
}

#[test]
fn a_number_that_json_cannot_hold_is_said_when_saving() {
    let dir = scratch();
    let mut run = result();
    run.environment.load_max = f64::NAN;
    let error = save(&run, dir.path()).unwrap_err();
    assert!(matches!(error, FileError::NotANumber { .. }), "{error}");
    assert!(dir.path().join(RESULT_FILE).exists(), "and kept");
}

#[test]
fn a_failed_save_leaves_no_part_of_a_result() {
    let dir = scratch();
    let path = save(&result(), dir.path()).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = save(&result(), dir.path()).unwrap_err();
    assert!(matches!(error, FileError::Write { .. }), "{error}");
    assert_eq!(names(dir.path()), [RESULT_FILE], "no temporary file stays");
}

#[test]
fn what_cannot_be_loaded_is_named() {
    let dir = scratch();
    let missing = load(&dir.path().join("none.json")).unwrap_err();
    assert!(matches!(missing, FileError::NotFound { .. }), "{missing}");
    let directory = load(dir.path()).unwrap_err();
    assert!(matches!(directory, FileError::IsADirectory { .. }), "{directory}");
    assert!(directory.hint().ends_with("/result.json"));

    let whole = serde_json::to_vec_pretty(&result()).unwrap();
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        assert!(matches!(refused(&whole[..cut]), FileError::Truncated { .. }), "cut at {cut}");
    }
    let error = refused(b"{\n  \"schema_version\": 2,\n  oops\n}");
    assert!(matches!(error, FileError::Invalid { line: 3, column: 3, .. }), "{error}");
    assert_eq!(error.to_string().matches("line 3").count(), 1, "{error}");
    assert!(matches!(refused(b"{\"schema_version\": 2}"), FileError::Invalid { .. }));
    assert!(matches!(refused(b"[1, 2]"), FileError::Invalid { .. }));
    assert!(matches!(refused(&[0xff, 0xfe]), FileError::Invalid { .. }));
}

#[test]
fn another_version_is_named_with_the_known_one() {
    let error = refused(b"{\"schema_version\": 99, \"whatever\": []}");
    assert!(error.to_string().contains("schema_version 99"), "{error}");
    assert!(error.to_string().ends_with("knows 2"), "{error}");
    assert!(
        matches!(refused(b"{\"schema_version\": 1}"), FileError::UnknownVersion { .. }),
        "of phases by name"
    );
    assert!(matches!(refused(b"{}"), FileError::UnknownVersion { found, .. } if found == "null"));
    assert!(matches!(refused(b"{\"schema_version\": \"1\"}"), FileError::UnknownVersion { .. }));
}
