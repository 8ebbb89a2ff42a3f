//! Bad input, tried as a user would: a clear error with a hint, the right exit code, in time, and nothing left.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(15);

/// What needs Java, Kafka, PostgreSQL and Redis installed.
const NATIVE: &[&str] = &["compare", "--stack", "native"];

struct Case {
    command: Command,
    /// Its temporary directory, which must be empty afterwards.
    temp: tempfile::TempDir,
}

fn lanebench(arguments: &[&str]) -> Case {
    let temp = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
    for variable in ["LANEBENCH_BOOTSTRAP", "LANEBENCH_DATABASE_URL", "LANEBENCH_REDIS_URL"] {
        command.env_remove(variable);
    }
    command.args(arguments).env("TMPDIR", temp.path()).current_dir(temp.path());
    Case { command, temp }
}

impl Case {
    fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it and checks what every refusal has in common.
    #[track_caller]
    fn refused(mut self, exit: i32, says: &[&str]) -> Output {
        let begun = Instant::now();
        let output = self.command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(begun.elapsed() < WITHIN, "it took {:?}: {told}", begun.elapsed());
        assert_eq!(output.status.code(), Some(exit), "{told}");
        assert!(output.stdout.is_empty(), "stdout is for data");
        for part in says {
            assert!(told.contains(part), "`{part}` is not in: {told}");
        }
        let left: Vec<_> = std::fs::read_dir(self.temp.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        output
    }
}

#[test]
fn usage_errors_exit_with_2() {
    lanebench(&["compare", "--stack", "nativ"]).refused(2, &["nativ", "a similar value exists: 'native'"]);
    lanebench(&["compare", "--objective", "0s"]).refused(2, &["can't be kept", "--objective 50ms"]);
    lanebench(&["compare", "--objective", "5ms", "--quick"]).refused(2, &["cannot be used with"]);
    lanebench(&["compare", "--round", "3"]).refused(2, &["--round", "--rounds"]);
    lanebench(&["compare", "--configs", "0p1c"]).refused(2, &["no partitions"]);
    lanebench(&["compare", "--configs", "1p0c"]).refused(2, &["no consumers"]);
    lanebench(&["compare", "--configs", "three"]).refused(2, &["of the form 3p3c"]);
    lanebench(&["compare", "--configs", "1p1c,1p1c"]).refused(2, &["named twice", "hint: "]);
    lanebench(&["compare", "--configs", "1p1c,1p1c-record"]).refused(2, &["1p1c is named twice", "hint: "]);
    lanebench(&["run", "consumer-killed", "--configs", "1p1c-bulk"])
        .refused(2, &["`1p1c-bulk`: `bulk` is no mode; there are record"]);
    lanebench(&["worker", "--mode", "bulk"]).refused(2, &["`bulk` is no mode"]);
    lanebench(&["compare", "--rate", "0"]).refused(2, &["above 0"]);
    lanebench(&["compare", "--rate", "fast"]).refused(2, &["not a rate"]);
    lanebench(&["compare", "--vary", "nodes=1,3"]).refused(2, &["`nodes` can't be varied", "replication"]);
    lanebench(&["compare", "--vary", "replication=1", "--vary", "service-time=0s"])
        .refused(2, &["`--vary` was given replication and service-time", "hint: ", "one flag at a time"]);
    lanebench(&["compare", "--vary", "replication=1,1"])
        .refused(2, &["names 1p1c-replication1 twice", "hint: "]);
    lanebench(&["compare", "--vary", "replication=3"]).refused(2, &["3 replicas need 3 nodes", "hint: "]);
    lanebench(&["compare", "--quick", "--rounds", "3"]).refused(2, &["--quick", "--rounds"]);
    lanebench(&["compare", "--duration", "5 parsecs"]).refused(2, &["write it like 5s"]);
    lanebench(&["compare", "--keys", "zipf"]).refused(2, &["zipf"]);
    lanebench(&["compare", "--nodes", "2"]).refused(2, &["1 node or 3"]);
    lanebench(&["compare", "--replication", "3"])
        .refused(2, &["3 replicas need 3 nodes", "hint: raise `--nodes`"]);
    lanebench(&["compare", "--stack", "external"]).refused(2, &["--bootstrap", "LANEBENCH_BOOTSTRAP"]);
    lanebench(&["compare", "--redis-port", "6379"])
        .refused(2, &["`--redis-port` is for the native stack", "hint: ", "--stack native"]);
    lanebench(&["compare", "--broker-jit", "tiered"])
        .refused(2, &["`--broker-jit` is for the native stack", "hint: ", "--stack native"]);
    lanebench(&["compare", "--stack", "native", "--broker-jit", "c3"]).refused(2, &["c1", "tiered"]);
    lanebench(&["run", "consumer-killed", "--broker-session", "3s"])
        .refused(2, &["`--broker-session` is for the native stack", "hint: ", "--stack native"]);
    lanebench(&["compare", "--stack", "native", "--broker-session", "5m"]).refused(2, &["1s to 60s"]);
    lanebench(&["stack", "up", "--stack", "embedded"]).refused(2, &["not one to hold up", "hint: "]);
    lanebench(&["compare", "--throttle", "store"]).refused(2, &["PostgreSQL's processes", "--stack native"]);
    lanebench(&["compare", "--worker-cmd", " "]).refused(2, &["`--worker-cmd` is empty", "hint: "]);
    lanebench(&["compare", "--worker", "process", "--worker-cmd", "x"]).refused(2, &["cannot be used with"]);
    lanebench(&["compare", "--worker", "process", "--throttle", "worker"])
        .refused(2, &["a process", "hint: "]);
    lanebench(&["compare", "--worker-cmd", "x", "--service-time", "2ms"])
        .refused(2, &["`--service-time`", "hint: "]);
    lanebench(&["compare", "--service-time", "5-2ms"])
        .refused(2, &["--service-time", "`5-2ms` has a shortest call above its longest", "like 0-5ms"]);
    lanebench(&["conpare"]).refused(2, &["compare"]);
}

/// Names and secrets of an external stack that can't be, or are given twice.
#[test]
fn an_external_stack_is_given_once_and_under_a_plain_name() {
    lanebench(&["compare", "--prefix", "mine"])
        .refused(2, &["`--prefix` is for the external stack", "hint: ", "--stack external"]);
    for prefix in ["Mine", "a.b", "pg", "a*"] {
        lanebench(&["compare", "--stack", "external", "--prefix", prefix]).refused(2, &["a prefix has"]);
    }
    let external = ["compare", "--stack", "external", "--bootstrap", "127.0.0.1:1"];
    lanebench(&external)
        .env("LANEBENCH_DATABASE_URL", "postgres://user@127.0.0.1:1/db")
        .env("LANEBENCH_DATABASE_URL_FILE", "/nowhere")
        .refused(2, &["LANEBENCH_DATABASE_URL", "a file for it as well", "hint: "]);
    lanebench(&external)
        .env("LANEBENCH_DATABASE_URL_FILE", "/nowhere/url")
        .refused(2, &["/nowhere/url", "No such file", "hint: "]);
    let output = lanebench(&external)
        .env("LANEBENCH_DATABASE_URL", "postgres://user:s3cret@127.0.0.1:1/db")
        .env("LANEBENCH_DATABASE_PASSWORD", "other-s3cret")
        .refused(2, &["LANEBENCH_DATABASE_PASSWORD", "has a password as well", "hint: "]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("s3cret"));
    lanebench(&external)
        .env("LANEBENCH_DATABASE_URL", "postgres://user@127.0.0.1:1/db")
        .env("LANEBENCH_REDIS_URL", "")
        .refused(2, &["the external stack needs --redis-url", "LANEBENCH_REDIS_URL"]);
}

/// Nothing listens there; a listener that never answers must be bounded as well.
#[test]
fn brokers_that_do_not_answer_are_named() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap().to_string();
    for bootstrap in ["127.0.0.1:1", address.as_str()] {
        lanebench(&["compare", "--stack", "external", "--bootstrap", bootstrap])
            .env("LANEBENCH_DATABASE_URL", "postgres://user:s3cret@127.0.0.1:1/db")
            .env("LANEBENCH_REDIS_URL", "redis://127.0.0.1:1")
            .refused(1, &["error: ", "127.0.0.1", "hint: "]);
    }
}

#[cfg(feature = "containers")]
#[test]
fn a_docker_daemon_that_does_not_answer_is_said() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", mute.local_addr().unwrap());
    for host in ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:1", &address] {
        lanebench(&["compare", "--stack", "containers"])
            .env("DOCKER_HOST", host)
            .refused(1, &["no Docker daemon answered", host, "hint: ", "DOCKER_HOST"]);
    }
    lanebench(&["compare", "--stack", "containers"])
        .env("DOCKER_HOST", "tcp://docker.example:2375")
        .refused(1, &["another machine", "hint: ", "--stack external"]);
}

#[cfg(not(feature = "containers"))]
#[test]
fn without_the_feature_the_stack_of_containers_says_so() {
    for arguments in
        [["compare", "--stack", "containers"].as_slice(), &["stack", "up", "--stack", "containers"]]
    {
        lanebench(arguments)
            .refused(1, &["cargo feature `containers`", "hint: ", "--features lanebench/containers"]);
    }
}

#[test]
fn a_worker_that_cannot_run_is_said_with_its_log() {
    lanebench(&["compare", "--worker-cmd", "no-such-worker --now"])
        .refused(1, &["1p1c: the worker ended", "no-such-worker", "hint: ", "docs/worker.md"]);
    lanebench(&["compare", "--worker-cmd", "false"]).refused(1, &["exit status: 1", "its log is empty"]);
}

#[test]
fn a_password_is_never_printed() {
    let output = lanebench(&["compare", "--stack", "external", "--bootstrap", "127.0.0.1:1"])
        .env("LANEBENCH_DATABASE_URL", "postgres://user:s3cret@127.0.0.1:1/db")
        .env("LANEBENCH_REDIS_URL", "redis://:s3cret@127.0.0.1:1")
        .env("LANEBENCH_LOG", "trace")
        .refused(1, &["error: "]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("s3cret"));
}

#[test]
fn a_taken_port_is_said_before_anything_starts() {
    if !can_start() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--kafka-port", "--postgres-port", "--redis-port"] {
        lanebench(&["compare", "--stack", "native", flag, &port]).refused(1, &[&port, flag, "hint: "]);
    }
}

/// A PATH on which only the named programs are found, for what is installed.
fn path_with(programs: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for program in programs {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|bin| bin.join(program))
            .find(|candidate| candidate.exists());
        if let Some(found) = found {
            std::os::unix::fs::symlink(found, directory.path().join(program)).unwrap();
        }
    }
    directory
}

/// Whether the native stack is installed here; says loudly what is left out if it is not.
fn can_start() -> bool {
    let check = Command::new(env!("CARGO_BIN_EXE_lanebench")).args(["stack", "check"]).output().unwrap();
    let ready = check.status.success();
    if !ready {
        assert!(std::env::var_os("LANEBENCH_REQUIRE_REAL").is_none(), "the native stack is not installed");
        eprintln!("LEFT OUT: the native stack is not installed; `ci/setup` does it");
    }
    ready
}

#[test]
fn what_is_missing_is_named_with_the_command_that_installs_it() {
    let no_java = path_with(&["redis-server", "initdb", "postgres"]);
    lanebench(NATIVE)
        .env("PATH", no_java.path())
        .env("JAVA_HOME", "")
        .refused(1, &["no `java`", "hint: ", "default-jdk-headless"]);

    if !can_start() {
        return;
    }
    let empty = tempfile::tempdir().unwrap();
    lanebench(NATIVE).env("KAFKA_HOME", empty.path()).refused(1, &["no jars", "KAFKA_HOME", "hint: "]);
    let no_redis = path_with(&["java", "initdb", "postgres"]);
    lanebench(NATIVE)
        .env("PATH", no_redis.path())
        .refused(1, &["no `redis-server`", "hint: ", "redis-server"]);
}

/// Debian's directory of PostgreSQL is looked at beside PATH, so it is hidden in a mount namespace, which root may make.
#[test]
fn a_missing_postgresql_is_named() {
    if !can_start() {
        return;
    }
    let hide = "mount -t tmpfs none /usr/lib/postgresql && exec \"$@\"";
    let may = Command::new("unshare").args(["--mount", "sh", "-c", hide, "sh", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        eprintln!("LEFT OUT: only root may hide PostgreSQL from a program");
        return;
    }
    let mut case = lanebench(NATIVE);
    let mut hidden = Command::new("unshare");
    hidden.args(["--mount", "sh", "-c", hide, "sh", env!("CARGO_BIN_EXE_lanebench")]);
    hidden.args(NATIVE);
    hidden.env("TMPDIR", case.temp.path()).current_dir(case.temp.path());
    case.command = hidden;
    case.refused(1, &["no PostgreSQL server", "hint: ", "apt-get install postgresql"]);
}

#[test]
fn a_report_that_cannot_be_written_is_said_before_anything_starts() {
    lanebench(&["compare", "--out", "/proc/nowhere/report"]).refused(1, &["/proc/nowhere", "hint: "]);
    let taken = tempfile::tempdir().unwrap();
    std::fs::write(taken.path().join("result.json"), "{}").unwrap();
    let out = taken.path().to_string_lossy().into_owned();
    lanebench(&["compare", "--out", &out]).refused(1, &["hint: "]);
    assert!(Path::new(&out).join("result.json").exists(), "an earlier result is never overwritten");
}

#[test]
fn a_scenario_that_cannot_be_run_is_refused_before_anything_starts() {
    lanebench(&["run"]).refused(2, &["SCENARIO"]);
    lanebench(&["run", "consumer-kiled"]).refused(2, &["did you mean `consumer-killed`?"]);
    lanebench(&["run", "no/such.toml"]).refused(2, &["there is no file no/such.toml", "hint: "]);
    lanebench(&["run", "store-restarted"]).refused(2, &["store", "the embedded stack", "--stack native"]);
    lanebench(&["run", "broker-cut-off"]).refused(2, &["wants to disconnect leader 0", "hint: "]);
    lanebench(&["run", "broker-cut-off", "--stack", "native", "--nodes", "3"])
        .refused(2, &["wants to disconnect leader 0", "hint: choose `--stack containers`, which can"]);
    lanebench(&["run", "connections-cut"]).refused(
        2,
        &["wants to cut store", "the embedded stack", "hint: choose `--stack native`, which can"],
    );
    lanebench(&["run", "leader-moved"]).refused(2, &["moves the leader of partition 0", "--nodes 3"]);
    lanebench(&["run", "leader-moved", "--stack", "native", "--nodes", "3"])
        .refused(2, &["wants to move leader 0", "hint: choose `--stack embedded`, which can"]);
    lanebench(&["run", "store-used-up"])
        .refused(2, &["wants to use-up store", "the embedded stack can't do"]);
    lanebench(&["run", "view-full"]).refused(2, &["wants to fill view", "the embedded stack"]);
    lanebench(&["run", "consumer-killed", "--configs", "1p1c,1p1c"]).refused(2, &["named twice"]);
    lanebench(&["run", "consumer-killed", "--trials", "0"]).refused(2, &["--trials"]);
    let file = tempfile::tempdir().unwrap();
    let mine = file.path().join("mine.toml");
    let load = "why = \"?\"\nexpect = \"!\"\nrate = 100\nlength = \"5s\"\n[[fault]]\nat = \"1s\"\n";
    let says = |fault: &str, says: &[&str]| {
        std::fs::write(&mine, format!("{load}{fault}")).unwrap();
        lanebench(&["run", mine.to_str().unwrap()]).refused(2, says);
    };
    says("target = \"consumer 1\"\naction = \"stop\"\nfor = \"1s\"", &["breaks consumer 1", "1p1c"]);
    says("target = \"broker 2\"\naction = \"pause\"\nfor = \"1s\"", &["breaks broker 2", "has 1"]);
    let compare = |flags: &[&str], says: &[&str]| {
        lanebench(&[&["compare", "--scenario"], flags].concat()).refused(2, says);
    };
    compare(&["consumer-kiled"], &["did you mean `consumer-killed`?"]);
    compare(
        &["store-frozen"],
        &["wants to pause store", "hint: choose `--stack native` or `--stack containers`"],
    );
    compare(&["consumer-killed", "--worker-cmd", "true"], &["breaks one of our consumers", "hint: "]);
    compare(&["consumer-killed", "--throttle", "worker"], &["--throttle <THROTTLE>"]);
    compare(&["broker-killed", "--stack", "native", "--nodes", "3"], &["are cold when", "lanebench run"]);
    compare(&["poison-message", "--through", "api"], &["`--through api`", "hint: "]);
    compare(&["partitions-added", "--worker", "process"], &["`noticed`", "hint: "]);
    says("target = \"leader 1\"\naction = \"pause\"\nfor = \"1s\"", &["partition 1"]);
    says(
        "target = \"brocker 1\"\naction = \"pause\"\nfor = \"1s\"",
        &["mine.toml, line 7, column 10", "hint: "],
    );
}
