//! Metrics: the chart under the cursor large, over its band, with changes as marks; the others as
//! small multiples.

use crate::model::{Band, Chart, Finding, Lane, MetricRole, SafeText, Time};
use crate::tui::chart::{self, Scale};
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::judged::Judged;
use crate::tui::paint::{Canvas, Glyphs, Row};
use crate::tui::reach;
use crate::tui::state::{Back, Listed, Purpose, State, Tab, Travel};
use crate::tui::theme::Role;
use ratatui::layout::{Constraint, Layout as Split, Rect};

/// Cells of the columns of the list: the entity, the value now, the band.
const ENTITY: usize = 13;
const VALUE: usize = 8;
const BAND: usize = 16;
/// Cells a metric's name gets before there is a sparkline.
const TITLE: usize = 26;
/// Widest sparkline, in cells.
const SPARK: usize = 12;
/// Cells of the labels left of the large chart.
pub(super) const AXIS: usize = 8;
/// Lines of a chart when several share the pane.
const CHART_ROWS: u16 = 12;
/// A chart without a point for so many times its usual space, and at least so long in milliseconds, is silent.
const SILENT_SPACES: i64 = 5;
const SILENT_MS_MIN: i64 = 120_000;
/// Points whose space is the usual one.
const LATEST_POINTS: usize = 40;
/// Lines below which only the list is drawn.
const LARGE_MIN: usize = 8;

/// The charts shown: all, or those that have what is looked for.
pub(in crate::tui) fn rows(state: &State) -> Vec<&Chart> {
    let find = &state.place.find;
    let charts = state.panels().map_or(&[][..], |panels| &panels.charts);
    let is_found = |chart: &&Chart| find.told(Some(&chart.entity), &chart.title);
    charts.iter().filter(is_found).collect()
}

/// The chart under the cursor.
pub(in crate::tui) fn here(state: &State) -> Option<&Chart> {
    let charts = rows(state);
    let at = state.cursor(Tab::Metrics).at(charts.len());
    charts.get(at).copied()
}

/// Draws the pane.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, focused: bool) {
    let charts = rows(state);
    if charts.is_empty() {
        if !state.place.find.is_empty() {
            return super::unfound(state, canvas, "metric");
        }
        if state.travel.is_none() {
            return super::nothing(canvas, "No metric of these entities is kept.");
        }
        let why = unrecorded(state, Purpose::Then);
        return super::nothing(canvas, &format!("No metric of then: {why}."));
    }
    let cursor = state.cursor(Tab::Metrics);
    let at = cursor.at(charts.len());
    let height = canvas.height();
    let small = if height < LARGE_MIN {
        height
    } else {
        charts.len().min(height / 3) + 1
    };
    canvas.row(0, &heading(state, canvas.width()));
    for (y, i) in cursor
        .window(charts.len(), small.saturating_sub(1))
        .enumerate()
    {
        let judged = judged(state, charts[i]);
        let row = small_multiple(state, &judged, i == at, focused, canvas.width());
        super::listed(state, canvas, 1 + y, (Listed::Pane(Tab::Metrics), i), &row);
    }
    if height >= LARGE_MIN {
        let area = canvas.area();
        let below = Rect {
            y: area.y + small as u16,
            height: area.height - small as u16,
            ..area
        };
        let rested = cursor.rested_at(charts.len());
        stacked(state, &charts[rested..], &mut canvas.part(below));
    }
}

/// The chart under the cursor, and below it those that follow, as many as are still readable.
fn stacked(state: &State, charts: &[&Chart], canvas: &mut Canvas<'_>) {
    let area = canvas.area();
    let fits = usize::from(area.height / CHART_ROWS).clamp(1, charts.len().max(1));
    let areas = Split::vertical(vec![Constraint::Fill(1); fits]).split(area);
    for (at, (chart, area)) in charts.iter().zip(areas.iter()).enumerate() {
        let mut judged = judged(state, chart);
        judged.chart = reach::zoomed(state, judged.chart);
        let canvas = &mut canvas.part(*area);
        if at == 0 && state.metering.heat {
            super::heat::draw(state, &judged.chart, canvas);
        } else {
            plot(state, &judged, canvas);
        }
    }
}

fn heading(state: &State, width: usize) -> Row {
    let columns = Columns::of(width);
    let row = Row::new()
        .put(Role::Body, " ")
        .column(Role::Muted, "SERVICE", ENTITY)
        .column(Role::Muted, "METRIC", columns.title)
        .column(Role::Muted, "TREND", columns.spark)
        .right(Role::Muted, "NOW", VALUE);
    if columns.band {
        let words = state.metering.before.map_or("EXPECTED", Back::heading);
        row.put(Role::Body, "  ").put(Role::Muted, words)
    } else {
        row
    }
}

/// Cells of the columns that share what is left of the width.
struct Columns {
    title: usize,
    spark: usize,
    band: bool,
}

impl Columns {
    /// The name of a metric tells `p50` from `p99` at its end: the band gives way first, which the
    /// chart below says too, then the sparkline.
    fn of(width: usize) -> Self {
        let rest = width.saturating_sub(1 + ENTITY + VALUE);
        let band = rest >= TITLE + SPARK + 1 + 2 + BAND;
        let rest = if band { rest - 2 - BAND } else { rest };
        let spark = rest.saturating_sub(TITLE).min(SPARK + 1);
        Self {
            title: rest - spark,
            spark,
            band,
        }
    }
}

/// A chart with what was expected of it when it became odd in the incident looked at.
fn judged(state: &State, chart: &Chart) -> Judged {
    Judged::of(found(state), &reach::whole(state, chart))
}

/// What was noticed in the incident looked at.
fn found(state: &State) -> &[Finding] {
    let detail = state.detail();
    detail.map_or(&[], |detail| &detail.incident.findings)
}

fn small_multiple(state: &State, judged: &Judged, here: bool, focused: bool, width: usize) -> Row {
    let Judged { chart, until, .. } = judged;
    let role = abnormal_role(judged);
    let columns = Columns::of(width);
    let value = last(&chart.values).map_or_else(
        || "none".to_owned(),
        |value| format::value(f64::from(value), chart.unit),
    );
    let spark = chart::trend(chart, columns.spark.saturating_sub(1));
    // The mark says in a glyph what the colour of the sparkline says.
    let mark = if chart.abnormal_since.is_some() && until.is_none() {
        glyph::lane(Lane::Anomaly).0
    } else {
        " "
    };
    let row = super::cursor_mark(here, focused)
        .column(Role::Title, &chart.entity, ENTITY - 1)
        .put(Role::Body, " ")
        .column(Role::Body, name(chart), columns.title.saturating_sub(1))
        .put(Role::Body, " ")
        .column(role, spark, columns.spark)
        .put(role, mark)
        .right(role, value, VALUE - 1);
    if columns.band {
        let text = match state.metering.before {
            None if is_recorded(state) => "not kept".to_owned(),
            None => band_text(judged),
            Some(back) => value_before(chart, &earlier(state, chart, back))
                .unwrap_or_else(|| "not recorded".to_owned()),
        };
        row.put(Role::Body, "  ").put(Role::Muted, text)
    } else {
        row
    }
}

/// Whether what is drawn was read from the recording: what was expected then is not kept.
fn is_recorded(state: &State) -> bool {
    state.travel.as_ref().is_some_and(Travel::is_recorded)
}

/// The same series so much earlier, at the times of the chart; empty when it is not recorded.
fn earlier(state: &State, chart: &Chart, back: Back) -> Vec<(Time, f32)> {
    let recorded = state
        .looked_at()
        .and_then(|id| state.records.get(Purpose::Before(back), id));
    let line = recorded.and_then(|r| r.lines.iter().find(|l| l.series == chart.series));
    line.map_or_else(Vec::new, |line| {
        let times = line.times.iter().map(|at| at.plus_ms(back.ms()));
        times.zip(line.values.iter().copied()).collect()
    })
}

/// What it was at the time of the chart's latest value.
fn value_before(chart: &Chart, earlier: &[(Time, f32)]) -> Option<String> {
    let now = chart.times.last()?;
    let (_, value) = earlier.iter().rev().find(|(at, _)| at <= now)?;
    Some(format::value(f64::from(*value), chart.unit))
}

/// What is compared with, or why there is nothing to compare with.
fn compared(state: &State, chart: &Chart, back: Back, earlier: &[(Time, f32)]) -> Row {
    let words = if let Some(value) = value_before(chart, earlier) {
        format!(" - - {}: {value} at this time", back.as_str())
    } else {
        let why = unrecorded(state, Purpose::Before(back));
        format!(" {}: {why}", back.as_str())
    };
    Row::new().put(Role::Muted, words)
}

/// Why something is not there that the recording could tell.
pub(super) fn unrecorded(state: &State, purpose: Purpose) -> String {
    let Some(id) = state.looked_at() else {
        return String::new();
    };
    if let Some(why) = state.records.failure(purpose, id) {
        return SafeText::new(why).to_string();
    }
    let Some(recorded) = state.records.get(purpose, id) else {
        return "fetching".to_owned();
    };
    match recorded.kept_from {
        None => "nothing is recorded".to_owned(),
        Some(kept) if kept > recorded.from => {
            let age = format::age(state.engine_now().since(kept));
            format!("not recorded: the recording goes back {age}")
        }
        Some(_) if recorded.read_to < recorded.to => {
            let to = state.clock.minute(recorded.read_to);
            format!("there is too much to read it all: read up to {to}")
        }
        Some(_) => "this was not told then".to_owned(),
    }
}

/// The title without the name of the entity, which stands beside it already.
pub(super) fn name(chart: &Chart) -> String {
    let named = chart.title.strip_prefix(chart.entity.name());
    let rest = named.and_then(|rest| rest.strip_prefix(' '));
    rest.unwrap_or(&chart.title).to_owned()
}

fn abnormal_role(judged: &Judged) -> Role {
    if judged.chart.abnormal_since.is_some() && judged.until.is_none() {
        Role::Anomaly
    } else {
        Role::Line
    }
}

/// What was expected: when it became odd, or now, where it never was.
fn band_text(judged: &Judged) -> String {
    let Judged {
        chart, expected, ..
    } = judged;
    let now = || {
        let (low, high) = (last(&chart.low)?, last(&chart.high)?);
        Some(Band {
            low: f64::from(low),
            high: f64::from(high),
        })
    };
    let band = expected.or_else(|| now().filter(|_| chart.abnormal_since.is_none()));
    band.map_or_else(
        || "no baseline yet".to_owned(),
        |band| format::band(band, chart.unit),
    )
}

/// Whether the latest value lies outside its band, or says of something that it does not work at all.
fn is_outside(chart: &Chart) -> bool {
    let (Some(value), Some(low), Some(high)) =
        (chart.values.last(), chart.low.last(), chart.high.last())
    else {
        return false;
    };
    let dead = chart.role == MetricRole::Availability && *value <= 0.0;
    dead || *value < *low || *value > *high
}

fn last(values: &[f32]) -> Option<f32> {
    values.iter().rev().copied().find(|value| value.is_finite())
}

/// Draws one chart with its title and axes, of whichever incident.
pub(super) fn large(state: &State, chart: &Chart, canvas: &mut Canvas<'_>) {
    let judged = Judged {
        chart: chart.clone(),
        until: None,
        expected: None,
    };
    plot(state, &judged, canvas);
}

fn plot(state: &State, judged: &Judged, canvas: &mut Canvas<'_>) {
    let chart = &judged.chart;
    let (width, height) = (canvas.width(), canvas.height());
    if height < 4 || width < AXIS + 4 {
        return;
    }
    let mut titles = title(state, judged, width);
    let earlier = state.metering.before.map(|back| {
        let earlier = earlier(state, chart, back);
        titles.push(compared(state, chart, back, &earlier));
        earlier
    });
    let earlier = earlier.unwrap_or_default();
    for (y, row) in titles.iter().enumerate() {
        canvas.row(y, row);
    }
    let top = titles.len();
    let plot_rows = (height - 1).saturating_sub(top);
    let scale = Scale::of(chart).with(&earlier);
    let label = |value: f32| {
        Row::new().right(
            Role::Muted,
            format::value(f64::from(value), chart.unit),
            AXIS - 1,
        )
    };
    canvas.row(top, &label(scale.high));
    canvas.row(top + plot_rows.saturating_sub(1), &label(scale.low));
    let area = canvas.area();
    let area = Rect {
        x: area.x + AXIS as u16,
        y: area.y + top as u16,
        width: area.width - AXIS as u16,
        height: plot_rows as u16,
    };
    chart::draw(chart, judged.until, &earlier, scale, &mut canvas.part(area));
    canvas.row(height - 1, &axis(state, chart, width));
}

/// What it shows, since when it is odd, and what was expected where the list has no room to say it;
/// on two lines when one is too short.
fn title(state: &State, judged: &Judged, width: usize) -> Vec<Row> {
    let Judged { chart, until, .. } = judged;
    let row = Row::new()
        .put(Role::Body, " ")
        .put(Role::Title, &chart.entity)
        .put(Role::Body, " ")
        .put(Role::Body, name(chart));
    let clock = |at| state.clock.second(at);
    let (role, words) = match (chart.abnormal_since, until) {
        (Some(since), _) if is_recorded(state) => {
            let words = format!("odd since {}, from the recording", clock(since));
            (Role::Anomaly, words)
        }
        (None, _) if is_recorded(state) => (Role::Muted, "from the recording".to_owned()),
        (Some(since), None) => (Role::Anomaly, format!("odd since {}", clock(since))),
        (Some(since), Some(until)) => {
            let words = format!("was odd from {} to {}", clock(since), clock(*until));
            (Role::Ok, words)
        }
        (None, _) if is_outside(chart) => {
            let words = "outside what was expected, and not told of: w says why";
            (Role::Warn, words.to_owned())
        }
        (None, _) => (Role::Ok, "as expected".to_owned()),
    };
    let mut said = Row::new().put(role, words);
    if let Some(why) = unreached(state, chart) {
        said.push(Role::Warn, why);
    }
    if let Some(silent_ms) = silent_ms(state, chart) {
        let words = format!(", silent for {}", format::age(silent_ms));
        said.push(Role::Warn, words);
    }
    if !Columns::of(width).band {
        said.push(Role::Muted, format!(", expected {}", band_text(judged)));
    }
    if row.width() + 2 + said.width() <= width {
        vec![row.put(Role::Body, "  ").join(said)]
    } else {
        vec![row, Row::new().put(Role::Body, " ").join(said)]
    }
}

/// Why a chart does not reach back to where it became odd, when it does not: it must not look as if it always were so.
fn unreached(state: &State, chart: &Chart) -> Option<String> {
    let is_all = state.travel.is_none() && state.lanes.range.is_none();
    let (since, first) = (chart.abnormal_since?, chart.times.first()?);
    let why = || unrecorded(state, Purpose::Charts);
    (is_all && since < *first).then(|| format!(", before this chart ({})", why()))
}

/// For how long a chart of the present has no point, when it should have had some, in milliseconds: what it ends
/// with must not pass for what is.
fn silent_ms(state: &State, chart: &Chart) -> Option<i64> {
    // What was read of long ago is kept at longer steps.
    let latest = &chart.times[chart.times.len().saturating_sub(LATEST_POINTS)..];
    let (first, last) = (latest.first()?, latest.last()?);
    if state.travel.is_some() || state.lanes.range.is_some() {
        return None;
    }
    let spaces = i64::try_from(latest.len() - 1).unwrap_or(i64::MAX);
    let usual_ms = last.since(*first) / spaces.max(1);
    let silent_ms = state.engine_now().since(*last);
    (silent_ms > SILENT_MS_MIN.max(usual_ms * SILENT_SPACES)).then_some(silent_ms)
}

/// Start and end, and between them the last change that is marked; the last alert when there is none.
pub(super) fn axis(state: &State, chart: &Chart, width: usize) -> Row {
    let (Some(first), Some(last)) = (chart.times.first(), chart.times.last()) else {
        return Row::new();
    };
    let (from, to) = (state.clock.minute(*first), state.clock.minute(*last));
    let mut row = Row::new()
        .pad_to(AXIS)
        .put(Role::Muted, from)
        .put(Role::Body, "  ");
    let change = chart.marks.iter().rfind(|mark| mark.lane == Lane::Change);
    if let Some(mark) = change.or(chart.marks.last()) {
        let (_, role) = glyph::lane(mark.lane);
        row.push(
            role,
            format!("{} ", glyph::chart_mark(mark.lane, Glyphs::Ascii)),
        );
        row.push(role, state.clock.minute(mark.at));
        row.push(role, " ");
        row.push(role, mark.text.to_string());
    }
    row.fit(width.saturating_sub(to.len() + 2))
        .pad_to(width.saturating_sub(to.len()))
        .put(Role::Muted, to)
}
