//! Lines become events: joined if wanted, stamped, with the labels of their file.

use std::path::Path;

use super::Look;
use super::file::Line;
use crate::config::TailConfig;
use crate::model::logjoin::LogJoiner;
use crate::model::{Labels, LogLine, Signal, Time};

/// Makes events of the lines of one file.
pub(super) struct Taker<'a> {
    pub(super) labels: &'a Labels,
    /// Joins continuation lines, if wanted; and where the event it holds begins.
    pub(super) joiner: Option<(&'a mut LogJoiner, &'a mut Option<u64>)>,
    pub(super) now: Time,
    pub(super) look: &'a mut Look,
}

impl Taker<'_> {
    pub(super) fn take(&mut self, line: Line<'_>) {
        self.look.cut_lines += u64::from(line.is_cut);
        let event = match &mut self.joiner {
            None => Some(line.text.to_owned()),
            Some((joiner, held_from)) => {
                let event = joiner.push(line.text);
                if event.is_some() || held_from.is_none() {
                    **held_from = Some(line.from);
                }
                event
            }
        };
        let signal = event.and_then(|text| signal(text, self.labels, self.now));
        self.look.signals.extend(signal);
    }
}

/// An event as it goes to the engine; `None` for an empty one.
pub(super) fn signal(text: String, labels: &Labels, now: Time) -> Option<Signal> {
    if text.trim().is_empty() {
        return None;
    }
    Some(Signal::Log(Box::new(LogLine {
        at: now,
        labels: labels.clone(),
        level: None,
        text: text.into_boxed_str(),
        trace: None,
        span: None,
    })))
}

/// Labels of a file's lines: service, host and path, then what the config says.
pub(super) fn labels(config: &TailConfig, host: &str, path: &Path) -> Labels {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy());
    let service = config.service.as_deref().or(stem.as_deref());
    let shown = path.to_string_lossy();
    let given = config.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    let pairs = [("service", service.unwrap_or("log")), ("host", host)].into_iter();
    let with_path = pairs.clone().chain([("log.file.path", &*shown)]);
    Labels::from_pairs(with_path.chain(given.clone()))
        // A path or label longer than a label may be: the lines matter more.
        .or_else(|_| Labels::from_pairs(pairs))
        .unwrap_or_default()
}
