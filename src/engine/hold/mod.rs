//! Which alerts are held back from incidents and people, and why: [`STAGES`], in order.
//!
//! An alert that fires is asked about once; what holds it back is remembered, and when that is over the
//! stages are asked again. Nothing is hidden from the table of alerts, everything held back is counted,
//! and what still fires when its hold ends is told, with the reason why it was late.
//!
//! Must never do work for one alert that grows with the number of silences, rules or alerts held.

mod blindness;
mod flow;
mod habits;
mod inhibition;
pub(super) mod matching;
mod pages;
mod silences;
#[cfg(test)]
mod tests;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

use super::diagnose::words;
use super::explain;
use super::intake::SourceIx;
use super::set_back::SetBack;
use crate::config::EngineConfig;
use crate::model::{
    ALERT_NOT_CLEAR, ALERT_STILL_FIRES, Fingerprint, HeldBack, HoldStage, Labels, SilenceId,
    SilenceKind, StageRow, Time,
};
pub(in crate::engine) use blindness::Blindness;
pub use habits::{End, Habit, Habits};
use inhibition::Inhibition;
use pages::Pages;
use silences::{Bounds, Silences};
use windows::Windows;

/// More alerts than this that wait for themselves to clear are a storm, and none of them waits.
const WAITING_MAX: usize = 50;

/// What holds an alert back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A window of the config, by its place.
    Window(u16),
    /// A silence.
    Silence(SilenceId),
    /// Another alert, by a rule.
    Inhibition,
    /// A source that is blind.
    Source(SourceIx),
    /// Its habit to clear by itself.
    Habit,
}

/// An alert that is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// By which stage.
    pub stage: HoldStage,
    /// By what.
    pub holder: Holder,
    /// Since when.
    pub since: Time,
    /// Until when at the latest, if that is known.
    pub until: Option<Time>,
}

/// What the stages are asked about.
#[derive(Clone, Copy, Debug)]
struct Subject<'a> {
    alert: Fingerprint,
    labels: &'a Labels,
    /// The blind source it is behind, if it only says that nothing is heard.
    behind: Option<SourceIx>,
    /// Whether nothing else is odd where it fires and nobody was told of it.
    may_wait: bool,
}

/// What holds an alert back, and until when at the latest, if that is known.
type Answer = (Holder, Option<Time>);

/// One stage.
struct Stage {
    kind: HoldStage,
    name: &'static str,
    what: &'static str,
    /// What holds an alert back at a time, and until when if that is known.
    ask: fn(&Holds, Subject<'_>, Time) -> Option<Answer>,
}

/// The stages, in order; the first that answers holds the alert.
const STAGES: [Stage; 5] = [
    Stage {
        kind: HoldStage::Maintenance,
        name: "maintenance",
        what: "held back while a maintenance window is open for it",
        ask: maintenance,
    },
    Stage {
        kind: HoldStage::Silence,
        name: "silences",
        what: "held back while somebody silenced it",
        ask: silence,
    },
    Stage {
        kind: HoldStage::Inhibition,
        name: "inhibition",
        what: "held back while an alert fires that says it already",
        ask: inhibition,
    },
    Stage {
        kind: HoldStage::Blindness,
        name: "blindness",
        what: "held back while it only says that nothing is heard and its source is blind",
        ask: blindness,
    },
    Stage {
        kind: HoldStage::Transience,
        name: "transience",
        what: "given the time in which it usually clears by itself",
        ask: transience,
    },
];

fn maintenance(holds: &Holds, subject: Subject<'_>, now: Time) -> Option<Answer> {
    if let Some(open) = holds.windows.covering(subject.labels, now) {
        return Some((Holder::Window(open.place), Some(open.until)));
    }
    silenced(holds, subject, SilenceKind::Maintenance)
}

fn silence(holds: &Holds, subject: Subject<'_>, _now: Time) -> Option<Answer> {
    silenced(holds, subject, SilenceKind::Silence)
}

fn silenced(holds: &Holds, subject: Subject<'_>, kind: SilenceKind) -> Option<Answer> {
    let silence = holds.silences.covering(subject.labels, kind)?;
    Some((Holder::Silence(silence.id), Some(silence.ends_at)))
}

fn inhibition(holds: &Holds, subject: Subject<'_>, _now: Time) -> Option<Answer> {
    holds.inhibition.holder(subject.alert)?;
    Some((Holder::Inhibition, None))
}

fn blindness(_holds: &Holds, subject: Subject<'_>, _now: Time) -> Option<Answer> {
    Some((Holder::Source(subject.behind?), None))
}

fn transience(holds: &Holds, subject: Subject<'_>, now: Time) -> Option<Answer> {
    let is_storm = holds.is_storm || holds.waiting.len() > WAITING_MAX;
    if !subject.may_wait || !holds.waits || is_storm {
        return None;
    }
    let patience = holds.habits.patience(subject.alert)?;
    let due = holds.habits.since(subject.alert)?.plus_ms(patience.wait_ms);
    (due > now).then_some((Holder::Habit, Some(due)))
}

/// What a stage did since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    total: u64,
    now: u64,
    told_late: u64,
}

/// What is held back, and by what.
#[derive(Debug, Default)]
pub struct Holds {
    silences: Silences,
    windows: Windows,
    inhibition: Inhibition,
    blindness: Blindness,
    habits: Habits,
    /// Whether habits hold anything back.
    waits: bool,
    held: BTreeMap<Fingerprint, Hold>,
    by: BTreeSet<(Holder, Fingerprint)>,
    /// Those held by their habit, by when they are told at the latest.
    waiting: BTreeSet<(Time, Fingerprint)>,
    /// Whether too many wait, decided once for all of them.
    is_storm: bool,
    tallies: [Tally; STAGES.len()],
    /// Findings that page, or would.
    pages: Pages,
    /// Silences until resolved with nothing left to wait for.
    spent: BTreeSet<SilenceId>,
}

impl Holds {
    /// What the config declares; no silences yet.
    pub fn new(config: &EngineConfig) -> Self {
        Self {
            windows: Windows::new(&config.maintenance),
            inhibition: Inhibition::new(&config.inhibit),
            waits: config.wait_for_transients,
            ..Self::default()
        }
    }

    /// Asks the stages, in order.
    fn judge(&self, subject: Subject<'_>, now: Time) -> Option<Hold> {
        STAGES.iter().find_map(|stage| {
            let (holder, until) = (stage.ask)(self, subject, now)?;
            Some(Hold {
                stage: stage.kind,
                holder,
                since: now,
                until,
            })
        })
    }

    /// Remembers that an alert is held back.
    fn put(&mut self, alert: Fingerprint, hold: Hold) {
        let before = self.take(alert);
        // What goes on to hold it, only longer or shorter, holds no other alert.
        let is_same_stage = before.is_some_and(|before| before.stage == hold.stage);
        let is_same_holder = before.is_some_and(|before| before.holder == hold.holder);
        self.held.insert(alert, hold);
        self.by.insert((hold.holder, alert));
        let tally = &mut self.tallies[hold.stage as usize];
        tally.total += u64::from(!is_same_stage);
        tally.now += 1;
        match hold.holder {
            Holder::Window(place) if !is_same_holder => self.windows.note_held(place),
            Holder::Silence(id) => {
                self.silences.note_hidden(id);
                if !is_same_holder {
                    self.silences.count_hidden(id);
                }
            }
            Holder::Window(_) | Holder::Inhibition | Holder::Source(_) => {}
            Holder::Habit => {
                self.waiting
                    .insert((hold.until.unwrap_or(hold.since), alert));
            }
        }
    }

    /// An alert is not held back any more, by what held it.
    fn take(&mut self, alert: Fingerprint) -> Option<Hold> {
        let hold = self.held.remove(&alert)?;
        self.by.remove(&(hold.holder, alert));
        let tally = &mut self.tallies[hold.stage as usize];
        tally.now = tally.now.saturating_sub(1);
        match hold.holder {
            Holder::Silence(id) => self.silences.note_freed(id),
            Holder::Habit => {
                self.waiting
                    .remove(&(hold.until.unwrap_or(hold.since), alert));
            }
            Holder::Window(_) | Holder::Inhibition | Holder::Source(_) => {}
        }
        Some(hold)
    }

    /// Alerts that one thing holds back.
    fn held_by(&self, holder: Holder) -> Vec<Fingerprint> {
        let from = (holder, Fingerprint(0));
        let to = (holder, Fingerprint(u64::MAX));
        self.by.range(from..=to).map(|(_, alert)| *alert).collect()
    }

    /// Alerts held back now.
    pub fn len(&self) -> u64 {
        self.held.len() as u64
    }

    /// What is known of how alerts usually go.
    pub fn habits(&self) -> &Habits {
        &self.habits
    }

    /// Takes habits over from a checkpoint.
    pub fn restore_habits(&mut self, habits: Habits) {
        self.habits = habits;
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        self.silences.set_back(back);
        self.blindness.set_back(back);
        self.habits.set_back(back);
        self.waiting.clear();
        for (alert, hold) in &mut self.held {
            back.past(&mut hold.since);
            if let Some(until) = &mut hold.until {
                back.due(until);
            }
            if hold.holder == Holder::Habit {
                self.waiting
                    .insert((hold.until.unwrap_or(hold.since), *alert));
            }
        }
    }

    /// When an alert ceases to be held back at the latest, if that is known.
    pub fn until(&self, alert: Fingerprint) -> Option<Time> {
        self.held.get(&alert)?.until
    }

    /// Why an alert is held back, in words.
    pub fn told(&self, alert: Fingerprint) -> Option<HeldBack> {
        let hold = self.held.get(&alert)?;
        let mut told = HeldBack {
            stage: hold.stage,
            by: Box::default(),
            why: Box::default(),
            since: hold.since,
            until: hold.until,
            silence: None,
            inhibited_by: None,
        };
        let (by, why) = match hold.holder {
            Holder::Window(place) => {
                let name = self.windows.name(place);
                (name.to_owned(), format!("maintenance window {name}"))
            }
            Holder::Silence(id) => {
                told.silence = Some(id);
                (id.to_string(), self.silence_words(id))
            }
            Holder::Inhibition => {
                let (rule, speaker) = self.inhibition.holder(alert)?;
                told.inhibited_by = Some(speaker);
                (
                    rule.to_owned(),
                    format!("rule {rule}: another alert says it already"),
                )
            }
            Holder::Source(source) => {
                let name = self.blindness.name(source);
                let what = if self.blindness.is_whole(source) {
                    "is blind"
                } else {
                    "is blind on a part of what it tells of"
                };
                let why = format!("source {name} {what}: that nothing is heard is known");
                (name.to_owned(), why)
            }
            Holder::Habit => ("habit".to_owned(), self.habit_words(alert)),
        };
        (told.by, told.why) = (by.into(), why.into());
        Some(told)
    }

    fn silence_words(&self, id: SilenceId) -> String {
        self.silences.get(id).map_or_else(
            || id.to_string(),
            |silence| {
                let (author, reason) = (&silence.author, &silence.reason);
                format!("{} {} of {author}: {reason}", silence.kind.as_str(), id.0)
            },
        )
    }

    fn habit_words(&self, alert: Fingerprint) -> String {
        self.habits.patience(alert).map_or_else(
            || "it usually clears by itself".to_owned(),
            |patience| {
                format!(
                    "cleared alone {} of {} times, median {}",
                    patience.alone,
                    patience.ends,
                    words::duration(patience.median_ms)
                )
            },
        )
    }

    /// Why an alert is told only now, once what held it back is over.
    fn late_words(&self, alert: Fingerprint, hold: Hold) -> String {
        let since = explain::clock(hold.since);
        match hold.holder {
            Holder::Window(place) => {
                let name = self.windows.name(place);
                format!("{ALERT_STILL_FIRES}: maintenance window {name} held it back since {since}")
            }
            Holder::Silence(id) => {
                let silence = self.silence_words(id);
                format!("{ALERT_STILL_FIRES}: {silence}; it was held back since {since}")
            }
            Holder::Inhibition => {
                format!("{ALERT_STILL_FIRES}: what spoke for it since {since} is over")
            }
            Holder::Source(source) => {
                let name = self.blindness.name(source);
                format!(
                    "{ALERT_STILL_FIRES} although source {name} sees again: held back since {since}"
                )
            }
            Holder::Habit => {
                let habit = self.habit_words(alert);
                format!("{ALERT_NOT_CLEAR} this time ({habit}); it waited since {since}")
            }
        }
    }

    /// The stages with what they did since the start, in order.
    pub fn stage_rows(&self) -> impl Iterator<Item = (HoldStage, StageRow)> {
        STAGES.iter().zip(self.tallies).map(|(stage, tally)| {
            let row = StageRow {
                name: stage.name.into(),
                what: stage.what.into(),
                of: "alerts".into(),
                total: tally.total,
                now: Some(tally.now),
                told_late: Some(tally.told_late),
            };
            (stage.kind, row)
        })
    }
}
