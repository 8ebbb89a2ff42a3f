//! Each configuration beside the ceilings of its parts: what each component did alone in the same run, and the share of it that was reached.

use lanebench_result::RunResult;
use lanebench_result::ceilings::{CeilingShare, Ceilings};

use crate::limits::conditions;
use crate::table::Cell;
use crate::units::{NONE, number, percent, spread};

/// What the table is called.
pub(super) const TITLE: &str = "Beside the ceilings of its parts";

/// What the cells of a [`Row`] are, but for the first.
pub(super) const HEADINGS: [&str; 3] = ["alone with", "alone, a second", "share of it"];

/// What a share means, and what it does not.
const NOTE: &str = "Each component worked alone for a moment before each round, with lanebench's own clients. The share is what the \
     configuration sustained ÷ that, round by round; the component with the largest share is the nearest ceiling. In a run all \
     components and the load generator compete for the same cores, so no share says how much more there is to gain. \
     A consumer's own CPU time, and the calls of a worker of yours, are no ceilings here: where all shares are small, look there.";

/// The same of those whose calls write many rows.
const ROWS: &str = "In batch and keyed mode store and view count rows, and a row may hold several events of its order: such a share may be \
     above 100 %.";

/// One configuration's share of one ceiling.
pub(super) struct Row {
    pub(super) configuration: String,
    pub(super) component: String,
    /// Connections, partitions and the size of a call.
    pub(super) measured_with: String,
    /// What the component did alone.
    pub(super) alone: Cell,
    /// The share, marked where it is the nearest.
    pub(super) share: Cell,
}

/// Configuration by configuration; none where nothing was measured.
pub(super) fn rows(result: &RunResult) -> Vec<Row> {
    let of = |ceilings: &Ceilings| -> Vec<Row> {
        ceilings.shares.iter().map(|share| row(ceilings, share)).collect()
    };
    result.ceilings.as_ref().map(of).unwrap_or_default()
}

fn row(ceilings: &Ceilings, share: &CeilingShare) -> Row {
    let limit = ceilings.limit_of(share);
    let with = limit.map(conditions).unwrap_or_default();
    let is_computed = with.is_empty();
    let alone = match limit.and_then(|limit| limit.estimate.as_ref()) {
        Some(estimate) if is_computed => Cell::new(number(estimate.value), ""),
        Some(estimate) => Cell::new(number(estimate.value), spread(estimate, number)),
        None => Cell::new(NONE, ""),
    };
    let nearest = if share.is_nearest { ", nearest" } else { "" };
    Row {
        configuration: share.configuration.clone(),
        component: share.component.clone(),
        measured_with: if is_computed { "computed".into() } else { with.join(", ") },
        alone,
        share: Cell::new(format!("{}{nearest}", percent(share.share.value)), spread(&share.share, percent)),
    }
}

/// All shares in a sentence or two, each configuration's nearest first and with its figure; `None` where nothing was measured.
pub(super) fn in_short(result: &RunResult) -> Option<String> {
    let ceilings = result.ceilings.as_ref().filter(|ceilings| !ceilings.shares.is_empty())?;
    let of = |name: &str| {
        let mut shares: Vec<_> = ceilings.shares.iter().filter(|share| share.configuration == name).collect();
        shares.sort_by(|a, b| b.is_nearest.cmp(&a.is_nearest).then(b.share.value.total_cmp(&a.share.value)));
        let said: Vec<String> = shares.into_iter().map(|share| component(ceilings, share)).collect();
        (!said.is_empty()).then(|| format!("{name} {}", said.join(", ")))
    };
    let said: Vec<String> = result.configurations.iter().filter_map(|c| of(&c.name)).collect();
    let rows = if has_rows(ceilings) { format!(" {ROWS}") } else { String::new() };
    Some(format!(
        "Sustained, as a share of its ceilings (what each component did alone): {}.{rows}",
        said.join("; ")
    ))
}

/// `store 48.3 % of 3,700/s (nearest)`, or `view 14 %`.
fn component(ceilings: &Ceilings, share: &CeilingShare) -> String {
    let said = format!("{} {}", share.component, percent(share.share.value));
    match ceilings.limit_of(share).and_then(|limit| limit.estimate.as_ref()) {
        Some(alone) if share.is_nearest => format!("{said} of {}/s (nearest)", number(alone.value)),
        _ => said,
    }
}

/// What stands below the table; `None` where there is none.
pub(super) fn note(result: &RunResult) -> Option<String> {
    let ceilings = result.ceilings.as_ref().filter(|ceilings| !ceilings.shares.is_empty())?;
    let mut said = vec![NOTE.to_owned()];
    said.extend(has_rows(ceilings).then(|| ROWS.to_owned()));
    let alone = |name: &str| Some(number(ceilings.named(name)?.estimate.as_ref()?.value));
    said.extend(alone("produce_single").map(|per_s| {
        format!("One record after another, each acknowledged before the next was sent: {per_s} a second.")
    }));
    said.extend(alone("generator").map(|per_s| format!("The load generator alone: {per_s} events/s.")));
    Some(said.join(" "))
}

/// Whether any share is one of rows and not of events.
fn has_rows(ceilings: &Ceilings) -> bool {
    ceilings.shares.iter().filter_map(|share| ceilings.limit_of(share)).any(|limit| limit.per_call.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture, html, markdown, text};

    #[test]
    fn the_nearest_ceiling_comes_first_and_has_its_figure() {
        let result = fixture::demonstration();
        let said = in_short(&result).unwrap();
        assert!(
            said.starts_with(
                "Sustained, as a share of its ceilings (what each component did alone): 1p1c calls "
            ),
            "{said}"
        );
        let (one, three) = said.split_once("; 3p3c calls ").unwrap();
        for of_one in [one, three] {
            assert_eq!(of_one.matches("/s (nearest), ").count(), 1, "{of_one}");
            assert!(of_one.contains("store ") && of_one.contains("fetch "), "{of_one}");
        }
        assert!(!said.contains("rows"), "{said}");
    }

    #[test]
    fn each_share_has_a_row_with_what_it_is_of() {
        let result = fixture::demonstration();
        let rows = rows(&result);
        let named: Vec<(&str, &str)> =
            rows.iter().map(|r| (r.component.as_str(), r.measured_with.as_str())).collect();
        assert_eq!(named[0], ("store", "1 connection"));
        assert_eq!(named[4], ("calls", "computed"));
        assert_eq!(named[5], ("store", "3 connections"));
        assert_eq!(named[7], ("produce", "3 partitions"));
        assert_eq!(rows.iter().filter(|row| row.share.value.ends_with("%, nearest")).count(), 2);
        assert!(rows[0].share.detail.ends_with(" %") && rows[4].alone.detail.is_empty());
    }

    #[test]
    fn a_share_of_rows_says_that_it_may_be_above_all() {
        let mut result = fixture::ordinary();
        let ceilings = result.ceilings.as_mut().unwrap();
        ceilings.limits[0].per_call = Some(500);
        assert!(in_short(&result).unwrap().contains("may be above 100 %"));
        assert!(note(&result).unwrap().contains("may be above 100 %"));
        assert_eq!(rows(&result)[0].measured_with, "500 a call");
    }

    #[test]
    fn without_ceilings_nothing_is_said_anywhere() {
        let mut result = fixture::ordinary();
        let forms = |result: &RunResult| {
            [text::render(result, None), markdown::summary(result), html::page(result).unwrap()]
        };
        assert!(forms(&result).iter().all(|form| form.contains("ceilings")));
        result.ceilings = None;
        assert!(forms(&result).iter().all(|form| !form.contains("ceiling")));
        assert!(rows(&result).is_empty() && note(&result).is_none());
    }

    #[test]
    fn a_share_of_a_limit_that_is_not_there_has_no_figure() {
        let mut result = fixture::ordinary();
        result.ceilings.as_mut().unwrap().limits.clear();
        assert_eq!(rows(&result)[0].alone.value, NONE);
        assert!(in_short(&result).unwrap().contains("1p1c store "));
    }
}
