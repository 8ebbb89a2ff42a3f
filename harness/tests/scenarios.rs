//! `lanebench run` on the embedded stack: who waits when something breaks, and that nothing is lost.

use std::path::Path;
use std::process::{Command, Output};

use lanebench::record::file::{RESULT_FILE, SCENARIO_FILE, load, load_scenarios};
use lanebench::record::scenario::ScenarioRecord;
use lanebench::record::{FaultSpan, Phase, PhaseKind, Trial};

/// A load of so many seconds at 150 events a second, and what breaks.
fn scenario(length_s: u32, fault: &str) -> String {
    format!(
        "why = \"Who waits?\"\nexpect = \"Somebody.\"\nrate = 150\nlength = \"{length_s}s\"\n[[fault]]\n{fault}\n"
    )
}

/// Whoever is held up by what it should not be is so for good, and the trial gives up after 20 s; a busy machine may stand still for a moment.
const BUSY_MS: f64 = 5_000.0;

/// More than one lane can take, and partitions that are added while it has a backlog.
fn grows(action: &str) -> String {
    let fault = format!(
        "at = \"4s\"\ntarget = \"topic\"\naction = \"{action}\"\npartitions = 2\nnoticed = \"300ms\""
    );
    scenario(7, &fault).replace("150", "600") // a call of 2 ms an event leaves one lane 500
}

fn run(directory: &Path, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
    command.args(["run", "mine.toml", "--no-warm-up", "--out", "report"]).args(flags);
    command.current_dir(directory).env("TMPDIR", directory.join("tmp")).output().unwrap()
}

/// Runs it on these configurations, checks that all of it held and that nothing is left; its record, and what was printed.
#[track_caller]
fn held(scenario: &str, configs: &str, nodes: &str) -> (ScenarioRecord, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("tmp")).unwrap();
    std::fs::write(directory.path().join("mine.toml"), scenario).unwrap();
    let output = run(directory.path(), &["--configs", configs, "--nodes", nodes]);
    let told = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}\n{printed}");
    let left = std::fs::read_dir(directory.path().join("tmp")).unwrap().count();
    assert_eq!(left, 0, "something is left behind");
    let record = load_scenarios(&directory.path().join("report").join(SCENARIO_FILE)).unwrap();
    assert!(record.complete && record.passed);
    for wide in printed.lines().filter(|line| !line.starts_with("repeat: ") && !line.starts_with("report: "))
    {
        assert!(wide.chars().count() <= 80, "wider than a terminal: {wide}");
    }
    (record, printed)
}

fn trials(record: &ScenarioRecord) -> impl Iterator<Item = &Trial> {
    record.scenarios[0].configurations.iter().flat_map(|configuration| &configuration.trials)
}

/// Without its line breaks.
fn unwrapped(printed: &str) -> String {
    printed.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn phase(trial: &Trial) -> &Phase {
    trial.phase(PhaseKind::Scenario).unwrap()
}

fn span(trial: &Trial) -> FaultSpan {
    phase(trial).faults[0].span.unwrap()
}

fn silences_ms(trial: &Trial) -> Vec<f64> {
    let mut silences: Vec<f64> =
        phase(trial).partitions.iter().map(|part| part.silence.unwrap().lasted_ms).collect();
    silences.sort_by(f64::total_cmp);
    silences
}

#[test]
fn a_killed_consumer_silences_its_own_partition_until_its_session_runs_out() {
    let fault = "at = \"2s\"\ntarget = \"consumer 0\"\naction = \"kill\"\nfor = \"9s\"";
    let (record, printed) = held(&scenario(12, fault), "3p3c", "1");
    let trial = trials(&record).next().unwrap();
    let silences = silences_ms(trial);
    // A session is 6 s; heartbeats come every 0.2 s.
    assert!((5_000.0..9_000.0).contains(&silences[2]), "{silences:?}");
    assert!(silences[1] < 2_500.0, "the others go on: {silences:?}");
    let FaultSpan { began_ms, reassigned_ms, drained_ms, .. } = span(trial);
    let reassigned_ms = reassigned_ms.unwrap();
    assert!((began_ms + 5_000.0..began_ms + 9_000.0).contains(&reassigned_ms), "{began_ms} {reassigned_ms}");
    assert!(drained_ms.unwrap() >= reassigned_ms);
    let noticed_ms = span(trial).noticed_ms.unwrap();
    assert!(
        (began_ms + 4_500.0..=reassigned_ms).contains(&noticed_ms),
        "{began_ms} {noticed_ms} {reassigned_ms}"
    );
    assert!(trial.verification.lost == 0 && trial.verification.acked == trial.verification.applied);
    assert!(printed.contains("3p3c: 1 of 3 partitions") && printed.contains("was silent"), "{printed}");
    assert!(printed.contains("DEMONSTRATION"), "{printed}");
}

#[test]
fn a_stopped_consumer_hands_its_partition_over() {
    let fault = "at = \"2s\"\ntarget = \"consumer 1\"\naction = \"stop\"\nfor = \"3s\"";
    let (record, _) = held(&scenario(7, fault), "3p3c", "1");
    let trial = trials(&record).next().unwrap();
    assert!(silences_ms(trial)[2] < 3_000.0, "{:?}", silences_ms(trial));
    assert_eq!(trial.verification.redelivered, 0, "it commits before it goes");
    assert!(span(trial).reassigned_ms.is_some());
}

#[test]
fn a_frozen_broker_silences_every_partition_of_every_configuration() {
    // Long beside what a consumer on a busy machine has fetched and not yet worked off.
    let fault = "at = \"1500ms\"\ntarget = \"broker 1\"\naction = \"pause\"\nfor = \"4s\"";
    let (record, printed) = held(&scenario(8, fault), "1p1c,3p3c", "1");
    assert_eq!(trials(&record).count(), 2);
    for trial in trials(&record) {
        assert!(silences_ms(trial).iter().all(|ms| *ms >= 1_500.0), "{:?}", silences_ms(trial));
        assert_eq!(phase(trial).faults[0].what, "Kafka node 1");
    }
    assert!(printed.contains("3p3c: all 3 partitions, 100 % of the events, were silent"), "{printed}");
}

#[test]
fn orders_that_move_to_a_new_partition_overtake_what_waits_in_the_old_one_and_rows_end_right() {
    let (record, printed) = held(&grows("add"), "1p3c", "1");
    let trial = trials(&record).next().unwrap();
    let truth = &trial.verification;
    assert!(truth.orders_moved > 0 && truth.order_checks["consumer"].violations > 0, "{truth:?}");
    assert!(truth.parked_meanwhile > 0 && truth.parked == 0, "{truth:?}");
    assert_eq!((truth.order_checks["row"].violations, truth.lost), (0, 0));
    assert_eq!(
        (phase(trial).partitions.len(), phase(trial).faults[0].what.as_str()),
        (3, "1 to 3 partitions")
    );
    assert!(phase(trial).partitions.iter().all(|partition| partition.events > 0), "all of them are sent to");
    let printed = unwrapped(&printed);
    assert!(printed.contains("orders went on in another partition"), "{printed}");
}

#[test]
fn orders_that_move_when_all_is_worked_off_overtake_nothing() {
    let (record, printed) = held(&grows("drain-and-add"), "1p3c,3p3c", "1");
    for trial in trials(&record) {
        let truth = &trial.verification;
        assert!(truth.orders_moved > 0, "{truth:?}");
        assert_eq!((truth.order_violations, truth.parked_meanwhile, truth.lost), (0, 0, 0));
    }
    assert_eq!(trials(&record).map(|trial| phase(trial).partitions.len()).collect::<Vec<_>>(), [3, 5]);
    let printed = unwrapped(&printed);
    assert!(printed.contains("no event was taken in hand before its predecessor"), "{printed}");
}

#[test]
fn a_stopped_broker_of_three_is_replaced_and_one_alone_is_waited_for() {
    let fault = "at = \"1500ms\"\ntarget = \"leader 0\"\naction = \"kill\"\nfor = \"4s\"";
    for (nodes, waited) in [("3", false), ("1", true)] {
        let (record, _) = held(&scenario(8, fault), "3p3c", nodes);
        let trial = trials(&record).next().unwrap();
        let silences = silences_ms(trial);
        assert_eq!(silences[0] >= 1_500.0, waited, "{nodes} brokers: {silences:?}");
    }
}

#[test]
fn a_poison_message_goes_to_the_dead_letters_and_nobody_waits_for_it() {
    let fault = "at = \"2s\"\ntarget = \"order\"\naction = \"poison\"";
    let (record, printed) = held(&scenario(4, fault), "1p1c,3p3c", "1");
    for trial in trials(&record) {
        let truth = &trial.verification;
        assert_eq!((truth.dead_lettered, truth.parked, truth.lost), (1, 0, 0));
        assert_eq!(truth.acked, truth.applied + 1);
        assert!(silences_ms(trial).iter().all(|ms| *ms < BUSY_MS), "{:?}", silences_ms(trial));
        let span = span(trial);
        assert!((2_000.0..4_000.0).contains(&span.began_ms), "in the middle of the load: {span:?}");
        assert!(phase(trial).faults[0].what.starts_with("f-"), "an order: {:?}", phase(trial).faults);
    }
    let printed = unwrapped(&printed);
    assert!(printed.contains(" s, send an event that can't be stored."), "{printed}");
}

#[test]
fn connections_that_are_cut_or_slowed_cost_a_moment_and_no_event() {
    let slow = "at = \"4s\"\ntarget = \"broker 1\"\naction = \"slow\"\nby = \"300ms\"\nfor = \"1s\"";
    let fault = format!("at = \"1500ms\"\ntarget = \"leader 0\"\naction = \"cut\"\n[[fault]]\n{slow}");
    let (record, printed) = held(&scenario(7, &fault), "3p3c", "1");
    let trial = trials(&record).next().unwrap();
    assert!(silences_ms(trial)[2] < BUSY_MS, "{:?}", silences_ms(trial));
    let faults = &phase(trial).faults;
    assert_eq!(faults[1].what, "Kafka node 1, by 300ms");
    let span = faults[1].span.unwrap();
    assert!(span.mended_ms - span.began_ms >= 999.0, "{span:?}");
    assert!(unwrapped(&printed).contains("cut the connections of leader 0"), "{printed}");
}

#[test]
fn a_leader_that_moves_is_followed() {
    let fault = "at = \"1500ms\"\ntarget = \"leader 0\"\naction = \"move\"";
    let (record, _) = held(&scenario(4, fault), "3p3c", "3");
    let trial = trials(&record).next().unwrap();
    assert!(silences_ms(trial)[2] < BUSY_MS, "{:?}", silences_ms(trial));
    let what = &phase(trial).faults[0].what;
    assert!(what.starts_with("Kafka node ") && what.contains(" to Kafka node "), "{what}");
}

#[test]
fn what_is_done_to_an_order_to_see_it_found_is_found() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("tmp")).unwrap();
    let fault = "at = \"1500ms\"\ntarget = \"order\"\naction = \"loss\"\n[[fault]]\nat = \"2s\"\ntarget = \"order\"\naction = \"stale-view\"";
    std::fs::write(directory.path().join("mine.toml"), scenario(4, fault)).unwrap();
    let output = run(directory.path(), &["--configs", "1p1c"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let record = load_scenarios(&directory.path().join("report").join(SCENARIO_FILE)).unwrap();
    let trial = trials(&record).next().unwrap();
    let faults = &phase(trial).faults;
    assert_ne!(faults[0].what, faults[1].what, "each takes an order of its own");
    let findings = &trial.verification.findings;
    for fault in faults {
        assert!(findings.iter().any(|found| found.order_id == fault.what), "{findings:?}");
    }
}

#[test]
fn a_comparison_ends_each_trial_with_a_scenario() {
    let directory = tempfile::tempdir().unwrap();
    let fault = "at = \"1s\"\ntarget = \"consumer 0\"\naction = \"stop\"\nfor = \"1s\"";
    std::fs::write(directory.path().join("mine.toml"), scenario(4, fault)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
    command.args([
        "compare",
        "--scenario",
        "mine.toml",
        "--configs",
        "2p2c",
        "--rounds",
        "1",
        "--no-warm-up",
    ]);
    command.args(["--no-surge", "--out", "report"]);
    let output = command.current_dir(directory.path()).output().unwrap();
    let (printed, told) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(0), "{told}\n{printed}");
    let report = directory.path().join("report");
    let result = load(&report.join(RESULT_FILE)).unwrap();
    let scenario = result.scenario.unwrap();
    assert_eq!((scenario.name.as_str(), scenario.rate_per_s), ("mine", 150.0));
    for trial in result.configurations.iter().flat_map(|configuration| &configuration.trials) {
        let kinds: Vec<PhaseKind> = trial.phases.iter().map(|phase| phase.kind).collect();
        assert_eq!(kinds.last(), Some(&PhaseKind::Scenario), "it is the last: {kinds:?}");
        assert!(trial.phase(PhaseKind::Drain).is_some() && phase(trial).faults.len() == 1);
    }
    let printed = unwrapped(&printed);
    assert!(printed.contains("mine: Who waits?") && printed.contains("stop consumer 0"), "{printed}");
    assert!(!printed.contains("group-moved"), "that a group moves is what was asked for: {printed}");
    let page = std::fs::read_to_string(report.join("index.html")).unwrap();
    assert!(page.contains("Who waits?") && report.join("faults.png").exists());
    assert!(std::fs::read_to_string(report.join("summary.md")).unwrap().contains("## mine"));
}
