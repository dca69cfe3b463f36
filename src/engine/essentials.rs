//! What of a journal counts at a restart: fewer records from which [`super::Engine::restore`] makes the same.
//!
//! A journal may be of any length. What a later record of the same incident says in full is left out, as
//! are the oldest incidents and records beyond what an engine remembers anyway. Whatever is not known to
//! be superseded stays.

use std::collections::BTreeMap;

use crate::model::{Command, Dated, IncidentId, Phase, Record};

/// Incidents kept; an engine remembers fewer of those that are over.
const INCIDENTS_MAX: usize = 2_000;
/// Other records kept: plans with what became of them, labels, the kill switch.
const OTHERS_MAX: usize = 50_000;
/// Starts kept, the first and as many of the latest: a timeline tells of no more. Whoever crashes every few
/// seconds must not push out what was decided.
const STARTS_MAX: usize = 20;

/// The records that count, as they are read.
#[derive(Debug, Default)]
pub struct Essentials {
    /// By their place in the journal.
    others: BTreeMap<u64, Dated>,
    starts: BTreeMap<u64, Dated>,
    /// The latest use of the kill switch for which the others had no room: it holds until the next.
    switch: Option<(u64, Dated)>,
    incidents: BTreeMap<IncidentId, Told>,
    next: u64,
    left_out: u64,
}

/// The latest record of an incident, and what was decided about it since.
#[derive(Debug)]
struct Told {
    records: Vec<(u64, Dated)>,
    is_over: bool,
}

impl Essentials {
    /// Takes the next record of the journal.
    pub fn take(&mut self, dated: Dated) {
        let place = self.next;
        self.next += 1;
        match &dated.record {
            Record::ClockSetBack { .. } => {}
            Record::Started { .. } => self.put_start(place, dated),
            Record::Incident { incident } => {
                let told = Told {
                    is_over: incident.phase == Phase::Resolved,
                    records: vec![(place, dated.clone())],
                };
                self.incidents.insert(incident.id, told);
                self.forget_incidents();
            }
            Record::Decision { what, .. } => match of_incident(what) {
                Some(id) => {
                    // Of one that is not known nothing follows.
                    if let Some(told) = self.incidents.get_mut(&id) {
                        told.is_over &= !matches!(what, Command::Reopen { .. });
                        told.records.push((place, dated));
                    }
                }
                None => self.put(place, dated),
            },
            _ => self.put(place, dated),
        }
    }

    /// The records in order, and how many might have counted and had no room.
    pub fn finish(self) -> (Vec<Dated>, u64) {
        let told = self.incidents.into_values().flat_map(|told| told.records);
        let others = self.others.into_iter().chain(self.starts);
        let mut all: Vec<(u64, Dated)> = others.chain(self.switch).chain(told).collect();
        all.sort_by_key(|(place, _)| *place);
        let records = all.into_iter().map(|(_, record)| record);
        (records.collect(), self.left_out)
    }

    fn put(&mut self, place: u64, dated: Dated) {
        self.others.insert(place, dated);
        if self.others.len() <= OTHERS_MAX {
            return;
        }
        let Some((place, oldest)) = self.others.pop_first() else {
            return;
        };
        let is_left_out =
            !is_switch(&oldest.record) || self.switch.replace((place, oldest)).is_some();
        self.left_out += u64::from(is_left_out);
    }

    fn put_start(&mut self, place: u64, dated: Dated) {
        self.starts.insert(place, dated);
        if self.starts.len() <= 2 * STARTS_MAX {
            return;
        }
        if let Some(middle) = self.starts.keys().nth(STARTS_MAX).copied() {
            self.starts.remove(&middle);
            self.left_out += 1;
        }
    }

    /// Forgets the oldest that are over.
    fn forget_incidents(&mut self) {
        if self.incidents.len() <= INCIDENTS_MAX {
            return;
        }
        let over = self.incidents.iter().find(|(_, told)| told.is_over);
        if let Some(oldest) = over.map(|(id, _)| *id) {
            self.incidents.remove(&oldest);
        }
    }
}

/// The incident whose next record says all that this decision changed.
fn of_incident(what: &Command) -> Option<IncidentId> {
    match what {
        Command::Acknowledge { incident }
        | Command::Assign { incident, .. }
        | Command::Note { incident, .. }
        | Command::Coordinate { incident, .. }
        | Command::Resolve { incident }
        | Command::Reopen { incident } => Some(*incident),
        _ => None,
    }
}

/// Whether automation was stopped or allowed.
fn is_switch(record: &Record) -> bool {
    let Record::Decision { what, refused, .. } = record else {
        return false;
    };
    refused.is_none() && matches!(what, Command::KillSwitch { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Actor, Refusal, Role, Time};

    fn start(s: i64) -> Dated {
        let at = Time::from_secs(s);
        let record = Record::Started {
            version: "test".to_owned(),
            at,
            found: Vec::new(),
            unclean: false,
        };
        Dated { at, record }
    }

    fn switch(s: i64, on: bool, refused: Option<Refusal>) -> Dated {
        let by = Actor {
            name: "mia".to_owned(),
            role: Role::Commander,
        };
        let what = Command::KillSwitch { on };
        let record = Record::Decision { by, what, refused };
        let at = Time::from_secs(s);
        Dated { at, record }
    }

    /// The seconds of the records that count, and how many had no room.
    fn left(records: impl IntoIterator<Item = Dated>) -> (Vec<i64>, u64) {
        let mut essentials = Essentials::default();
        for record in records {
            essentials.take(record);
        }
        let (records, left_out) = essentials.finish();
        let seconds = records
            .iter()
            .map(|dated| dated.at.since(Time::ZERO) / 1_000);
        (seconds.collect(), left_out)
    }

    #[test]
    fn a_crash_loop_pushes_out_nothing_but_starts() {
        let most = OTHERS_MAX as i64 + 10;
        let starts = (2..=most).map(start);
        let stopped = std::iter::once(switch(1, true, None));
        let expected: Vec<i64> = (1..=21).chain(most - 19..=most).collect();
        let left_out = most as u64 - 1 - 40;
        assert_eq!(left(stopped.chain(starts)), (expected, left_out));
    }

    #[test]
    fn the_kill_switch_stays_whatever_comes_after() {
        let most = OTHERS_MAX as i64;
        let refused = |s| switch(s, false, Some(Refusal::KillSwitch));
        let switches = [switch(1, true, None), switch(2, false, None)];
        let switches = switches.into_iter().chain([switch(3, true, None)]);
        let (kept, left_out) = left(switches.chain((4..most + 10).map(refused)));
        assert_eq!(kept[..2], [3, 10], "the latest of them");
        assert_eq!((kept.len(), left_out), (OTHERS_MAX + 1, 8));
    }
}
