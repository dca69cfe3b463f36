//! The log template miner: a line in, the template it belongs to out.
//!
//! A *form* is the constant part of a line as scanned; a *template* is a set of forms that turned
//! out to be one statement. Lines are remembered by form, so a later merge corrects earlier lines
//! for free. Most lines cost one scan and one hash lookup; only a new form takes the slow path.
//!
//! Never keeps a value of a variable, never keeps text before it is masked, never grows beyond
//! its limits, and gives the same answers for the same lines in the same order.

use super::merge::{self, BUCKET_VALUES_MAX, Places};
use super::offenders::Offenders;
use super::pattern::Pattern;
use super::scan::{self, Kind, Scanner};
use super::values::Value;
use super::variable::VarType;
use crate::model::mask::mask_secrets;
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

type Map<V> = IndexMap<u64, V, FxBuildHasher>;

/// Forms kept by default. The largest of the public systems has fewer than 1,000.
pub const FORMS_MAX: usize = 4096;
/// Templates with the same first word that are compared with a new form.
const COVER_CANDIDATES_MAX: usize = 64;
/// Names of merged templates that still resolve, per template.
const ALIASES_MAX: usize = 64;

/// The constant part of one line, by content: the same on every machine and after every restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FormId(pub u64);

/// A template. Derived from the content of its oldest form; survives merges and restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TemplateId(pub u64);

/// What [`Miner::learn`] says about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The line's form: keep this with the line, and resolve it when asked.
    pub form: FormId,
    /// The template as known now; a later line may merge it into another.
    pub template: TemplateId,
    /// No line like this was seen before.
    pub is_new: bool,
}

/// What the miner holds and what it had to give up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinerStats {
    /// Lines learned.
    pub lines: u64,
    /// Forms seen for the first time (again, after an eviction).
    pub forms_new: u64,
    /// Forms evicted because the table was full.
    pub forms_evicted: u64,
    /// Templates that left with their last form.
    pub templates_evicted: u64,
    /// Templates merged into an older one.
    pub templates_merged: u64,
    /// New forms that held a secret.
    pub forms_masked: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Form {
    template: u32,
    /// Seen since the clock hand last passed.
    recent: bool,
    seen: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Template {
    id: TemplateId,
    /// Order of creation: the oldest survives a merge.
    born: u64,
    pattern: Pattern,
    rendered: String,
    forms: Vec<u64>,
    /// Buckets this template's merges opened; they close when it goes.
    opened: Vec<u64>,
    aliases: Vec<u64>,
}

/// Patterns that differ in one place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Bucket {
    /// The place is known to be variable.
    open: bool,
    templates: Vec<u32>,
}

/// Mines templates from a stream of lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Miner {
    forms_max: usize,
    forms: Map<Form>,
    /// Where the eviction clock stands in `forms`.
    hand: usize,
    templates: Vec<Option<Template>>,
    free: Vec<u32>,
    by_id: Map<u32>,
    by_pattern: Map<u32>,
    by_head: Map<Vec<u32>>,
    buckets: Map<Bucket>,
    stats: MinerStats,
    offenders: Offenders,
    #[serde(skip)]
    merges: Vec<(TemplateId, TemplateId)>,
    #[serde(skip)]
    scanner: Scanner,
    /// The scanner holds a line in which something was masked.
    #[serde(skip)]
    is_masked: bool,
}

impl Default for Miner {
    fn default() -> Self {
        Self::new(FORMS_MAX)
    }
}

impl Miner {
    /// A miner that keeps at most `forms_max` forms (at least one).
    pub fn new(forms_max: usize) -> Self {
        Self {
            forms_max: forms_max.max(1),
            forms: Map::default(),
            hand: 0,
            templates: Vec::new(),
            free: Vec::new(),
            by_id: Map::default(),
            by_pattern: Map::default(),
            by_head: Map::default(),
            buckets: Map::default(),
            stats: MinerStats::default(),
            offenders: Offenders::default(),
            merges: Vec::new(),
            scanner: Scanner::default(),
            is_masked: false,
        }
    }

    /// Learn one line (the first line of a joined record).
    pub fn learn(&mut self, line: &str) -> Learned {
        self.stats.lines += 1;
        self.merges.clear();
        self.is_masked = false;
        let hash = self.scanner.scan(line);
        if let Some(form) = self.forms.get_mut(&hash) {
            form.recent = true;
            form.seen = form.seen.saturating_add(1);
            let (slot, refine) = (form.template, form.seen.is_power_of_two());
            if refine {
                self.refine_types(slot, scan::visible_part(line).as_bytes());
            }
            return Learned {
                form: FormId(hash),
                template: self.id_of(slot),
                is_new: false,
            };
        }
        match mask_secrets(scan::visible_part(line)) {
            Cow::Borrowed(line) => self.learn_form(line, hash),
            Cow::Owned(masked) => {
                self.stats.forms_masked += 1;
                self.is_masked = true;
                let hash = self.scanner.scan(&masked);
                self.learn_form(&masked, hash)
            }
        }
    }

    /// The template a form belongs to now; `None` when it was evicted.
    pub fn resolve(&self, form: FormId) -> Option<TemplateId> {
        self.forms
            .get(&form.0)
            .map(|form| self.id_of(form.template))
    }

    /// The current name of a template that may have been merged since.
    pub fn current(&self, template: TemplateId) -> Option<TemplateId> {
        self.by_id.get(&template.0).map(|&slot| self.id_of(slot))
    }

    /// The template as people read it: `user <*> logged in from <ip>`.
    pub fn template(&self, template: TemplateId) -> Option<&str> {
        let slot = *self.by_id.get(&template.0)?;
        self.slot(slot).map(|template| template.rendered.as_str())
    }

    /// The types of the template's variables, in order.
    pub fn variables(&self, template: TemplateId) -> Vec<VarType> {
        let template = self
            .by_id
            .get(&template.0)
            .and_then(|&slot| self.slot(slot));
        let pieces = template
            .map(|template| template.pattern.pieces.as_slice())
            .unwrap_or_default();
        pieces
            .iter()
            .filter(|piece| piece.kind == Kind::Var)
            .map(|piece| piece.var)
            .collect()
    }

    /// The values at the places of `line`, which was learned last as one of `template`. None of a line in
    /// which something was masked, or whose places are not those of the template.
    pub(super) fn values<'a>(
        &'a self,
        template: TemplateId,
        line: &'a str,
    ) -> impl Iterator<Item = Value<'a>> {
        let slot = self.by_id.get(&template.0).filter(|_| !self.is_masked);
        let template = slot.and_then(|slot| self.slot(*slot));
        let pieces = template.map_or(&[][..], |template| &template.pattern.pieces);
        let tokens = self.scanner.tokens();
        let bytes = scan::visible_part(line).as_bytes();
        let places = if pieces.len() == tokens.len() {
            pieces
        } else {
            &[]
        };
        let mut ordinal = 0;
        let both = places.iter().zip(tokens).zip(0_u8..);
        both.filter_map(move |((piece, token), at)| {
            ordinal += u8::from(piece.kind == Kind::Var);
            (piece.kind == Kind::Var).then(|| Value {
                at,
                ordinal,
                var: piece.var,
                text: token.bytes(bytes),
            })
        })
    }

    /// Templates that the last [`Miner::learn`] merged: (gone, survivor).
    pub fn merges(&self) -> &[(TemplateId, TemplateId)] {
        &self.merges
    }

    /// All templates, oldest first.
    pub fn templates(&self) -> Vec<(TemplateId, &str)> {
        let mut all: Vec<&Template> = self.templates.iter().flatten().collect();
        all.sort_by_key(|template| template.born);
        all.into_iter()
            .map(|template| (template.id, template.rendered.as_str()))
            .collect()
    }

    /// Forms held now.
    pub fn forms(&self) -> usize {
        self.forms.len()
    }

    /// Counters since the start.
    pub const fn stats(&self) -> MinerStats {
        self.stats
    }

    /// The beginning of line that makes the most new forms, with how many: who to talk to when
    /// forms are evicted.
    pub fn worst_offender(&self) -> Option<(&str, u64)> {
        self.offenders.worst()
    }

    fn slot(&self, slot: u32) -> Option<&Template> {
        self.templates.get(slot as usize).and_then(Option::as_ref)
    }

    fn template_mut(&mut self, slot: u32) -> &mut Template {
        self.templates[slot as usize]
            .as_mut()
            .expect("a form, bucket or index names a live template")
    }

    fn template_at(&self, slot: u32) -> &Template {
        self.templates[slot as usize]
            .as_ref()
            .expect("a form, bucket or index names a live template")
    }

    fn id_of(&self, slot: u32) -> TemplateId {
        self.template_at(slot).id
    }

    /// The slow path: a form that is not in the table. The scanner holds its tokens.
    fn learn_form(&mut self, line: &str, hash: u64) -> Learned {
        if let Some(form) = self.forms.get_mut(&hash) {
            form.recent = true;
            let slot = form.template;
            return Learned {
                form: FormId(hash),
                template: self.id_of(slot),
                is_new: false,
            };
        }
        self.stats.forms_new += 1;
        if self.forms.len() >= self.forms_max {
            self.evict_form();
        }
        let pattern = Pattern::new(scan::visible_part(line).as_bytes(), self.scanner.tokens());
        self.offenders.count(&pattern);
        let (slot, is_new) = self.place(pattern, hash);
        Learned {
            form: FormId(hash),
            template: self.id_of(slot),
            is_new,
        }
    }

    /// Find or make the template of a new form, and enter the form.
    fn place(&mut self, mut pattern: Pattern, form: u64) -> (u32, bool) {
        let origin = pattern.hash();
        let known = loop {
            if let Some(&slot) = self.by_pattern.get(&pattern.hash()) {
                break Some(slot);
            }
            let places = Places::of(&pattern);
            let open = places.gaps().find(|gap| {
                let bucket = self.buckets.get(&pattern.hash_without(gap));
                bucket.is_some_and(|bucket| bucket.open)
            });
            match open {
                Some(gap) => gap.iter().for_each(|&at| pattern.generalise(at)),
                None => break None,
            }
        };
        let known = known.or_else(|| self.covering(&pattern));
        let (slot, is_new) = match known {
            Some(slot) => (slot, false),
            None => (self.create(pattern, origin), true),
        };
        self.forms.insert(
            form,
            Form {
                template: slot,
                recent: false,
                seen: 1,
            },
        );
        self.template_mut(slot).forms.push(form);
        if !is_new {
            return (slot, false);
        }
        let merged = self.stats.templates_merged;
        self.absorb_covered(slot);
        let survivor = self.merge_around(slot);
        // Whatever the new template was merged with had been seen before.
        (survivor, self.stats.templates_merged == merged)
    }

    fn create(&mut self, pattern: Pattern, origin: u64) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.templates.push(None);
            self.templates.len() as u32 - 1
        });
        // A survivor of a merge may still carry the name this content would get.
        let mut id = origin;
        while self.by_id.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        let template = Template {
            id: TemplateId(id),
            born: self.stats.forms_new,
            rendered: pattern.render(),
            pattern,
            forms: Vec::new(),
            opened: Vec::new(),
            aliases: Vec::new(),
        };
        self.templates[slot as usize] = Some(template);
        self.by_id.insert(id, slot);
        self.enter(slot);
        slot
    }

    /// Enter a template's pattern into the indexes.
    fn enter(&mut self, slot: u32) {
        let pattern = &self.templates[slot as usize]
            .as_ref()
            .expect("entered after it was stored")
            .pattern;
        self.by_pattern.insert(pattern.hash(), slot);
        self.by_head.entry(pattern.head()).or_default().push(slot);
        for gap in Places::of(pattern).gaps() {
            let bucket = self.buckets.entry(pattern.hash_without(gap)).or_default();
            if bucket.templates.len() < BUCKET_VALUES_MAX {
                bucket.templates.push(slot);
            }
        }
    }

    /// Take a template's pattern out of the indexes.
    fn leave(&mut self, slot: u32) {
        let pattern = &self.templates[slot as usize]
            .as_ref()
            .expect("left before it is dropped")
            .pattern;
        self.by_pattern.swap_remove(&pattern.hash());
        let head = pattern.head();
        if let Some(slots) = self.by_head.get_mut(&head) {
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.by_head.swap_remove(&head);
            }
        }
        for gap in Places::of(pattern).gaps() {
            let key = pattern.hash_without(gap);
            if let Some(bucket) = self.buckets.get_mut(&key) {
                bucket.templates.retain(|other| *other != slot);
                if bucket.templates.is_empty() && !bucket.open {
                    self.buckets.swap_remove(&key);
                }
            }
        }
    }

    /// A template with the same first word whose variables cover what the pattern has.
    fn covering(&self, pattern: &Pattern) -> Option<u32> {
        let candidates = self.by_head.get(&pattern.head())?;
        let mut recent = candidates.iter().rev().take(COVER_CANDIDATES_MAX);
        recent
            .find(|&&slot| merge::covers(&self.template_at(slot).pattern, pattern))
            .copied()
    }

    /// Open every bucket of the template that has seen enough words, until none is left.
    fn merge_around(&mut self, mut slot: u32) -> u32 {
        while let Some((gap, members)) = self.ripe_bucket(slot) {
            slot = self.merge(slot, &gap, &members);
        }
        slot
    }

    fn ripe_bucket(&self, slot: u32) -> Option<(Vec<usize>, Vec<u32>)> {
        let pattern = &self.template_at(slot).pattern;
        if !merge::stays_constant_enough(pattern) {
            return None;
        }
        Places::of(pattern).gaps().find_map(|gap| {
            let members = &self.buckets.get(&pattern.hash_without(gap))?.templates;
            let seen: Vec<&Pattern> = members
                .iter()
                .map(|&m| &self.template_at(m).pattern)
                .collect();
            merge::is_ripe(pattern, gap, &seen).then(|| (gap.to_vec(), members.clone()))
        })
    }

    /// Make the places of `gap` variable and the members of their bucket one template.
    fn merge(&mut self, slot: u32, gap: &[usize], members: &[u32]) -> u32 {
        let mut pattern = self.template_at(slot).pattern.clone();
        let key = pattern.hash_without(gap);
        for &at in gap {
            pattern.generalise(at);
        }
        let mut all = members.to_vec();
        all.extend(self.by_pattern.get(&pattern.hash()));
        all.push(slot);
        all.sort_by_key(|&slot| self.template_at(slot).born);
        all.dedup();
        let survivor = all[0];
        for &slot in &all {
            self.leave(slot);
        }
        for &slot in &all[1..] {
            self.absorb(survivor, slot);
        }
        let template = self.template_mut(survivor);
        template.rendered = pattern.render();
        template.pattern = pattern;
        template.opened.push(key);
        self.buckets.entry(key).or_default().open = true;
        self.enter(survivor);
        self.absorb_covered(survivor);
        survivor
    }

    /// Templates with the same first word that the survivor's new variable covers.
    fn absorb_covered(&mut self, survivor: u32) {
        let pattern = &self.template_at(survivor).pattern;
        let Some(candidates) = self.by_head.get(&pattern.head()) else {
            return;
        };
        let covered: Vec<u32> = candidates
            .iter()
            .rev()
            .take(COVER_CANDIDATES_MAX)
            .filter(|&&slot| {
                slot != survivor && merge::covers(pattern, &self.template_at(slot).pattern)
            })
            .copied()
            .collect();
        for slot in covered {
            self.leave(slot);
            self.absorb(survivor, slot);
        }
    }

    /// Move everything that belongs to `gone` (already out of the indexes) to `survivor`.
    fn absorb(&mut self, survivor: u32, gone: u32) {
        let Some(template) = self.templates[gone as usize].take() else {
            return;
        };
        self.free.push(gone);
        for form in &template.forms {
            if let Some(form) = self.forms.get_mut(form) {
                form.template = survivor;
            }
        }
        for alias in template.aliases.iter().chain([&template.id.0]) {
            self.by_id.insert(*alias, survivor);
        }
        let target = self.template_mut(survivor);
        target.forms.extend(template.forms);
        target.opened.extend(template.opened);
        target.aliases.extend(template.aliases);
        target.aliases.push(template.id.0);
        let target_id = target.id;
        let surplus = target.aliases.len().saturating_sub(ALIASES_MAX);
        let forgotten: Vec<u64> = target.aliases.drain(..surplus).collect();
        for alias in forgotten {
            self.by_id.swap_remove(&alias);
        }
        self.stats.templates_merged += 1;
        self.merges.push((template.id, target_id));
    }

    /// Second-chance clock: forms that repeat survive a flood of forms that do not.
    fn evict_form(&mut self) {
        loop {
            if self.hand >= self.forms.len() {
                self.hand = 0;
            }
            let Some((_, form)) = self.forms.get_index_mut(self.hand) else {
                return;
            };
            if !std::mem::take(&mut form.recent) {
                break;
            }
            self.hand += 1;
        }
        // The last form takes the freed place; step over it so that the newest is not next.
        let Some((hash, form)) = self.forms.swap_remove_index(self.hand) else {
            return;
        };
        self.hand += 1;
        self.stats.forms_evicted += 1;
        let template = self.template_mut(form.template);
        template.forms.retain(|other| *other != hash);
        if template.forms.is_empty() {
            self.drop_template(form.template);
        }
    }

    fn drop_template(&mut self, slot: u32) {
        self.leave(slot);
        let Some(template) = self.templates[slot as usize].take() else {
            return;
        };
        self.free.push(slot);
        self.stats.templates_evicted += 1;
        for id in template.aliases.iter().chain([&template.id.0]) {
            self.by_id.swap_remove(id);
        }
        for key in template.opened {
            if let Some(bucket) = self.buckets.get_mut(&key) {
                bucket.open = false;
                if bucket.templates.is_empty() {
                    self.buckets.swap_remove(&key);
                }
            }
        }
    }

    /// Widen the types of the template's variables by those of the line just scanned.
    fn refine_types(&mut self, slot: u32, line: &[u8]) {
        let template = self.templates[slot as usize]
            .as_mut()
            .expect("a form names a live template");
        let tokens = self.scanner.tokens();
        if tokens.len() != template.pattern.pieces.len() {
            return; // A variable that covers several tokens has no single type.
        }
        let mut changed = false;
        for (piece, token) in template.pattern.pieces.iter_mut().zip(tokens) {
            if piece.kind == Kind::Var && token.kind == Kind::Var {
                let joined = piece.var.join(VarType::of(token.bytes(line)));
                changed |= joined != piece.var;
                piece.var = joined;
            }
        }
        if changed {
            template.rendered = template.pattern.render();
        }
    }
}
