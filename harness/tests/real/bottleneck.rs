//! The bottleneck's name follows what is slowed down.

use lanebench::record::file::{self, RESULT_FILE};
use lanebench::record::{Bottleneck, PhaseKind, RunResult};
use libtest_mimic::Failed;
use serde_json::json;

use crate::Case;
use crate::bed::{Bed, check, evidence};
use crate::compare::run;
use crate::tools::{self, shown};

pub(crate) const CASES: &[Case] = &[("a store that is slowed down is named the bottleneck", store)];
pub(crate) const NIGHTLY: &[Case] = &[("a worker short of CPU is named the bottleneck", worker)];

/// What held the first configuration's first drain back.
fn of_drain(result: &RunResult) -> Result<&Bottleneck, Failed> {
    let drain = result.configurations[0].trials[0].phase(PhaseKind::Drain).ok_or("there was no drain")?;
    Ok(&drain.bottleneck)
}

fn worker(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let result = run(bed, &["--configs", "1p1c", "--throttle", "worker"], 0).await?;
        let bottleneck = of_drain(&result)?;
        check(bottleneck.name == "worker", format!("{bottleneck:?}"))?;
        evidence("bottleneck-worker", &json!(bottleneck))
    })
}

/// On a native stack of its own, whose processes may be stopped.
fn store(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let scratch = tempfile::tempdir()?;
        let out = scratch.path().join("report");
        let flags = "--configs 1p1c --rounds 1 --throttle store --drain-events 1500 --duration 1s --rate 300";
        let ended = tools::compare(bed, "native", &out, flags).output().await?;
        check(ended.status.code() == Some(0), shown(&ended))?;
        let result = file::load(&out.join(RESULT_FILE))?;
        let bottleneck = of_drain(&result)?;
        check(bottleneck.name == "store", format!("{bottleneck:?}"))?;
        evidence("bottleneck-store", &json!(bottleneck))
    })
}
