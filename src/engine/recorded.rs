//! Reads an incident's part of a recording again: its series as they are judged, how long requests took,
//! its logs and example traces, in any stretch of time.
//!
//! The same code that took the telemetry in takes it in again, into tables of its own: nothing that is
//! read here changes what the engine holds, and nothing is judged anew.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::Engine;
use super::diagnose::Witness;
use super::entities::{self, Entities};
use super::intake::{Catalogue, Intake, Limits, SourceIx};
use super::logs::LogWatch;
use super::refusals::Refusals;
use super::speakers::Speakers;
use super::topology::Topology;
use super::traces::Traces;
use crate::model::{
    EntityId, EntityKind, Heat, HeatBand, Incident, IncidentId, Input, LogGroup, LogLine, Recorded,
    RecordedLine, Sample, Series, SeriesId, SeriesKind, Signal, Span, SpanKind, Stamped, Time,
    TraceView, Unit,
};

/// Telemetry is read from this long before the stretch asked for, in milliseconds: a rate needs the
/// point before it.
pub const LEAD_MS: i64 = 120_000;
/// Senders may tell this long after the fact, in milliseconds.
pub const LATE_MS: i64 = 60_000;
/// Points of one line; more are averaged.
const POINTS_MAX: i64 = 240;
/// Columns of a heatmap.
const HEAT_COLUMNS: i64 = 120;
/// Histograms followed, of all entities together.
const HISTOGRAMS_MAX: usize = 64;
/// Bounds of one histogram; SDKs use 160 at most.
const BOUNDS_MAX: usize = 200;
/// Bands of durations: up to each of these, in microseconds, and above the last.
const EDGES_US: [u64; 16] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000, 10_000_000,
];
const BANDS: usize = EDGES_US.len() + 1;
/// Log groups and traces read.
const LOGS_MAX: usize = 50;
const TRACES_MAX: usize = 5;
/// Lines from this long before an incident began are new, in milliseconds.
const NEW_MS: i64 = 60_000;

/// What to look for.
#[derive(Clone, Debug)]
pub struct Asked {
    series: BTreeSet<SeriesId>,
    /// Entities by every name telemetry gives them.
    names: BTreeMap<EntityId, EntityId>,
    began: Time,
    /// From when.
    pub from: Time,
    /// Until when.
    pub to: Time,
}

impl Asked {
    /// Of an incident that only the store still holds.
    pub fn of(incident: &Incident, from: Time, to: Time) -> Self {
        let nodes = incident.path_nodes.iter().map(|node| &node.entity);
        let found = incident.findings.iter().map(|finding| &finding.entity);
        Self {
            series: incident.findings.iter().filter_map(|f| f.series).collect(),
            names: nodes
                .chain(found)
                .map(|id| (id.clone(), id.clone()))
                .collect(),
            began: incident.began,
            from,
            to,
        }
    }
}

impl Engine {
    /// What to look for in a recording to see an incident from `from` to `to`: the `limit` series its
    /// charts show, and its entities.
    pub fn asked(&self, id: IncidentId, from: Time, to: Time, limit: usize) -> Option<Asked> {
        let mut asked = Asked::of(self.incident(id)?, from, to);
        let charts = self.charts(id, None, limit);
        asked.series.extend(charts.iter().map(|chart| chart.series));
        for ix in self.entities_of(id, None) {
            for name in self.entities.names(ix) {
                asked
                    .names
                    .insert(name.clone(), self.entities.id(ix).clone());
            }
        }
        Some(asked)
    }
}

/// Takes a recording's inputs, in order, and says at the end what was in them.
#[derive(Debug)]
pub struct Reader {
    asked: Asked,
    /// What each series met so far is to us.
    uses: FxHashMap<u64, Use>,
    intake: Intake,
    entities: Entities,
    topology: Topology,
    refusals: Refusals,
    speakers: Speakers,
    logs: LogWatch,
    traces: Traces,
    lines: BTreeMap<SeriesId, Means>,
    served: BTreeMap<EntityId, Grid>,
    histograms: BTreeMap<(EntityId, Box<str>), Histogram>,
}

/// What a series is to the reader.
#[derive(Clone, Debug)]
enum Use {
    None,
    /// One asked for, or the `_count` beside its `_sum`.
    Line,
    /// A bound of a histogram, up to so many microseconds: `u64::MAX` for all.
    Bound(Box<(EntityId, Box<str>)>, u64),
}

/// Means of the points of equal parts of the stretch.
#[derive(Debug, Default)]
struct Means(BTreeMap<i64, (Time, f64, u32)>);

/// Requests by column and band.
#[derive(Clone, Debug, Default)]
struct Grid(BTreeMap<usize, [u32; BANDS]>);

/// Growth of each bound, by column; and each bound's last value.
#[derive(Debug, Default)]
struct Histogram {
    columns: BTreeMap<usize, BTreeMap<u64, f64>>,
    last: BTreeMap<SeriesId, f64>,
}

impl Reader {
    /// Nothing is read yet.
    pub fn new(asked: Asked) -> Self {
        Self {
            asked,
            uses: FxHashMap::default(),
            intake: Intake::default(),
            entities: Entities::default(),
            topology: Topology::default(),
            refusals: Refusals::default(),
            speakers: Speakers::default(),
            logs: LogWatch::new(),
            traces: Traces::default(),
            lines: BTreeMap::new(),
            served: BTreeMap::new(),
            histograms: BTreeMap::new(),
        }
    }

    /// Takes one input.
    pub fn take(&mut self, stamped: &Stamped) {
        let Input::Signals(batch) = &stamped.input else {
            return;
        };
        for signal in &batch.signals {
            match signal {
                Signal::Sample(sample) => self.take_sample(sample, stamped.at),
                Signal::Log(line) if self.is_within(line.at) => self.take_log(line, stamped.at),
                Signal::Span(span) if self.is_within(span.start) => {
                    self.take_span(span, stamped.at);
                }
                Signal::Log(_) | Signal::Span(_) | Signal::Alert(_) | Signal::Change(_) => {}
            }
        }
        // Whole traces are taken apart as time passes; what is judged of them was judged long ago.
        self.tick_traces(stamped.at);
    }

    fn tick_traces(&mut self, now: Time) {
        // Nothing is diagnosed here, so nobody listens to what requests leave behind.
        let witness = &mut Witness::default();
        self.traces.tick(now, &mut self.topology, witness);
    }

    /// What was read, of a recording that begins at `kept_from` and was read up to `read_to`.
    pub fn finish(mut self, kept_from: Option<Time>, read_to: Time) -> Recorded {
        let end = self.asked.to.plus_ms(LATE_MS + LEAD_MS);
        self.tick_traces(end);
        let (logs, traces, heat) = (self.log_groups(), self.trace_views(), self.heat());
        let lines = self.lines.into_iter().map(|(series, means)| {
            let points = || means.0.values();
            RecordedLine {
                series,
                times: points().map(|(at, ..)| *at).collect(),
                values: points()
                    .map(|(_, sum, n)| (sum / f64::from(*n)) as f32)
                    .collect(),
            }
        });
        Recorded {
            from: self.asked.from,
            to: self.asked.to,
            kept_from,
            read_to: read_to.min(self.asked.to),
            lines: lines.collect(),
            heat,
            logs,
            traces,
        }
    }

    fn is_within(&self, at: Time) -> bool {
        (self.asked.from..=self.asked.to).contains(&at)
    }

    fn part(&self, at: Time, parts: i64) -> i64 {
        let whole = self.asked.to.since(self.asked.from).max(1);
        (at.since(self.asked.from) * parts / whole).clamp(0, parts - 1)
    }

    fn take_sample(&mut self, sample: &Sample, now: Time) {
        let id = sample.series.id.0;
        if !self.uses.contains_key(&id) {
            let used = self.use_of(&sample.series);
            self.uses.insert(id, used);
        }
        match self.uses.get(&id) {
            Some(Use::Line) => self.take_value(sample, now),
            Some(Use::Bound(of, bound_us)) => {
                let (of, bound_us) = (of.clone(), *bound_us);
                self.take_bound(sample, &of, bound_us);
            }
            Some(Use::None) | None => {}
        }
    }

    fn use_of(&self, series: &Series) -> Use {
        let is_asked = |id: &SeriesId| self.asked.series.contains(id);
        if is_asked(&series.id) {
            return Use::Line;
        }
        if let Some(base) = series.name.strip_suffix("_count") {
            let (name, labels) = (format!("{base}_sum"), series.labels.clone());
            let sum = Series::new(&name, labels, series.kind, Unit::None).id;
            return if is_asked(&sum) { Use::Line } else { Use::None };
        }
        let bound = series.name.strip_suffix("_bucket").and_then(|base| {
            let bound_us = micros(base, series.labels.get("le")?)?;
            let entity = self.entity_of(&entities::resolve(&series.labels)?.entity)?;
            Some(Use::Bound(Box::new((entity, base.into())), bound_us))
        });
        bound
            .filter(|_| series.kind == SeriesKind::Counter)
            .unwrap_or(Use::None)
    }

    /// The entity asked for that telemetry calls so.
    fn entity_of(&self, name: &EntityId) -> Option<EntityId> {
        self.asked.names.get(name).cloned()
    }

    fn take_value(&mut self, sample: &Sample, now: Time) {
        const ALL: Limits = Limits {
            series_max: usize::MAX,
            of_one_source: usize::MAX,
            // What the engine once took is not refused now.
            skew_ms_max: i64::MAX,
        };
        let mut catalogue = Catalogue {
            entities: &mut self.entities,
            topology: &mut self.topology,
            refusals: &mut self.refusals,
            speakers: &mut self.speakers,
            now,
        };
        let taken = self.intake.take(sample, SourceIx(0), ALL, &mut catalogue);
        for reading in taken.values.into_iter().flatten() {
            let series = self.intake.row(reading.series).series.id;
            if self.is_within(reading.at) && self.asked.series.contains(&series) {
                let part = self.part(reading.at, POINTS_MAX);
                let means = self.lines.entry(series).or_default();
                let (at, sum, count) = means.0.entry(part).or_insert((reading.at, 0.0, 0));
                (*at, *sum, *count) = (reading.at, *sum + reading.value, *count + 1);
            }
        }
    }

    fn take_bound(&mut self, sample: &Sample, of: &(EntityId, Box<str>), bound_us: u64) {
        let column = self.part(sample.at, HEAT_COLUMNS) as usize;
        let is_within = self.is_within(sample.at);
        if !self.histograms.contains_key(of) && self.histograms.len() >= HISTOGRAMS_MAX {
            return;
        }
        let histogram = self.histograms.entry(of.clone()).or_default();
        let last = histogram.last.insert(sample.series.id, sample.value);
        let Some(last) = last.filter(|_| is_within) else {
            return;
        };
        // A counter that fell began anew.
        let grown = if sample.value >= last {
            sample.value - last
        } else {
            sample.value
        };
        let bounds = histogram.columns.entry(column).or_default();
        if grown.is_finite() && (bounds.len() < BOUNDS_MAX || bounds.contains_key(&bound_us)) {
            *bounds.entry(bound_us).or_default() += grown;
        }
    }

    fn take_log(&mut self, line: &LogLine, now: Time) {
        let resolved = entities::resolve(&line.labels);
        if let Some(entity) = resolved.and_then(|found| self.entity_of(&found.entity)) {
            self.logs.observe(&entity, line, now);
        }
    }

    fn take_span(&mut self, span: &Span, now: Time) {
        let Some(resolved) = entities::resolve(&span.resource) else {
            return;
        };
        let asked = self.entity_of(&resolved.entity);
        let named = asked.clone().unwrap_or(resolved.entity);
        let ix = self.entities.intern(&named);
        let peer = span
            .peer
            .as_deref()
            .map(|peer| EntityId::new(EntityKind::External, peer));
        let peer = peer.map(|peer| self.entities.intern(&peer));
        self.traces.take(span, ix, peer, now);
        if let (Some(entity), SpanKind::Server | SpanKind::Consumer) = (asked, span.kind) {
            let column = self.part(span.start, HEAT_COLUMNS) as usize;
            let grid = self.served.entry(entity).or_default();
            let counts = grid.0.entry(column).or_default();
            let count = &mut counts[band_of(span.duration_us)];
            *count = count.saturating_add(1);
        }
    }

    fn log_groups(&self) -> Vec<LogGroup> {
        let since = self.asked.began.plus_ms(-NEW_MS);
        let ids: BTreeSet<&EntityId> = self.asked.names.values().collect();
        let of = |id| self.logs.groups(id, since, self.asked.to, LOGS_MAX);
        let mut groups: Vec<LogGroup> = ids.into_iter().flat_map(of).collect();
        groups.sort_by(|a, b| {
            let key = |g: &LogGroup| (g.is_new, g.level, g.count);
            key(b).cmp(&key(a)).then_with(|| a.entity.cmp(&b.entity))
        });
        groups.truncate(LOGS_MAX);
        groups
    }

    fn trace_views(&self) -> Vec<TraceView> {
        let ids: BTreeSet<&EntityId> = self.asked.names.values().collect();
        let (mut seen, mut views) = (BTreeSet::new(), Vec::new());
        for ix in ids.into_iter().filter_map(|id| self.entities.find(id)) {
            for (trace, reason, tree) in self.traces.exemplars(ix) {
                if views.len() < TRACES_MAX && seen.insert(trace) {
                    views.push(TraceView {
                        trace,
                        start: tree.start(),
                        reason: reason.as_str().into(),
                        spans: tree.rows(|ix| self.entities.id(ix).clone()),
                    });
                }
            }
        }
        views
    }

    /// One heatmap an entity: of its spans, else of the histogram that counted the most.
    fn heat(&self) -> Vec<Heat> {
        let mut best: BTreeMap<&EntityId, (&str, u64, Grid)> = BTreeMap::new();
        for ((entity, name), histogram) in &self.histograms {
            let grid = histogram.grid();
            let total = grid.total();
            if best.get(entity).is_none_or(|(_, most, _)| total > *most) {
                best.insert(entity, (name, total, grid));
            }
        }
        for (entity, grid) in &self.served {
            best.insert(entity, ("spans", grid.total(), grid.clone()));
        }
        let (from, to) = (self.asked.from, self.asked.to);
        let heat = best.into_iter().map(|(entity, (of, _, grid))| Heat {
            entity: entity.clone(),
            of: of.into(),
            from,
            step_ms: (to.since(from) / HEAT_COLUMNS).max(1),
            bands: grid.bands(),
        });
        heat.filter(|heat| !heat.bands.is_empty()).collect()
    }
}

impl Grid {
    fn total(&self) -> u64 {
        let counts = self.0.values().flatten();
        counts.map(|count| u64::from(*count)).sum()
    }

    /// From the fastest band with a request to the slowest.
    fn bands(&self) -> Vec<HeatBand> {
        let is_used = |band: &usize| self.0.values().any(|counts| counts[*band] > 0);
        let (Some(first), Some(last)) = ((0..BANDS).find(is_used), (0..BANDS).rfind(is_used))
        else {
            return Vec::new();
        };
        let band = |band: usize| HeatBand {
            above_us: band.checked_sub(1).map_or(0, |below| EDGES_US[below]),
            to_us: EDGES_US.get(band).copied(),
            counts: (0..HEAT_COLUMNS as usize)
                .map(|column| self.0.get(&column).map_or(0, |counts| counts[band]))
                .collect(),
        };
        (first..=last).map(band).collect()
    }
}

impl Histogram {
    /// Bounds count everything below them: what one has more than the one before fell between both.
    fn grid(&self) -> Grid {
        let mut grid = Grid::default();
        for (column, bounds) in &self.columns {
            let counts = grid.0.entry(*column).or_default();
            let mut below = 0.0;
            for (bound_us, up_to) in bounds {
                let count = &mut counts[band_of(*bound_us)];
                *count = count.saturating_add((up_to - below).max(0.0).round() as u32);
                below = up_to.max(below);
            }
        }
        grid
    }
}

fn band_of(us: u64) -> usize {
    EDGES_US.partition_point(|edge| *edge < us)
}

/// A bound of a histogram of durations, in microseconds; `None` when it counts something else.
fn micros(base: &str, bound: &str) -> Option<u64> {
    let per_unit = if base.ends_with("_milliseconds") || base.ends_with("_ms") {
        1e3
    } else if base.ends_with("_seconds") || base.ends_with("_duration") {
        1e6
    } else {
        return None;
    };
    let bound: f64 = bound.parse().ok()?;
    if bound.is_infinite() {
        return Some(u64::MAX);
    }
    (bound >= 0.0).then(|| (bound * per_unit).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, Labels, SourceId, SpanId, TraceId};
    use std::sync::Arc;

    const CART: [(&str, &str); 1] = [("service.name", "cart")];

    fn series(name: &str, more: &[(&str, &str)]) -> Arc<Series> {
        let pairs = CART.iter().chain(more).copied();
        let labels = Labels::from_pairs(pairs).unwrap();
        Arc::new(Series::new(name, labels, SeriesKind::Counter, Unit::None))
    }

    fn at(s: i64) -> Time {
        Time::from_secs(10_000 + s)
    }

    fn told(s: i64, signals: Vec<Signal>) -> Stamped {
        let source = SourceId::new("test");
        let input = Input::Signals(Batch { source, signals });
        Stamped {
            seq: 1,
            at: at(s),
            input,
        }
    }

    fn sample(series: &Arc<Series>, s: i64, value: f64) -> Signal {
        Signal::Sample(Sample {
            series: Arc::clone(series),
            at: at(s),
            value,
        })
    }

    /// Of the entity `cart` and these series, over 120 s: a column of the heatmap is a second.
    fn reader(wanted: &[&Arc<Series>]) -> Reader {
        let cart = EntityId::parse("cart");
        Reader::new(Asked {
            series: wanted.iter().map(|series| series.id).collect(),
            names: [(cart.clone(), cart)].into(),
            began: at(80),
            from: at(0),
            to: at(120),
        })
    }

    fn read(mut reader: Reader, inputs: &[Stamped]) -> Recorded {
        for stamped in inputs {
            reader.take(stamped);
        }
        reader.finish(Some(at(-500)), at(500))
    }

    #[test]
    fn counters_are_rates_and_sums_are_means_as_they_are_judged() {
        let (requests, sum) = (series("requests_total", &[]), series("took_sum", &[]));
        let (count, other) = (series("took_count", &[]), series("other_total", &[]));
        let step = |s: i64| {
            let n = s as f64;
            told(
                s,
                vec![
                    sample(&requests, s, n * 5.0),
                    sample(&sum, s, n * 3.0),
                    sample(&count, s, n * 2.0),
                    sample(&other, s, n),
                ],
            )
        };
        let inputs: Vec<Stamped> = (-2..=13).map(|tens| step(tens * 10)).collect();
        let recorded = read(reader(&[&requests, &sum]), &inputs);
        assert_eq!((recorded.from, recorded.to), (at(0), at(120)));
        assert_eq!(
            (recorded.kept_from, recorded.read_to),
            (Some(at(-500)), at(120))
        );
        let of = |id| recorded.lines.iter().find(|line| line.series == id);
        let times: Vec<Time> = (0..=12).map(|tens| at(tens * 10)).collect();
        for (series, expected) in [(&requests, 5.0), (&sum, 1.5)] {
            let line = of(series.id).unwrap();
            assert_eq!(line.times, times, "{}", series.name);
            assert_eq!(line.values, vec![expected; 13], "{}", series.name);
        }
        assert_eq!(recorded.lines.len(), 2);
    }

    #[test]
    fn a_histogram_is_a_heatmap_and_resets_begin_anew() {
        let bounds = ["0.1", "0.5", "+Inf"].map(|le| series("took_seconds_bucket", &[("le", le)]));
        let bytes = series("body_bytes_bucket", &[("le", "10")]);
        let scrape = |s: i64, counts: [f64; 3]| {
            let samples = bounds.iter().zip(counts);
            let mut signals: Vec<Signal> = samples.map(|(b, n)| sample(b, s, n)).collect();
            signals.push(sample(&bytes, s, counts[0]));
            told(s, signals)
        };
        let inputs = [
            scrape(-10, [5.0, 6.0, 7.0]),
            scrape(10, [15.0, 16.0, 17.0]),
            scrape(20, [1.0, 3.0, 6.0]),
        ];
        let recorded = read(reader(&[]), &inputs);
        let [heat] = &recorded.heat[..] else {
            panic!("{:?}", recorded.heat);
        };
        assert_eq!((&*heat.of, heat.step_ms), ("took_seconds", 1_000));
        let told: Vec<_> = heat
            .bands
            .iter()
            .map(|band| (band.to_us, band.counts[10], band.counts[20]))
            .filter(|(_, before, after)| before + after > 0)
            .collect();
        let expected = [(Some(100_000), 10, 1), (Some(500_000), 0, 2), (None, 0, 3)];
        assert_eq!(told, expected);
        assert_eq!(heat.bands[0].above_us, 50_000);
    }

    #[test]
    fn spans_served_make_the_heatmap_and_logs_are_grouped() {
        let resource = Labels::from_pairs(CART).unwrap();
        let span = |s: i64, n: u64, kind, duration_us| {
            Signal::Span(Box::new(Span {
                trace: TraceId(u128::from(n)),
                id: SpanId(n),
                parent: None,
                resource: resource.clone(),
                name: "checkout".into(),
                kind,
                start: at(s),
                duration_us,
                error: n == 3,
                peer: None,
                weight: None,
            }))
        };
        let line = |s: i64, text: &str| {
            Signal::Log(Box::new(LogLine {
                at: at(s),
                labels: resource.clone(),
                level: None,
                text: text.into(),
                trace: None,
                span: None,
            }))
        };
        let inputs = [
            told(
                1,
                vec![span(1, 1, SpanKind::Server, 700), line(1, "order 1 taken")],
            ),
            told(
                2,
                vec![span(2, 2, SpanKind::Client, 700), line(2, "order 2 taken")],
            ),
            told(90, vec![span(90, 3, SpanKind::Server, 3_000_000)]),
            told(
                91,
                vec![line(91, "no connection left"), line(500, "too late")],
            ),
        ];
        let recorded = read(reader(&[]), &inputs);
        let counts: Vec<u32> = recorded.heat[0]
            .bands
            .iter()
            .map(|b| b.counts.iter().sum())
            .collect();
        assert_eq!(&*recorded.heat[0].of, "spans");
        assert_eq!(
            (
                counts[0],
                counts[counts.len() - 1],
                counts.iter().sum::<u32>()
            ),
            (1, 1, 2)
        );
        let mut logs: Vec<_> = recorded.logs.iter().map(|g| (g.count, g.is_new)).collect();
        logs.sort_unstable();
        assert_eq!(logs, [(1, true), (2, false)]);
        assert!(
            recorded.traces.iter().any(|view| view.trace == TraceId(3)),
            "{:?}",
            recorded.traces
        );
    }
}
