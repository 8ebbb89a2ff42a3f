//! No output has the secret: whole commands, succeeding and failing, with logs at their loudest, and everything that they
//! print, write and start.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};

use super::{At, SECRET, SECRET_BEGINS, SECRET_ENCODED, SHORT, bare, ledger, login, redis, sql};
use crate::Case;
use crate::bed::{Bed, check, until};
use crate::tools::{shown, signal};

pub(super) const CASES: &[Case] = &[
    ("external: no comparison has a secret in what it prints, writes or starts", compares),
    ("external: no failure has a secret in it", fails),
    ("external: no worker prints a secret", workers),
];

pub(super) const NIGHTLY: &[Case] = &[
    ("external: no gate and no check has a secret in what it prints, writes or starts", gates),
    ("external: a password apart from its URL works, and is in nothing either", apart_works),
];

fn compares(bed: &Bed) -> Result<(), Failed> {
    secretive(bed, "compares", async |at, scratch| comparing(at, scratch).await)
}

fn gates(bed: &Bed) -> Result<(), Failed> {
    secretive(bed, "gates", async |at, scratch| gating(at, scratch).await)
}

fn fails(bed: &Bed) -> Result<(), Failed> {
    secretive(bed, "fails", async |at, scratch| failing(at, scratch).await)
}

fn apart_works(bed: &Bed) -> Result<(), Failed> {
    secretive(bed, "apart", async |at, scratch| apart(at, scratch).await)
}

fn workers(bed: &Bed) -> Result<(), Failed> {
    secretive(bed, "workers", async |at, _| worker(bed, at, "workers").await)
}

/// Runs a test as users whose password is the secret, at both servers.
fn secretive(
    bed: &Bed,
    user: &str,
    test: impl AsyncFnOnce(&At, &Path) -> Result<(), Failed>,
) -> Result<(), Failed> {
    bed.run(async {
        let make = format!("CREATE ROLE {user} LOGIN PASSWORD '{SECRET}'");
        sql(bed, &[&make, &format!("GRANT CREATE ON DATABASE postgres TO {user}")]).await?;
        redis(bed, &format!("ACL SETUSER {user} on >{SECRET} ~* +@all")).await?;
        let shared = At::shared(bed);
        let at = shared.database(&login(&shared.database_url, user, SECRET_ENCODED)).redis(&login(
            &shared.redis_url,
            user,
            SECRET_ENCODED,
        ));
        let scratch = tempfile::tempdir()?;
        let tested = test(&at, scratch.path()).await;
        sql(bed, &[&format!("REVOKE CREATE ON DATABASE postgres FROM {user}"), &format!("DROP ROLE {user}")])
            .await?;
        redis(bed, &format!("ACL DELUSER {user}")).await?;
        tested
    })
}

/// `compare` with workers as processes; URLs by environment and by flag.
async fn comparing(at: &At, scratch: &Path) -> Result<(), Failed> {
    let compare = |name: &str| {
        let mut command = at.lanebench(&["compare", "--worker", "process", "--format", "json"]);
        command
            .arg("--out")
            .arg(scratch.join(name))
            .args(["--drain-events", "300"])
            .args(SHORT)
            .env("LANEBENCH_LOG", "trace");
        command
    };
    let mut flags = compare("flags");
    flags.env_remove("LANEBENCH_DATABASE_URL").env_remove("LANEBENCH_REDIS_URL");
    flags.args(["--database-url", &at.database_url]).arg(format!("--redis-url={}", at.redis_url));
    // At the same time, as two users might.
    let (environment, flags) = tokio::join!(watched(compare("environment")), watched(flags));
    let (output, started) = environment?;
    clean(&output, 0, &scratch.join("environment"))?;
    check(started.iter().any(|line| line.contains("lanebench worker")), format!("no worker in {started:?}"))?;
    let (output, _) = flags?;
    clean(&output, 0, &scratch.join("flags"))?;
    let result = std::fs::read_to_string(scratch.join("flags/result.json"))?;
    check(
        result.contains("--database-url 'postgres://compares:***@"),
        "the command line should show the rest",
    )?;

    Ok(())
}

/// `gate`, whose workers are processes always, and `stack check`.
async fn gating(at: &At, scratch: &Path) -> Result<(), Failed> {
    let mut gate = at.lanebench(&[
        "gate",
        "--config",
        "1p1c",
        "--drain-events",
        "300",
        "--time-limit",
        "1s",
        "--format",
        "json",
    ]);
    gate.arg("--baseline-bin").arg(env!("CARGO_BIN_EXE_lanebench")).env("LANEBENCH_LOG", "trace");
    let (output, _) = watched(gate.arg("--out").arg(scratch.join("gate")).current_dir(scratch)).await?;
    clean(&output, 5, &scratch.join("gate"))?;

    for format in ["text", "json"] {
        let mut check = at.lanebench(&["stack", "check", "--format", format]);
        clean(&check.env("LANEBENCH_LOG", "trace").output().await?, 0, scratch)?;
    }
    Ok(())
}

/// A worker that ends at once and tells its environment; servers that refuse; words that clap refuses; a misspelt parameter.
async fn failing(at: &At, scratch: &Path) -> Result<(), Failed> {
    let tells = "sh -c 'env; echo at $LANEBENCH_DATABASE_URL; exit 1'";
    for (name, command) in [("worker", "--worker-cmd"), ("baseline", "--baseline-cmd")] {
        let mut failing = if name == "worker" {
            let mut compare = at.lanebench(&["compare", command, tells]);
            compare.args(["--drain-events", "300"]).args(SHORT);
            compare
        } else {
            at.lanebench(&["gate", command, tells, "--worker-cmd", tells])
        };
        failing.env("LANEBENCH_LOG", "trace").arg("--out").arg(scratch.join(name));
        let output = failing.output().await?;
        clean(&output, 1, &scratch.join(name))?;
        let told = shown(&output);
        check(told.contains("at postgres://fails:***@"), format!("its log should be shown: {told}"))?;
    }
    // Where nothing is named, a report would go to the working directory.
    let ends = async |mut command: Command, exit: i32| -> Result<(), Failed> {
        clean(&command.env("LANEBENCH_LOG", "trace").current_dir(scratch).output().await?, exit, scratch)
    };
    let wrong = at.database(&login(&at.database_url, "nobody", SECRET_ENCODED));
    ends(wrong.lanebench(&["compare"]), 1).await?;
    let wrong = at.redis(&login(&at.redis_url, "nobody", SECRET_ENCODED));
    ends(wrong.lanebench(&["gate", "--baseline-cmd", "x"]), 1).await?;
    let closed = at.redis(&format!("redis://:{SECRET_ENCODED}@127.0.0.1:1"));
    ends(closed.lanebench(&["stack", "check"]), 1).await?;
    let broken = at.database(&format!("postgres://app:{SECRET}@db:port/pay"));
    ends(broken.lanebench(&["compare"]), 1).await?;
    let misspelt = at.database(&format!("{}?passwrod={SECRET_ENCODED}", at.database_url));
    ends(misspelt.lanebench(&["stack", "check"]), 0).await?;
    let url = at.database_url.as_str();
    ends(bare(&["compare", url]), 2).await?;
    ends(bare(&["compare", &format!("--databse-url={url}")]), 2).await?;
    let mut both = at.lanebench(&["compare"]);
    both.env("LANEBENCH_DATABASE_PASSWORD", SECRET);
    ends(both, 2).await
}

/// The password apart from the URL, by environment and by files, and what is given twice.
async fn apart(at: &At, scratch: &Path) -> Result<(), Failed> {
    let without = |url: &str| url.replace(&format!(":{SECRET_ENCODED}@"), "@");
    let bare_at = at.database(&without(&at.database_url)).redis(&without(&at.redis_url));
    let file = scratch.join("password");
    std::fs::write(&file, format!("{SECRET}\n"))?;

    let mut check_stack = bare_at.lanebench(&["stack", "check"]);
    check_stack.env("LANEBENCH_DATABASE_PASSWORD", SECRET).env("LANEBENCH_REDIS_PASSWORD_FILE", &file);
    let output = check_stack.output().await?;
    clean(&output, 0, &scratch.join("none"))?;
    // umask leaves it readable by all, in most places.
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
    let output = check_stack.output().await?;
    clean(&output, 0, &scratch.join("none"))?;
    check(shown(&output).contains("chmod 600"), shown(&output))?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    let output = check_stack.output().await?;
    check(!shown(&output).contains("warning"), shown(&output))?;

    // Whole, with workers that must not take the parts for a second way.
    let mut compare = bare_at.lanebench(&["compare", "--worker", "process", "--quiet"]);
    compare
        .arg("--out")
        .arg(scratch.join("apart"))
        .args(["--drain-events", "300"])
        .args(SHORT)
        .env("LANEBENCH_LOG", "trace");
    compare.env("LANEBENCH_DATABASE_PASSWORD_FILE", &file).env("LANEBENCH_REDIS_PASSWORD", SECRET);
    let (output, _) = watched(compare).await?;
    clean(&output, 0, &scratch.join("apart"))?;

    let url_file = scratch.join("url");
    std::fs::write(&url_file, &at.database_url)?;
    let mut by_file = at.lanebench(&["stack", "check"]);
    by_file.env("LANEBENCH_DATABASE_URL_FILE", &url_file);
    clean(&by_file.output().await?, 2, &scratch.join("none"))?;
    by_file.env_remove("LANEBENCH_DATABASE_URL");
    clean(&by_file.output().await?, 0, &scratch.join("none"))?;
    std::fs::remove_file(url_file)?;
    Ok(std::fs::remove_file(file)?)
}

/// One that works until it is told to stop.
async fn worker(bed: &Bed, at: &At, user: &str) -> Result<(), Failed> {
    let field = bed.field(1).await?;
    sql(
        bed,
        &[
            &format!("GRANT ALL ON SCHEMA {} TO {user}", field.schema()),
            &format!("GRANT ALL ON ALL TABLES IN SCHEMA {} TO {user}", field.schema()),
        ],
    )
    .await?;
    let mut worker =
        bare(&["worker", "--topic", &field.topic, "--group", &field.group, "--schema", field.schema()]);
    worker
        .env("LANEBENCH_BOOTSTRAP", &at.bootstrap)
        .env("LANEBENCH_DATABASE_URL", &at.database_url)
        .env("LANEBENCH_REDIS_URL", &at.redis_url)
        .env("LANEBENCH_LOG", "trace");
    let child = worker.spawn()?;
    field.produce(20, 1..=2).await?;
    field.worked_off(Duration::from_secs(60)).await?;
    signal(&child, Signal::SIGTERM)?;
    let output = child.wait_with_output().await?;
    clean(&output, 0, Path::new("/nowhere"))?;
    sql(
        bed,
        &[
            &format!("REVOKE ALL ON SCHEMA {} FROM {user}", field.schema()),
            &format!("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {user}", field.schema()),
        ],
    )
    .await
}

/// Runs it to its end, and the command lines of all that it starts; none of them has the secret.
async fn watched(
    mut command: impl std::borrow::BorrowMut<Command>,
) -> Result<(Output, BTreeSet<String>), Failed> {
    let child = command.borrow_mut().spawn()?;
    let root = child.id().ok_or("it has ended")?;
    let mut started = BTreeSet::new();
    let (output, watched) = tokio::join!(ended(child), async {
        until(Duration::from_secs(170), "it does not end", async || {
            let seen = descendants(root);
            started.extend(seen);
            Ok(!Path::new(&format!("/proc/{root}/stat")).exists())
        })
        .await
    });
    watched?;
    let told: Vec<_> = started.iter().filter(|line| line.contains(SECRET_BEGINS)).collect();
    check(told.is_empty(), format!("`ps` shows it: {told:?}"))?;
    Ok((output?, started))
}

async fn ended(child: Child) -> Result<Output, Failed> {
    Ok(child.wait_with_output().await?)
}

/// The command lines of the processes that `root` started, and those started.
fn descendants(root: u32) -> Vec<String> {
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for task in std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                parents.push(child);
                let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
                found.push(String::from_utf8_lossy(&line).replace('\0', " "));
            }
        }
    }
    found
}

/// Fails unless it ended so, and neither its streams nor any file under `out` has the secret, raw or encoded.
fn clean(output: &Output, exit: i32, out: &Path) -> Result<(), Failed> {
    let told = shown(output);
    let end = &told[told.floor_char_boundary(told.len().saturating_sub(2000))..];
    check(
        output.status.code() == Some(exit),
        format!("exit {exit} was expected, not {:?}: {end}", output.status),
    )?;
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        check(!has_secret(bytes), format!("the secret is on {name}: {}", around(bytes)))?;
    }
    ledger::command(output.stdout.len() + output.stderr.len())?;
    let mut left = vec![out.to_path_buf()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                std::fs::read_dir(&path)?
                    .map(|entry| entry.map(|e| e.path()))
                    .collect::<Result<Vec<_>, _>>()?,
            );
        } else if path.is_file() {
            check(!has_secret(&std::fs::read(&path)?), format!("the secret is in {}", path.display()))?;
            ledger::file(&path)?;
        }
    }
    Ok(())
}

fn has_secret(bytes: &[u8]) -> bool {
    let secret = SECRET_BEGINS.as_bytes();
    bytes.windows(secret.len()).any(|window| window == secret)
}

/// The line that has it.
fn around(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().find(|line| line.contains(SECRET_BEGINS)).unwrap_or_default().chars().take(600).collect()
}
