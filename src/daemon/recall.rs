//! What senders told before a restart and need not tell again: alerts that fire, and changes.
//!
//! The checkpoint has the alerts of its time; what came after it is in the recorder, all but the last
//! second before a crash. Both together are one more input of the engine, recorded like any other, so
//! that a replay of the recording takes the same. An alert whose end was heard of is never taken back.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use super::notices::SEPARATOR;
use crate::config::EngineConfig;
use crate::model::{
    Alert, Change, Fingerprint, FiringAlert, Input, Recalled, Signal, SourceId, Spoke, Stamped,
    Time, counted,
};
use crate::store::recorder::Recording;

/// Without a checkpoint, so much of the recording is read, in milliseconds.
const UNCHECKED_MS: i64 = 60 * 60_000;
/// The latest changes taken back; older ones are in the checkpoint.
const CHANGES_MAX: usize = 1_000;
/// Alerts in one input: bounds a step of the engine.
const ALERTS_PER_INPUT: usize = 1_000;

/// What was told before a restart.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What the engine is fed of it.
    pub(super) inputs: Vec<Input>,
    /// How each source spoke.
    pub(super) spoke: BTreeMap<SourceId, Spoke>,
    /// What the operator must know.
    pub(super) notice: Option<String>,
}

/// What was told and is not over, as far as it was read.
#[derive(Debug)]
struct Memory {
    spoke: BTreeMap<SourceId, Spoke>,
    alerts: BTreeMap<Fingerprint, FiringAlert>,
    changes: VecDeque<Change>,
    alerts_max: usize,
    timeout_ms: i64,
    /// Time of the last input that was recorded.
    heard: Option<Time>,
    /// What there was no room for.
    left_out: u64,
}

/// What was told up to `now`: by the checkpoint, of this time and with these alerts and sources, and by the
/// recording in `folder`.
pub(super) fn recall(
    restored: Option<(Time, Vec<FiringAlert>)>,
    spoke: BTreeMap<SourceId, Spoke>,
    folder: &Path,
    config: &EngineConfig,
    now: Time,
) -> Told {
    let (from, alerts) = restored.unwrap_or_else(|| (now.plus_ms(-UNCHECKED_MS), Vec::new()));
    let mut memory = Memory {
        spoke,
        alerts: BTreeMap::new(),
        changes: VecDeque::new(),
        alerts_max: config.alerts_max as usize,
        timeout_ms: i64::from(config.alert_resolve_timeout_s) * 1_000,
        heard: None,
        left_out: 0,
    };
    memory.take_firing(alerts);
    let read = memory.read(folder, from);
    Told {
        notice: notice(read, memory.left_out),
        spoke: std::mem::take(&mut memory.spoke),
        inputs: memory.into_inputs(),
    }
}

/// What the operator must know: of how many bytes that are no whole record, or why nothing can be read, and what there was no
/// room for.
fn notice(read: Result<u64, String>, left_out: u64) -> Option<String> {
    let torn = match read {
        Err(why) => {
            return Some(format!(
                "senders have to repeat alerts and changes of shortly before the restart: they are not known ({why})"
            ));
        }
        Ok(0) => None,
        Ok(torn) => Some(format!(
            "some of what came before the restart is lost: the recording breaks off, {} are no whole record",
            counted(torn, "byte", "bytes")
        )),
    };
    let left_out = (left_out > 0).then(|| {
        format!(
            "senders have to repeat {} of before the restart: there was no room for them",
            counted(left_out, "alert or change", "alerts and changes")
        )
    });
    let told: Vec<String> = torn.into_iter().chain(left_out).collect();
    (!told.is_empty()).then(|| told.join(SEPARATOR))
}

impl Memory {
    /// Reads what was recorded since `from`; how many bytes at the ends of segments are no whole record.
    fn read(&mut self, folder: &Path, from: Time) -> Result<u64, String> {
        // An empty folder, or none: nothing was recorded.
        let is_recorded = std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some());
        if !is_recorded {
            return Ok(0);
        }
        let mut recording =
            Recording::open(folder, Some(from)).map_err(|error| error.to_string())?;
        while let Some(frame) = recording.next_frame().map_err(|error| error.to_string())? {
            for stamped in frame.inputs {
                if stamped.at >= from {
                    self.take(stamped);
                }
            }
        }
        Ok(recording.torn_bytes())
    }

    fn take(&mut self, stamped: Stamped) {
        let Stamped { at, input, .. } = stamped;
        self.heard = Some(at);
        match input {
            Input::Signals(batch) => {
                self.spoke.entry(batch.source.clone()).or_default().hear(at);
                for signal in batch.signals {
                    match signal {
                        Signal::Alert(alert) => self.take_alert(*alert, &batch.source, at),
                        Signal::Change(change) => self.take_change(*change),
                        Signal::Sample(_) | Signal::Log(_) | Signal::Span(_) => {}
                    }
                }
            }
            Input::Recalled(recalled) => {
                self.take_firing(recalled.alerts);
                recalled
                    .changes
                    .into_iter()
                    .for_each(|c| self.take_change(c));
            }
            Input::Command { .. } | Input::Step(_) | Input::Tick => {}
        }
    }

    /// As the engine's own table takes it: a resend moves the end, and one that has passed ends it.
    fn take_alert(&mut self, mut alert: Alert, source: &SourceId, at: Time) {
        if alert.ends_at == Time::ZERO {
            alert.ends_at = at.plus_ms(self.timeout_ms);
        }
        let id = alert.fingerprint;
        if alert.ends_at <= at {
            self.alerts.remove(&id);
            return;
        }
        match self.alerts.get_mut(&id) {
            Some(held) if held.alert.ends_at > at || held.unheard.is_some() => {
                held.alert.ends_at = alert.ends_at;
                held.alert.generator_url = alert.generator_url;
                (held.source, held.told_at) = (Some(source.clone()), Some(at));
                held.unheard = None;
            }
            _ => self.put(FiringAlert {
                alert,
                came: at,
                source: Some(source.clone()),
                told_at: Some(at),
                unheard: None,
            }),
        }
    }

    fn take_firing(&mut self, alerts: Vec<FiringAlert>) {
        for held in alerts {
            self.put(held);
        }
    }

    fn put(&mut self, held: FiringAlert) {
        let id = held.alert.fingerprint;
        if self.alerts.len() >= self.alerts_max && !self.alerts.contains_key(&id) {
            self.left_out += 1;
            return;
        }
        self.alerts.insert(id, held);
    }

    fn take_change(&mut self, change: Change) {
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
            self.left_out += 1;
        }
        self.changes.push_back(change);
    }

    fn into_inputs(self) -> Vec<Input> {
        let mut alerts = self.alerts.into_values();
        let mut changes: Vec<Change> = self.changes.into();
        let mut inputs = Vec::new();
        loop {
            let recalled = Recalled {
                alerts: alerts.by_ref().take(ALERTS_PER_INPUT).collect(),
                // With the first: what an alert explains is looked for when it is placed.
                changes: std::mem::take(&mut changes),
                heard: self.heard.filter(|_| inputs.is_empty()),
            };
            if recalled == Recalled::default() {
                return inputs;
            }
            inputs.push(Input::Recalled(Box::new(recalled)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, ChangeKind, EntityId, Labels};
    use crate::store::recorder::{Header, SegmentWriter};

    fn alert(name: &str, ends_s: i64) -> Alert {
        let labels = Labels::from_pairs([("alertname", name)]).unwrap();
        Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::empty(),
            starts_at: Time::from_secs(5),
            ends_at: Time::from_secs(ends_s),
            generator_url: None,
        }
    }

    fn change(id: &str) -> Signal {
        Signal::Change(Box::new(Change {
            id: id.into(),
            at: Time::from_secs(5),
            kind: ChangeKind::Deploy,
            entity: EntityId::parse("cart"),
            title: id.into(),
            version: None,
            previous_version: None,
            by: None,
            labels: Labels::empty(),
        }))
    }

    fn told(at_s: i64, signals: Vec<Signal>) -> Stamped {
        let source = SourceId::new("alerts");
        let input = Input::Signals(Batch { source, signals });
        let at = Time::from_secs(at_s);
        Stamped { seq: 1, at, input }
    }

    #[test]
    fn a_recording_that_breaks_off_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("1-0.sgrec");
        let header = Header {
            made_by: "test".to_owned(),
            environment: "test".to_owned(),
            from: Time::ZERO,
            redacted: false,
            engine: EngineConfig::default(),
            runbooks: Vec::new(),
        };
        let mut writer = SegmentWriter::new(Vec::new(), &header).unwrap();
        writer.put(&told(10, vec![change("v2")]));
        let whole = writer.finish().unwrap();
        let says = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            let restored = Some((Time::ZERO, Vec::new()));
            let Told { inputs, notice, .. } = recall(
                restored,
                BTreeMap::new(),
                folder.path(),
                &EngineConfig::default(),
                Time::from_secs(20),
            );
            (inputs, notice)
        };
        let (inputs, notice) = says(&whole);
        assert_eq!((inputs.len(), notice), (1, None));
        let (inputs, notice) = says(&whole[..whole.len() - 1]);
        let notice = notice.expect("it breaks off");
        assert!(
            inputs.is_empty()
                && notice.contains("before the restart is lost: the recording breaks off")
                && notice.contains(" bytes are no whole record"),
            "{notice}"
        );
        let (_, notice) = says(&whole[..9]);
        assert!(
            notice
                .expect("it is told")
                .contains("nothing of its 9 bytes can be read")
        );
    }

    #[test]
    fn what_was_not_ended_is_taken_back_with_its_first_time_and_last_end() {
        let fires = |name, ends_s| Signal::Alert(Box::new(alert(name, ends_s)));
        let mut memory = Memory {
            spoke: BTreeMap::new(),
            alerts: BTreeMap::new(),
            changes: VecDeque::new(),
            alerts_max: 3,
            timeout_ms: 300_000,
            heard: None,
            left_out: 0,
        };
        let held = FiringAlert {
            alert: alert("of the checkpoint", 900),
            came: Time::from_secs(7),
            source: None,
            told_at: None,
            unheard: None,
        };
        memory.take_firing(vec![held.clone()]);
        memory.take(told(10, vec![fires("resent", 100), fires("ended", 100)]));
        memory.take(told(20, vec![fires("resent", 200), fires("ended", 20)]));
        memory.take(told(30, vec![fires("without an end", 0), change("v2")]));
        memory.take(told(40, vec![fires("too many", 100)]));
        assert_eq!(memory.left_out, 1);
        let spoke = memory.spoke[&SourceId::new("alerts")];
        assert_eq!(spoke.heard, Time::from_secs(40), "a crash lost no word");
        assert_eq!(spoke.pauses.longest_ms(), 10_000);
        let inputs = memory.into_inputs();
        let [Input::Recalled(recalled)] = &*inputs else {
            panic!("{inputs:?}");
        };
        let mut said: Vec<_> = recalled
            .alerts
            .iter()
            .map(|held| {
                let ends_s = held.alert.ends_at.ms() / 1_000;
                (held.alert.name(), held.came.ms() / 1_000, ends_s)
            })
            .collect();
        said.sort_unstable();
        let expected = [
            ("of the checkpoint", 7, 900),
            ("resent", 10, 200),
            ("without an end", 30, 330),
        ];
        assert_eq!(said, expected);
        assert_eq!(recalled.changes.len(), 1);
        assert_eq!(recalled.heard, Some(Time::from_secs(40)));
    }
}
