//! What all charts share: sizes, colours and how text looks.

use plotters::style::RGBColor;

/// The family the bundled fonts are registered under; an SVG then takes the reader's own.
pub const FONT: &str = "sans-serif";

/// Behind everything: print is white.
pub const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Text and marks.
pub const INK: RGBColor = RGBColor(28, 32, 38);
/// Secondary text.
pub const GREY: RGBColor = RGBColor(92, 99, 110);
/// Grid lines.
pub const GRID: RGBColor = RGBColor(224, 228, 233);
/// A shade behind marks.
pub const PALE: RGBColor = RGBColor(245, 246, 248);
/// A shade one step darker.
pub const SHADE: RGBColor = RGBColor(232, 235, 240);
/// Bars that stand for no configuration.
pub const NEUTRAL: RGBColor = RGBColor(158, 168, 182);
/// Something is wrong: violations and void trials, nothing else.
pub const WRONG: RGBColor = RGBColor(200, 16, 36);

/// A colour a configuration, after Okabe and Ito (2008): told apart by colour-blind readers, and in grey by lightness.
const LANES: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(222, 143, 5),
    RGBColor(0, 138, 102),
    RGBColor(164, 88, 160),
    RGBColor(74, 167, 219),
    RGBColor(110, 92, 60),
];

/// The colour of the configuration at `index`.
pub fn lane(index: usize) -> RGBColor {
    LANES[index % LANES.len()]
}

/// Every colour that a chart may draw with, and the one that stands for it on dark paper.
pub const DARK: [(RGBColor, RGBColor); 14] = [
    (PAPER, RGBColor(20, 23, 28)),
    (INK, RGBColor(230, 233, 238)),
    (GREY, RGBColor(162, 171, 184)),
    (GRID, RGBColor(46, 52, 61)),
    (PALE, RGBColor(28, 32, 39)),
    (SHADE, RGBColor(40, 46, 56)),
    (NEUTRAL, RGBColor(96, 108, 124)),
    (WRONG, RGBColor(255, 123, 135)),
    (LANES[0], RGBColor(79, 179, 240)),
    (LANES[1], RGBColor(240, 169, 58)),
    (LANES[2], RGBColor(63, 199, 156)),
    (LANES[3], RGBColor(212, 139, 208)),
    (LANES[4], RGBColor(143, 208, 245)),
    (LANES[5], RGBColor(184, 162, 124)),
];

/// How a piece of text looks and where it hangs on its point.
#[derive(Clone, Copy)]
pub struct Text {
    /// Height of the line, in units of the plane.
    pub size: f64,
    /// Its colour.
    pub color: RGBColor,
    /// Whether it is bold.
    pub bold: bool,
    /// Which end of it lies on the point.
    pub align: Align,
}

/// Which end of a text lies on its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// It starts there.
    Left,
    /// Its middle is there.
    Centre,
    /// It ends there.
    Right,
}

/// Ordinary text of a size, in ink, starting at its point.
pub fn text(size: f64) -> Text {
    Text { size, color: INK, bold: false, align: Align::Left }
}

impl Text {
    /// Of another size.
    pub fn sized(self, size: f64) -> Self {
        Self { size, ..self }
    }
    /// In bold.
    pub fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
    /// In secondary grey.
    pub fn grey(self) -> Self {
        self.color(GREY)
    }
    /// In a colour.
    pub fn color(self, color: RGBColor) -> Self {
        Self { color, ..self }
    }
    /// With its middle on its point.
    pub fn centred(self) -> Self {
        Self { align: Align::Centre, ..self }
    }
    /// Ending on its point.
    pub fn right(self) -> Self {
        Self { align: Align::Right, ..self }
    }
}
