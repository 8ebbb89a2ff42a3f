//! The planes in which a chart is laid out: one for a picture, two for the page.

/// Where a chart will be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A picture that stands alone, heading included.
    Picture,
    /// On a page with room; the page has the heading.
    Page,
    /// On a telephone; the page has the heading.
    Phone,
}

/// What stands above a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// What it shows, with the unit or the finding.
    pub title: String,
    /// How to read it.
    pub subtitle: String,
}

/// A plane of units, which the canvas scales to the pixels of its backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// From left to right.
    pub width: f64,
    /// From top to bottom.
    pub height: f64,
    /// Left and right of all content.
    pub margin: f64,
    /// How much wider than the bundled font the reader's may be.
    pub font_slack: f64,
    /// What is drawn above the chart, if anything.
    pub heading: Option<Heading>,
}

impl Plane {
    /// The plane of a layout; `body` is the height that the chart asks for without a heading.
    pub fn new(layout: Layout, heading: Heading, body: f64) -> Self {
        match layout {
            Layout::Picture => Self::picture(heading, 900.0),
            Layout::Page => Self { width: 1200.0, height: body, margin: 8.0, font_slack: 1.2, heading: None },
            Layout::Phone => Self { width: 440.0, height: body, margin: 4.0, font_slack: 1.2, heading: None },
        }
    }

    /// The plane of a picture of any height, heading included.
    pub fn picture(heading: Heading, height: f64) -> Self {
        Self { width: 1600.0, height, margin: 48.0, font_slack: 1.0, heading: Some(heading) }
    }

    /// How much wider than the bundled font a text may come out; bold faces differ more.
    pub fn slack(&self, bold: bool) -> f64 {
        if bold { 1.0 + 1.6 * (self.font_slack - 1.0) } else { self.font_slack }
    }

    /// Whether there is room for one thing beside another.
    pub fn is_wide(&self) -> bool {
        self.width >= 1000.0
    }
}
