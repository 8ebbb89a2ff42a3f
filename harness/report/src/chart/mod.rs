//! The pictures: one chart a file, each drawn on any plotters backend.
//!
//! Charts are laid out in a [`plane::Plane`], which [`canvas::Canvas`] scales to whatever the backend has: the same
//! functions draw a picture and, without its heading, the inline SVG of the page, once wide and once for a telephone.

use std::sync::LazyLock;

use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::style::{FontStyle, register_font};

use crate::words;
use lanebench_result::RunResult;

use plane::{Heading, Layout, Plane};

pub mod axis;
pub mod canvas;
pub mod lag;
pub mod latency;
pub mod legend;
pub mod merged;
pub mod order;
pub mod plane;
pub mod strip;
pub mod style;
pub mod throughput;
pub mod ticks;

/// Pixels of the pictures.
pub const PNG_SIZE: (u32, u32) = (1600, 900);

/// Drawn this many times as large and then averaged, which smooths every edge: plotters fills polygons without.
const OVERSAMPLING: u32 = 2;

/// SVG is drawn this many times as large as the plane, since plotters rounds to whole units.
const SVG_SCALE: f64 = 2.0;

static REGULAR: &[u8] = include_bytes!("../../assets/fonts/Roboto-Regular.ttf");
static BOLD: &[u8] = include_bytes!("../../assets/fonts/Roboto-Bold.ttf");

/// Whether the bundled fonts could be read; registered once, on first use.
static FONTS: LazyLock<bool> = LazyLock::new(|| {
    register_font(style::FONT, FontStyle::Normal, REGULAR).is_ok()
        && register_font(style::FONT, FontStyle::Bold, BOLD).is_ok()
});

/// Why a chart could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The bundled font could not be read.
    #[error("the bundled font could not be read")]
    Font,
    /// The backend failed.
    #[error("the drawing backend failed: {0}")]
    Backend(String),
    /// The picture could not be encoded.
    #[error("the picture could not be encoded: {0}")]
    Encode(#[from] png::EncodingError),
}

/// Draws a chart on a bitmap.
type Bitmap = for<'a> fn(&Area<BitMapBackend<'a>>, &RunResult, &Plane) -> Result<(), ChartError>;

/// Draws the same chart as SVG.
type Svg = for<'a> fn(&Area<SVGBackend<'a>>, &RunResult, &Plane) -> Result<(), ChartError>;

/// A chart of a run.
pub struct Chart {
    /// Its name, such as `lag`.
    pub name: &'static str,
    /// The file of its picture, such as `lag.png`.
    pub file: &'static str,
    heading: fn(&RunResult) -> Heading,
    height: fn(&RunResult, Layout) -> f64,
    bitmap: Bitmap,
    svg: Svg,
}

/// All charts, in reading order.
pub const CHARTS: [Chart; 4] = [
    Chart {
        name: "throughput",
        file: "throughput.png",
        heading: throughput::heading,
        height: throughput::height,
        bitmap: |area, result, plane| throughput::draw(area, result, plane),
        svg: |area, result, plane| throughput::draw(area, result, plane),
    },
    Chart {
        name: "latency",
        file: "latency.png",
        heading: latency::heading,
        height: latency::height,
        bitmap: |area, result, plane| latency::draw(area, result, plane),
        svg: |area, result, plane| latency::draw(area, result, plane),
    },
    Chart {
        name: "lag",
        file: "lag.png",
        heading: lag::heading,
        height: lag::height,
        bitmap: |area, result, plane| lag::draw(area, result, plane),
        svg: |area, result, plane| lag::draw(area, result, plane),
    },
    Chart {
        name: "order",
        file: "order.png",
        heading: order::heading,
        height: order::height,
        bitmap: |area, result, plane| order::draw(area, result, plane),
        svg: |area, result, plane| order::draw(area, result, plane),
    },
];

impl Chart {
    /// What stands above the chart; on a demonstration the subtitle begins by saying so.
    pub fn heading(&self, result: &RunResult) -> Heading {
        let heading = (self.heading)(result);
        match words::demonstration_in_short(result) {
            Some(said) => Heading { subtitle: format!("{said} {}", heading.subtitle), ..heading },
            None => heading,
        }
    }

    /// The chart as a PNG file of [`PNG_SIZE`].
    ///
    /// # Errors
    /// [`ChartError`] when the font, the backend or the encoder fails.
    pub fn png(&self, result: &RunResult) -> Result<Vec<u8>, ChartError> {
        let plane = self.plane(result, Layout::Picture);
        picture(|area| (self.bitmap)(area, result, &plane))
    }

    /// The chart without its heading as SVG, for a page that has the heading.
    ///
    /// # Errors
    /// [`ChartError`] when the font or the backend fails.
    pub fn svg(&self, result: &RunResult, layout: Layout) -> Result<Drawing, ChartError> {
        let plane = self.plane(result, layout);
        drawing(&plane, |area| (self.svg)(area, result, &plane))
    }

    fn plane(&self, result: &RunResult, layout: Layout) -> Plane {
        Plane::new(layout, self.heading(result), (self.height)(result, layout))
    }
}

/// A chart as SVG.
pub struct Drawing {
    /// Width of its view box.
    pub width: u32,
    /// Height of its view box.
    pub height: u32,
    /// The elements within.
    pub marks: String,
}

/// A plane as SVG, drawn by `draw`.
///
/// # Errors
/// [`ChartError`] as `draw`, or when the backend fails.
pub fn drawing(
    plane: &Plane,
    draw: impl FnOnce(&Area<SVGBackend<'_>>) -> Result<(), ChartError>,
) -> Result<Drawing, ChartError> {
    let size = [plane.width, plane.height].map(|length| (length * SVG_SCALE).round() as u32);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (size[0], size[1])).into_drawing_area();
        draw(&area)?;
        area.present().map_err(backend)?;
    }
    // The page writes the outer element itself: with a class, a role and words for those who can't see it.
    let body = text.split_once('>').map_or("", |(_, rest)| rest);
    let marks = body.trim_end().trim_end_matches("</svg>").to_owned();
    Ok(Drawing { width: size[0], height: size[1], marks })
}

/// The area a chart draws on.
pub type Area<DB> = DrawingArea<DB, Shift>;

/// Makes the bundled fonts known to plotters; drawing any text without fails.
///
/// # Errors
/// [`ChartError::Font`] when they cannot be read.
pub fn register_fonts() -> Result<(), ChartError> {
    if *FONTS { Ok(()) } else { Err(ChartError::Font) }
}

/// A PNG file of [`PNG_SIZE`] with what `draw` draws.
pub(super) fn picture(
    draw: impl FnOnce(&Area<BitMapBackend<'_>>) -> Result<(), ChartError>,
) -> Result<Vec<u8>, ChartError> {
    picture_of(PNG_SIZE, draw)
}

/// A PNG file of `size`, in pixels, with what `draw` draws.
pub(super) fn picture_of(
    size: (u32, u32),
    draw: impl FnOnce(&Area<BitMapBackend<'_>>) -> Result<(), ChartError>,
) -> Result<Vec<u8>, ChartError> {
    let large = rgb((size.0 * OVERSAMPLING, size.1 * OVERSAMPLING), draw)?;
    encode(&averaged(&large, size, OVERSAMPLING), size)
}

/// Draws into memory: three bytes a pixel. Never onto a file, since that backend hides what goes wrong on disk.
fn rgb(
    size: (u32, u32),
    draw: impl FnOnce(&Area<BitMapBackend<'_>>) -> Result<(), ChartError>,
) -> Result<Vec<u8>, ChartError> {
    register_fonts()?;
    let mut pixels = vec![0; size.0 as usize * size.1 as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        draw(&area)?;
        area.present().map_err(backend)?;
    }
    Ok(pixels)
}

/// Each pixel as the mean of `by` × `by` pixels of a picture that much larger.
///
/// Most of a chart is flat colour, which is recognised a block at a time: without, this takes longer than drawing.
fn averaged(large: &[u8], (width, height): (u32, u32), by: u32) -> Vec<u8> {
    const BLOCK: usize = 16;
    let (width, height, by) = (width as usize, height as usize, by as usize);
    let stride = width * by * 3;
    let flat = |pixels: &[u8]| pixels[3..] == pixels[..pixels.len() - 3];
    let mut small = Vec::with_capacity(width * height * 3);
    for rows in large.chunks_exact(stride * by).take(height) {
        for from in (0..width).step_by(BLOCK) {
            let to = (from + BLOCK).min(width);
            let block = |row: usize| &rows[row * stride + from * by * 3..row * stride + to * by * 3];
            if flat(block(0)) && (1..by).all(|row| block(row) == block(0)) {
                small.extend_from_slice(&block(0)[..(to - from) * 3]);
                continue;
            }
            for x in from..to {
                for channel in 0..3 {
                    let at = |i: usize| usize::from(rows[i / by * stride + (x * by + i % by) * 3 + channel]);
                    small.push(((0..by * by).map(at).sum::<usize>() / (by * by)) as u8);
                }
            }
        }
    }
    small
}

fn encode(pixels: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>, ChartError> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // Flat colour compresses best as it is: a third of the size of the encoder's own choice, which is made for photos.
    encoder.set_filter(png::FilterType::NoFilter);
    encoder.set_compression(png::Compression::Default);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(out)
}

/// A backend's error as ours; its own type differs from backend to backend.
fn backend<E: std::fmt::Display>(error: E) -> ChartError {
    ChartError::Backend(error.to_string())
}

/// Height of a chart that has nothing to show, heading aside.
pub(crate) const NO_DATA: f64 = 170.0;

/// What a chart says in place of an empty frame.
pub(crate) fn no_data<DB: DrawingBackend>(
    canvas: &canvas::Canvas<'_, DB>,
    frame: axis::Rect,
    why: &str,
) -> Result<(), ChartError> {
    canvas.rect(frame, style::PALE)?;
    let (x, y) = frame.centre();
    canvas.text(&format!("no data: {why}"), (x, y), style::text(26.0).grey().centred())
}
