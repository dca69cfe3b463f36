//! What is shown of the timeline, and what is followed along it.

use std::collections::BTreeSet;

use crate::model::{EntityId, SafeText, Time};
use crate::tui::session::Bookmarks;

/// What is shown of the timeline.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    /// Only this time; everything without it.
    pub range: Option<(Time, Time)>,
    /// Where a range was begun.
    pub from: Option<Time>,
    /// Only entries about this, if something is followed.
    pub along: Option<Along>,
    /// Entries marked: when, and what they say.
    pub bookmarks: Bookmarks,
    /// Bookmarks changed since they were kept.
    pub unsaved: bool,
}

/// A trace, or an entity, that is followed along the timeline.
#[derive(Clone, Debug)]
pub struct Along {
    /// Which.
    pub name: SafeText,
    /// What a trace went through; the entity itself.
    pub entities: BTreeSet<EntityId>,
}
