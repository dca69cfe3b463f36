//! What a resource cannot exceed: by its unit, or as a series beside it says.
//!
//! Names follow the conventions of exporters; a resource whose limit nobody tells has none here.

use crate::engine::intake::{Intake, SeriesRow};
use crate::engine::roles;
use crate::model::{Direction, MetricRole, Unit};

/// Ends of names of what is in use …
const IN_USE: [&str; 8] = [
    "_used",
    "_in_use",
    "_usage",
    "_current",
    "_active",
    "_connected",
    "_open",
    "_allocated",
];
/// … and of what it cannot exceed, in place of them.
const LIMITS: [&str; 6] = ["_limit", "_max", "_capacity", "_quota", "_hard", "_size"];
/// The same behind the whole name of a resource: `_max` and `_size` would be a statistic of it there.
const LIMITS_BEHIND: [&str; 3] = ["_limit", "_capacity", "_quota"];
/// Ends of names of what is left, in place of which the limit is told.
const LEFT: [&str; 5] = ["_free", "_avail", "_available", "_remaining", "_left"];
/// Pairs that follow no rule: what is in use, and its limit.
const PAIRS: [(&str, &str); 7] = [
    ("process_open_fds", "process_max_fds"),
    ("node_filefd_allocated", "node_filefd_maximum"),
    (
        "node_nf_conntrack_entries",
        "node_nf_conntrack_entries_limit",
    ),
    (
        "mysql_global_status_threads_connected",
        "mysql_global_variables_max_connections",
    ),
    (
        "pg_stat_database_numbackends",
        "pg_settings_max_connections",
    ),
    (
        "haproxy_backend_current_sessions",
        "haproxy_backend_limit_sessions",
    ),
    (
        "container_memory_working_set_bytes",
        "container_spec_memory_limit_bytes",
    ),
];
/// Pairs of what is left and its limit.
const LEFT_PAIRS: [(&str, &str); 3] = [
    (
        "node_memory_MemAvailable_bytes",
        "node_memory_MemTotal_bytes",
    ),
    ("node_memory_SwapFree_bytes", "node_memory_SwapTotal_bytes"),
    ("node_filesystem_files_free", "node_filesystem_files"),
];

/// What a resource cannot exceed, and how its series tells how much is in use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit {
    /// In the unit of the series.
    pub(super) most: f64,
    /// Whether the series tells what is left instead of what is in use.
    pub(super) is_left: bool,
}

impl Limit {
    /// Which way the series goes as the resource runs out.
    pub(super) const fn direction(self) -> Direction {
        if self.is_left {
            Direction::Down
        } else {
            Direction::Up
        }
    }

    /// The limit of a resource, if it is one and has one.
    pub(super) fn of(row: &SeriesRow, intake: &Intake) -> Option<Self> {
        let name = &*row.series.name;
        let (stem, unit) = match name.strip_suffix("_bytes") {
            Some(stem) => (stem, "_bytes"),
            None => (name, ""),
        };
        let is_paired = |pairs: &[(&str, &str)]| pairs.iter().any(|(of, _)| *of == name);
        let is_resource = row.role == MetricRole::Saturation
            || LEFT.iter().any(|end| stem.ends_with(end))
            || is_paired(&LEFT_PAIRS)
            || is_paired(&PAIRS);
        // Processors are full when there is work, and free again at once.
        if !is_resource || roles::is_spent_by_work(name) {
            return None;
        }
        let beside = |name: &str| {
            let most = intake.latest_beside(name, &row.series)?;
            (most > 0.0).then_some(most)
        };
        let of = |most: Option<f64>, is_left| most.map(|most| Self { most, is_left });
        let any_of = |stem: &str, ends: &[&str]| {
            let mut ends = ends.iter();
            ends.find_map(|end| beside(&format!("{stem}{end}{unit}")))
        };
        let paired = |pairs: &[(&str, &str)]| {
            let pair = pairs.iter().find(|(of, _)| *of == name)?;
            beside(pair.1)
        };
        if let Some(stem) = LEFT.iter().find_map(|end| stem.strip_suffix(end)) {
            return of(any_of(stem, &LIMITS), true);
        }
        if let Some(most) = paired(&LEFT_PAIRS) {
            return of(Some(most), true);
        }
        if let Some(most) = paired(&PAIRS) {
            return of(Some(most), false);
        }
        if row.role != MetricRole::Saturation {
            return None;
        }
        match row.unit {
            Unit::Ratio => return of(Some(1.0), false),
            Unit::Percent => return of(Some(100.0), false),
            _ => {}
        }
        let most = match IN_USE.iter().find_map(|end| stem.strip_suffix(end)) {
            Some(stem) => any_of(stem, &LIMITS),
            None => any_of(stem, &LIMITS_BEHIND),
        };
        of(most, false)
    }

    /// How much of it is in use, by a value of the series.
    pub(super) fn in_use(self, value: f64) -> f64 {
        if self.is_left {
            self.most - value
        } else {
            value
        }
    }
}
