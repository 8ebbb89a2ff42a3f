//! What a scenario may say, and what is said of it where it may not.

use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    file::scenario(text, Path::new("scenarios/mine.toml"))
}

const LOAD: &str = "why = \"?\"\nexpect = \"!\"\nrate = \"30%\"\nlength = \"40s\"\n";
const FAULT: &str = "[[fault]]\nat = \"1s\"\ntarget = \"store\"\naction = \"kill\"\nfor = \"3s\"\n";

fn fault(lines: &str) -> Result<Scenario, ScenarioError> {
    parse(&format!("{LOAD}[[fault]]\n{lines}\n"))
}

/// The error of a file and its hint.
#[track_caller]
fn check(found: Result<Scenario, ScenarioError>, error: &str, hint: &str) {
    let found = found.expect_err("the file was accepted");
    assert_eq!((found.to_string().as_str(), found.hint().as_str()), (error, hint));
}

#[test]
fn each_that_comes_with_lanebench_can_be_read_and_says_what_it_is_for() {
    for scenario in included() {
        assert_eq!(find(&scenario.name).unwrap(), scenario);
        assert!(scenario.why.ends_with('?') && scenario.expect.ends_with('.'), "{}", scenario.name);
        assert!(!scenario.faults.is_empty(), "{}", scenario.name);
    }
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios")).unwrap();
    assert_eq!(files.count(), included().len(), "every file is listed");
}

#[test]
fn a_file_that_says_everything() {
    let scenario = parse(
        "why = \"Why?\"\nexpect = \"This.\"\nrate = 250\nlength = \"1m\"\n\
         [[fault]]\nat = \"20s\"\ntarget = \"leader 2\"\naction = \"pause\"\nfor = \"1500ms\"\n\
         [[fault]]\nat = \"10s\"\ntarget = \"consumer 1\"\naction = \"stop\"\nfor = \"9s\"\n",
    )
    .unwrap();
    assert_eq!(
        (scenario.name.as_str(), scenario.why.as_str(), scenario.expect.as_str()),
        ("mine", "Why?", "This.")
    );
    assert_eq!((scenario.rate, scenario.length), (Rate::PerSecond(250.0), Duration::from_secs(60)));
    let stop = Fault {
        at: Duration::from_secs(10),
        target: Target::Consumer(1),
        action: Action::Stop,
        lasts: Duration::from_secs(9),
    };
    let pause = Fault {
        at: Duration::from_secs(20),
        target: Target::Leader(2),
        action: Action::Pause,
        lasts: Duration::from_millis(1500),
    };
    assert_eq!(scenario.faults, [stop, pause], "by when they come");
    assert_eq!((scenario.needs_processes(), scenario.longest()), (true, Duration::from_secs(9)));
}

#[test]
fn where_a_consumer_breaks_each_is_a_process() {
    for (target, processes) in [("consumer 0", true), ("broker 1", false), ("store", false)] {
        let scenario = fault(&format!("at = \"1s\"\ntarget = \"{target}\"\naction = \"kill\"\nfor = \"8s\""));
        assert_eq!(scenario.unwrap().needs_processes(), processes, "{target}");
    }
}

#[test]
fn what_is_missing_or_mistyped() {
    check(
        parse("expect = \"!\""),
        "scenarios/mine.toml, line 1, column 1: `why` is missing",
        "add a line such as: why = \"A broker dies: who waits, and for how long?\"",
    );
    check(
        fault("at = \"1s\"\ntarget = \"store\"\nfor = \"3s\""),
        "scenarios/mine.toml, line 5, column 1: `action` is missing",
        "add a line such as: action = \"kill\"",
    );
    check(
        fault("at = \"1s\"\ntarget = \"store\"\naction = \"kil\"\nfor = \"3s\""),
        "scenarios/mine.toml, line 8, column 10: `action` is \"kil\", and there is no such action",
        "did you mean \"kill\"? Allowed: \"stop\", \"kill\", \"pause\", \"throttle\", \"disconnect\", \"cut\", \"refuse\", \"slow\", \"use-up\", \"demote\", \"fill\", \"move\"",
    );
    check(
        fault("at = \"1s\"\ntarget = \"brokr 1\"\naction = \"kill\"\nfor = \"3s\""),
        "scenarios/mine.toml, line 7, column 10: `target` is \"brokr 1\", and has to be something that there is",
        "write \"broker 1\", \"leader 0\", \"coordinator\", \"store\", \"view\", \"consumer 0\", \"topic\" or \"order\"",
    );
    check(
        parse(&format!("{LOAD}[fault]\nat = \"1s\"")),
        "scenarios/mine.toml, line 5, column 1: `fault` is a table, and has to be an array of tables, [[fault]]",
        "write [[fault]], in two brackets, once for each fault",
    );
    for target in ["broker 0", "broker", "broker x", "store 1", "consumer -1", "coordinator ", "leader"] {
        let found = fault(&format!("at = \"1s\"\ntarget = \"{target}\"\naction = \"kill\"\nfor = \"3s\""));
        assert!(matches!(found, Err(ScenarioError::Value { key: "target", .. })), "{target}: {found:?}");
    }
    for rate in ["\"0%\"", "\"301%\"", "\"30\"", "0", "-1", "2_000_000", "\"fast\""] {
        let found = parse(&LOAD.replace("\"30%\"", rate));
        assert!(matches!(found, Err(ScenarioError::Value { key: "rate", .. })), "{rate}: {found:?}");
    }
    let found = parse(&LOAD.replace("\"40s\"", "\"soon\""));
    assert!(matches!(found, Err(ScenarioError::Value { key: "length", .. })), "{found:?}");
}

#[test]
fn faults_that_cannot_be() {
    let of = |target: &str, action: &str, lasts: &str| {
        fault(&format!("at = \"1s\"\ntarget = \"{target}\"\naction = \"{action}\"\n{lasts}"))
    };
    check(
        of("store", "kill", ""),
        "scenarios/mine.toml, line 5, column 1: `for` is missing",
        "add a line such as: for = \"8s\"",
    );
    check(
        of("broker 2", "stop", "for = \"8s\""),
        "scenarios/mine.toml, line 5, column 1: only a consumer can be stopped; broker 2 can't",
        "write \"kill\" or \"pause\"",
    );
    check(
        of("consumer 0", "disconnect", "for = \"8s\""),
        "scenarios/mine.toml, line 5, column 1: consumer 0 is no container, and can't be cut off",
        "write \"stop\", \"kill\" or \"pause\"",
    );
    for (action, rest) in [("cut", ""), ("refuse", "for = \"8s\""), ("slow", "by = \"1s\"\nfor = \"8s\"")] {
        check(
            of("consumer 0", action, rest),
            "scenarios/mine.toml, line 5, column 1: consumer 0 is the end of its connections to brokers, store and view, which are named by those",
            "write target = \"leader 0\", \"store\" or \"view\"",
        );
    }
    check(
        of("broker 1", "move", ""),
        "scenarios/mine.toml, line 5, column 1: only a leader can be moved; broker 1 can't",
        "write target = \"leader 0\"",
    );
    check(
        of("view", "use-up", "for = \"8s\""),
        "scenarios/mine.toml, line 5, column 1: only connections of the store can be used up; view has none",
        "write target = \"store\"",
    );
    for (action, done) in [("demote", "demoted"), ("fill", "filled")] {
        check(
            of("leader 0", action, "for = \"8s\""),
            &format!("scenarios/mine.toml, line 5, column 1: only the view can be {done}; leader 0 can't"),
            "write target = \"view\"",
        );
    }
    check(
        of("consumer 0", "kill", "for = \"3m\""),
        "scenarios/mine.toml, line 5, column 1: consumer 0 can't be away for 180s",
        "write up to two minutes, such as for = \"8s\"",
    );
    check(
        fault("at = \"40s\"\ntarget = \"store\"\naction = \"kill\"\nfor = \"3s\""),
        "scenarios/mine.toml, line 5, column 1: this fault comes at 40s, and the load ends after 40s",
        "let it come earlier, or make `length` longer",
    );
    for length in ["0s", "11m"] {
        let found = parse(&LOAD.replace("40s", length));
        assert!(matches!(found, Err(ScenarioError::Impossible { .. })), "{length}: {found:?}");
    }
}

#[test]
fn what_passes_between_consumers_and_a_part_is_cut_refused_or_slowed() {
    let of = |action: &str, rest: &str| {
        fault(&format!("at = \"1s\"\ntarget = \"store\"\naction = \"{action}\"\n{rest}"))
    };
    let slow = of("slow", "by = \"200ms\"\nfor = \"8s\"").unwrap();
    assert_eq!(slow.faults[0].action, Action::Slow { by: Duration::from_millis(200) });
    assert_eq!((slow.faults[0].lasts, slow.needs_proxies()), (Duration::from_secs(8), true));
    assert!(of("refuse", "for = \"8s\"").unwrap().needs_proxies());
    let cut = of("cut", "").unwrap();
    assert_eq!((cut.faults[0].lasts, cut.needs_proxies()), (Duration::ZERO, true));
    assert!(!of("kill", "for = \"8s\"").unwrap().needs_proxies());
    check(
        of("cut", "for = \"8s\""),
        "scenarios/mine.toml, line 9, column 1: unknown key `for`",
        "allowed: \"at\", \"target\", \"action\"",
    );
    check(
        of("slow", "for = \"8s\""),
        "scenarios/mine.toml, line 5, column 1: `by` is missing",
        "add a line such as: by = \"200ms\"",
    );
    for by in ["0s", "61s"] {
        let found = of("slow", &format!("by = \"{by}\"\nfor = \"8s\""));
        let impossible = format!("scenarios/mine.toml, line 5, column 1: what passes can't come {by} later");
        check(found, &impossible, "write up to a minute, such as by = \"200ms\"");
    }
}

#[test]
fn an_order_is_done_something_to_at_once() {
    let of = |action: &str, rest: &str| {
        fault(&format!("at = \"1s\"\ntarget = \"order\"\naction = \"{action}\"\n{rest}"))
    };
    for action in ["poison", "duplicate", "reorder", "loss", "stale-view"] {
        let found = of(action, "").unwrap().faults[0];
        assert_eq!((found.target, found.action.as_str()), (Target::Order, action));
        assert!(found.action.at_once() && found.lasts.is_zero(), "{action}");
    }
    check(
        of("kill", "for = \"8s\""),
        "scenarios/mine.toml, line 8, column 10: `action` is \"kill\", and there is no such action",
        "allowed: \"poison\", \"duplicate\", \"reorder\", \"loss\", \"stale-view\"",
    );
    let beside = |target: &str| {
        let order = "at = \"2s\"\ntarget = \"order\"\naction = \"loss\"\n";
        parse(&format!("{LOAD}[[fault]]\n{order}{}", FAULT.replace("store", target)))
    };
    check(
        beside("store"),
        "scenarios/mine.toml, line 5, column 1: something is done to an order at 2s, and store is away then",
        "let it come a second before, or a second after it is back",
    );
    assert!(beside("consumer 0").is_ok());
    // There are many orders: another may be meant by each.
    let two = "at = \"1s\"\ntarget = \"order\"\naction = \"poison\"\n[[fault]]\nat = \"1s\"\ntarget = \"order\"\naction = \"loss\"";
    assert_eq!(fault(two).unwrap().faults.len(), 2);
}

#[test]
fn partitions_are_added_to_the_topic_once() {
    const ADD: &str = "at = \"1s\"\ntarget = \"topic\"\naction = \"add\"\npartitions = 2\n";
    let added = |noticed| Target::Topic(Added { partitions: 2, noticed });
    let found = fault(&format!("{ADD}noticed = \"500ms\"")).unwrap().faults[0];
    assert_eq!((found.target, found.action), (added(Some(Duration::from_millis(500))), Action::Add));
    assert_eq!((found.target.to_string(), found.lasts), ("topic".into(), Duration::ZERO));
    let found = fault(&ADD.replace("\"add\"", "\"drain-and-add\"")).unwrap().faults[0];
    assert_eq!((found.target, found.action), (added(None), Action::DrainAndAdd));
    check(
        fault(&ADD.replace("\"add\"", "\"kill\"")),
        "scenarios/mine.toml, line 8, column 10: `action` is \"kill\", and there is no such action",
        "allowed: \"add\", \"drain-and-add\"",
    );
    check(
        fault(&ADD.replace("topic", "store")),
        "scenarios/mine.toml, line 8, column 10: `action` is \"add\", and there is no such action",
        "allowed: \"stop\", \"kill\", \"pause\", \"throttle\", \"disconnect\", \"cut\", \"refuse\", \"slow\", \"use-up\", \"demote\", \"fill\", \"move\"",
    );
    check(
        fault(&format!("{ADD}for = \"3s\"")),
        "scenarios/mine.toml, line 10, column 1: unknown key `for`",
        "allowed: \"at\", \"target\", \"action\", \"partitions\", \"noticed\"",
    );
    check(
        fault(&ADD.replace("= 2", "= 51")),
        "scenarios/mine.toml, line 9, column 14: `partitions` is \"51\", and has to be from 1 to 50",
        "write partitions = 2, for one",
    );
    check(
        fault(&format!("{ADD}noticed = \"3m\"")),
        "scenarios/mine.toml, line 5, column 1: consumers can't look at the topic every 180s",
        "write up to two minutes, such as noticed = \"2s\"",
    );
    check(
        fault(&format!("{ADD}[[fault]]\n{}", ADD.replace("1s", "9s"))),
        "scenarios/mine.toml, line 10, column 1: partitions are added twice",
        "add all of them at once",
    );
    let beside = |target: &str| parse(&format!("{LOAD}[[fault]]\n{ADD}{}", FAULT.replace("store", target)));
    check(
        beside("leader 0"),
        "scenarios/mine.toml, line 5, column 1: partitions are added at 1s, and leader 0 is away then",
        "let them be added a second before a broker goes, or a second after it is back",
    );
    assert!(beside("store").is_ok());
    check(
        parse(&format!("{LOAD}[[fault]]\n{ADD}noticed = \"1s\"\n{}", FAULT.replace("store", "consumer 0"))),
        "scenarios/mine.toml, line 5, column 1: `noticed` is for consumers in one process, and where one of them breaks each is a \
         process of its own",
        "leave `noticed` out, or the fault of a consumer",
    );
}

#[test]
fn a_scenario_offers_something_and_breaks_something() {
    check(
        parse(LOAD),
        "scenarios/mine.toml, line 1, column 1: `fault` is missing",
        "add what breaks: [[fault]], and below it at, target, action and for",
    );
    check(
        parse(&format!("{}{FAULT}", LOAD.replace("\"30%\"", "2"))),
        "scenarios/mine.toml, line 4, column 10: 2 events a second are fewer than 100 in 40s",
        "raise `rate` or `length`",
    );
    assert!(parse(&format!("{}{FAULT}", LOAD.replace("\"30%\"", "2.5"))).is_ok());
}

#[test]
fn what_is_away_does_not_break_again() {
    // The first from 1 s to 4 s.
    let met = |target: &str, at: &str, other: &str| {
        let first = FAULT.replace("store", target);
        let second = FAULT.replace("store", other).replace("1s", at);
        parse(&format!("{LOAD}{second}{first}"))
    };
    check(
        met("consumer 0", "2s", "consumer 0"),
        "scenarios/mine.toml, line 5, column 1: consumer 0 may break again at 2s, and consumer 0 is away until 4s",
        "let the later fault begin a second after the earlier one has ended, or leave one out",
    );
    for (target, at, other, meets) in [
        ("store", "4s", "store", true),
        ("store", "5s", "store", false),
        ("store", "2s", "view", false),
        ("consumer 0", "2s", "consumer 1", false),
        ("broker 1", "2s", "broker 2", false),
        ("broker 1", "2s", "leader 0", true),
        ("coordinator", "2s", "broker 3", true),
        ("leader 0", "2s", "leader 1", true),
        ("leader 0", "2s", "consumer 0", false),
    ] {
        assert_eq!(met(target, at, other).is_err(), meets, "{target}, then {other} at {at}");
    }
}

#[test]
fn one_is_found_by_name_or_by_path() {
    check(
        find("consumer-kiled"),
        "there is no scenario `consumer-kiled`: it is no file, and none that comes with lanebench",
        "did you mean `consumer-killed`? `lanebench run --list` shows those that come with lanebench",
    );
    check(
        find("no/such.toml"),
        "there is no file no/such.toml",
        "check the path; `lanebench run --list` shows those that come with lanebench",
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/view-emptied.toml");
    assert_eq!(find(path).unwrap(), find("view-emptied").unwrap());
}
