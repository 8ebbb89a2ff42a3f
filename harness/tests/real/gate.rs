//! Gates on the real components, whose sides are seen from outside and can't be held: they are stopped before their backlogs come.

use std::path::Path;
use std::process::Output;

use lanebench::record::gate::PoolRecord;
use libtest_mimic::Failed;

use crate::Case;
use crate::bed::{Bed, check};
use crate::compare::nothing_of;
use crate::tools::{lanebench, shown};

pub(crate) const CASES: &[Case] = &[
    ("a gate's sides take turns, and leave nothing on the stack", take_turns),
    ("a gate refuses a worker that goes on while its process is stopped", goes_on),
];

/// What a client of a container is to the worker in it.
const CLIENT: &str = "pid=$(setsid $WORKER </dev/null >/dev/null 2>&1 & echo $!)
trap 'kill $pid; while kill -0 $pid; do sleep 0.05; done; exit 0' TERM
while kill -0 $pid; do :; done
";

/// Runs a pool of two rounds in a directory, by throughput alone, of our worker against a command.
async fn pool(bed: &Bed, at: &Path, prefix: &str, candidate: &str) -> Result<Output, Failed> {
    std::fs::write(at.join("gate.toml"), "[[metric]]\nname = \"throughput\"\ntolerance = \"80%\"\n")?;
    let worker = format!("{} worker", env!("CARGO_BIN_EXE_lanebench"));
    let flags = "gate --quiet --stack external --config 3p2c --drain-events 3000 --worker-warm-up 500 --pool 2 --out out";
    let mut gate = lanebench(bed);
    gate.args(flags.split(' ')).args(["--prefix", prefix, "--baseline-cmd", &worker]);
    gate.args(["--worker-cmd", candidate]).env("WORKER", &worker).current_dir(at);
    Ok(gate.output().await?)
}

fn take_turns(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let scratch = tempfile::tempdir()?;
        let ended = pool(bed, scratch.path(), "gated", "env $WORKER").await?;
        check(ended.status.code() == Some(0), shown(&ended))?;
        let record = std::fs::read(scratch.path().join("out/pool.json"))?;
        let record: PoolRecord = serde_json::from_slice(&record)?;
        check(record.turn_ms.is_some() && record.rounds.len() == 2, shown(&ended))?;
        for trial in record.rounds.iter().flat_map(|round| [&round.baseline, &round.candidate]) {
            let (truth, values) = (&trial.verification, &trial.values);
            check(
                truth.passed && truth.acked == 3_500 && truth.applied == truth.acked,
                format!("{truth:?}"),
            )?;
            check(values.throughput_per_s > Some(0.0), format!("{values:?}"))?;
        }
        nothing_of(bed, "gated_").await
    })
}

fn goes_on(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let scratch = tempfile::tempdir()?;
        std::fs::write(scratch.path().join("client.sh"), CLIENT)?;
        let ended = pool(bed, scratch.path(), "elsewhere", "sh client.sh").await?;
        check(ended.status.code() == Some(1), shown(&ended))?;
        let told = String::from_utf8_lossy(&ended.stderr);
        for part in [
            "candidate: the worker's process does not do the work",
            "while it was stopped, events became visible",
            "hint: ",
        ] {
            check(told.contains(part), format!("{part:?} is not in: {told}"))?;
        }
        nothing_of(bed, "elsewhere_").await
    })
}
