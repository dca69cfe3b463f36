//! What must happen so that an Alertmanager and we have the same silences. Pure.
//!
//! Whichever side changed or ended a silence last is right. A silence that both have and that nobody
//! linked (we stopped between making it there and noting so) is the same by what it says.

use crate::daemon::http::Matcher;
use crate::model::{
    Command, LabelFilter, Silence, SilenceId, SilenceKind, SilenceSpec, SilenceState, SilenceTwin,
    Time,
};

/// Said where an Alertmanager gives no reason.
const NO_REASON: &str = "no reason given";

/// A silence as an Alertmanager has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theirs {
    /// Its identity there.
    pub id: String,
    /// Whether it is over there.
    pub is_over: bool,
    /// When it was changed last.
    pub updated: Time,
    /// What it matches.
    pub matchers: Vec<LabelFilter>,
    /// When it begins.
    pub starts_at: Time,
    /// When it ends.
    pub ends_at: Time,
    /// Who made it.
    pub author: String,
    /// Why.
    pub reason: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Give our engine a command, in the name of whoever did it there.
    Command {
        /// Who did it there.
        author: String,
        /// What.
        what: Command,
    },
    /// Make or change a silence there, then note its identity.
    Post {
        /// Ours.
        silence: Box<Silence>,
        /// The one to change there.
        id: Option<String>,
    },
    /// End a silence there.
    Delete(String),
}

/// What to do, theirs first.
pub fn plan(name: &str, push: bool, theirs: &[Theirs], ours: &[Silence]) -> Vec<Errand> {
    let mut errands = Vec::new();
    let mut linked: Vec<SilenceId> = Vec::new();
    for there in theirs.iter().filter(|there| !there.is_over) {
        let here = ours
            .iter()
            .rev()
            .find(|here| twin_of(here, name) == Some(&there.id));
        match here {
            Some(here) if is_over(here) => {
                if there.updated > here.ends_at {
                    errands.push(take(name, there, None));
                } else if push {
                    errands.push(Errand::Delete(there.id.clone()));
                }
            }
            Some(here) if says_the_same(here, there) => {}
            Some(here) if there.updated > here.updated || !push => {
                errands.push(take(name, there, Some(here)));
            }
            Some(here) => errands.push(Errand::Post {
                silence: Box::new(here.clone()),
                id: Some(there.id.clone()),
            }),
            None => {
                let same = ours.iter().find(|here| {
                    !is_over(here)
                        && twin_of(here, name).is_none()
                        && says_the_same(here, there)
                        && !linked.contains(&here.id)
                });
                linked.extend(same.map(|here| here.id));
                errands.push(take(name, there, same));
            }
        }
    }
    for here in ours.iter().filter(|here| !is_over(here)) {
        match twin_of(here, name) {
            None if push && !linked.contains(&here.id) => errands.push(Errand::Post {
                silence: Box::new(here.clone()),
                id: None,
            }),
            None => {}
            Some(id) => match theirs.iter().find(|there| there.id == *id) {
                Some(there) if there.is_over => errands.push(Errand::Command {
                    author: there.author.clone(),
                    what: Command::Expire { silence: here.id },
                }),
                // It lost what it had: nobody ended it.
                None if push => errands.push(Errand::Post {
                    silence: Box::new(here.clone()),
                    id: None,
                }),
                _ => {}
            },
        }
    }
    errands
}

/// Our side of what an Alertmanager has.
fn take(name: &str, there: &Theirs, here: Option<&Silence>) -> Errand {
    let reason = if there.reason.trim().is_empty() {
        NO_REASON
    } else {
        &there.reason
    };
    let spec = SilenceSpec {
        id: here.map(|here| here.id),
        kind: here.map_or(SilenceKind::Silence, |here| here.kind),
        matchers: there.matchers.clone(),
        starts_at: Some(there.starts_at),
        ends_at: there.ends_at,
        until_resolved: here.is_some_and(|here| here.until_resolved),
        reason: reason.to_owned(),
    };
    Errand::Command {
        author: there.author.clone(),
        what: link(name, &there.id, spec),
    }
}

/// A command that notes where else a silence is.
pub fn link(name: &str, id: &str, spec: SilenceSpec) -> Command {
    Command::Silence {
        spec: Box::new(spec),
        twin: Some(SilenceTwin {
            alertmanager: name.to_owned(),
            id: id.to_owned(),
        }),
    }
}

/// What a silence of ours says, to note its twin.
pub fn spec_of(silence: &Silence) -> SilenceSpec {
    SilenceSpec {
        id: Some(silence.id),
        kind: silence.kind,
        matchers: silence.matchers.clone(),
        starts_at: Some(silence.starts_at),
        ends_at: silence.ends_at,
        until_resolved: silence.until_resolved,
        reason: silence.reason.clone(),
    }
}

/// The body that makes or changes a silence there.
pub fn body(silence: &Silence, id: Option<&str>) -> serde_json::Value {
    let matchers: Vec<Matcher> = silence.matchers.iter().map(Matcher::of).collect();
    let mut body = serde_json::json!({
        "matchers": matchers,
        "startsAt": silence.starts_at.to_rfc3339(),
        "endsAt": silence.ends_at.to_rfc3339(),
        "createdBy": silence.author,
        "comment": silence.reason,
    });
    if let Some(id) = id {
        body["id"] = id.into();
    }
    body
}

fn twin_of<'a>(silence: &'a Silence, name: &str) -> Option<&'a String> {
    let twin = silence.twins.iter().find(|twin| twin.alertmanager == name);
    twin.map(|twin| &twin.id)
}

fn is_over(silence: &Silence) -> bool {
    silence.state == SilenceState::Expired
}

/// Whether both hold back the same until the same time for the same reason; when it began is told
/// differently by each.
fn says_the_same(here: &Silence, there: &Theirs) -> bool {
    let sorted = |matchers: &[LabelFilter]| {
        let mut texts: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        texts.sort();
        texts
    };
    // As much of theirs as is kept here.
    let is_reason = here.reason == Silence::cut_reason(&there.reason)
        || there.reason.trim().is_empty() && here.reason == NO_REASON;
    here.ends_at == there.ends_at && is_reason && sorted(&here.matchers) == sorted(&there.matchers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Time {
        Time::from_secs(1_768_392_000 + minute * 60)
    }

    fn matchers() -> Vec<LabelFilter> {
        LabelFilter::parse_all("service=cart").unwrap()
    }

    /// Ours, changed at a minute, with its twin.
    fn ours(updated: i64, twin: Option<&str>, state: SilenceState) -> Silence {
        let twin = twin.map(|id| SilenceTwin {
            alertmanager: "main".to_owned(),
            id: id.to_owned(),
        });
        Silence {
            id: SilenceId(1),
            kind: SilenceKind::Silence,
            matchers: matchers(),
            reason: "a deploy".to_owned(),
            author: "mia".to_owned(),
            updated: at(updated),
            starts_at: at(0),
            ends_at: if state == SilenceState::Expired {
                at(updated)
            } else {
                at(60)
            },
            until_resolved: false,
            twins: twin.into_iter().collect(),
            state,
            ends_soon: false,
            hides: 0,
            hides_findings: 0,
            hidden_total: 0,
        }
    }

    fn theirs(updated: i64, ends: i64, is_over: bool) -> Theirs {
        Theirs {
            id: "x".to_owned(),
            is_over,
            updated: at(updated),
            matchers: matchers(),
            starts_at: at(0),
            ends_at: at(ends),
            author: "tom".to_owned(),
            reason: "a deploy".to_owned(),
        }
    }

    #[test]
    fn whoever_changed_it_last_is_right() {
        use SilenceState::{Active, Expired};
        let linked = |state, updated| ours(updated, Some("x"), state);
        let post = |silence: &Silence, id: Option<&str>| Errand::Post {
            silence: Box::new(silence.clone()),
            id: id.map(str::to_owned),
        };
        let expire = Errand::Command {
            author: "tom".to_owned(),
            what: Command::Expire {
                silence: SilenceId(1),
            },
        };
        let new = ours(0, None, Active);
        let cases = [
            ("nothing", vec![], vec![], vec![]),
            (
                "made there",
                vec![theirs(0, 60, false)],
                vec![],
                vec![take("main", &theirs(0, 60, false), None)],
            ),
            (
                "over there, and never known here",
                vec![theirs(0, 60, true)],
                vec![],
                vec![],
            ),
            (
                "made here",
                vec![],
                vec![new.clone()],
                vec![post(&new, None)],
            ),
            (
                "made here, and not noted",
                vec![theirs(0, 60, false)],
                vec![new.clone()],
                vec![take("main", &theirs(0, 60, false), Some(&new))],
            ),
            (
                "in step",
                vec![theirs(0, 60, false)],
                vec![linked(Active, 1)],
                vec![],
            ),
            (
                "longer there",
                vec![theirs(2, 90, false)],
                vec![linked(Active, 1)],
                vec![take(
                    "main",
                    &theirs(2, 90, false),
                    Some(&linked(Active, 1)),
                )],
            ),
            (
                "longer here",
                vec![theirs(0, 30, false)],
                vec![linked(Active, 1)],
                vec![post(&linked(Active, 1), Some("x"))],
            ),
            (
                "ended there",
                vec![theirs(2, 2, true)],
                vec![linked(Active, 1)],
                vec![expire],
            ),
            (
                "ended here",
                vec![theirs(0, 60, false)],
                vec![linked(Expired, 2)],
                vec![Errand::Delete("x".to_owned())],
            ),
            (
                "again there after its end",
                vec![theirs(3, 60, false)],
                vec![linked(Expired, 2)],
                vec![take("main", &theirs(3, 60, false), None)],
            ),
            (
                "lost there",
                vec![],
                vec![linked(Active, 1)],
                vec![post(&linked(Active, 1), None)],
            ),
            (
                "over on both sides",
                vec![theirs(2, 2, true)],
                vec![linked(Expired, 2)],
                vec![],
            ),
        ];
        for (name, theirs, ours, expected) in cases {
            assert_eq!(plan("main", true, &theirs, &ours), expected, "{name}");
        }
    }

    #[test]
    fn a_reason_too_long_to_keep_is_the_same() {
        let there = Theirs {
            reason: "x".repeat(2_000),
            ..theirs(0, 60, false)
        };
        let here = Silence {
            reason: Silence::cut_reason(&there.reason).to_owned(),
            ..ours(1, Some("x"), SilenceState::Active)
        };
        assert_eq!(plan("main", true, &[there], &[here]), []);
    }

    #[test]
    fn without_push_nothing_is_changed_there() {
        use SilenceState::{Active, Expired};
        for (there, here) in [
            (vec![], ours(0, None, Active)),
            (vec![], ours(0, Some("x"), Active)),
            (vec![theirs(0, 60, false)], ours(2, Some("x"), Expired)),
        ] {
            assert_eq!(plan("main", false, &there, &[here]), []);
        }
    }
}
