//! Charts in braille: a line over its band, sparklines, bars. Without braille the line is of blocks, and on an
//! ASCII terminal `*`, with its band in `.`.

use crate::model::{Chart, Lane, Time};

use super::glyph;
use super::paint::{Canvas, Glyphs, Row};
use super::theme::Role;

/// Dots across and down in one braille cell.
const DOTS: (usize, usize) = (2, 4);
/// Bit of the dot at `[row][column]` of a braille cell.
const BITS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// A grid of dots.
pub(super) struct Dots {
    width: usize,
    height: usize,
    bits: Vec<u32>,
}

impl Dots {
    /// An empty grid of so many cells.
    pub(super) fn new(cells_wide: usize, cells_high: usize) -> Self {
        Self {
            width: cells_wide,
            height: cells_high,
            bits: vec![0; cells_wide * cells_high],
        }
    }

    /// Sets a dot, `y` counted from the bottom.
    fn set(&mut self, x: usize, y: usize) {
        let (column, from_top) = (x / DOTS.0, self.height * DOTS.1 - 1 - y);
        let row = from_top / DOTS.1;
        if let Some(cell) = self.bits.get_mut(row * self.width + column) {
            *cell |= BITS[from_top % DOTS.1][x % DOTS.0];
        }
    }

    /// The dots of a cell, as the offset of its braille pattern.
    pub(super) fn at(&self, column: usize, row: usize) -> u32 {
        self.bits[row * self.width + column]
    }
}

/// The range of values a chart covers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// At the bottom.
    pub low: f32,
    /// At the top.
    pub high: f32,
}

impl Scale {
    /// Covers the values and the band.
    pub(super) fn of(chart: &Chart) -> Self {
        let all = [&chart.values, &chart.low, &chart.high];
        let finite = || {
            all.iter()
                .flat_map(|values| values.iter().copied())
                .filter(|value| value.is_finite())
        };
        let mut low = finite().fold(f32::INFINITY, f32::min);
        let mut high = finite().fold(f32::NEG_INFINITY, f32::max);
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // Starting at zero tells the truth about sizes, unless the values are far from it.
        if low > 0.0 && low < high / 2.0 {
            low = 0.0;
        }
        if high - low <= f32::EPSILON * high.abs() {
            high = low + 1.0;
        }
        Self { low, high }
    }

    /// Covers these values too.
    pub(super) fn with(self, values: &[(Time, f32)]) -> Self {
        let finite = || values.iter().map(|(_, v)| *v).filter(|v| v.is_finite());
        Self {
            low: finite().fold(self.low, f32::min),
            high: finite().fold(self.high, f32::max),
        }
    }

    fn dot(self, value: f32, dots: usize) -> usize {
        let share = (value - self.low) / (self.high - self.low);
        (share.clamp(0.0, 1.0) * (dots - 1) as f32).round() as usize
    }
}

/// Which of `len` points fall into column `x` of `columns`; never empty when there are points.
fn points(len: usize, columns: usize, x: usize) -> std::ops::Range<usize> {
    let from = x * len / columns;
    let to = ((x + 1) * len / columns).max(from + 1);
    from.min(len)..to.min(len)
}

/// Draws a chart's line, band and marks onto the whole canvas; what was odd is over since `until`, if it
/// is. `before` is a line to compare with, drawn in dashes, at the times of the chart.
pub(super) fn draw(
    chart: &Chart,
    until: Option<Time>,
    before: &[(Time, f32)],
    scale: Scale,
    canvas: &mut Canvas<'_>,
) {
    let (columns, rows) = (canvas.width(), canvas.height());
    if columns == 0 || rows == 0 || chart.values.is_empty() {
        return;
    }
    let (mut line, mut band) = (Dots::new(columns, rows), Dots::new(columns, rows));
    plot(chart, scale, &mut line, &mut band);
    let mut earlier = Dots::new(columns, rows);
    plot_earlier(chart, before, scale, &mut earlier);
    let abnormal = abnormal_column(chart, columns);
    let over = until.map_or(columns, |until| column_of(chart, until, columns));
    for column in 0..columns {
        for row in 0..rows {
            let (on_line, in_band) = (line.at(column, row), band.at(column, row));
            // Dashes, so that it is told from the line and from the band without colour.
            let dash = if column % 2 == 0 {
                earlier.at(column, row)
            } else {
                0
            };
            if on_line == 0 && dash != 0 {
                let glyph = char::from_u32(glyph::BRAILLE + dash);
                let is_braille = canvas.glyphs() == Glyphs::Braille;
                let glyph = glyph.filter(|_| is_braille).unwrap_or('-');
                canvas.dot(column, row, Role::Muted, glyph);
                continue;
            }
            let role = if on_line == 0 {
                Role::Band
            } else if abnormal.is_some_and(|from| (from..=over).contains(&column)) {
                Role::Anomaly
            } else {
                Role::Line
            };
            if let Some(glyph) = cell(on_line, in_band, canvas.glyphs()) {
                canvas.dot(column, row, role, glyph);
            }
        }
    }
    draw_marks(chart, &line, canvas);
    if let Some(column) = abnormal {
        // Where it became odd, also where there is no colour.
        let (mark, role) = glyph::lane(Lane::Anomaly);
        canvas.dot(column, 0, role, mark.chars().next().unwrap_or('^'));
    }
}

/// Points lie where their time is: older history may be kept at longer steps than the last minutes.
fn plot(chart: &Chart, scale: Scale, line: &mut Dots, band: &mut Dots) {
    let (across, down) = (line.width * DOTS.0, line.height * DOTS.1);
    let mut last: Option<(usize, usize)> = None;
    for (at, value) in chart.times.iter().zip(&chart.values) {
        if !value.is_finite() {
            last = None;
            continue;
        }
        let here = (column_of(chart, *at, across), scale.dot(*value, down));
        join(line, last.unwrap_or(here), here);
        last = Some(here);
    }
    let mut at = 0;
    for x in 0..across {
        while at + 1 < chart.times.len() && column_of(chart, chart.times[at + 1], across) <= x {
            at += 1;
        }
        let (Some(low), Some(high)) = (chart.low.get(at), chart.high.get(at)) else {
            continue;
        };
        if low.is_finite() && high.is_finite() {
            let (low, high) = (scale.dot(*low, down), scale.dot(*high, down));
            for y in low..=high {
                // A thin weave, so that the line stands out; the edges are denser.
                let edge = y == low || y == high;
                if (edge && x % 2 == 0) || (x % 4 == 0 && y % 2 == 0) {
                    band.set(x, y);
                }
            }
        }
    }
}

/// The line to compare with, where the chart has a time for it.
fn plot_earlier(chart: &Chart, before: &[(Time, f32)], scale: Scale, dots: &mut Dots) {
    let (across, down) = (dots.width * DOTS.0, dots.height * DOTS.1);
    let (Some(from), Some(to)) = (chart.times.first(), chart.times.last()) else {
        return;
    };
    let mut last: Option<(usize, usize)> = None;
    let within = |(at, value): &&(Time, f32)| (from..=to).contains(&at) && value.is_finite();
    for (at, value) in before.iter().filter(within) {
        let here = (column_of(chart, *at, across), scale.dot(*value, down));
        join(dots, last.unwrap_or(here), here);
        last = Some(here);
    }
}

/// A line from one dot to another that is not left of it, without holes.
pub(super) fn join(line: &mut Dots, (x0, y0): (usize, usize), (x1, y1): (usize, usize)) {
    let span = x1.saturating_sub(x0).max(1) as f32;
    let height = |x: usize| {
        let share = x.saturating_sub(x0) as f32 / span;
        (y0 as f32 + (y1 as f32 - y0 as f32) * share).round() as usize
    };
    let mut from = y0;
    for x in x0..=x1 {
        let to = if x == x1 { y1 } else { height(x) };
        (from.min(to)..=from.max(to)).for_each(|y| line.set(x, y));
        from = to;
    }
}

/// A chart in one line of braille, as long as the large one is wide.
pub(super) fn trend(chart: &Chart, cells: usize) -> String {
    let across = cells * DOTS.0;
    let mut values = vec![f32::NAN; across];
    let points = chart.times.iter().zip(&chart.values);
    for (at, value) in points.filter(|(_, value)| value.is_finite()) {
        if let Some(held) = values.get_mut(column_of(chart, *at, across)) {
            *held = held.max(*value);
        }
    }
    // Between points that are kept at longer steps the one before holds.
    let mut last = f32::NAN;
    for value in &mut values {
        last = if value.is_finite() { *value } else { last };
        *value = last;
    }
    sparkline(&values, cells)
}

fn cell(on_line: u32, in_band: u32, glyphs: Glyphs) -> Option<char> {
    match (on_line, in_band, glyphs) {
        (0, 0, _) => None,
        (0, _, Glyphs::Ascii) => Some('.'),
        (_, _, Glyphs::Ascii) => Some('*'),
        // Blocks have no finer weave: the line could not be told from its band.
        (0, _, Glyphs::Block) => Some(glyph::BAND_BLOCK),
        (0, dots, _) | (dots, _, _) => char::from_u32(glyph::BRAILLE + dots),
    }
}

/// First column at or after the onset.
fn abnormal_column(chart: &Chart, columns: usize) -> Option<usize> {
    chart
        .abnormal_since
        .map(|since| column_of(chart, since, columns))
}

/// The column an instant falls into; clamped to the chart.
pub(super) fn column_of(chart: &Chart, at: Time, columns: usize) -> usize {
    let (Some(first), Some(last)) = (chart.times.first(), chart.times.last()) else {
        return 0;
    };
    let whole = last.since(*first).max(1);
    let share = at.since(*first).clamp(0, whole);
    (share * (columns as i64 - 1) / whole) as usize
}

fn draw_marks(chart: &Chart, line: &Dots, canvas: &mut Canvas<'_>) {
    for mark in &chart.marks {
        let column = column_of(chart, mark.at, line.width);
        let (_, role) = glyph::lane(mark.lane);
        for row in 0..line.height {
            if line.at(column, row) == 0 {
                let glyph = glyph::chart_mark(mark.lane, canvas.glyphs());
                canvas.dot(column, row, role, glyph);
            }
        }
    }
}

/// One line of braille, two values a cell, the largest at the top.
pub(super) fn sparkline(values: &[f32], cells: usize) -> String {
    let across = cells * DOTS.0;
    let highest = values
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .fold(0.0_f32, f32::max);
    if values.is_empty() || cells == 0 {
        return String::new();
    }
    let mut dots = Dots::new(cells, 1);
    for x in 0..across {
        let range = points(values.len(), across, x);
        let value = values[range].iter().copied().fold(f32::NAN, f32::max);
        if !value.is_finite() {
            continue;
        }
        let level = if highest > 0.0 {
            (value / highest * (DOTS.1 - 1) as f32).round().max(0.0) as usize
        } else {
            0
        };
        (0..=level.min(DOTS.1 - 1)).for_each(|y| dots.set(x, y));
    }
    dots.bits
        .iter()
        .filter_map(|bits| char::from_u32(glyph::BRAILLE + bits))
        .collect()
}

/// A share from 0 to 1 as a bar.
pub(super) fn bar(row: Row, role: Role, share: f32, cells: usize) -> Row {
    let full = (share.clamp(0.0, 1.0) * cells as f32).round() as usize;
    (0..cells).fold(row, |row, at| {
        if at < full {
            row.put(role, glyph::BAR[0])
        } else {
            row.put(Role::Muted, glyph::BAR[1])
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines_rise() {
        let values: Vec<f32> = (0..8u8).map(f32::from).collect();
        assert_eq!(sparkline(&values, 4), "\u{28c0}\u{28e4}\u{28f6}\u{28ff}");
        assert_eq!(sparkline(&[0.0; 3], 2), "\u{28c0}\u{28c0}");
        assert_eq!(sparkline(&[f32::NAN], 1), "\u{2800}");
        assert_eq!(sparkline(&[], 4), "");
    }

    #[test]
    fn points_lie_where_their_time_is() {
        let minutes = [0, 40, 45, 50, 55, 60];
        let mut chart = Chart {
            series: crate::model::SeriesId(1),
            entity: crate::model::EntityId::new(crate::model::EntityKind::Service, "a"),
            title: "x".into(),
            role: crate::model::MetricRole::Latency,
            unit: crate::model::Unit::None,
            times: minutes.map(|m| Time::from_secs(m * 60)).to_vec(),
            values: vec![0.0, 0.0, 9.0, 9.0, 9.0, 9.0],
            low: Vec::new(),
            high: Vec::new(),
            abnormal_since: Some(Time::from_secs(45 * 60)),
            marks: Vec::new(),
        };
        // It rises at three quarters of the hour, although that is a third of the points.
        let rises = |chart: &Chart| trend(chart, 8).chars().position(|c| c == '\u{28ff}');
        assert_eq!(rises(&chart), Some(6));
        assert_eq!(abnormal_column(&chart, 8), Some(5));
        chart.values[1] = f32::NAN;
        assert_eq!(rises(&chart), Some(6));
        let mut line = Dots::new(8, 2);
        let mut band = Dots::new(8, 2);
        plot(
            &chart,
            Scale {
                low: 0.0,
                high: 9.0,
            },
            &mut line,
            &mut band,
        );
        assert_eq!(line.at(2, 1), 0, "no line where nothing was seen");
    }

    #[test]
    fn points_cover_everything_once_or_stretch() {
        let all: Vec<usize> = (0..4).flat_map(|x| points(10, 4, x)).collect();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(points(2, 4, 3), 1..2);
        assert_eq!(points(0, 4, 0), 0..0);
    }
}
