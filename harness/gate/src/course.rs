//! The course of a gate: round after round until there is a verdict.

use super::decision::{conclude, look_at};
use super::design::Design;
use super::rules::Rules;
use lanebench_result::gate::{
    GATE_SCHEMA_VERSION, GateLook, GateRecord, GateRound, GateVerdict, MetricVerdict, OnUndecided, Side,
};
use lanebench_result::{Environment, Stack, WarmUp, Warning, Workload};

/// A gate under way.
#[derive(Clone, Debug)]
pub struct Gate {
    rules: Rules,
    design: Design,
    rounds: Vec<GateRound>,
    looks: Vec<GateLook>,
    verdict: Option<GateVerdict>,
}

/// What a record says beside rounds and verdict.
#[derive(Clone, Debug)]
pub struct About {
    /// The command line that repeats the run.
    pub command_line: String,
    /// UTC, RFC 3339.
    pub started_at: String,
    /// How long it took, warm-up included and builds not.
    pub took_s: f64,
    /// The machine and the harness.
    pub environment: Environment,
    /// Broker, store and view.
    pub stack: Stack,
    /// What was offered.
    pub workload: Workload,
    /// Partitions, consumers and mode, as `--config` names them.
    pub configuration: String,
    /// What came before the first round.
    pub warm_up: WarmUp,
    /// Bounds of how long one side worked in a drain before it was the other's turn, in ms; none where one drain came after the other.
    pub turn_ms: Option<(u32, u32)>,
    /// The CPUs that all of it ran on; empty for all of the machine's.
    pub cpus: Vec<usize>,
    /// What the candidate is compared with.
    pub baseline: Side,
    /// What is judged.
    pub candidate: Side,
    /// What a reader must know beside what the gate itself warns of.
    pub warnings: Vec<Warning>,
}

impl Gate {
    /// A gate by these rules; its error rate is shared by the required ones.
    pub fn new(rules: Rules) -> Self {
        let design = Design::new(rules.required().count());
        Self { rules, design, rounds: Vec::new(), looks: Vec::new(), verdict: None }
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The looks and their levels.
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// The rounds so far.
    pub fn rounds(&self) -> &[GateRound] {
        &self.rounds
    }

    /// What was concluded at each look so far.
    pub fn looks(&self) -> &[GateLook] {
        &self.looks
    }

    /// The verdict, once there is one.
    pub fn verdict(&self) -> Option<GateVerdict> {
        self.verdict
    }

    /// Takes the next round and looks, if it is time to. Returns the verdict as soon as there is one: then the gate ends,
    /// and takes no further round.
    ///
    /// A failed check of truth ends it at once, and that round's numbers are never looked at. If both sides failed, the
    /// candidate's failure is the verdict: truth is not relative, and nothing may pass because its baseline fails too.
    pub fn add(&mut self, round: GateRound) -> Option<GateVerdict> {
        if self.verdict.is_some() {
            return self.verdict;
        }
        let (baseline, candidate) = (round.baseline.verification.passed, round.candidate.verification.passed);
        self.rounds.push(round);
        self.verdict = if !candidate {
            Some(GateVerdict::TruthFailed)
        } else if !baseline {
            Some(GateVerdict::Void)
        } else if self.design.look_after(self.rounds.len() as u32).is_some() {
            self.look()
        } else {
            None
        };
        self.verdict
    }

    fn look(&mut self) -> Option<GateVerdict> {
        let look = look_at(&self.design, self.rules.as_slice(), &self.rounds);
        let last = look.rounds == self.design.rounds_max();
        let required = self.rules.as_slice().iter().zip(&look.metrics).filter(|(rule, _)| rule.required);
        let verdict = conclude(required.map(|(_, metric)| metric.verdict));
        self.looks.push(look);
        verdict.or(last.then_some(GateVerdict::Undecided))
    }

    /// Everything as `gate.json` has it, at any time: where there is no verdict yet, it is an undecided gate that was cut
    /// short.
    pub fn record(&self, about: About) -> GateRecord {
        let verdict = self.verdict.unwrap_or(GateVerdict::Undecided);
        let complete = self.verdict.is_some();
        let mut looks = self.looks.clone();
        let seen = looks.last().map_or(0, |look| look.rounds);
        if !complete && self.rounds.len() as u32 > seen {
            looks.push(look_at(&self.design, self.rules.as_slice(), &self.rounds));
        }
        let mut warnings = about.warnings;
        warnings.extend(self.own_warnings(&looks));
        GateRecord {
            schema_version: GATE_SCHEMA_VERSION,
            command: "gate".into(),
            command_line: about.command_line,
            started_at: about.started_at,
            took_s: about.took_s,
            environment: about.environment,
            stack: about.stack,
            workload: about.workload,
            configuration: about.configuration,
            warm_up: about.warm_up,
            turn_ms: about.turn_ms,
            cpus: about.cpus,
            baseline: about.baseline,
            candidate: about.candidate,
            design: self.design.to_record(),
            rules: self.rules.as_slice().to_vec(),
            rules_file: self.rules.file().map(|file| file.display().to_string()),
            rounds: self.rounds.clone(),
            exit_code: self.exit_code(verdict, looks.last()),
            looks,
            verdict,
            complete,
            warnings,
        }
    }

    /// What the process ends with. An undecided gate that ran all its rounds passes if every metric that kept it undecided
    /// is to warn only; one that was cut short has not been given its chance and fails.
    fn exit_code(&self, verdict: GateVerdict, last: Option<&GateLook>) -> u8 {
        match verdict {
            GateVerdict::Held => 0,
            GateVerdict::TruthFailed => 3,
            GateVerdict::Regressed => 4,
            GateVerdict::Undecided if self.verdict.is_some() && self.only_warns(last) => 0,
            GateVerdict::Undecided | GateVerdict::Void => 5,
        }
    }

    /// Whether every required metric that is undecided at this look is to warn only.
    fn only_warns(&self, look: Option<&GateLook>) -> bool {
        look.is_some_and(|look| {
            self.rules
                .required()
                .filter(|rule| look.of(rule.metric).is_none_or(|m| m.verdict == MetricVerdict::Undecided))
                .all(|rule| rule.undecided == OnUndecided::Warn)
        })
    }

    /// What the verdict alone does not say.
    fn own_warnings(&self, looks: &[GateLook]) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut warn = |code: &str, message: String| {
            warnings.push(Warning { code: code.into(), message, configuration: None, rounds: Vec::new() });
        };
        let last = looks.last();
        for rule in self.rules.as_slice().iter().filter(|rule| !rule.required) {
            let found = last.and_then(|look| look.of(rule.metric));
            if found.is_some_and(|m| m.verdict == MetricVerdict::Regressed) {
                let name = rule.metric.as_str();
                warn(
                    "advisory-regressed",
                    format!(
                        "{name} regressed; it is advisory, so nothing was decided on it: set required = true to do so"
                    ),
                );
            }
        }
        if self.verdict == Some(GateVerdict::Undecided) && self.only_warns(last) {
            warn(
                "undecided-passes",
                "the rules say that what stayed undecided here is a warning: set undecided = \"fail\" to change that"
                    .into(),
            );
        }
        if self.verdict.is_none() {
            let rounds = self.rounds.len();
            let max = self.design.rounds_max();
            warn(
                "cut-short",
                format!(
                    "it ended after {rounds} of up to {max} rounds without a verdict: give it more time, and let it end by itself"
                ),
            );
        }
        if let Some(round) = self.rounds.last()
            && !round.baseline.verification.passed
            && !round.candidate.verification.passed
        {
            warn(
                "both-failed",
                "baseline and candidate both failed their checks of truth in the same round: the stack or the contract \
                 between worker and harness may be what is wrong"
                    .into(),
            );
        }
        warnings
    }
}

#[cfg(test)]
mod tests;
