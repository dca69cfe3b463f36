//! How far charts reach: what the engine holds of a series is the last half hour or so; what is older, or
//! zoomed to, is the flight recorder's, read for what is on screen alone.

use crate::model::{Chart, ChartMark, Incident, Lane, RecordedLine, Time, TimelineEntry};

use super::lanes::{RANGE_MS_MIN, Zoom};
use super::state::{Purpose, Screen, State, Tab, Way};
use super::theme::Role;
use super::view::chart_here;

/// Charts reach from this long before an incident began, in milliseconds: what it was before says what is odd.
const LEAD_MS: i64 = 5 * 60_000;
/// Longest stretch asked for, in milliseconds: what the daemon reads at once, less what moves meanwhile.
const STRETCH_MS_MAX: i64 = 25 * 3_600_000;
/// What was read of before the charts is read again once they have moved on by this, in milliseconds.
const STEP_MS: i64 = 5 * 60_000;
/// Points further apart than this many times the usual space of what was read have nothing between them.
const GAP_SPACES: i64 = 6;
/// Marks on one chart.
const MARKS_MAX: usize = 20;
/// Nothing was expected, as far as is known.
const NO_BAND: (f32, f32) = (f32::NAN, f32::NAN);
/// A step along the time zoomed to is this share of it.
const PAN_SHARE: i64 = 4;

/// What to read so that charts that begin at `held` show how an incident began, or the time zoomed to.
pub(super) fn stretch(
    incident: &Incident,
    held: Time,
    range: Option<(Time, Time)>,
) -> Option<(Time, Time)> {
    let onset = incident.began.plus_ms(-LEAD_MS);
    // In whole steps: what is held moves on with every point, and what was read need not.
    let step_end = Time::from_ms((held.ms() / STEP_MS + 1) * STEP_MS);
    let missing = (held > onset).then_some((onset, step_end));
    let (from, to) = range.or(missing)?;
    Some((from, to.min(from.plus_ms(STRETCH_MS_MAX))))
}

/// A chart, as [`whole`] gave it and it was judged, in the time zoomed to.
pub(super) fn zoomed(state: &State, chart: Chart) -> Chart {
    match state.lanes.range {
        Some(range) => drawn_of(state, &chart, Some(range)),
        None => chart,
    }
}

/// A chart with what was read of before it, whatever is zoomed to.
pub(super) fn whole(state: &State, chart: &Chart) -> Chart {
    drawn_of(state, chart, None)
}

fn drawn_of(state: &State, chart: &Chart, range: Option<(Time, Time)>) -> Chart {
    if state.travel.is_some() {
        return chart.clone();
    }
    let read = state
        .looked_at()
        .and_then(|id| state.records.get(Purpose::Charts, id));
    let line = read.and_then(|read| read.lines.iter().find(|line| line.series == chart.series));
    let mut whole = composed(chart, line, range);
    if whole.times.first() < chart.times.first()
        && let Some(detail) = state.detail()
    {
        whole.marks = marks(&detail.incident, &whole);
    }
    whole
}

/// What the timeline marks on a chart that reaches back further than the engine holds: changes of the whole
/// incident, since they are why, and alerts of its own.
fn marks(incident: &Incident, chart: &Chart) -> Vec<ChartMark> {
    let (Some(first), Some(last)) = (chart.times.first(), chart.times.last()) else {
        return Vec::new();
    };
    let is_shown = |entry: &&TimelineEntry| {
        let is_own = entry.entity.as_ref() == Some(&chart.entity);
        let is_marked = entry.lane == Lane::Change || entry.lane == Lane::Alert && is_own;
        is_marked && (first..=last).contains(&&entry.at)
    };
    let entries = incident.timeline.iter().filter(is_shown);
    let mark = |entry: &TimelineEntry| ChartMark {
        at: entry.at,
        lane: entry.lane,
        text: entry.text.clone(),
    };
    entries.take(MARKS_MAX).map(mark).collect()
}

/// A chart with the points of a recording before its own; within `range` in their place, where there is one.
fn composed(chart: &Chart, line: Option<&RecordedLine>, range: Option<(Time, Time)>) -> Chart {
    let is_within = |at: Time| range.is_none_or(|(from, to)| (from..=to).contains(&at));
    let first = chart.times.first().copied();
    let is_wanted = |at: Time| is_within(at) && (range.is_some() || first.is_none_or(|f| at < f));
    let read: Vec<(Time, f32)> = line.map_or_else(Vec::new, |line| {
        let points = line.times.iter().copied().zip(line.values.iter().copied());
        points.filter(|(at, _)| is_wanted(*at)).collect()
    });
    let read_to = read.last().map(|(at, _)| *at);
    let own = chart.times.iter().enumerate();
    let own = own.filter(|(_, at)| is_within(**at) && read_to.is_none_or(|to| **at > to));
    let own: Vec<usize> = own.map(|(at, _)| at).collect();
    let mut whole = Chart {
        times: Vec::new(),
        values: Vec::new(),
        low: Vec::new(),
        high: Vec::new(),
        marks: chart
            .marks
            .iter()
            .filter(|m| is_within(m.at))
            .cloned()
            .collect(),
        ..chart.clone()
    };
    let has_band = chart.low.len() == chart.times.len() && chart.high.len() == chart.times.len();
    let mut put = |at: Time, value: f32, (low, high): (f32, f32)| {
        whole.times.push(at);
        whole.values.push(value);
        if has_band {
            whole.low.push(low);
            whole.high.push(high);
        }
    };
    let band = |at: usize| (chart.low[at], chart.high[at]);
    for (at, value) in &read {
        let before = chart
            .times
            .partition_point(|time| time <= at)
            .checked_sub(1);
        let band = before.filter(|_| has_band).map_or(NO_BAND, band);
        put(*at, *value, band);
    }
    let next = own.first().map(|at| chart.times[*at]);
    if let (Some(end), Some(next)) = (read_to, next)
        && next.since(end) > GAP_SPACES * space_ms(&read)
    {
        // Nothing is drawn over what nobody read.
        put(end.plus_ms(1), f32::NAN, NO_BAND);
    }
    for at in own {
        let band = if has_band { band(at) } else { NO_BAND };
        put(chart.times[at], chart.values[at], band);
    }
    whole
}

/// The usual space between points, in milliseconds.
fn space_ms(points: &[(Time, f32)]) -> i64 {
    match points {
        [(first, _), .., (last, _)] => last.since(*first) / (points.len() as i64 - 1),
        _ => i64::MAX / GAP_SPACES,
    }
}

/// Whether the keys of the timeline are for the charts: they have the keys, in the present.
pub(super) fn has_keys(state: &State) -> bool {
    state.travel.is_none()
        && state.place.tab == Tab::Metrics
        && matches!(state.place.screen, Screen::Incident(_))
}

/// The time that the chart under the cursor shows.
fn shown(state: &State) -> Option<(Time, Time)> {
    let chart = chart_here(state)?;
    let whole = whole(state, chart);
    let all = (*whole.times.first()?, *whole.times.last()?);
    Some(state.lanes.range.unwrap_or(all))
}

/// Shows half, or twice, of the time: around where the chart became odd while that is on it, else up to its end.
pub(super) fn zoom(state: &mut State, zoom: Zoom) {
    let Some((from, to)) = shown(state) else {
        return state.tell(Role::Muted, "There is no chart here.");
    };
    let span_ms = to.since(from);
    let wanted_ms = match zoom {
        Zoom::In => (span_ms / 2).max(RANGE_MS_MIN),
        Zoom::Out => (span_ms * 2).min(STRETCH_MS_MAX),
    };
    let now = state.engine_now();
    let onset = onset(state).filter(|at| (from..=to).contains(at));
    // What is kept in the middle, and how much of the time stands before it.
    let end = match (onset, zoom) {
        (Some(onset), _) => onset.plus_ms(wanted_ms / 2),
        (None, Zoom::In) => to,
        (None, Zoom::Out) => to.plus_ms((wanted_ms - span_ms) / 2),
    };
    let end = end.min(now.max(to));
    show(state, (end.plus_ms(-wanted_ms), end));
}

/// Shows the time before, or after, by a part of what is shown.
pub(super) fn pan(state: &mut State, way: Way) {
    let Some((from, to)) = shown(state) else {
        return state.tell(Role::Muted, "There is no chart here.");
    };
    let step_ms = (to.since(from) / PAN_SHARE).max(1);
    let by_ms = match way {
        Way::Back => -step_ms,
        Way::On if to >= state.engine_now() => return state.tell(Role::Muted, "This is now."),
        Way::On => step_ms,
    };
    show(state, (from.plus_ms(by_ms), to.plus_ms(by_ms)));
}

/// Shows a time on charts and timeline. All that is known is shown without one.
fn show(state: &mut State, (from, to): (Time, Time)) {
    state.lanes.range = Some((from, to));
    let text = format!(
        "{} to {}: , and . go along it, Esc shows all again.",
        state.clock.second(from),
        state.clock.second(to)
    );
    state.tell(Role::Info, &text);
}

/// When the chart under the cursor became odd.
fn onset(state: &State) -> Option<Time> {
    let chart = chart_here(state)?;
    let incident = &state.detail()?.incident;
    let found = incident.findings.iter();
    let found = found.filter(|f| f.series == Some(chart.series));
    found.map(|f| f.since).min().or(chart.abnormal_since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntityId, IncidentId, MetricRole, SeriesId, Unit};

    fn at(s: i64) -> Time {
        Time::from_secs(10_000 + s)
    }

    fn chart(times: &[i64]) -> Chart {
        Chart {
            series: SeriesId(7),
            entity: EntityId::parse("cart"),
            title: "cart errors".into(),
            role: MetricRole::Errors,
            unit: Unit::PerSecond,
            times: times.iter().map(|s| at(*s)).collect(),
            values: vec![9.0; times.len()],
            low: vec![0.0; times.len()],
            high: vec![2.0; times.len()],
            abnormal_since: None,
            marks: Vec::new(),
        }
    }

    fn line(times: &[i64]) -> RecordedLine {
        RecordedLine {
            series: SeriesId(7),
            times: times.iter().map(|s| at(*s)).collect(),
            values: vec![1.0; times.len()],
        }
    }

    /// Times and values; what is not drawn is -1.
    fn points(chart: &Chart) -> Vec<(i64, f32)> {
        assert_eq!(
            (chart.times.len(), chart.times.len()),
            (chart.low.len(), chart.high.len())
        );
        let value = |v: f32| if v.is_nan() { -1.0 } else { v };
        let points = chart.times.iter().zip(&chart.values);
        points
            .map(|(t, v)| (t.since(at(0)) / 1_000, value(*v)))
            .collect()
    }

    #[test]
    fn what_was_read_stands_before_what_is_held_and_nothing_over_a_hole() {
        let held = chart(&[100, 110]);
        let read = line(&[70, 80, 90, 100]);
        let whole = composed(&held, Some(&read), None);
        let expected = [(70, 1.0), (80, 1.0), (90, 1.0), (100, 9.0), (110, 9.0)];
        assert_eq!(points(&whole), expected);
        assert!(whole.low[..3].iter().all(|low| low.is_nan()));
        assert_eq!(whole.high[3..], [2.0; 2]);
        let hole = composed(&held, Some(&line(&[10, 20])), None);
        assert_eq!(points(&hole)[2], (20, -1.0));
        assert_eq!(composed(&held, None, None), held);
    }

    #[test]
    fn zoomed_to_what_was_read_takes_the_place_of_what_is_held() {
        let held = chart(&[80, 100, 120]);
        let read = line(&[85, 90, 95, 100, 105]);
        let zoomed = composed(&held, Some(&read), Some((at(90), at(120))));
        let expected = [(90, 1.0), (95, 1.0), (100, 1.0), (105, 1.0), (120, 9.0)];
        assert_eq!(points(&zoomed), expected);
        // Within what is held its band is known.
        assert_eq!(zoomed.high, [2.0; 5]);
        let unread = composed(&held, None, Some((at(90), at(110))));
        assert_eq!(points(&unread), [(100, 9.0)]);
    }

    #[test]
    fn how_it_began_is_read_when_charts_no_longer_reach_it() {
        let began = at(1_000);
        let incident = Incident::opened(IncidentId(1), EntityId::parse("cart"), began, began);
        let onset = began.plus_ms(-LEAD_MS);
        let days = onset.plus_ms(3 * 24 * 3_600_000);
        let cases = [
            (onset, None, None),
            (at(2_000), None, Some((onset, at(2_300)))),
            (at(2_299), None, Some((onset, at(2_300)))),
            (days, None, Some((onset, onset.plus_ms(STRETCH_MS_MAX)))),
            (onset, Some((at(5), at(9))), Some((at(5), at(9)))),
        ];
        for (held, range, wanted) in cases {
            assert_eq!(stretch(&incident, held, range), wanted);
        }
    }
}
