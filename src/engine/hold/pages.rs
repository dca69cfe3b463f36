//! Findings that would open an incident by themselves, and what keeps them from it: counted as alerts are.
//!
//! A silence or a window covers an entity by its labels; what is odd there is told all the same, and opens
//! nothing. Must never count a finding twice, however often it is seen.

use std::collections::BTreeMap;

use super::Holds;
use super::matching::all_fit;
use crate::engine::Engine;
use crate::engine::entities::EntityIx;
use crate::engine::findings::{Key, Observation};
use crate::model::{
    Fingerprint, LabelFilter, Labels, MetricRole, Severity, Silence, SilenceId, SilenceKind,
    SilenceState, Time,
};

/// The label by which habits tell findings from alerts: the check that made it.
pub(super) const FINDING: &str = "stormglass_finding";

/// Findings that page, or would.
#[derive(Debug, Default)]
pub(super) struct Pages {
    open: BTreeMap<Key, Page>,
}

#[derive(Clone, Copy, Debug)]
struct Page {
    sick: EntityIx,
    /// The silence that keeps it from opening an incident.
    silence: Option<SilenceId>,
}

impl Engine {
    /// Whether what was seen may open an incident by itself: not while a silence or a window covers its
    /// entity. What is kept from it is counted.
    pub(in crate::engine) fn may_page(&mut self, seen: &Observation) -> bool {
        if !seen.pages {
            return false;
        }
        let known = self.holds.pages.open.get(&seen.key).copied();
        let is_free = self.holds.windows.is_empty() && !self.holds.silences.any_active();
        if is_free && known.is_some_and(|page| page.silence.is_none()) {
            return true;
        }
        let labels = self.labels_of(seen.sick);
        let (holds, now) = (&mut self.holds, self.now);
        if known.is_none() {
            let check = format!("{:?}", seen.check);
            let check = [(FINDING, check.as_str())];
            let labels = Labels::from_pairs(check).unwrap_or_default().over(&labels);
            let alert = Fingerprint::of(&labels);
            holds
                .habits
                .fired(alert, &labels, severity(seen.role), seen.since, now);
        }
        let silence = self.silence_over(&labels);
        let is_covered = silence.is_some() || self.holds.windows.covering(&labels, now).is_some();
        let sick = seen.sick;
        self.holds.put_page(seen.key, Page { sick, silence });
        !is_covered
    }

    /// What silences and windows match an entity by.
    fn labels_of(&self, entity: EntityIx) -> Labels {
        let entity = self.entities.entity(entity);
        let named = [(entity.id.kind().as_str(), entity.id.name())];
        let named = Labels::from_pairs(named).unwrap_or_default();
        named.over(&entity.labels)
    }

    /// Whether anything was ever declared to be worked on.
    pub(in crate::engine) fn has_maintenance(&self) -> bool {
        let by_hand = |silence: &Silence| silence.kind == SilenceKind::Maintenance;
        !self.holds.windows.is_empty() || self.holds.silences.iter().any(by_hand)
    }

    /// The window of the config that was open for an entity at a time, with when it opened; and what people
    /// worked on there then.
    pub(in crate::engine) fn maintenance_at(
        &self,
        entity: EntityIx,
        at: Time,
    ) -> (Option<(&str, Time)>, impl Iterator<Item = &Silence>) {
        let labels = self.labels_of(entity);
        let open = self.holds.windows.covering(&labels, at);
        let open = open.map(|open| (open.name, open.from));
        let of_then = self.holds.silences.iter().filter(move |silence| {
            silence.kind == SilenceKind::Maintenance
                && silence.starts_at <= at
                && at < silence.ends_at
                && all_fit(&silence.matchers, &labels)
        });
        (open, of_then)
    }

    /// Findings that are over count no longer, nor do those whose silence is.
    pub(super) fn tick_pages(&mut self) {
        let findings = &self.findings;
        let pages = self.holds.pages.open.iter();
        let over = pages.filter(|(key, _)| findings.of_key(**key).is_none());
        let over: Vec<Key> = over.map(|(key, _)| *key).collect();
        for key in over {
            let page = self.holds.pages.open.remove(&key);
            if let Some(id) = page.and_then(|page| page.silence) {
                self.holds.silences.note_finding_freed(id);
                if self.holds.silences.waits_for_nothing(id) {
                    self.holds.spent.insert(id);
                }
            }
        }
        let silences = &self.holds.silences;
        let is_active = |id| {
            let silence = silences.get(id);
            silence.is_some_and(|silence| silence.state == SilenceState::Active)
        };
        let pages = self.holds.pages.open.iter();
        let freed = pages.filter(|(_, page)| page.silence.is_some_and(|id| !is_active(id)));
        let freed: Vec<(Key, EntityIx)> = freed.map(|(key, page)| (*key, page.sick)).collect();
        for (key, sick) in freed {
            let silence = self.silence_over(&self.labels_of(sick));
            self.holds.put_page(key, Page { sick, silence });
        }
    }

    /// The silence that covers what has these labels, if one does.
    fn silence_over(&self, labels: &Labels) -> Option<SilenceId> {
        let silences = &self.holds.silences;
        let covering = |kind| silences.covering(labels, kind).map(|silence| silence.id);
        covering(SilenceKind::Maintenance).or_else(|| covering(SilenceKind::Silence))
    }

    /// Counts what is odd already when a silence begins that covers it.
    pub(super) fn sweep_pages(&mut self, id: SilenceId, matchers: &[LabelFilter]) {
        let pages = self.holds.pages.open.iter();
        let lasts = pages
            .filter(|(key, page)| page.silence.is_none() && self.findings.of_key(**key).is_some());
        let fit = lasts.filter(|(_, page)| all_fit(matchers, &self.labels_of(page.sick)));
        let fit: Vec<(Key, EntityIx)> = fit.map(|(key, page)| (*key, page.sick)).collect();
        for (key, sick) in fit {
            let silence = Some(id);
            self.holds.put_page(key, Page { sick, silence });
        }
    }

    /// Findings on entities that fit, which page or would.
    pub(super) fn paging_fit(&self, matchers: &[LabelFilter]) -> u32 {
        let pages = self.holds.pages.open.iter();
        let lasts = pages.filter(|(key, _)| self.findings.of_key(**key).is_some());
        let fit = lasts.filter(|(_, page)| all_fit(matchers, &self.labels_of(page.sick)));
        fit.count() as u32
    }
}

impl Holds {
    fn put_page(&mut self, key: Key, page: Page) {
        let before = self.pages.open.insert(key, page);
        let before = before.and_then(|before| before.silence);
        if before == page.silence {
            return;
        }
        if let Some(id) = before {
            self.silences.note_finding_freed(id);
        }
        if let Some(id) = page.silence {
            self.silences.note_finding_hidden(id);
        }
    }
}

/// How bad a finding that pages is by itself.
const fn severity(role: MetricRole) -> Severity {
    match role {
        MetricRole::Errors | MetricRole::Availability => Severity::Error,
        _ => Severity::Warning,
    }
}
