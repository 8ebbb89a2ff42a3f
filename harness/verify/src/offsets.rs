//! Offsets are committed when their work is finished, not before, and in the end all of them are.

use std::time::Duration;

use super::Known;
use super::findings::{Findings, Kind, Subject};
use lanebench_result::Verification;

/// The work on an event ended after its offset had been committed: a crash in between would have lost it.
pub(super) fn ahead(subject: Subject<'_>, done: &str, after: Duration, findings: &mut Findings) {
    findings.add(Kind::Offset, subject, || {
        format!(
            "revision {} of order {} was {done} {:.1} ms after its offset was seen committed: a crash in between would have lost it",
            subject.revision,
            subject.order_id,
            after.as_secs_f64() * 1e3
        )
    });
}

/// Each partition's committed offset is its log's end.
pub(super) fn check(known: &Known, findings: &mut Findings, verification: &mut Verification) {
    verification.offsets_checked = known.offsets_compared.unwrap_or(0);
    if known.offsets_compared == Some(0) && verification.writes_counted > 0 {
        findings.add(Kind::NothingChecked, Subject::trial(), || {
            "not one write could be compared with the commit of its event's offset: no commit was ever seen".into()
        });
    }
    for end in known.ends.iter().filter(|end| end.end > end.start) {
        let next = end.committed.unwrap_or(end.start);
        if end.committed == Some(end.end) {
            continue;
        }
        let origin = payment_delivery::kafka::Origin { partition: end.partition, offset: next };
        let subject = match known.ledger.event_at(origin) {
            Some(event) => {
                let (id, revision) = known.ledger.name(event);
                Subject::event(id, revision, Some(origin))
            }
            None => Subject::place(origin),
        };
        findings.add(Kind::Offset, subject, || {
            let committed = match end.committed {
                None => "nothing of it was ever committed".to_owned(),
                Some(next) if next > end.end => format!("offset {next} is committed, which is beyond it"),
                Some(next) => format!("only what lies before offset {next} is committed"),
            };
            format!(
                "partition {} ends at offset {}, and when all was done {committed}",
                end.partition, end.end
            )
        });
    }
}
