//! What people say of findings raises the bar of the check that made them: for the same thing by much,
//! for the same thing elsewhere by less, and never beyond a limit.
//!
//! Labels live in the journal; the bars follow from the labels that stand, so that taking one back
//! undoes exactly what it did.

use std::collections::BTreeMap;

use super::Engine;
use super::findings::Observation;
use super::traces::{ODD_SCORE, SLOW_SCORE};
use crate::model::{
    Actor, Bar, Check, Effect, EntityId, Feedback, Finding, FindingId, Incident, Label, Opinion,
    Record, Refusal, Time,
};

/// Labels that stand at most; the oldest finding's goes first.
const LABELS_MAX: usize = 10_000;
/// Findings of incidents that are over and may still be marked; the oldest goes first.
const PAST_MAX: usize = 4_096;
/// Each noise label raises the bar by as many powers of ten of the false-alarm rate …
const OWN_STEP: f32 = 2.0;
/// … and that of its peers by as many …
const PEERS_STEP: f32 = 0.5;
/// … up to this much: what is beyond doubt is told whatever was said of lesser things.
const OWN_MAX: f32 = 6.0;
/// The same for peers.
const PEERS_MAX: f32 = 2.0;

/// What is about one subject: on one entity, or on any.
type Scope = (Check, Box<str>, Option<EntityId>);

/// The labels that stand, and the bars that follow from them.
#[derive(Debug, Default)]
pub struct Opinions {
    labels: BTreeMap<FindingId, Label>,
    /// What was found in incidents that are over, without an opinion: nights are judged in the morning.
    past: BTreeMap<FindingId, Label>,
    /// Noise less useful, by scope.
    noise: BTreeMap<Scope, i32>,
    held_back: u64,
}

/// Checks of one series take turns in speaking for the same oddity: they share a bar.
const fn family(check: Check) -> Check {
    match check {
        Check::LevelShift
        | Check::SpreadChange
        | Check::Drift
        | Check::FlatLine
        | Check::Shape
        | Check::Periodicity => Check::Spike,
        other => other,
    }
}

/// The score a check must reach to be told at all, and to page, without any label.
const fn levels(check: Check) -> (f32, f32) {
    match check {
        // How rare the unheard-of is at an entity; a first error is told whatever its score.
        Check::NewTemplate => (0.0, 3.5),
        Check::LogBurst | Check::LogSilence => (6.0, 8.0),
        // Windows of calls are odd two by two, each by itself, and whatever is told of them pages.
        Check::TraceDuration => (SLOW_SCORE, SLOW_SCORE),
        Check::TraceErrors => (ODD_SCORE as f32, ODD_SCORE as f32),
        _ => (6.0, 10.0),
    }
}

impl Opinions {
    /// Takes a label; one without an opinion takes back what was said.
    pub fn put(&mut self, label: Label) {
        if let Some(old) = self.labels.remove(&label.finding) {
            self.count(&old, -1);
        }
        if label.opinion.is_none() {
            return;
        }
        if self.labels.len() >= LABELS_MAX
            && let Some((_, oldest)) = self.labels.pop_first()
        {
            self.count(&oldest, -1);
        }
        self.count(&label, 1);
        self.labels.insert(label.finding, label);
    }

    /// Notes what was found in an incident that is over, so that it can be marked long after.
    pub fn note(&mut self, incident: &Incident) {
        for finding in &incident.findings {
            self.past.insert(finding.id, unmarked(finding));
        }
        while self.past.len() > PAST_MAX {
            self.past.pop_first();
        }
    }

    fn count(&mut self, label: &Label, times: i32) {
        let vote = match label.opinion {
            Some(Opinion::Noise) => times,
            Some(Opinion::Useful) => -times,
            None => return,
        };
        let check = family(label.check);
        // Every entity that is silent is silent about "all metrics": one is no peer of another.
        let peers = (check != Check::Absence).then_some(None);
        for entity in std::iter::once(Some(label.entity.clone())).chain(peers) {
            let scope = (check, label.subject.clone(), entity);
            let noise = self.noise.entry(scope.clone()).or_default();
            *noise += vote;
            if *noise == 0 {
                self.noise.remove(&scope);
            }
        }
    }

    /// How much the bar of a check is raised for a subject on an entity.
    pub fn raised_by(&self, check: Check, subject: &str, entity: &EntityId) -> f32 {
        if self.noise.is_empty() {
            return 0.0;
        }
        let scope = |entity| (family(check), Box::from(subject), entity);
        let of = |scope| self.noise.get(&scope).copied().unwrap_or(0);
        let own = raise(of(scope(Some(entity.clone()))), OWN_STEP, OWN_MAX);
        let peers = raise(of(scope(None)), PEERS_STEP, PEERS_MAX);
        own.max(peers)
    }

    /// Applies the bar to what a producer saw; `false` when it is not to be told.
    pub fn admit(&mut self, seen: &mut Observation, entity: &EntityId) -> bool {
        let raised = self.raised_by(seen.check, &seen.subject, entity);
        if raised <= 0.0 {
            return true;
        }
        let (told, pages) = levels(seen.check);
        seen.pages &= seen.score >= pages + raised;
        let is_told = seen.score >= told + raised;
        self.held_back += u64::from(!is_told);
        is_told
    }

    /// Everything, for whoever asks.
    pub fn all(&self) -> Feedback {
        let bar = |((check, subject, entity), noise): (&Scope, &i32)| {
            let (step, most) = match entity {
                Some(_) => (OWN_STEP, OWN_MAX),
                None => (PEERS_STEP, PEERS_MAX),
            };
            Bar {
                check: *check,
                subject: subject.clone(),
                entity: entity.clone(),
                raised_by: raise(*noise, step, most),
                noise: *noise,
            }
        };
        let bars = self.noise.iter().map(bar);
        Feedback {
            labels: self.labels.values().cloned().collect(),
            bars: bars.filter(|bar| bar.raised_by > 0.0).collect(),
            held_back: self.held_back,
            bonds: Vec::new(),
        }
    }
}

/// What is kept of a finding, before anybody says anything of it.
fn unmarked(finding: &Finding) -> Label {
    Label {
        finding: finding.id,
        opinion: None,
        by: String::new(),
        at: finding.since,
        entity: finding.entity.clone(),
        check: finding.check,
        series: finding.series,
        subject: finding.subject.clone(),
        score: finding.score,
    }
}

fn raise(noise: i32, step: f32, most: f32) -> f32 {
    (step * noise.max(0) as f32).min(most)
}

impl Engine {
    /// What people said of findings, and the bars that follow from it.
    pub fn feedback(&self) -> Feedback {
        Feedback {
            bonds: self.correlator.bonds.all().collect(),
            ..self.opinions.all()
        }
    }

    /// A person says what they think of a finding.
    pub(super) fn mark(
        &mut self,
        by: &Actor,
        id: FindingId,
        opinion: Option<Opinion>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let label = self.label(self.now, by, id, opinion)?;
        effects.push(Effect::Record(Record::Label {
            label: Box::new(label.clone()),
        }));
        self.opinions.put(label);
        Ok(())
    }

    /// What is kept of what a person says of a finding.
    pub(super) fn label(
        &self,
        now: Time,
        by: &Actor,
        id: FindingId,
        opinion: Option<Opinion>,
    ) -> Result<Label, Refusal> {
        let said = self.opinions.labels.get(&id).cloned();
        let seen = || self.finding(id).map(unmarked);
        let past = || self.opinions.past.get(&id).cloned();
        let label = said.or_else(seen).or_else(past);
        let label = label.ok_or(Refusal::NoFinding { finding: id })?;
        Ok(Label {
            opinion,
            by: by.name.clone(),
            at: now,
            ..label
        })
    }

    /// The latest finding made; ids count up from 1.
    pub fn last_finding(&self) -> FindingId {
        self.findings.last_id()
    }

    /// A finding that lasts, or is part of an incident in view.
    pub fn finding(&self, id: FindingId) -> Option<&Finding> {
        let lasting = self.findings.get(id).map(|state| &state.finding);
        let of_incidents = || {
            let mut all = self.correlator.book.iter();
            all.find_map(|(_, held)| held.incident.findings.iter().find(|f| f.id == id))
        };
        lasting.or_else(of_incidents)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::entities::EntityIx;
    use crate::engine::findings::Key;
    use crate::model::{
        Band, Batch, Command, Direction, Explanation, Input, Labels, MetricRole, Role, Sample,
        Series, SeriesKind, Signal, SourceId, Stamped, Time, Unit,
    };

    fn label(finding: u64, entity: &str, opinion: Option<Opinion>) -> Label {
        Label {
            finding: FindingId(finding),
            opinion,
            by: "mia".to_owned(),
            at: Time::from_secs(1),
            entity: EntityId::parse(entity),
            check: Check::LevelShift,
            series: None,
            subject: "queue_length".into(),
            score: 7.0,
        }
    }

    fn seen(score: f32) -> Observation {
        Observation {
            key: Key::Entity(EntityIx(0), Check::Spike),
            entity: EntityIx(0),
            callee: None,
            sick: EntityIx(0),
            check: Check::Spike,
            series: None,
            subject: "queue_length".into(),
            role: MetricRole::Saturation,
            unit: Unit::None,
            since: Time::from_secs(1),
            at: Time::from_secs(2),
            expected: Band {
                low: 0.0,
                high: 1.0,
            },
            seen: 2.0,
            direction: Direction::Up,
            score,
            pages: true,
            text: String::new(),
            explain: Explanation::default(),
        }
    }

    /// Whether a score on an entity is told, and whether it pages.
    fn judged(opinions: &mut Opinions, entity: &str, score: f32) -> (bool, bool) {
        let mut seen = seen(score);
        let told = opinions.admit(&mut seen, &EntityId::parse(entity));
        (told, told && seen.pages)
    }

    #[test]
    fn noise_raises_the_bar_for_the_same_thing_and_a_little_for_its_peers() {
        use Opinion::{Noise, Useful};
        let mut opinions = Opinions::default();
        assert_eq!(judged(&mut opinions, "cart", 6.0), (true, true));
        opinions.put(label(1, "cart", Some(Noise)));
        assert_eq!(judged(&mut opinions, "cart", 7.9), (false, false));
        assert_eq!(
            judged(&mut opinions, "cart", 11.9),
            (true, false),
            "informs"
        );
        assert_eq!(judged(&mut opinions, "cart", 12.0), (true, true));
        assert_eq!(judged(&mut opinions, "shop", 6.4), (false, false), "a peer");
        assert_eq!(judged(&mut opinions, "shop", 6.5), (true, false));
        opinions.put(label(2, "cart", Some(Useful)));
        assert_eq!(
            judged(&mut opinions, "cart", 6.0),
            (true, true),
            "they balance"
        );
        assert_eq!(opinions.all().held_back, 2);
    }

    #[test]
    fn the_bar_of_calls_is_raised_from_where_they_are_told() {
        let of_calls = |opinions: &mut Opinions, check, score| {
            let mut seen = Observation {
                check,
                ..seen(score)
            };
            let told = opinions.admit(&mut seen, &EntityId::parse("cart"));
            (told, told && seen.pages)
        };
        for (check, told_from) in [
            (Check::TraceDuration, SLOW_SCORE),
            (Check::TraceErrors, ODD_SCORE as f32),
        ] {
            let mut opinions = Opinions::default();
            opinions.put(Label {
                check,
                ..label(1, "cart", Some(Opinion::Noise))
            });
            let bar = told_from + OWN_STEP;
            let below = of_calls(&mut opinions, check, bar - 0.1);
            let above = of_calls(&mut opinions, check, bar + 0.1);
            assert_eq!((below, above), ((false, false), (true, true)), "{check:?}");
        }
    }

    #[test]
    fn silence_has_no_peers() {
        let mut opinions = Opinions::default();
        for (finding, entity) in [(1, "cart-1"), (2, "cart-2"), (3, "cart-3")] {
            opinions.put(Label {
                check: Check::Absence,
                subject: "all metrics".into(),
                ..label(finding, entity, Some(Opinion::Noise))
            });
        }
        let raised = |entity: &str| {
            opinions.raised_by(Check::Absence, "all metrics", &EntityId::parse(entity))
        };
        assert_eq!((raised("cart-1"), raised("shop")), (OWN_STEP, 0.0));
    }

    #[test]
    fn the_bar_is_bounded_and_taking_back_undoes_it() {
        let mut opinions = Opinions::default();
        for finding in 0..50 {
            opinions.put(label(finding, "cart", Some(Opinion::Noise)));
        }
        let all = opinions.all();
        let raised: Vec<f32> = all.bars.iter().map(|bar| bar.raised_by).collect();
        assert_eq!((all.labels.len(), raised), (50, vec![PEERS_MAX, OWN_MAX]));
        assert_eq!(
            judged(&mut opinions, "cart", 16.0),
            (true, true),
            "beyond doubt"
        );
        // Said twice of the same finding is said once.
        opinions.put(label(0, "cart", Some(Opinion::Noise)));
        for finding in 0..50 {
            opinions.put(label(finding, "cart", None));
        }
        let all = opinions.all();
        assert_eq!((all.labels, all.bars), (vec![], vec![]));
        assert_eq!(judged(&mut opinions, "cart", 6.0), (true, true));
    }

    #[test]
    fn labels_are_bounded() {
        let mut opinions = Opinions::default();
        for finding in 0..LABELS_MAX as u64 + 5 {
            opinions.put(label(finding, "cart", Some(Opinion::Noise)));
        }
        assert_eq!(opinions.labels.len(), LABELS_MAX);
        let counted: Vec<i32> = opinions.noise.values().copied().collect();
        assert_eq!(counted, [LABELS_MAX as i32; 2]);
    }

    /// An engine that sees a scrape fail, again and again.
    struct Bench {
        engine: Engine,
        now: Time,
        records: Vec<Record>,
    }

    impl Bench {
        fn step(&mut self, input: Input) {
            let at = self.now;
            let mut effects = Vec::new();
            self.engine
                .step(&Stamped { seq: 1, at, input }, &mut effects);
            self.records
                .extend(effects.into_iter().filter_map(|effect| match effect {
                    Effect::Record(record) => Some(record),
                    _ => None,
                }));
        }

        fn minutes_of(&mut self, up: f64, minutes: i64) {
            for _ in 0..minutes * 4 {
                let labels = Labels::from_pairs([("service", "cart")]).unwrap();
                let series = Series::new("up", labels, SeriesKind::Gauge, Unit::None);
                let sample = Sample {
                    series: Arc::new(series),
                    at: self.now,
                    value: up,
                };
                let signals = vec![Signal::Sample(sample)];
                let source = SourceId::new("test");
                self.step(Input::Signals(Batch { source, signals }));
                self.step(Input::Tick);
                self.now = self.now.plus_ms(15_000);
            }
        }

        /// Fails for two minutes, is marked as `opinion`, works for an hour; whether it paged.
        fn fails(&mut self, opinion: Option<Opinion>) -> bool {
            self.minutes_of(0.0, 2);
            let finding = self.engine.findings.last_id();
            let pages = self.engine.finding(finding).unwrap().pages;
            let by = Actor {
                name: "mia".to_owned(),
                role: Role::Responder,
            };
            if opinion.is_some() {
                self.step(Input::Command {
                    by,
                    what: Command::Mark { finding, opinion },
                });
            }
            self.minutes_of(1.0, 60);
            pages
        }
    }

    #[test]
    fn what_is_called_noise_informs_in_the_end_and_the_journal_knows_why() {
        let mut bench = Bench {
            engine: Engine::new(EngineConfig::default(), Vec::new()),
            now: Time::from_secs(1_768_392_000),
            records: Vec::new(),
        };
        bench.minutes_of(1.0, 10);
        let noise = Some(Opinion::Noise);
        let paged: Vec<bool> = (0..4).map(|_| bench.fails(noise)).collect();
        assert_eq!(paged, [true, true, false, false]);
        let labels = bench.engine.feedback().labels;
        assert_eq!(labels.len(), 4);
        // Another life, from the journal.
        let mut again = Engine::new(EngineConfig::default(), Vec::new());
        let records = bench.records.iter().cloned();
        again.restore(records.map(Record::undated));
        let (was, is) = (bench.engine.feedback(), again.feedback());
        assert_eq!((was.labels, was.bars), (is.labels, is.bars));
        // Taken back, it pages as before.
        let by = Actor {
            name: "mia".to_owned(),
            role: Role::Responder,
        };
        for label in labels {
            let what = Command::Mark {
                finding: label.finding,
                opinion: None,
            };
            let by = by.clone();
            bench.step(Input::Command { by, what });
        }
        assert!(bench.fails(None));
    }

    #[test]
    fn a_night_is_marked_in_the_morning_and_after_a_restart() {
        let mut bench = Bench {
            engine: Engine::new(EngineConfig::default(), Vec::new()),
            now: Time::from_secs(1_768_392_000),
            records: Vec::new(),
        };
        bench.minutes_of(1.0, 10);
        assert!(bench.fails(None));
        let finding = bench.engine.findings.last_id();
        bench.minutes_of(1.0, 4 * 60);
        assert!(bench.engine.finding(finding).is_none(), "out of view");
        let mut again = Engine::new(EngineConfig::default(), Vec::new());
        again.restore(bench.records.iter().cloned().map(Record::undated));
        let by = Actor {
            name: "mia".to_owned(),
            role: Role::Responder,
        };
        for engine in [&bench.engine, &again] {
            let noise = Some(Opinion::Noise);
            let label = engine.label(bench.now, &by, finding, noise).unwrap();
            assert_eq!((&*label.subject, label.check), ("up", Check::Absence));
            assert_eq!((label.opinion, &*label.by), (noise, "mia"));
        }
    }

    #[test]
    fn a_viewer_may_not_and_an_unknown_finding_is_refused() {
        let mut bench = Bench {
            engine: Engine::new(EngineConfig::default(), Vec::new()),
            now: Time::from_secs(1_768_392_000),
            records: Vec::new(),
        };
        let finding = FindingId(9);
        let what = Command::Mark {
            finding,
            opinion: None,
        };
        for role in [Role::Viewer, Role::Responder] {
            let name = "mia".to_owned();
            let by = Actor { name, role };
            let what = what.clone();
            bench.step(Input::Command { by, what });
        }
        let refused: Vec<Option<Refusal>> = bench
            .records
            .into_iter()
            .filter_map(|record| match record {
                Record::Decision { refused, .. } => Some(refused),
                _ => None,
            })
            .collect();
        assert!(matches!(refused[0], Some(Refusal::Role { .. })));
        assert_eq!(refused[1..], [Some(Refusal::NoFinding { finding })]);
    }
}
