//! How long requests took: bands of durations from slow to fast, over time; the more requests a cell
//! stands for, the denser it is. Read from the recording when it is on screen.

use ratatui::layout::Rect;

use crate::model::{Chart, Heat, HeatBand, Lane, Time, Unit};
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::paint::{Canvas, Glyphs, Row};
use crate::tui::state::{Purpose, State};
use crate::tui::theme::Role;

use super::metrics::{AXIS, axis, unrecorded};

/// From few to many, as dots, as blocks for two levels each, and as signs.
const DOTS: [u32; 8] = [0x02, 0x12, 0x16, 0x36, 0x37, 0x3f, 0x7f, 0xff];
const BLOCKS: [char; DOTS.len() / 2] = ['\u{2591}', '\u{2592}', '\u{2593}', '\u{2588}'];
const SIGNS: [char; DOTS.len()] = ['.', ':', '-', '=', '+', '*', '#', '@'];
/// Lines of the title and the axis.
const AROUND: usize = 2;
/// Most lines one band is drawn on.
const STRETCH_MAX: usize = 3;

/// Draws the heatmap of a chart's entity in the place of the chart.
pub(super) fn draw(state: &State, chart: &Chart, canvas: &mut Canvas<'_>) {
    let (width, height) = (canvas.width(), canvas.height());
    if height < AROUND + 2 || width < AXIS + 4 {
        return;
    }
    let heat = state.looked_at().and_then(|id| {
        let recorded = state.records.get(Purpose::Heat, id)?;
        let of_chart = |heat: &&Heat| heat.entity == chart.entity;
        recorded.heat.iter().find(of_chart)
    });
    let Some(heat) = heat else {
        let why = unrecorded(state, Purpose::Heat);
        let row = Row::new()
            .put(Role::Body, " ")
            .put(Role::Title, &chart.entity)
            .put(Role::Body, " how long requests took: ")
            .put(Role::Muted, why);
        canvas.row(0, &row);
        let hint = " It takes spans, or a histogram of seconds or milliseconds, in the recording.";
        return canvas.row(1, &Row::new().put(Role::Muted, hint));
    };
    canvas.row(0, &title(heat, canvas.glyphs()));
    let area = canvas.area();
    let below = Rect {
        y: area.y + 1,
        height: area.height - AROUND as u16,
        ..area
    };
    grid(chart, heat, &mut canvas.part(below));
    canvas.row(height - 1, &axis(state, chart, width));
}

fn title(heat: &Heat, glyphs: Glyphs) -> Row {
    let total: u64 = heat
        .bands
        .iter()
        .flat_map(|b| &b.counts)
        .map(|n| u64::from(*n))
        .sum();
    let [few, many] = [0, DOTS.len() - 1].map(|level| shade(level, glyphs));
    Row::new()
        .put(Role::Body, " ")
        .put(Role::Title, &heat.entity)
        .put(Role::Body, " how long ")
        .put(Role::Body, format::counted(total, "request", "requests"))
        .put(Role::Body, " took  ")
        .put(Role::Muted, format!("{few} few {many} many, by "))
        .put(Role::Muted, heat.of.to_string())
}

fn shade(level: usize, glyphs: Glyphs) -> char {
    let dots = char::from_u32(glyph::BRAILLE + DOTS[level]);
    match glyphs {
        Glyphs::Braille => dots.unwrap_or(SIGNS[level]),
        Glyphs::Block => BLOCKS[level / 2],
        Glyphs::Ascii => SIGNS[level],
    }
}

/// The slow ones above. Where there are more bands than lines, the fastest share the last line.
fn grid(chart: &Chart, heat: &Heat, canvas: &mut Canvas<'_>) {
    let columns = canvas.width() - AXIS;
    let (lines, stretch) = lines(&heat.bands, canvas.height());
    let cells: Vec<Vec<u64>> = lines.iter().map(|bands| sums(bands, columns)).collect();
    let most = cells.iter().flatten().copied().max().unwrap_or(0);
    let slow_us = expected_us(chart);
    for (at, (bands, cells)) in lines.iter().zip(&cells).enumerate() {
        let y = at * stretch;
        let slowest = bands.last();
        let label = match slowest.map(|band| (band.above_us, band.to_us)) {
            Some((_, Some(to_us))) => format::micros(to_us),
            Some((above_us, None)) => format!(">{}", format::micros(above_us)),
            None => String::new(),
        };
        canvas.row(y, &Row::new().right(Role::Muted, label, AXIS - 1));
        let is_slow = |band: &HeatBand| slow_us.is_some_and(|slow| band.above_us >= slow);
        let role = if bands.iter().all(is_slow) {
            Role::Anomaly
        } else {
            Role::Line
        };
        for (x, count) in cells.iter().enumerate().filter(|(_, count)| **count > 0) {
            let glyph = shade(level(*count, most), canvas.glyphs());
            (y..y + stretch).for_each(|y| canvas.dot(AXIS + x, y, role, glyph));
        }
    }
    marks(chart, heat, &cells, stretch, canvas);
}

/// The bands of each line, from the top, and how many lines of the canvas each of them gets.
fn lines(bands: &[HeatBand], height: usize) -> (Vec<&[HeatBand]>, usize) {
    let shared = (bands.len() + 1)
        .saturating_sub(height)
        .max(1)
        .min(bands.len());
    let (fast, slow) = bands.split_at(shared);
    let lines = slow.chunks(1).rev().chain(std::iter::once(fast));
    let lines: Vec<&[HeatBand]> = lines.filter(|bands| !bands.is_empty()).collect();
    let stretch = (height / lines.len().max(1)).clamp(1, STRETCH_MAX);
    (lines, stretch)
}

/// Requests of some bands together, by column of the canvas. A column that stands for more time than its
/// neighbour tells the mean, or a steady flow would look like a comb.
fn sums(bands: &[HeatBand], columns: usize) -> Vec<u64> {
    let of = |band: &HeatBand, x: usize| -> u64 {
        let parts = band.counts.len();
        let (from, to) = (x * parts / columns, (x + 1) * parts / columns);
        let here = band.counts.get(from..to.max(from + 1)).unwrap_or_default();
        let sum: u64 = here.iter().map(|n| u64::from(*n)).sum();
        sum.div_ceil(here.len().max(1) as u64)
    };
    (0..columns)
        .map(|x| bands.iter().map(|band| of(band, x)).sum())
        .collect()
}

/// By logarithm: one slow request among ten thousand quick ones is what is looked for.
fn level(count: u64, most: u64) -> usize {
    let share = (count as f64).ln_1p() / (most.max(1) as f64).ln_1p();
    ((share * DOTS.len() as f64) as usize).clamp(1, DOTS.len()) - 1
}

/// Longer than this was not expected, if the chart is one of durations.
fn expected_us(chart: &Chart) -> Option<u64> {
    let onset = chart.abnormal_since.map_or(chart.times.len(), |since| {
        chart.times.partition_point(|at| *at < since)
    });
    let high = chart
        .high
        .get(..onset)?
        .iter()
        .rev()
        .find(|high| high.is_finite())?;
    let per_unit = match chart.unit {
        Unit::Seconds => 1e6,
        Unit::Milliseconds => 1e3,
        _ => return None,
    };
    Some((f64::from(*high) * per_unit) as u64)
}

/// Changes and alerts as lines through what is empty, and where the chart became odd.
fn marks(chart: &Chart, heat: &Heat, cells: &[Vec<u64>], stretch: usize, canvas: &mut Canvas<'_>) {
    let columns = canvas.width() - AXIS;
    let parts = heat.bands.first().map_or(1, |band| band.counts.len()) as i64;
    let whole_ms = (heat.step_ms * parts).max(1);
    let column = |at: Time| -> Option<usize> {
        let since_ms = at.since(heat.from);
        let within = (0..whole_ms).contains(&since_ms);
        within.then(|| (since_ms * columns as i64 / whole_ms) as usize)
    };
    for mark in &chart.marks {
        let Some(x) = column(mark.at) else { continue };
        let (_, role) = glyph::lane(mark.lane);
        let glyph = if canvas.glyphs() == Glyphs::Ascii {
            '|'
        } else {
            glyph::CHART_MARK
        };
        for (line, counts) in cells.iter().enumerate() {
            if counts.get(x) == Some(&0) {
                let from = line * stretch;
                (from..from + stretch).for_each(|y| canvas.dot(AXIS + x, y, role, glyph));
            }
        }
    }
    if let Some(x) = chart.abnormal_since.and_then(column) {
        let (mark, role) = glyph::lane(Lane::Anomaly);
        canvas.dot(AXIS + x, 0, role, mark.chars().next().unwrap_or('^'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bands(counts: &[[u32; 2]]) -> Vec<HeatBand> {
        let band = |(at, counts): (usize, &[u32; 2])| HeatBand {
            above_us: at as u64 * 100,
            to_us: Some((at as u64 + 1) * 100),
            counts: counts.to_vec(),
        };
        counts.iter().enumerate().map(band).collect()
    }

    #[test]
    fn every_request_is_drawn_whatever_the_height() {
        let bands = bands(&[[1, 0], [2, 0], [3, 1], [0, 4]]);
        for height in 1..12 {
            let (lines, stretch) = lines(&bands, height);
            assert!(lines.len() * stretch <= height, "{height}: {}", lines.len());
            let drawn: u64 = lines.iter().flat_map(|line| sums(line, 2)).sum();
            assert_eq!(drawn, 11, "at {height} lines");
            let slowest = lines[0].last().map(|band| band.above_us);
            assert_eq!(slowest, Some(300), "the slow ones above");
        }
    }

    #[test]
    fn one_among_many_is_seen_and_none_is_not() {
        assert_eq!((level(1, 1), level(10_000, 10_000)), (7, 7));
        assert_eq!(level(1, 10_000), 0);
        assert!(level(100, 10_000) > 2);
    }
}
