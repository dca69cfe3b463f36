//! Signals in: each kind to the table that keeps it, and what was noticed to the findings.

use std::borrow::Cow;

use super::Engine;
use super::absence::{Absent, CERTAIN, UNSURE, absence, absent};
use super::alerts::{AlertChange, News, Times};
use super::changes;
use super::correlate::World;
use super::deliveries::Brings;
use super::entities::{self, EntityIx};
use super::explain;
use super::findings::{Key, Observation};
use super::intake::{Catalogue, Limits, Measured, Reading, SeriesIx, SeriesRow, SourceIx};
use super::logs::{self, LogFinding};
use super::refusals::Refused;
use super::silence::Silence;
use super::speakers::{Said, Whose};
use crate::model::{
    ALERT_AGAIN, Alert, Band, Batch, Change, Check, EntityId, EntityKind, Labels, LogLine,
    Provenance, Sample, Signal, Span, Time,
};

/// How the names of sources begin that ask targets declared here.
const SCRAPED: &str = "scrape ";

/// Changes, log lines and spans older than this explain nothing any more, in milliseconds: as long as a
/// change is remembered.
const OLD_MS_MAX: i64 = changes::KEPT_MS;

/// Signals whose series are read ahead at once: what they need fits into the nearest cache with room to spare.
const AT_ONCE: usize = 16;

impl Engine {
    /// Takes a batch apart.
    pub(super) fn take_batch(&mut self, batch: &Batch) {
        // Nobody said anything.
        if batch.signals.is_empty() {
            return;
        }
        let brings = Brings::of(&batch.signals);
        let (source, delivered) = self.silence.on_batch(&batch.source, brings, self.now);
        self.speakers.delivered(source, self.now);
        if let Some(silence) = delivered {
            self.speakers.resume(source, self.now);
            self.note_silence(silence);
        }
        self.signals += batch.signals.len() as u64;
        for signals in batch.signals.chunks(AT_ONCE) {
            self.intake.touch(signals);
            for signal in signals {
                self.take_signal(signal, source);
            }
        }
    }

    fn take_signal(&mut self, signal: &Signal, source: SourceIx) {
        match signal {
            Signal::Sample(sample) => self.take_sample(sample, source),
            Signal::Log(line) => self.take_log(line, source),
            Signal::Span(span) => self.take_span(span, source),
            Signal::Alert(alert) => self.take_alert(alert, source),
            Signal::Change(change) => self.take_change(change, source),
        }
    }

    fn take_sample(&mut self, sample: &Sample, source: SourceIx) {
        let limits = Limits {
            series_max: self.config.series_max as usize,
            of_one_source: self.config.source_series_max(),
            skew_ms_max: i64::from(self.config.clock_skew_s_max) * 1_000,
        };
        let mut catalogue = Catalogue {
            entities: &mut self.entities,
            topology: &mut self.topology,
            refusals: &mut self.refusals,
            speakers: &mut self.speakers,
            now: self.now,
        };
        let taken = self.intake.take(sample, source, limits, &mut catalogue);
        if taken.counts {
            self.silence.on_sample(source, self.now);
        }
        if let Some(series) = taken.woken {
            let row = self.intake.row(series);
            let woken = self
                .silence
                .on_woken(series, row, sample.at, &mut self.speakers);
            if let Some(silence) = woken {
                self.note_silence(silence);
            }
        }
        for value in taken.values.into_iter().flatten() {
            self.take_value(value);
        }
    }

    fn take_value(&mut self, value: Reading) {
        if value.what == Measured::Bucket {
            self.count_for_histograms(&value);
            return;
        }
        if value.what == Measured::Up {
            const ANSWERS: Band = Band {
                low: 1.0,
                high: 1.0,
            };
            self.intake.note(&value, ANSWERS, 0.0);
            if let Some(silence) = self
                .silence
                .on_up(value.series, value.at, value.value >= 1.0)
            {
                self.note_silence(silence);
            }
            return;
        }
        self.count_for_slos(&value);
        self.count_for_ratios(&value);
        self.judge(value);
    }

    fn take_log(&mut self, line: &LogLine, source: SourceIx) {
        if !self.is_of_our_time(line.at) {
            return self.refuse(Refused::Skew, source, &line.labels);
        }
        let Some(entity) = self.entities.of_labels(&line.labels) else {
            return self.refuse(Refused::NoEntity, source, &line.labels);
        };
        let said = Said::Then(line.at);
        self.speakers.heard(source, entity, said, self.now);
        self.clocks.hear(source, &line.labels, line.at, self.now);
        self.seen_logs = true;
        let id = self.entities.id(entity);
        let template = self.logs.observe(id, line, self.now);
        self.note_line(entity, line, template);
        for name in logs::unreachable(&line.text) {
            if let Some(peer) = self.named(name) {
                let at = line.at.min(self.now);
                self.topology.see(entity, peer, Provenance::Inferred, at);
            }
        }
    }

    /// The entity that an address in a line names, by the whole of it or, as within a cluster, by its first
    /// part. Only one that is known otherwise: what a line says makes nobody up.
    fn named(&self, address: &str) -> Option<EntityIx> {
        const KNOWN: [EntityKind; 3] =
            [EntityKind::Service, EntityKind::Database, EntityKind::Queue];
        let first = address.split('.').next().unwrap_or(address);
        [address, first].into_iter().find_map(|name| {
            let mut ids = KNOWN.into_iter().map(|kind| EntityId::new(kind, name));
            ids.find_map(|id| self.entities.find(&id))
        })
    }

    fn take_span(&mut self, span: &Span, source: SourceIx) {
        let ended = span.ended();
        if ![span.start, ended]
            .iter()
            .all(|at| self.is_of_our_time(*at))
        {
            return self.refuse(Refused::Skew, source, &span.resource);
        }
        let Some(entity) = self.entities.of_labels(&span.resource) else {
            return self.refuse(Refused::NoEntity, source, &span.resource);
        };
        let peer = span.peer.as_deref().map(|peer| self.peer(peer));
        if !self.traces.take(span, entity, peer, self.now) {
            return self.refuse(Refused::SpansMax, source, &span.resource);
        }
        let said = Said::Then(ended);
        self.speakers.heard(source, entity, said, self.now);
        self.clocks.hear(source, &span.resource, ended, self.now);
    }

    /// Counts a signal that is not taken, by its source and by whom its labels name.
    fn refuse(&mut self, reason: Refused, source: SourceIx, labels: &Labels) {
        self.refusals.add(reason);
        match entities::resolve(labels) {
            Some(resolved) => {
                let whose = Whose::of(resolved.entity, &self.entities);
                self.speakers.refuse(reason, source, whose, self.now);
            }
            None => self.speakers.refuse_of_nobody(reason, source, self.now),
        }
    }

    /// The entity a caller names: as `kind/name`, else one that is known under that name, else
    /// something outside.
    fn peer(&mut self, name: &str) -> EntityIx {
        const KNOWN: [EntityKind; 3] =
            [EntityKind::Service, EntityKind::Database, EntityKind::Queue];
        let written = EntityId::parse(name);
        if written.as_str() == name {
            return self.entities.intern(&written);
        }
        let known = KNOWN
            .into_iter()
            .find_map(|kind| self.entities.find(&EntityId::new(kind, name)));
        known.unwrap_or_else(|| {
            self.entities
                .intern(&EntityId::new(EntityKind::External, name))
        })
    }

    fn take_alert(&mut self, alert: &Alert, source: SourceIx) {
        let (times, corrected) = Times::of(alert, self.now, self.alert_timeout_ms());
        let Some(alert) = self.as_first_told(alert, source, times) else {
            return;
        };
        let alert = &*alert;
        let lost = self.alerts.get(alert.fingerprint);
        let was_lost = lost.is_some_and(|held| held.lost.is_some());
        let sender = self.note_sender(alert, source);
        let (entity, change) = self.put_alert(alert, times, self.now);
        self.alerts.sent_by(alert.fingerprint, sender, self.now);
        if was_lost && times.ends_at > self.now {
            self.tell_of_alert(alert.fingerprint, ALERT_AGAIN);
        }
        if change == AlertChange::Refused {
            let whose = Whose::Known(entity);
            let reason = Refused::AlertsMax;
            self.speakers.refuse(reason, source, whose, self.now);
        } else {
            self.speakers.heard(source, entity, Said::Event, self.now);
        }
        // A resend repeats what was corrected already.
        if let (AlertChange::Fired(_), Some(corrected)) = (change, corrected) {
            self.refusals.correct(corrected);
        }
    }

    /// An alert as the first source told it, where another tells it with labels that are not quite the same; `None`
    /// when it is only over for one of those who tell of it.
    fn as_first_told<'a>(
        &mut self,
        alert: &'a Alert,
        source: SourceIx,
        times: Times,
    ) -> Option<Cow<'a, Alert>> {
        let (alerts, now) = (&self.alerts, self.now);
        let Some(twin) = self.twins.find(alert, source, times, now, alerts) else {
            return Some(Cow::Borrowed(alert));
        };
        let Some(first) = self.alerts.get(twin.of) else {
            return Some(Cow::Borrowed(alert));
        };
        let (labels, entity) = (first.labels.clone(), first.entity);
        let name = || self.silence.source(source).0.clone();
        match twin.news {
            News::None => {}
            News::Joined(why) => {
                let text = format!("is told by {} {why}", name());
                self.tell_of_alert(twin.of, &text);
            }
            News::Left { again } => {
                let text = format!("is over by {}, and still told by another source", name());
                if !again {
                    self.tell_of_alert(twin.of, &text);
                }
                self.note_sender(alert, source);
                self.speakers.heard(source, entity, Said::Event, now);
                return None;
            }
        }
        Some(Cow::Owned(Alert {
            fingerprint: twin.of,
            labels,
            ..alert.clone()
        }))
    }

    /// How long an alert is believed whose sender gives no end, in milliseconds.
    pub(super) fn alert_timeout_ms(&self) -> i64 {
        i64::from(self.config.alert_resolve_timeout_s) * 1_000
    }

    /// Puts an alert that came at `came` into the table, and what that changes to the incidents; whose it is.
    pub(super) fn put_alert(
        &mut self,
        alert: &Alert,
        times: Times,
        came: Time,
    ) -> (EntityIx, AlertChange) {
        let entity = self.entities.intern(&Self::subject_of(alert));
        self.entities.learn_labels(entity, &alert.labels);
        let alerts_max = self.config.alerts_max as usize;
        let change = self.alerts.take(alert, times, entity, came, alerts_max);
        if change == AlertChange::Refused {
            self.refusals.add(Refused::AlertsMax);
        }
        self.alert_changed(change);
        (entity, change)
    }

    fn take_change(&mut self, change: &Change, source: SourceIx) {
        if !self.is_of_our_time(change.at) {
            self.refusals.add(Refused::Skew);
            let whose = Whose::of(change.entity.clone(), &self.entities);
            return self.speakers.refuse(Refused::Skew, source, whose, self.now);
        }
        let entity = self.put_change(change);
        self.speakers.heard(source, entity, Said::Event, self.now);
    }

    /// Whether something can have happened at `at`, and so lately that it still explains anything: a sender
    /// whose clock is ahead by more than is believed, or who tells of years ago, is not taken.
    fn is_of_our_time(&self, at: Time) -> bool {
        let skew_ms_max = i64::from(self.config.clock_skew_s_max) * 1_000;
        at.since(self.now) <= skew_ms_max && self.now.since(at) <= OLD_MS_MAX.max(skew_ms_max)
    }

    pub(super) fn put_change(&mut self, change: &Change) -> EntityIx {
        let entity = self.entities.intern(&change.entity);
        let is_first = !self.changes.seen_any();
        let is_new = self.changes.take(entity, change);
        self.with_correlator(|correlator, world| {
            if is_first {
                correlator.on_first_change();
            }
            if is_new {
                correlator.on_change(entity, change, world);
            }
        });
        entity
    }

    /// Runs `act` on the correlator with the rest of the engine as its world.
    pub(super) fn with_correlator<R>(
        &mut self,
        act: impl FnOnce(&mut super::correlate::Correlator, &mut World<'_>) -> R,
    ) -> R {
        let mut world = World {
            now: self.now,
            entities: &mut self.entities,
            topology: &self.topology,
            findings: &mut self.findings,
            alerts: &mut self.alerts,
            holds: &self.holds,
            changes: &self.changes,
            intake: &self.intake,
            traces: &self.traces,
            settling: &self.settling,
            resolve_after_ms: i64::from(self.config.resolve_after_s) * 1_000,
        };
        act(&mut self.correlator, &mut world)
    }

    /// Opens or updates a finding.
    pub(super) fn observe(&mut self, mut seen: Observation) {
        let explain = &seen.explain;
        debug_assert!(
            !explain.unusual.is_empty() && !explain.agreed.is_empty(),
            "every finding says how unusual it is and which checks say so: {seen:?}"
        );
        let is_learned = !matches!(
            seen.check,
            Check::BurnRate | Check::Absence | Check::BlindSource
        );
        debug_assert!(
            explain.baseline.is_some() || !is_learned,
            "what is learned says which baseline judged: {seen:?}"
        );
        let entities = &self.entities;
        let entity = entities.id(seen.entity);
        if !self.opinions.admit(&mut seen, entity) {
            return;
        }
        seen.pages = self.may_page(&seen);
        let entities = &self.entities;
        self.findings.note(seen, |ix| entities.id(ix).clone());
    }

    /// What silence says becomes a finding, or ends one.
    pub(super) fn note_silence(&mut self, silence: Silence) {
        match silence {
            Silence::Down(series, since) => {
                if !self.is_lost_together(series, since) {
                    self.note_lost(series, since);
                }
            }
            Silence::Never(series, since) => self.note_never_up(series, since),
            Silence::Up(series, at) => self.findings.end(Key::Series(series), at),
            Silence::Gone(entity, since) => self.note_gone(entity, since),
            Silence::Back(entity, at) => {
                self.findings.end(Key::Entity(entity, Check::Absence), at);
                self.entities.set_health(entity, crate::model::Health::Ok);
            }
            Silence::Lapsed(entity) => self.note_lapse(entity),
            Silence::Resumed(entity, at) => self.findings.end(Key::Lapse(entity), at),
            Silence::Forgone(entity) => self.forgo_lapse(entity),
            Silence::Missed(source, missed) => self.note_missed(source, &missed),
            Silence::Delivered(source, missed) => self.note_delivered(source, &missed),
        }
    }

    /// What answered once does not any more: a lost instance, or a lost entity.
    fn note_lost(&mut self, series: SeriesIx, since: Time) {
        let row = self.intake.row(series);
        let (entity, subject) = (row.entity, row.series.name.clone());
        let name = self.entities.id(entity).name();
        let clock = explain::clock(since);
        let labels = &row.series.labels;
        let target = labels.get("job").zip(labels.get("instance"));
        let text = match (entities::instance(labels, name), target) {
            (Some(instance), _) => {
                format!("{name} lost the instance {instance}: no answer since {clock}")
            }
            // What exports a host's numbers may die alone: the host has others, or is known by their address only.
            (None, Some((job, instance))) => {
                format!("{job} at {instance} does not answer since {clock}")
            }
            (None, None) => format!("{name} is lost: it does not answer since {clock}"),
        };
        let absent = Absent {
            subject: &subject,
            since,
            text,
            pages: true,
            explain: absent("it answered before, and says now, twice in a row, that it does not"),
        };
        self.observe_absence(Key::Series(series), entity, absent);
    }

    /// Whether we ask the target of a series ourselves, since somebody declared it.
    pub(super) fn is_own_target(&self, row: &SeriesRow) -> bool {
        self.silence.source(row.source()).0.starts_with(SCRAPED)
    }

    /// What never answered may be down, or wrongly configured: of what somebody else asks, that informs. A target of our own
    /// somebody declared to be watched here, and it is not.
    fn note_never_up(&mut self, series: SeriesIx, since: Time) {
        let row = self.intake.row(series);
        let is_declared = self.is_own_target(row);
        let (entity, subject) = (row.entity, row.series.name.clone());
        let name = self.entities.id(entity).name();
        let which = entities::instance(&row.series.labels, name).unwrap_or(name);
        let labels = &row.series.labels;
        let clock = explain::clock(since);
        let text = match labels.get("job").zip(labels.get("instance")) {
            Some((job, instance)) if is_declared => {
                format!("{job} at {instance} never answered since we began to ask, {clock}")
            }
            _ => format!("{which} has not answered once since {clock}"),
        };
        let absent = Absent {
            subject: &subject,
            since,
            text,
            pages: is_declared,
            explain: absent("it was asked ten times in a row at least, and never answered"),
        };
        self.observe_absence(Key::Series(series), entity, absent);
    }

    /// Something that should speak does not.
    pub(super) fn observe_absence(&mut self, key: Key, entity: EntityIx, absent: Absent<'_>) {
        let mut seen = absence(key, entity, absent);
        seen.at = self.now;
        // What is sure is surer than what may be a gap, so that its words replace the other's.
        seen.score = if seen.pages { CERTAIN } else { UNSURE };
        self.observe(seen);
    }

    /// What the logs say becomes a finding, or ends one.
    pub(super) fn note_log(&mut self, found: LogFinding) {
        let entity = self.entities.intern(&found.entity);
        let template = found.template.map_or(0, |template| template.0);
        let key = Key::Log(entity, template, found.check);
        if let Some(ended) = found.ended {
            match found.accepted {
                Some(text) => self.findings.accept(key, ended, text.into_string()),
                None => self.findings.end(key, ended),
            }
            return;
        }
        // A window of a minute says little about when in it the trouble began; the bucket that made
        // it odd is the last one.
        let since = match found.check {
            Check::LogBurst | Check::LevelShift => {
                found.since.max(found.last_seen.plus_ms(-logs::BUCKET_MS))
            }
            _ => found.since,
        };
        self.observe(Observation {
            key,
            entity,
            callee: None,
            sick: entity,
            check: found.check,
            series: None,
            role: found.role(),
            unit: found.unit(),
            direction: found.direction(),
            subject: found.subject,
            since,
            at: found.last_seen,
            expected: found.expected,
            seen: found.seen,
            score: found.score,
            pages: found.pages,
            text: found.text.into_string(),
            explain: found.explain,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{ChangeKind, Fingerprint, Input, Labels, SourceId, Stamped};

    #[test]
    fn what_is_of_another_time_is_refused_and_counted() {
        const NOW: Time = Time::from_secs(1_768_392_000);
        const HOUR_MS: i64 = 3_600_000;
        let labels = || Labels::from_pairs([("service", "cart")]).unwrap();
        let log = |at| {
            Signal::Log(Box::new(LogLine {
                at,
                labels: labels(),
                level: None,
                text: Box::from("took 12 ms"),
                trace: None,
                span: None,
            }))
        };
        let deploy = |at| {
            Signal::Change(Box::new(Change {
                id: Box::from("d1"),
                at,
                entity: EntityId::parse("cart"),
                kind: ChangeKind::Deploy,
                version: None,
                title: Box::from("second"),
                previous_version: None,
                by: None,
                labels: labels(),
            }))
        };
        let cases = [
            (0, 0),
            (HOUR_MS, 0),
            (HOUR_MS + 1, 1),
            (-OLD_MS_MAX, 0),
            (-OLD_MS_MAX - 1, 1),
            (-6 * 365 * 24 * HOUR_MS, 1),
            (i64::MAX / 2, 1),
        ];
        for (off_ms, refused) in cases {
            for signal in [log(NOW.plus_ms(off_ms)), deploy(NOW.plus_ms(off_ms))] {
                let mut engine = Engine::new(EngineConfig::default(), Vec::new());
                let source = SourceId::new("test");
                let signals = vec![signal];
                let input = Input::Signals(Batch { source, signals });
                let (seq, at) = (1, NOW);
                engine.step(&Stamped { seq, at, input }, &mut Vec::new());
                let counted: Vec<_> = engine.refusals().collect();
                let expected: Vec<_> = (refused > 0)
                    .then_some((Refused::Skew, 1))
                    .into_iter()
                    .collect();
                assert_eq!(counted, expected, "{off_ms} ms off");
            }
        }
    }

    /// Incidents made of an alert on `db` and a later one on `web`, after `web` wrote this line; and the
    /// engine.
    fn after_a_line(text: &str) -> (usize, Engine) {
        const NOON_S: i64 = 1_768_392_000;
        let labels = |service: &str| {
            let pairs = [
                ("service", service),
                ("alertname", service),
                ("severity", "error"),
            ];
            Labels::from_pairs(pairs).unwrap()
        };
        let line = |service: &str, text: &str| {
            Signal::Log(Box::new(LogLine {
                at: Time::from_secs(NOON_S),
                labels: labels(service),
                level: None,
                text: text.into(),
                trace: None,
                span: None,
            }))
        };
        let alert = |service: &str, at_s: i64| {
            Signal::Alert(Box::new(Alert {
                fingerprint: Fingerprint::of(&labels(service)),
                labels: labels(service),
                annotations: Labels::empty(),
                starts_at: Time::from_secs(at_s),
                ends_at: Time::from_secs(at_s + 3_600),
                generator_url: None,
            }))
        };
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let told = [
            (NOON_S, vec![line("db", "ready"), line("web", text)]),
            (NOON_S + 10, vec![alert("db", NOON_S + 10)]),
            (NOON_S + 20, vec![alert("web", NOON_S + 20)]),
        ];
        for (seq, (at_s, signals)) in (1..).zip(told) {
            let source = SourceId::new("test");
            let (at, input) = (
                Time::from_secs(at_s),
                Input::Signals(Batch { source, signals }),
            );
            engine.step(&Stamped { seq, at, input }, &mut Vec::new());
        }
        (engine.incident_rows().count(), engine)
    }

    #[test]
    fn whom_a_line_could_not_reach_is_a_dependency_until_that_is_long_ago() {
        let cases = [
            ("dial tcp db.shop:5432: connect: connection refused", 1),
            ("dial tcp nobody:5432: connect: connection refused", 2),
            ("connected to db:5432", 2),
        ];
        for (text, incidents) in cases {
            assert_eq!(after_a_line(text).0, incidents, "{text}");
        }
        let (_, mut engine) = after_a_line(cases[0].0);
        let find = |engine: &Engine, name| engine.entities.find(&EntityId::parse(name)).unwrap();
        let (web, db) = (find(&engine, "web"), find(&engine, "db"));
        let edge = engine.topology.edge(web, db).unwrap();
        assert_eq!(edge.provenance, Provenance::Inferred);
        let since = edge.last_seen.plus_ms(1);
        engine.topology.retire(since, |_| true, |_| true);
        assert_eq!(engine.topology.edge(web, db), Some(edge), "held");
        engine.topology.retire(since, |_| true, |_| false);
        assert_eq!(engine.topology.edge(web, db), None);
    }
}
