//! Who has an incident: taking it, taking it twice, and finding that somebody else has it.
//!
//! Whoever takes what they have already is told so and changes nothing: a script that asks again, or a
//! person on a slow link, did no wrong. Never takes an incident from the one who has it: that is `assign`.

use super::Engine;
use super::correlate::{Event, next_phase};
use crate::model::{Actor, Command, Incident, IncidentId, Phase, Refusal, TAKEN_BY, Time};

impl Engine {
    /// What to say of a command that would be obeyed and changes nothing; `None` for all others.
    pub fn done_already(&self, by: &Actor, what: &Command) -> Option<String> {
        let Command::Acknowledge { incident } = what else {
            return None;
        };
        let incident = self.incident(*incident)?;
        has_taken(incident, by).then(|| {
            let id = incident.id;
            format!("{id} is yours already: {}", taken(incident, self.now))
        })
    }

    /// Whether a person may take an incident, or has it already.
    pub(super) fn may_take(&self, by: &Actor, id: IncidentId) -> Result<(), Refusal> {
        let incident = self.known(id)?;
        if has_taken(incident, by) || next_phase(incident.phase, Event::Acknowledge).is_some() {
            return Ok(());
        }
        let why = match (incident.phase, &incident.owner) {
            (Phase::Resolved, _) => "it is over; reopen it if it is not".to_owned(),
            (_, Some(_)) => format!(
                "{}; assign it to {} to take it over",
                taken(incident, self.now),
                by.name
            ),
            (_, None) => format!(
                "only an open incident can be taken; assign it to {} instead",
                by.name
            ),
        };
        Err(Refusal::State {
            what: format!("incident {id}"),
            state: incident.phase.as_str().to_owned(),
            why,
        })
    }

    /// A person takes an incident; nothing changes when it is theirs.
    pub(super) fn take(&mut self, by: &Actor, id: IncidentId) -> Result<(), Refusal> {
        self.may_take(by, id)?;
        if has_taken(self.known(id)?, by) {
            return Ok(());
        }
        self.turn(id, Event::Acknowledge, &format!("{TAKEN_BY}{}", by.name))?;
        self.give(id, &by.name);
        Ok(())
    }

    /// Somebody has it from now on.
    pub(super) fn give(&mut self, id: IncidentId, to: &str) {
        let now = self.now;
        self.write(id, |incident| incident.give(to, now));
    }
}

/// Whether it is theirs, and nothing is left to take.
pub(super) fn has_taken(incident: &Incident, by: &Actor) -> bool {
    let is_theirs = incident.owner.as_ref() == Some(&by.name);
    is_theirs && matches!(incident.phase, Phase::Acknowledged | Phase::Mitigated)
}

/// Who has it and since when: `mia has it since 12:04 UTC`.
fn taken(incident: &Incident, now: Time) -> String {
    let owner = incident.owner.as_deref().unwrap_or("nobody");
    let Some(since) = incident.owned_since else {
        // It was taken before this was noted.
        return format!("{owner} has it");
    };
    let (since, now) = (since.to_utc(), now.to_utc());
    let form = if since.date_naive() == now.date_naive() {
        "%H:%M UTC"
    } else {
        "%Y-%m-%d %H:%M UTC"
    };
    format!("{owner} has it since {}", since.format(form))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EntityId;

    #[test]
    fn who_has_it_is_told_with_the_day_when_it_is_another() {
        let at = |text: &str| Time::parse_rfc3339(text).expect("a time");
        let began = at("2026-11-22T12:00:00Z");
        let entity = EntityId::parse("cart");
        let mut incident = Incident::opened(IncidentId(1), entity, began, began);
        incident.owner = Some("mia".to_owned());
        let cases = [
            (None, "2026-11-22T12:30:00Z", "mia has it"),
            (
                Some(began),
                "2026-11-22T12:30:00Z",
                "mia has it since 12:00 UTC",
            ),
            (
                Some(began),
                "2026-11-23T00:10:00Z",
                "mia has it since 2026-11-22 12:00 UTC",
            ),
        ];
        for (since, now, told) in cases {
            incident.owned_since = since;
            assert_eq!(taken(&incident, at(now)), told);
        }
    }
}
