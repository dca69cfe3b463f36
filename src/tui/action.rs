//! The one table of everything a person can do. It drives keys, footer hints, help, the palette and
//! `stormglass keys`.

/// Something a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the table below documents each for the user")]
pub enum Action {
    Down,
    Up,
    Top,
    Bottom,
    HalfDown,
    HalfUp,
    PageDown,
    PageUp,
    Left,
    Right,
    NextPane,
    PreviousPane,
    Open,
    Back,
    Quit,
    Leave,
    LastView,
    HistoryBack,
    HistoryForward,
    Timeline,
    WhyTab,
    Path,
    Metrics,
    Logs,
    Traces,
    Actions,
    Incidents,
    Alerts,
    Sources,
    Filter,
    Palette,
    Help,
    Why,
    Mark,
    MarkRange,
    Sort,
    Reverse,
    Freeze,
    NextAnomaly,
    PreviousAnomaly,
    NextChange,
    PreviousChange,
    NextMatch,
    PreviousMatch,
    Utc,
    Theme,
    Mouse,
    Travel,
    Earlier,
    Later,
    ZoomIn,
    ZoomOut,
    Bookmark,
    NextBookmark,
    Follow,
    Narrow,
    Links,
    Compare,
    Heatmap,
    Whole,
    Copy,
    HandOver,
    Export,
    Redraw,
    Suspend,
    Acknowledge,
    Assign,
    Note,
    Resolve,
    Reopen,
    Propose,
    Useful,
    Noise,
    Cause,
    Merge,
    Split,
    Desk,
    Status,
    Silence,
    Silences,
    Approve,
    Reject,
    RollBack,
    KillSwitch,
}

/// Where an action makes sense; the heading it stands under in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Moving about.
    Move,
    /// Choosing what is on screen.
    View,
    /// Doing something about an incident.
    Incident,
    /// Deciding about a plan.
    Plan,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ActionRow {
    /// The action.
    pub action: Action,
    /// Its name, as keymaps and the palette have it.
    pub name: &'static str,
    /// A word or two for the footer.
    pub hint: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Where.
    pub scope: Scope,
}

const fn row(
    action: Action,
    name: &'static str,
    hint: &'static str,
    doc: &'static str,
    scope: Scope,
) -> ActionRow {
    ActionRow {
        action,
        name,
        hint,
        doc,
        scope,
    }
}

use Action as A;
use Scope::{Incident, Move, Plan, View};

/// Every action, in the order of the enum.
#[rustfmt::skip]
pub const ACTIONS: [ActionRow; 84] = [
    row(A::Down, "down", "move", "Next row", Move),
    row(A::Up, "up", "move", "Previous row", Move),
    row(A::Top, "top", "top", "First row", Move),
    row(A::Bottom, "bottom", "end", "Last row", Move),
    row(A::HalfDown, "half-down", "half", "Half a page down", Move),
    row(A::HalfUp, "half-up", "half", "Half a page up", Move),
    row(A::PageDown, "page-down", "page", "A page down", Move),
    row(A::PageUp, "page-up", "page", "A page up", Move),
    row(A::Left, "left", "left", "Previous tab", Move),
    row(A::Right, "right", "right", "Next tab", Move),
    row(A::NextPane, "next-pane", "pane", "Next pane or tab", Move),
    row(A::PreviousPane, "previous-pane", "pane", "Previous pane or tab", Move),
    row(A::Open, "open", "open", "Open what is under the cursor", Move),
    row(A::Back, "back", "back", "Back one level; clears a filter first", Move),
    row(A::Quit, "quit", "quit", "Leave this view; on the list, quit", Move),
    row(A::Leave, "leave", "leave", "Quit the console from anywhere", Move),
    row(A::LastView, "last-view", "last", "The view before this one, and back again", Move),
    row(A::HistoryBack, "history-back", "older", "Back through the views", Move),
    row(A::HistoryForward, "history-forward", "newer", "Forward through the views", Move),
    row(A::Timeline, "timeline", "timeline", "What happened, in order", View),
    row(A::WhyTab, "why-tab", "why", "Suspects, the evidence for and against each", View),
    row(A::Path, "path", "path", "Who depends on the suspect, and how they are", View),
    row(A::Metrics, "metrics", "metrics", "Metrics over what was expected of them", View),
    row(A::Logs, "logs", "logs", "Log lines grouped by template, new ones first", View),
    row(A::Traces, "traces", "traces", "Exemplar traces as waterfalls", View),
    row(A::Actions, "actions", "actions", "Plans: what could be done, and what was", View),
    row(A::Incidents, "incidents", "incidents", "The list of incidents", View),
    row(A::Alerts, "alerts", "alerts", "Alerts raised by other systems' rules", View),
    row(A::Sources, "sources", "sources", "Where telemetry comes from, and what is blind", View),
    row(A::Filter, "filter", "filter", "Show only rows that match what is typed", View),
    row(A::Palette, "palette", "palette", "Find any action by name and do it", View),
    row(A::Help, "help", "keys", "The keys, searchable", View),
    row(A::Why, "why", "why", "Why this row is here, and why it is grouped", View),
    row(A::Mark, "mark", "mark", "Mark a row; a, A, x and X act on all marked", View),
    row(A::MarkRange, "mark-range", "range", "Mark to here; on the timeline, a range", View),
    row(A::Sort, "sort", "sort", "Sort by the next column", View),
    row(A::Reverse, "reverse", "reverse", "Reverse the order", View),
    row(A::Freeze, "freeze", "freeze", "Hold the screen still, and count what is new", View),
    row(A::NextAnomaly, "next-anomaly", "anomaly", "Next anomaly on the timeline", View),
    row(A::PreviousAnomaly, "previous-anomaly", "anomaly", "Previous anomaly on the timeline", View),
    row(A::NextChange, "next-change", "change", "Next change on the timeline", View),
    row(A::PreviousChange, "previous-change", "change", "Previous change on the timeline", View),
    row(A::NextMatch, "next-match", "match", "Next row that matches the filter", View),
    row(A::PreviousMatch, "previous-match", "match", "Previous row that matches the filter", View),
    row(A::Utc, "utc", "utc", "Show times in UTC or in local time", View),
    row(A::Theme, "theme", "theme", "The next theme", View),
    row(A::Mouse, "mouse", "mouse", "Click and wheel on, or off to select text", View),
    row(A::Travel, "travel", "travel", "See the incident as it was; again: now", View),
    row(A::Earlier, "earlier", "earlier", "15 seconds back in time", View),
    row(A::Later, "later", "later", "15 seconds forward in time", View),
    row(A::ZoomIn, "zoom-in", "zoom", "Half of the time around this entry", View),
    row(A::ZoomOut, "zoom-out", "wider", "Twice the time around this entry", View),
    row(A::Bookmark, "bookmark", "bookmark", "Mark this entry of the timeline, or not", View),
    row(A::NextBookmark, "next-bookmark", "bookmark", "Next entry that you marked", View),
    row(A::Follow, "follow", "follow", "Follow this trace or deploy, else to the next", View),
    row(A::Narrow, "narrow", "its metrics", "This node's metrics, logs and traces, or all", View),
    row(A::Links, "links", "links", "Pages about this node, to copy", View),
    row(A::Compare, "compare", "before", "Metrics beside an hour, a day, a week before", View),
    row(A::Heatmap, "heatmap", "heatmap", "How long requests took, as a heatmap", View),
    row(A::Whole, "whole", "whole", "This pane on the whole screen, or not", View),
    row(A::Copy, "copy", "copy", "Copy the row to your clipboard", View),
    row(A::HandOver, "hand-over", "hand over", "What whoever takes over must know", View),
    row(A::Export, "export", "export", "Copy the command that writes the incident out", View),
    row(A::Redraw, "redraw", "redraw", "Draw the whole screen again", View),
    row(A::Suspend, "suspend", "suspend", "To the shell; fg brings the console back", View),
    row(A::Acknowledge, "acknowledge", "ack", "Take the incident", Incident),
    row(A::Assign, "assign", "assign", "Give the incident to somebody", Incident),
    row(A::Note, "note", "note", "Write a note on the incident", Incident),
    row(A::Resolve, "resolve", "resolve", "Declare the incident over", Incident),
    row(A::Reopen, "reopen", "reopen", "Declare the incident not over", Incident),
    row(A::Propose, "propose", "propose", "Render a runbook for this incident", Incident),
    row(A::Useful, "useful", "useful", "Say that what was noticed was worth telling", Incident),
    row(A::Noise, "noise", "noise", "Say that what was noticed was not worth it", Incident),
    row(A::Cause, "cause", "cause", "Say what caused the incident", Incident),
    row(A::Merge, "merge", "merge", "Make the incident part of another", Incident),
    row(A::Split, "split", "split", "Make some of it an incident of its own", Incident),
    row(A::Desk, "desk", "desk", "Who does what, tasks, status updates", Incident),
    row(A::Status, "status-update", "status", "Write to those outside how it stands", Incident),
    row(A::Silence, "silence", "silence", "Hold alerts back, after seeing which", Incident),
    row(A::Silences, "silences", "silences", "What is held back, and until when", Incident),
    row(A::Approve, "approve", "approve", "Read the plan, then approve or settle it", Plan),
    row(A::Reject, "reject", "reject", "Say no to the plan, with a reason", Plan),
    row(A::RollBack, "roll-back", "undo", "Stop the running plan and undo what it did", Plan),
    row(A::KillSwitch, "kill-switch", "kill", "Stop all automation, or allow it again", Plan),
];

impl Action {
    /// Its row.
    pub fn row(self) -> &'static ActionRow {
        &ACTIONS[self as usize]
    }

    /// Whether it opens a box that has the keys: whatever is pressed next is meant for that box.
    pub const fn opens_box(self) -> bool {
        matches!(
            self,
            A::Filter
                | A::Palette
                | A::Help
                | A::Assign
                | A::Note
                | A::Resolve
                | A::Propose
                | A::Cause
                | A::Merge
                | A::Split
                | A::Desk
                | A::Status
                | A::Silence
                | A::Silences
                | A::Approve
                | A::Reject
                | A::RollBack
                | A::KillSwitch
        )
    }

    /// Whether the box it opens may ask for text at once: letters typed next are part of it.
    pub const fn takes_text(self) -> bool {
        matches!(
            self,
            A::Filter
                | A::Palette
                | A::Help
                | A::Assign
                | A::Note
                | A::Propose
                | A::Merge
                | A::Status
                | A::Silence
                | A::Approve
                | A::Reject
                | A::RollBack
        )
    }

    /// Whether it moves along rows or between panes, and nothing else.
    pub const fn moves(self) -> bool {
        matches!(
            self,
            A::Down
                | A::Up
                | A::Top
                | A::Bottom
                | A::HalfDown
                | A::HalfUp
                | A::PageDown
                | A::PageUp
                | A::Left
                | A::Right
                | A::NextPane
                | A::PreviousPane
        )
    }

    /// The action of that name.
    pub fn named(name: &str) -> Option<Self> {
        ACTIONS
            .iter()
            .find(|row| row.name == name)
            .map(|row| row.action)
    }
}

impl Scope {
    /// The heading shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Move => "Moving about",
            Self::View => "What is on screen",
            Self::Incident => "The incident",
            Self::Plan => "Plans and automation",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_are_unique() {
        for (i, row) in ACTIONS.iter().enumerate() {
            assert_eq!(row.action as usize, i, "{}", row.name);
            assert_eq!(Action::named(row.name), Some(row.action));
        }
    }
}
