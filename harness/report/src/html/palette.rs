//! The colours of charts on the page: SVG keeps the ones it was drawn with, and the style sheet says what each becomes.

use std::fmt::Write as _;

use plotters::style::RGBColor;

use crate::chart::style::DARK;

/// Rules under which the charts follow the reader's colour scheme. On paper and in light they stay as they are.
pub(crate) fn rules() -> String {
    let mut out = String::from("@media screen and (prefers-color-scheme: dark) {\n");
    for (light, dark) in DARK {
        let (from, to) = (hex(light), hex(dark));
        // Writing to a String cannot fail. plotters writes both attributes in capitals.
        let _ = writeln!(
            out,
            "svg [fill=\"{from}\"] {{ fill: {to}; }} svg [stroke=\"{from}\"] {{ stroke: {to}; }}"
        );
    }
    out.push_str("}\n");
    out
}

fn hex(color: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2)
}
