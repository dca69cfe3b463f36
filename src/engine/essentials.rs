//! What of a journal counts at a restart: fewer records from which [`super::Engine::restore`] makes the same.
//!
//! A journal may be of any length. What a later record of the same incident says in full is left out, as
//! are the oldest incidents and records beyond what an engine remembers anyway. Whatever is not known to
//! be superseded stays.

use std::collections::BTreeMap;

use crate::model::{Command, Dated, IncidentId, Phase, Record};

/// Incidents kept; an engine remembers fewer of those that are over.
const INCIDENTS_MAX: usize = 2_000;
/// Other records kept: plans with what became of them, labels, the kill switch, starts.
const OTHERS_MAX: usize = 50_000;

/// The records that count, as they are read.
#[derive(Debug, Default)]
pub struct Essentials {
    /// By their place in the journal.
    others: BTreeMap<u64, Dated>,
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
        let mut all: Vec<(u64, Dated)> = self.others.into_iter().chain(told).collect();
        all.sort_by_key(|(place, _)| *place);
        let records = all.into_iter().map(|(_, record)| record);
        (records.collect(), self.left_out)
    }

    fn put(&mut self, place: u64, dated: Dated) {
        self.others.insert(place, dated);
        if self.others.len() > OTHERS_MAX {
            self.others.pop_first();
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
