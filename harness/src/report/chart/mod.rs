//! The pictures: one chart a file, each drawn on any plotters backend.
//!
//! Charts are laid out in a plane of [`style::WIDTH`] × [`style::HEIGHT`] units, which [`canvas::Canvas`] scales to
//! whatever the backend has.

use std::sync::LazyLock;

use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::style::{FontStyle, register_font};

use crate::record::RunResult;

pub mod axis;
pub mod canvas;
pub mod lag;
pub mod latency;
pub mod legend;
pub mod merged;
pub mod order;
pub mod style;
pub mod throughput;
pub mod ticks;

/// Pixels of the pictures.
pub const PNG_SIZE: (u32, u32) = (1600, 900);

/// Drawn this many times as large and then averaged, which smooths every edge: plotters fills polygons without.
const OVERSAMPLING: u32 = 2;

static REGULAR: &[u8] = include_bytes!("../../../assets/fonts/Roboto-Regular.ttf");
static BOLD: &[u8] = include_bytes!("../../../assets/fonts/Roboto-Bold.ttf");

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

/// A chart of a run.
pub struct Chart {
    /// Its file name, such as `lag.png`.
    pub file: &'static str,
    /// A caption.
    pub title: &'static str,
    drawn: fn(&RunResult, (u32, u32)) -> Result<Vec<u8>, ChartError>,
}

/// All charts, in reading order.
pub const CHARTS: [Chart; 4] = [
    Chart {
        file: "throughput.png",
        title: "Throughput",
        drawn: |r, size| rgb(size, |area| throughput::draw(area, r)),
    },
    Chart {
        file: "latency.png",
        title: "Response time",
        drawn: |r, size| rgb(size, |area| latency::draw(area, r)),
    },
    Chart { file: "lag.png", title: "Lag over time", drawn: |r, size| rgb(size, |area| lag::draw(area, r)) },
    Chart {
        file: "order.png",
        title: "Order per key",
        drawn: |r, size| rgb(size, |area| order::draw(area, r)),
    },
];

impl Chart {
    /// The chart as a PNG file of [`PNG_SIZE`].
    ///
    /// # Errors
    /// [`ChartError`] when the font, the backend or the encoder fails.
    pub fn png(&self, result: &RunResult) -> Result<Vec<u8>, ChartError> {
        let (width, height) = PNG_SIZE;
        let large = (self.drawn)(result, (width * OVERSAMPLING, height * OVERSAMPLING))?;
        encode(&averaged(&large, PNG_SIZE, OVERSAMPLING), PNG_SIZE)
    }
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
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(out)
}

/// A backend's error as ours; its own type differs from backend to backend.
fn backend<E: std::fmt::Display>(error: E) -> ChartError {
    ChartError::Backend(error.to_string())
}

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
