//! Runs on the stack: as on any other, with what it is said to consist of.

use lanebench::record::file::{self, RESULT_FILE};
use libtest_mimic::Failed;

use crate::Case;
use crate::bed::{Belongings, Runs, check, lanebench, shown};

pub(crate) const CASES: &[Case] =
    &[("compare on one node holds and leaves nothing", one), ("compare on three nodes does, too", three)];

fn one() -> Result<(), Failed> {
    compare(1)
}

fn three() -> Result<(), Failed> {
    compare(3)
}

fn compare(nodes: usize) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let flags = format!(
        "compare --stack containers --nodes {nodes} --rounds 1 --drain-events 500 --duration 1s --rate 100 --no-surge --no-warm-up --out report"
    );
    let runs = Runs::spawn(lanebench(directory.path(), &flags))?;
    let pid = runs.pid();
    let ended = runs.ends()?;
    check(ended.status.code() == Some(0), shown(&ended))?;
    Belongings::gone(pid, &[])?;

    let result = file::load(&directory.path().join("report").join(RESULT_FILE))?;
    check(result.passed && result.complete, "the result is whole")?;
    let stack = &result.stack;
    check(stack.name == "containers" && stack.kafka.nodes == nodes, format!("{stack:?}"))?;
    check(usize::try_from(stack.kafka.replication) == Ok(nodes), format!("{:?}", stack.kafka))?;
    let versions = [&stack.kafka.version, &stack.store.version, &stack.view.version];
    check(
        versions.iter().all(|version| version.starts_with(|c: char| c.is_ascii_digit())),
        format!("{stack:?}"),
    )?;
    check(stack.store.settings["fsync"] == "on", format!("{:?}", stack.store))?;
    check(stack.store.settings.contains_key("image"), format!("{:?}", stack.store))?;
    let measured: Vec<&str> = result.configurations[0].trials[0].phases[0]
        .resources
        .iter()
        .map(|resource| resource.name.as_str())
        .collect();
    for component in ["kafka", "postgresql", "redis"] {
        check(measured.contains(&component), format!("{component} is not among {measured:?}"))?;
    }
    Ok(())
}
