//! Reading the journal back: incidents as they were last recorded, plans with their doubts.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::model::{Command, EntityId, FindingId, Incident, IncidentId, Phase, Record};

impl Engine {
    /// Takes every record of the journal, oldest first.
    pub(super) fn restore_records<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) {
        let mut incidents: BTreeMap<IncidentId, &Incident> = BTreeMap::new();
        let mut causes: BTreeMap<IncidentId, Option<&EntityId>> = BTreeMap::new();
        for record in records {
            match record {
                Record::Incident { incident } => {
                    incidents.insert(incident.id, incident);
                }
                Record::Label { label } => self.opinions.put((**label).clone()),
                _ => {}
            }
            if let Record::Decision {
                what: Command::NameCause { incident, cause },
                refused: None,
                ..
            } = record
            {
                causes.insert(*incident, cause.as_ref());
            }
            self.plans.restore(record);
        }
        self.plans.restored();
        for incident in incidents.into_values() {
            if incident.phase == Phase::Resolved {
                self.memory
                    .note(incident, self.plans.of_incident(incident.id));
            }
            self.restore_incident(incident.clone());
        }
        // Also of incidents that had left the book when somebody found out.
        for (incident, cause) in causes {
            self.memory.label(incident, cause);
        }
    }

    /// Signals are not kept in the journal: whatever was abnormal counts as over until it is seen
    /// again, and then finds its incident by its entity.
    fn restore_incident(&mut self, mut incident: Incident) {
        self.now = self.now.max(incident.updated);
        let updated = incident.updated;
        let last = incident.findings.iter().map(|f| f.id).max();
        self.findings.resume_after(last.unwrap_or(FindingId(0)));
        for finding in &mut incident.findings {
            finding.ended.get_or_insert(updated);
        }
        incident.impact.findings_open = 0;
        incident.impact.alerts_firing = 0;
        let root = self.entities.intern(&incident.entity);
        let members: BTreeSet<_> = incident
            .findings
            .iter()
            .map(|finding| self.entities.intern(&finding.entity))
            .chain([root])
            .collect();
        self.correlator.restore(incident, members, root);
    }
}
