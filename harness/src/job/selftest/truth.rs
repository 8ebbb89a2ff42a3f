//! Planted faults, each of which must be named: kind, order, revision, partition and offset.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DRAW, LANES, SelftestOptions, contender};
use crate::error::RunError;
use crate::record::{Finding, PhaseKind, Verification};
use crate::stack::worker::WorkerCommand;
use crate::trial::options::Inject;
use crate::trial::phase::{Offer, PhaseSpec, plan};
use crate::trial::{TrialPlace, TrialRunner, TrialSpec};
use crate::verify::Kind;
use crate::worker::handicap::{Fault, Handicap};
use crate::workload::Segment;

/// What is offered in each trial: slowly enough for commits to be seen between two events, and for longer than the faults take.
const OFFER: Segment = Segment { rate_per_s: 300.0, length: Duration::from_secs(3) };

/// Of the events that can have a fault, every so many-th has it.
const EVERY: NonZeroU64 = NonZeroU64::new(40).expect("not zero");
/// The same of faults that only the first event of an order can have.
const EVERY_FIRST: NonZeroU64 = NonZeroU64::new(15).expect("not zero");

/// The same of events that are dropped: all of them must be among the findings that are kept.
const EVERY_DROP: NonZeroU64 = NonZeroU64::new(150).expect("not zero");

/// A fault that can be planted into a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planting {
    /// Into some events.
    Fault(Fault),
    /// Into its commits.
    NeverCommit,
}

impl Planting {
    /// All of them.
    pub fn all() -> Vec<Self> {
        Fault::ALL.into_iter().map(Self::Fault).chain([Self::NeverCommit]).collect()
    }

    fn handicap(self) -> Handicap {
        match self {
            Self::Fault(fault @ (Fault::Swap | Fault::Unpark | Fault::CommitAhead)) => {
                Handicap::Planted(fault, EVERY_FIRST)
            }
            // Of which there is no most.
            Self::Fault(fault @ Fault::Drop) => Handicap::Planted(fault, EVERY_DROP),
            Self::Fault(fault @ Fault::Letter) => Handicap::Planted(fault, NonZeroU64::MIN),
            Self::Fault(fault) => Handicap::Planted(fault, EVERY),
            Self::NeverCommit => Handicap::NeverCommit,
        }
    }

    /// Kind of the finding that must name it.
    fn kind(self) -> Kind {
        match self {
            Self::Fault(Fault::Drop | Fault::Skip | Fault::Unpark | Fault::Letter) => Kind::Lost,
            Self::Fault(Fault::Guard | Fault::Swap) => Kind::Order,
            Self::Fault(Fault::Twice) => Kind::AppliedTwice,
            Self::Fault(Fault::Content) => Kind::Content,
            Self::Fault(Fault::Place) => Kind::Row,
            Self::Fault(Fault::Refuse) => Kind::DeadLettered,
            Self::Fault(Fault::CommitAhead) | Self::NeverCommit => Kind::Offset,
            Self::Fault(Fault::Phantom) => Kind::Unexpected,
            Self::Fault(Fault::ViewBack | Fault::ViewSkip) => Kind::View,
        }
    }

    /// Whether an order that has it is named once, by its last revision.
    fn is_of_order(self) -> bool {
        matches!(self, Self::Fault(Fault::ViewBack | Fault::ViewSkip))
    }
}

impl std::fmt::Display for Planting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::NeverCommit => f.write_str("never-commit"),
        }
    }
}

impl FromStr for Planting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<String> = Self::all().iter().map(ToString::to_string).collect();
        let found = Self::all().into_iter().find(|planting| planting.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is no fault; there are {}", names.join(", ")))
    }
}

/// Whether what was planted was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultVerdict {
    /// All of it was named.
    Named,
    /// Something was not.
    Missed,
    /// Nothing was planted, so nothing is proven.
    NothingPlanted,
}

/// A trial with a planted fault.
#[derive(Clone, Debug, Serialize)]
pub struct FaultTrial {
    /// The fault.
    pub fault: String,
    /// `inside` where the worker's own reports were there too, `outside` where only what any worker shows.
    pub measured_from: String,
    /// Kind of the findings that must name it.
    pub kind: String,
    /// How often it was planted.
    pub planted: usize,
    /// How often it was named.
    pub named: usize,
    /// What was planted and not named.
    pub missed: Vec<String>,
    /// All findings of the trial.
    pub findings: u64,
    /// What follows.
    pub verdict: FaultVerdict,
}

/// A line of what the worker planted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Planted {
    order_id: String,
    revision: u32,
    partition: Option<i32>,
    offset: Option<i64>,
}

pub(super) async fn test(
    options: &SelftestOptions,
    runner: &TrialRunner<'_>,
) -> Result<(Vec<FaultTrial>, Vec<Vec<String>>), RunError> {
    let (mut faults, mut clean, mut number) = (Vec::new(), Vec::new(), 0);
    for time in 0..options.times {
        for planting in &options.plantings {
            // By turns, so that each is found from either side.
            for outside in [false, true] {
                number += 1;
                let title = format!("{planting}, {} of {}", time + 1, options.times);
                let trial = Trial { number, title, planting: Some(*planting), outside };
                let (verification, planted) = trial.run(options, runner).await?;
                faults.push(judge(*planting, outside, &planted, &verification));
            }
        }
    }
    for time in 0..options.clean {
        number += 1;
        let title = format!("without a fault, {} of {}", time + 1, options.clean);
        let trial = Trial { number, title, planting: None, outside: time % 2 == 1 };
        let (verification, _) = trial.run(options, runner).await?;
        clean.push(verification.findings.iter().map(|finding| finding.message.clone()).collect());
    }
    Ok((faults, clean))
}

struct Trial {
    number: u32,
    title: String,
    planting: Option<Planting>,
    outside: bool,
}

impl Trial {
    async fn run(
        &self,
        options: &SelftestOptions,
        runner: &TrialRunner<'_>,
    ) -> Result<(Verification, Vec<Planted>), RunError> {
        let failed =
            |error: std::io::Error| RunError::Load(format!("what is planted can't be kept: {error}"));
        let scratch = tempfile::tempdir().map_err(failed)?;
        let file = scratch.path().join("planted");
        let mut arguments = Vec::new();
        if let Some(planting) = self.planting {
            arguments.extend(["--handicap".to_owned(), planting.handicap().to_string()]);
            arguments.extend(["--planted".to_owned(), file.display().to_string()]);
        }
        let mut worker = WorkerCommand::Own { program: options.program.clone(), arguments };
        if self.outside {
            worker = worker.from_outside();
        }
        let mut phase = PhaseSpec::new(PhaseKind::Steady, Offer::Schedule(vec![OFFER]));
        if self.planting == Some(Planting::Fault(Fault::Letter)) {
            phase.faults.push(Inject::Poison.fault(OFFER.length));
        }
        let seed = options.seed + u64::from(self.number);
        let spec = TrialSpec {
            name: format!("t{}", self.number),
            title: self.title.clone(),
            contender: &contender(options, worker),
            place: TrialPlace { round: self.number, position: 1, seed },
            phases: &plan(vec![phase], DRAW, seed)?,
            rig: None,
            seat: None,
        };
        let trial = Box::pin(runner.trial(&spec)).await?;
        Ok((trial.verification, read(&file).map_err(failed)?))
    }
}

fn read(file: &Path) -> std::io::Result<Vec<Planted>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    std::fs::read_to_string(file)?
        .lines()
        .map(|line| serde_json::from_str(line).map_err(Into::into))
        .collect()
}

/// Looks for each planted fault among the findings.
fn judge(planting: Planting, outside: bool, planted: &[Planted], verification: &Verification) -> FaultTrial {
    let kind = planting.kind();
    let of_kind: Vec<&Finding> =
        verification.findings.iter().filter(|finding| finding.kind == kind.as_str()).collect();
    let mut planted = planted.to_vec();
    if planting.is_of_order() {
        // The last word on an order is said once.
        planted.sort_by(|a, b| (&a.order_id, b.revision).cmp(&(&b.order_id, a.revision)));
        planted.dedup_by(|a, b| a.order_id == b.order_id);
    }
    let missed: Vec<String> = planted
        .iter()
        .filter(|planted| !of_kind.iter().any(|finding| names(finding, planted)))
        .map(|planted| format!("order {} revision {}", planted.order_id, planted.revision))
        .collect();
    // A commit that never came is planted in no event: each partition is named.
    let (planted, named) = match planting {
        Planting::NeverCommit => {
            let named: BTreeSet<i32> = of_kind.iter().filter_map(|finding| finding.partition).collect();
            (LANES.partitions.unsigned_abs() as usize, named.len())
        }
        Planting::Fault(_) => (planted.len(), planted.len() - missed.len()),
    };
    let verdict = match (planted, planted == named) {
        (0, _) => FaultVerdict::NothingPlanted,
        (_, true) => FaultVerdict::Named,
        (_, false) => FaultVerdict::Missed,
    };
    FaultTrial {
        fault: planting.to_string(),
        measured_from: if outside { "outside" } else { "inside" }.into(),
        kind: kind.as_str().into(),
        planted,
        named,
        missed,
        findings: verification.findings_total,
        verdict,
    }
}

fn names(finding: &Finding, planted: &Planted) -> bool {
    finding.order_id == planted.order_id
        && finding.revision == planted.revision
        && finding.partition.is_some()
        && finding.offset.is_some()
        && planted.partition.is_none_or(|partition| finding.partition == Some(partition))
        && planted.offset.is_none_or(|offset| finding.offset == Some(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(order: &str, revision: u32, offset: Option<i64>) -> Planted {
        Planted { order_id: order.into(), revision, partition: offset.map(|_| 1), offset }
    }

    fn finding(kind: Kind, order: &str, revision: u32, offset: i64) -> Finding {
        let (kind, order_id) = (kind.as_str().into(), order.into());
        Finding { kind, order_id, revision, partition: Some(1), offset: Some(offset), message: String::new() }
    }

    #[track_caller]
    fn check(planting: Planting, planted: &[Planted], findings: Vec<Finding>, expected: FaultVerdict) {
        let verification = Verification { findings, ..Verification::default() };
        let trial = judge(planting, false, planted, &verification);
        assert_eq!(trial.verdict, expected, "{trial:?}");
    }

    #[test]
    fn a_fault_is_named_by_kind_order_revision_and_place() {
        let twice = Planting::Fault(Fault::Twice);
        let one = [planted("o-1", 3, Some(7))];
        check(twice, &one, vec![finding(Kind::AppliedTwice, "o-1", 3, 7)], FaultVerdict::Named);
        check(twice, &one, vec![finding(Kind::Row, "o-1", 3, 7)], FaultVerdict::Missed);
        check(twice, &one, vec![finding(Kind::AppliedTwice, "o-1", 2, 7)], FaultVerdict::Missed);
        check(twice, &one, vec![finding(Kind::AppliedTwice, "o-1", 3, 8)], FaultVerdict::Missed);
        check(twice, &one, Vec::new(), FaultVerdict::Missed);
        check(twice, &[], vec![finding(Kind::AppliedTwice, "o-1", 3, 7)], FaultVerdict::NothingPlanted);
    }

    #[test]
    fn an_order_whose_view_is_wrong_is_named_by_its_last_revision() {
        let skipped = [planted("o-1", 2, None), planted("o-1", 4, None), planted("o-2", 2, None)];
        let findings = vec![finding(Kind::View, "o-1", 4, 9), finding(Kind::View, "o-2", 2, 5)];
        check(Planting::Fault(Fault::ViewSkip), &skipped, findings, FaultVerdict::Named);
    }

    #[test]
    fn commits_that_never_came_are_named_by_partition() {
        let of = |partition| Finding { partition: Some(partition), ..finding(Kind::Offset, "o-1", 1, 0) };
        check(Planting::NeverCommit, &[], (0..3).map(of).collect(), FaultVerdict::Named);
        check(Planting::NeverCommit, &[], (0..2).map(of).collect(), FaultVerdict::Missed);
        check(Planting::NeverCommit, &[], Vec::new(), FaultVerdict::Missed);
    }

    #[test]
    fn faults_are_named_alike() {
        for planting in Planting::all() {
            assert_eq!(planting.to_string().parse(), Ok(planting));
        }
        assert!("twise".parse::<Planting>().unwrap_err().contains("twice"));
    }
}
