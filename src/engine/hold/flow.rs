//! Alerts on their way to incidents: held back, let go, told late. And what people ask of silences.

use std::collections::BTreeMap;

use super::matching::all_fit;
use super::pages::FINDING;
use super::silences::Turn;
use super::{Bounds, End, Hold, Holder, Subject, WAITING_MAX};
use crate::engine::Engine;
use crate::engine::alerts::AlertChange;
use crate::engine::entities::EntityIx;
use crate::engine::explain;
use crate::engine::intake::SourceIx;
use crate::model::{
    Actor, Effect, Fingerprint, HoldStage, IncidentId, LabelFilter, Labels, Lane, MaintenanceRow,
    Record, Refusal, Severity, Silence, SilenceId, SilencePreview, SilenceSpec, SilenceState,
    SilenceTwin, StageRow, Time,
};

/// Names of alerts in a preview.
const PREVIEW_NAMES_MAX: usize = 20;

/// Whether people know of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    NotYet,
    Already,
}

impl Engine {
    /// An alert fires, resolves or flaps: it is held back, or taken to incidents.
    pub(in crate::engine) fn alert_changed(&mut self, change: AlertChange) {
        match change {
            AlertChange::Fired(alert) => self.alert_fires(alert, change),
            AlertChange::Flapping(alert) => {
                let fires = self.alerts.get(alert).is_some_and(|state| state.firing);
                if self.holds.held.contains_key(&alert) {
                    // It counts as firing, and stays held.
                } else if fires {
                    self.alert_fires(alert, change);
                } else {
                    self.with_correlator(|correlator, world| correlator.on_alert(change, world));
                }
            }
            AlertChange::Resolved(alert) => self.alert_is_over(alert),
            AlertChange::Retold(_) => {
                self.with_correlator(|correlator, world| correlator.on_alert(change, world));
            }
            AlertChange::Resent | AlertChange::Refused => {}
        }
    }

    /// What became of an alert that goes on: its incident tells it, unless something holds the alert back.
    pub(in crate::engine) fn tell_of_alert(&mut self, alert: Fingerprint, words: &str) {
        if !self.holds.held.contains_key(&alert) {
            self.with_correlator(|correlator, world| {
                correlator.tell_of_alert(alert, words, world);
            });
        }
    }

    fn alert_fires(&mut self, alert: Fingerprint, change: AlertChange) {
        let Some(state) = self.alerts.get(alert) else {
            return;
        };
        let (labels, severity, since) = (state.labels.clone(), state.severity, state.onset);
        let holds = &mut self.holds;
        holds
            .habits
            .fired(alert, &labels, severity, since, self.now);
        holds.blindness.fired(alert, &labels);
        let spoken_for = holds.inhibition.fired(alert, &labels);
        match self.judge_alert(alert, Told::NotYet) {
            Some(hold) => {
                self.put_hold(alert, hold);
                self.with_correlator(|correlator, world| correlator.on_alert_hidden(alert, world));
            }
            None => self.with_correlator(|correlator, world| correlator.on_alert(change, world)),
        }
        for target in spoken_for {
            self.look_again(target);
        }
    }

    fn alert_is_over(&mut self, alert: Fingerprint) {
        self.holds.blindness.over(alert);
        let freed = self.holds.inhibition.over(alert);
        let hold = self.take_hold(alert);
        // Only what is over counts as resolved, not what something else holds back from now on.
        if let Some(Holder::Silence(id)) = hold.map(|hold| hold.holder)
            && self.holds.silences.waits_for_nothing(id)
        {
            self.holds.spent.insert(id);
        }
        let end = match hold.map(|hold| hold.holder) {
            Some(Holder::Habit) => End::Alone,
            Some(_) => End::Unseen,
            None if self.may_be_helped(alert) => End::Helped,
            None => End::Alone,
        };
        self.holds.habits.ended(alert, end, self.now);
        if hold.is_none() {
            let over = AlertChange::Resolved(alert);
            self.with_correlator(|correlator, world| correlator.on_alert(over, world));
        }
        for target in freed {
            self.look_again(target);
        }
    }

    /// Whether an alert that is over may owe that to somebody: its incident is taken, a plan for it was
    /// approved, or it was part of something larger.
    fn may_be_helped(&self, alert: Fingerprint) -> bool {
        let incident = self.alerts.get(alert).and_then(|state| state.incident);
        let held = incident.and_then(|id| self.correlator.book.get(self.correlator.home(id)));
        held.is_some_and(|held| {
            let mut plans = self.plans.of_incident(held.incident.id);
            held.members.len() > 1
                || held.incident.owner.is_some()
                || held.by_person
                || plans.any(|plan| !plan.approvals.is_empty())
        })
    }

    /// Asks the stages. What people were told of, and what something else confirms, does not wait.
    fn judge_alert(&self, alert: Fingerprint, told: Told) -> Option<Hold> {
        let state = self.alerts.get(alert)?;
        let condition = self.correlator.conditions().get(state.entity);
        let is_quiet = condition.is_none_or(|condition| !condition.is_active());
        let series = self.intake.of_entity(state.entity).iter();
        let tellers = series.map(|ix| self.intake.row(*ix).source());
        let subject = Subject {
            alert,
            labels: &state.labels,
            behind: self.holds.blindness.behind(alert, state.entity, tellers),
            may_wait: told == Told::NotYet && is_quiet,
        };
        self.holds.judge(subject, self.now)
    }

    fn put_hold(&mut self, alert: Fingerprint, hold: Hold) {
        self.holds.put(alert, hold);
        self.alerts.hold(alert, true);
    }

    fn take_hold(&mut self, alert: Fingerprint) -> Option<Hold> {
        self.alerts.hold(alert, false);
        self.holds.take(alert)
    }

    /// Asks the stages again about an alert that fires.
    fn look_again(&mut self, alert: Fingerprint) {
        if !self.alerts.fires(alert) {
            return;
        }
        let before = self.holds.held.get(&alert).copied();
        let told = match before.map(|hold| hold.holder) {
            Some(Holder::Habit) => Told::NotYet,
            _ => Told::Already,
        };
        match (before, self.judge_alert(alert, told)) {
            (None, None) => {}
            (None, Some(hold)) => self.withhold(alert, hold),
            (Some(before), Some(hold)) => {
                let since = before.since;
                if (before.holder, before.until) != (hold.holder, hold.until) {
                    self.put_hold(alert, Hold { since, ..hold });
                }
            }
            (Some(before), None) => self.let_go(alert, before),
        }
    }

    /// Holds back an alert that its incident knows.
    fn withhold(&mut self, alert: Fingerprint, hold: Hold) {
        self.put_hold(alert, hold);
        let why = self.holds.told(alert).map(|told| {
            let until = told.until.map_or_else(String::new, |until| {
                format!(" until {}", explain::clock(until))
            });
            format!("is {}{until}: {}", told.stage.as_str(), told.why)
        });
        let why = why.unwrap_or_default();
        self.with_correlator(|correlator, world| correlator.on_alert_withheld(alert, &why, world));
    }

    /// Tells of an alert late.
    fn let_go(&mut self, alert: Fingerprint, before: Hold) {
        let why = self.holds.late_words(alert, before);
        self.take_hold(alert);
        self.holds.tallies[before.stage as usize].told_late += 1;
        let fired = AlertChange::Fired(alert);
        self.with_correlator(|correlator, world| correlator.on_alert(fired, world));
        let Some(state) = self.alerts.get(alert) else {
            return;
        };
        let text = format!("{} {why}", state.name());
        let entity = self.entities.id(state.entity).clone();
        let held = state
            .incident
            .and_then(|id| self.correlator.book.get_mut(id));
        if let Some(held) = held {
            held.tell(self.now, Lane::Alert, Some(entity), &text);
        }
    }

    /// Asks again about everything that fires and fits.
    fn sweep(&mut self, matchers: &[LabelFilter]) {
        let fits = |alert: &Fingerprint, labels: &Labels| {
            self.alerts.fires(*alert) && all_fit(matchers, labels)
        };
        let alerts: Vec<Fingerprint> = self
            .alerts
            .iter(None)
            .filter(|(alert, state)| fits(alert, &state.labels))
            .map(|(alert, _)| alert)
            .collect();
        for alert in alerts {
            self.look_again(alert);
        }
    }

    fn ask_about(&mut self, holder: Holder) {
        for alert in self.holds.held_by(holder) {
            self.look_again(alert);
        }
    }

    /// A source is blind: alerts that only say so are held back.
    pub(in crate::engine) fn hold_behind(&mut self, source: SourceIx) {
        let name = self.silence.source(source).0.clone();
        for alert in self.holds.blindness.blind(source, &name) {
            self.look_again(alert);
        }
    }

    /// A source tells nothing of an entity any more, and of others it does.
    pub(in crate::engine) fn hold_behind_spot(&mut self, source: SourceIx, entity: EntityIx) {
        let name = self.silence.source(source).0.clone();
        let alerts = self.holds.blindness.blind_on(source, &name, entity);
        let its = |alert: &Fingerprint| {
            let state = self.alerts.get(*alert);
            state.is_some_and(|state| state.entity == entity)
        };
        let alerts: Vec<Fingerprint> = alerts.into_iter().filter(its).collect();
        for alert in alerts {
            self.look_again(alert);
        }
    }

    /// A source tells of an entity again, or something else does.
    pub(in crate::engine) fn let_go_behind_spot(&mut self, source: SourceIx, entity: EntityIx) {
        let now = self.now;
        self.holds.blindness.sees_entity(source, entity, now);
    }

    /// A source sees again: what it held back is told in a while, if it still fires then.
    pub(in crate::engine) fn let_go_behind(&mut self, source: SourceIx) {
        self.holds.blindness.sees(source, self.now);
    }

    /// The passing of time for what is held back.
    pub(in crate::engine) fn tick_holds(&mut self, effects: &mut Vec<Effect>) {
        self.tick_pages();
        for turn in self.holds.silences.tick(self.now, self.silence_bounds()) {
            match turn {
                Turn::Began(id) => self.sweep_silence(id),
                Turn::Ended(id) => self.ask_about(Holder::Silence(id)),
            }
        }
        for (place, is_open) in self.holds.windows.tick(self.now) {
            if is_open {
                let matchers = self.holds.windows.matchers(place).to_vec();
                self.sweep(&matchers);
            } else {
                self.ask_about(Holder::Window(place));
            }
        }
        for source in self.holds.blindness.tick(self.now) {
            self.ask_about(Holder::Source(source));
        }
        let waiting: Vec<Fingerprint> =
            self.holds.waiting.iter().map(|(_, alert)| *alert).collect();
        // Decided before the first is freed, or the others would go on waiting.
        self.holds.is_storm = waiting.len() > WAITING_MAX;
        for alert in waiting {
            self.look_again(alert);
        }
        self.holds.is_storm = false;
        while let Some(id) = self.holds.spent.pop_first() {
            if self
                .holds
                .silences
                .get(id)
                .is_some_and(|silence| silence.hides == 0 && silence.hides_findings == 0)
                && let Ok(ended) = self.holds.silences.ended(id, self.now)
            {
                effects.push(Effect::Record(Record::Silence {
                    silence: Box::new(ended.clone()),
                }));
                self.put_silence(ended);
            }
        }
    }

    fn silence_bounds(&self) -> Bounds {
        Bounds {
            hours_max: self.config.silence_hours_max,
            warn_s: self.config.silence_warn_s,
        }
    }

    /// The silence that a person asks for, if it may be; nothing is changed.
    pub(in crate::engine) fn draft_silence(
        &self,
        now: Time,
        by: &Actor,
        spec: &SilenceSpec,
        twin: Option<&SilenceTwin>,
    ) -> Result<Silence, Refusal> {
        let bounds = self.silence_bounds();
        self.holds.silences.draft(now, by, spec, twin, bounds)
    }

    /// The silence as it is when a person ends it now; nothing is changed.
    pub(in crate::engine) fn draft_expiry(
        &self,
        now: Time,
        id: SilenceId,
    ) -> Result<Silence, Refusal> {
        self.holds.silences.ended(id, now)
    }

    /// Puts a silence in force as it was decided.
    pub(in crate::engine) fn put_silence(&mut self, silence: Silence) {
        let id = silence.id;
        self.holds.silences.put(silence);
        self.ask_about(Holder::Silence(id));
        self.sweep_silence(id);
    }

    fn sweep_silence(&mut self, id: SilenceId) {
        let silence = self.holds.silences.get(id);
        let active = silence.filter(|silence| silence.state == SilenceState::Active);
        if let Some(matchers) = active.map(|silence| silence.matchers.clone()) {
            self.sweep(&matchers);
            self.sweep_pages(id, &matchers);
        }
    }

    /// Puts back a silence that the journal holds, oldest record first.
    pub(in crate::engine) fn restore_silence(&mut self, silence: &Silence) {
        self.holds.silences.restore(silence);
    }

    /// The journal is read: silences are in force.
    pub(in crate::engine) fn silences_restored(&mut self) {
        self.holds.silences.restored(self.now);
    }

    /// What consoles hold of silences otherwise since the last call.
    pub(in crate::engine) fn publish_silences(&mut self, effects: &mut Vec<Effect>) {
        let deltas = self.holds.silences.take_deltas();
        effects.extend(deltas.into_iter().map(Effect::Changed));
    }

    /// All silences, by number, those over of late included.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.holds.silences.iter()
    }

    /// One silence.
    pub fn silence(&self, id: SilenceId) -> Option<&Silence> {
        self.holds.silences.get(id)
    }

    /// Maintenance windows of the config.
    pub fn maintenance(&self) -> Vec<MaintenanceRow> {
        self.holds.windows.rows(self.now)
    }

    /// The stages signals go through, in order, with what each did since the start.
    pub fn stages(&self) -> Vec<StageRow> {
        let row = |name: &str, what: &str, of: &str, total| StageRow {
            name: name.into(),
            what: what.into(),
            of: of.into(),
            total,
            now: None,
            told_late: None,
        };
        let what = "sent again: nothing new";
        let mut rows = vec![row("deduplicate", what, "alerts", self.alerts.resent())];
        let what = "told by another source, with labels that differ only in what describes it";
        rows.push(row("one alert", what, "alerts", self.twins.total()));
        for (stage, held) in self.holds.stage_rows() {
            if stage == HoldStage::Transience {
                let what = "goes on and off: told once when that begins, and once when it ends";
                rows.push(StageRow {
                    now: Some(self.alerts.flapping() as u64),
                    ..row("flapping", what, "alerts", self.alerts.flapped())
                });
            }
            rows.push(held);
        }
        for (name, what, total) in self.correlator.stages() {
            rows.push(row(name, what, "entities", total));
        }
        let deeds = self.correlator.deeds().into_iter();
        rows.extend(deeds.map(|(name, what, of, total)| row(name, what, of, total)));
        let (rules, forgotten) = self.correlator.rules();
        rows.extend(rules.map(|(name, what, total)| row(name, what, StageRow::OF_RULE, total)));
        if forgotten > 0 {
            let what = "groups of alerts for which rules had no room";
            rows.push(row("forgotten", what, "groups", forgotten));
        }
        rows.push(self.odd.expected().row());
        rows
    }

    /// What matchers would hold back: now, and in the last week.
    pub fn preview_silence(&self, matchers: &[LabelFilter]) -> SilencePreview {
        let mut now: BTreeMap<Severity, u32> = BTreeMap::new();
        let mut past: BTreeMap<Severity, u32> = BTreeMap::new();
        let mut names: Vec<Box<str>> = Vec::new();
        let mut name = |labels: &Labels| {
            let name = labels.get("alertname").unwrap_or("unnamed alert");
            if names.len() < PREVIEW_NAMES_MAX && !names.iter().any(|known| **known == *name) {
                names.push(name.into());
            }
        };
        let mut of_incident: BTreeMap<IncidentId, u32> = BTreeMap::new();
        for (alert, state) in self.alerts.iter(None) {
            if self.alerts.fires(alert) && all_fit(matchers, &state.labels) {
                *now.entry(state.severity).or_default() += 1;
                name(&state.labels);
                if let Some(id) = state
                    .incident
                    .filter(|_| self.alerts.counts_as_firing(alert))
                {
                    *of_incident.entry(id).or_default() += 1;
                }
            }
        }
        let fits = |labels: &Labels| all_fit(matchers, labels);
        let findings_now = self.paging_fit(matchers);
        let mut findings_past = 0;
        for (alert, labels, severity, times) in self.holds.habits.past(fits, self.now) {
            if labels.get(FINDING).is_some() {
                findings_past += times;
                continue;
            }
            name(labels);
            // What fires is of now, since whenever it does.
            let over = times.saturating_sub(u32::from(self.alerts.fires(alert)));
            if over > 0 {
                *past.entry(severity).or_default() += over;
            }
        }
        let is_all_of = |(id, alerts): &(&IncidentId, &u32)| {
            let held = self.correlator.book.get(**id);
            held.is_some_and(|held| held.is_open() && held.has_only_alerts(**alerts))
        };
        SilencePreview {
            now: now.into_iter().rev().collect(),
            past: past.into_iter().rev().collect(),
            looked_back_ms: self.holds.habits.looked_back_ms(self.now),
            incidents: of_incident.iter().filter(is_all_of).count() as u32,
            names,
            findings_now,
            // What pages now is of now, since whenever it does.
            findings_past: findings_past.saturating_sub(findings_now),
        }
    }
}
