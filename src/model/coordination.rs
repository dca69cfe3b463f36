//! Who does what during an incident, and what was told to those outside: duties, tasks, status updates.
//!
//! A plain value: time comes with each act, and every bound is here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Time;

/// Most tasks of one incident.
pub const TASKS_MAX: usize = 50;
/// Longest text of a task, in bytes; longer ones are refused.
const TASK_BYTES_MAX: usize = 300;
/// Longest name of somebody, in bytes; longer ones are refused.
const NAME_BYTES_MAX: usize = 200;
/// Longest status update, in bytes; longer ones are refused.
const STATUS_BYTES_MAX: usize = 2_000;
/// After a status update, the next is due so long after it, in milliseconds; no longer once it is over.
pub const STATUS_EVERY_MS: i64 = 30 * 60_000;

/// What one person sees to, so that the others need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Decides and keeps the overview.
    Commander,
    /// Changes the system; nobody else does.
    Operations,
    /// Tells those outside.
    Communications,
    /// Writes down what happens.
    Scribe,
}

/// Something somebody has to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its number within the incident, from 1.
    pub id: u32,
    /// What, untrusted.
    pub text: Box<str>,
    /// Who does it, untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// By when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Time>,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Time>,
}

/// What those outside were told last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusUpdate {
    /// When.
    pub at: Time,
    /// By whom.
    pub by: String,
    /// What, untrusted.
    pub text: Box<str>,
}

/// How people work together on an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coordination {
    /// Who has which duty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub duties: BTreeMap<Duty, String>,
    /// What is to be done, and was, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Task>,
    /// What those outside were told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusUpdate>,
    /// When they are to be told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_due: Option<Time>,
}

/// A change of how people work together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "act")]
pub enum Coordinate {
    /// Somebody takes a duty, or nobody has it any more.
    Duty {
        /// Which.
        duty: Duty,
        /// Who; nobody without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<String>,
    },
    /// Something is to be done.
    Task {
        /// What.
        text: String,
        /// Who does it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// By when, in milliseconds from when it is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_ms: Option<i64>,
    },
    /// A task is done, or is not after all.
    Done {
        /// Its number.
        task: u32,
        /// Whether it is done.
        done: bool,
    },
    /// Those outside were told.
    Status {
        /// What.
        text: String,
    },
}

impl Duty {
    /// In the order they are taken.
    pub const ALL: [Self; 4] = [
        Self::Commander,
        Self::Operations,
        Self::Communications,
        Self::Scribe,
    ];

    /// The word as a heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Commander => "Commander",
            Self::Operations => "Operations",
            Self::Communications => "Communications",
            Self::Scribe => "Scribe",
        }
    }

    /// The word shown and accepted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commander => "commander",
            Self::Operations => "operations",
            Self::Communications => "communications",
            Self::Scribe => "scribe",
        }
    }
}

impl Coordination {
    /// Whether nothing was arranged.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether those outside should have been told by now.
    pub fn is_status_due(&self, now: Time) -> bool {
        self.status_due.is_some_and(|due| due <= now)
    }

    /// Makes a change and returns the line for the timeline, or why it cannot be made; then nothing changed.
    pub fn apply(&mut self, now: Time, by: &str, act: &Coordinate) -> Result<String, String> {
        act.check()?;
        match act {
            Coordinate::Duty { duty, who } => {
                // Those outside wait for the first word from the moment somebody is there to give it.
                if self.status_due.is_none() && self.status.is_none() && who.is_some() {
                    self.status_due = Some(now.plus_ms(STATUS_EVERY_MS));
                }
                match who {
                    Some(who) => self.duties.insert(*duty, who.clone()),
                    None => self.duties.remove(duty),
                };
                let who = who.as_deref().unwrap_or("nobody");
                Ok(format!("{by}: {} is {who}", duty.as_str()))
            }
            Coordinate::Task {
                text,
                owner,
                due_ms,
            } => {
                if self.tasks.len() >= TASKS_MAX {
                    return Err(format!("it has {TASKS_MAX} tasks already"));
                }
                let id = self.tasks.len() as u32 + 1;
                self.tasks.push(Task {
                    id,
                    text: text.as_str().into(),
                    owner: owner.clone(),
                    due: due_ms.map(|ms| now.plus_ms(ms.max(0))),
                    done: None,
                });
                let owner = owner
                    .as_deref()
                    .map_or_else(String::new, |o| format!(" for {o}"));
                Ok(format!("{by}: task {id}{owner}: {text}"))
            }
            Coordinate::Done { task, done } => {
                let found = self.tasks.iter_mut().find(|held| held.id == *task);
                let held = found.ok_or_else(|| format!("there is no task {task}"))?;
                held.done = done.then_some(now);
                let word = if *done { "done" } else { "not done after all" };
                Ok(format!("{by}: task {task} is {word}: {}", held.text))
            }
            Coordinate::Status { text } => {
                self.status = Some(StatusUpdate {
                    at: now,
                    by: by.to_owned(),
                    text: text.as_str().into(),
                });
                self.status_due = Some(now.plus_ms(STATUS_EVERY_MS));
                Ok(format!("{by} told those outside: {text}"))
            }
        }
    }
}

impl Coordinate {
    /// Reads a task as it is typed: `call the vendor @mia in 15m`.
    pub fn task(typed: &str) -> Self {
        let mut words: Vec<&str> = typed.split_whitespace().collect();
        let mut due_ms = None;
        if let [.., "in", length] = words[..]
            && let Some(ms) = length_ms(length)
        {
            due_ms = Some(ms);
            words.truncate(words.len() - 2);
        }
        let named = |word: &&&str| word.len() > 1 && word.starts_with('@');
        let owner = words.iter().find(named).map(|word| word[1..].to_owned());
        words.retain(|word| !word.starts_with('@') || word.len() == 1);
        Self::Task {
            text: words.join(" "),
            owner,
            due_ms,
        }
    }

    /// Whether everything said is short enough to be kept, or why not.
    fn check(&self) -> Result<(), String> {
        let (what, text, name) = match self {
            Self::Duty { who, .. } => ("", "", who.as_deref()),
            Self::Task { text, owner, .. } => ("a task", text.as_str(), owner.as_deref()),
            Self::Status { text } => ("a status update", text.as_str(), None),
            Self::Done { .. } => return Ok(()),
        };
        let bytes_max = match self {
            Self::Status { .. } => STATUS_BYTES_MAX,
            _ => TASK_BYTES_MAX,
        };
        if text.len() > bytes_max {
            return Err(format!("{what} has at most {bytes_max} bytes"));
        }
        if name.is_some_and(|name| name.len() > NAME_BYTES_MAX) {
            return Err(format!("a name has at most {NAME_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    /// What is asked for, as a phrase.
    pub fn phrase(&self) -> String {
        match self {
            Self::Duty {
                duty,
                who: Some(who),
            } => format!("make {who} {}", duty.as_str()),
            Self::Duty { duty, who: None } => format!("leave {} to nobody", duty.as_str()),
            Self::Task { text, .. } => format!("add the task {text:?}"),
            Self::Done { task, done: true } => format!("call task {task} done"),
            Self::Done { task, done: false } => format!("call task {task} not done"),
            Self::Status { .. } => "tell those outside".to_owned(),
        }
    }
}

/// Reads a length of time, in milliseconds: `90s`, `15m`, `2h`, `1d`.
pub fn length_ms(text: &str) -> Option<i64> {
    let unit_ms = match text.chars().last()? {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    let number: i64 = text[..text.len() - 1].parse().ok()?;
    (number >= 0).then(|| number.saturating_mul(unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_read_as_they_are_typed() {
        let task = |text: &str, owner: Option<&str>, due_ms| Coordinate::Task {
            text: text.to_owned(),
            owner: owner.map(str::to_owned),
            due_ms,
        };
        let cases = [
            ("call the vendor", task("call the vendor", None, None)),
            (
                "call @mia the vendor in 15m",
                task("call the vendor", Some("mia"), Some(900_000)),
            ),
            ("look in 2x", task("look in 2x", None, None)),
            ("drain in 2h", task("drain", None, Some(7_200_000))),
            ("mail @", task("mail @", None, None)),
        ];
        for (typed, expected) in cases {
            assert_eq!(Coordinate::task(typed), expected, "{typed}");
        }
    }

    #[test]
    fn people_take_duties_do_tasks_and_tell_others() {
        let now = Time::from_secs(100);
        let mut held = Coordination::default();
        assert!(held.is_empty());
        let mia = || Some("mia".to_owned());
        let mut apply = |act: &Coordinate| held.apply(now, "ole", act);
        let duty = Duty::Commander;
        let said = apply(&Coordinate::Duty { duty, who: mia() });
        assert_eq!(said.unwrap(), "ole: commander is mia");
        let phrases = [mia(), None].map(|who| Coordinate::Duty { duty, who }.phrase());
        assert_eq!(phrases, ["make mia commander", "leave commander to nobody"]);
        let said = apply(&Coordinate::task("page the vendor @mia in 1m"));
        assert_eq!(said.unwrap(), "ole: task 1 for mia: page the vendor");
        let (task, done) = (1, true);
        let said = apply(&Coordinate::Done { task, done });
        assert_eq!(said.unwrap(), "ole: task 1 is done: page the vendor");
        let task = 7;
        assert!(apply(&Coordinate::Done { task, done }).is_err());
        let due = now.plus_ms(STATUS_EVERY_MS);
        assert!(held.is_status_due(due) && !held.is_status_due(now));
        let text = "we are on it".to_owned();
        held.apply(due, "mia", &Coordinate::Status { text })
            .unwrap();
        assert!(!held.is_status_due(due));
        let before = held.clone();
        let long = |bytes_max: usize| "x".repeat(bytes_max + 1);
        let task = |text: &str, owner| Coordinate::Task {
            text: text.to_owned(),
            owner,
            due_ms: None,
        };
        let who = Some(long(NAME_BYTES_MAX));
        let text = long(STATUS_BYTES_MAX);
        let refused = [
            (
                task(&long(TASK_BYTES_MAX), None),
                "a task has at most 300 bytes",
            ),
            (task("x", who.clone()), "a name has at most 200 bytes"),
            (
                Coordinate::Duty { duty, who },
                "a name has at most 200 bytes",
            ),
            (
                Coordinate::Status { text },
                "a status update has at most 2000 bytes",
            ),
        ];
        for (act, why) in refused {
            assert_eq!(held.apply(now, "ole", &act), Err(why.to_owned()));
        }
        assert_eq!(held, before);
        let json = serde_json::to_string(&held).unwrap();
        assert_eq!(serde_json::from_str::<Coordination>(&json).unwrap(), held);
    }
}
