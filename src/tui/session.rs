//! What the operator's own console remembers of each place, an environment of one daemon, kept between consoles: when they last
//! looked and at what, so that the next one can say what changed since and take them back, and the entries of
//! timelines they marked. Losing it costs that sentence, the way back and those marks, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::api::View;
use crate::model::{IncidentId, Time};

/// Places remembered; the one looked at longest ago makes room.
const PLACES_MAX: usize = 32;
/// Entries marked in one place; those of the oldest incidents make room.
pub(super) const BOOKMARKS_MAX: usize = 500;
/// Counts up when the file changes its shape.
const VERSION: u32 = 4;

/// Entries marked: of which incident, when, and what they say.
pub type Bookmarks = BTreeSet<(IncidentId, Time, Box<str>)>;

/// The file, and what it held.
#[derive(Clone, Debug, Default)]
pub struct Session {
    path: Option<PathBuf>,
    kept: Kept,
}

/// The file's text. Version 1 was the first map alone, version 2 had no views. Before version 4 the name of the
/// environment was all that places were told apart by, so that daemons shared one: what was kept so is not read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    version: u32,
    looked_ms: BTreeMap<String, i64>,
    bookmarks: BTreeMap<String, Bookmarks>,
    /// The view that was left, as it is written after `:`.
    #[serde(default)]
    views: BTreeMap<String, String>,
}

impl Kept {
    fn read(text: &str) -> Self {
        let kept: Self = serde_json::from_str(text).unwrap_or_default();
        if kept.version == VERSION {
            kept
        } else {
            Self::default()
        }
    }

    /// Makes room for one more place.
    fn make_room(&mut self) {
        while self.looked_ms.len() > PLACES_MAX {
            let oldest = self.looked_ms.iter().min_by_key(|(_, at)| **at);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            self.looked_ms.remove(&name);
            self.bookmarks.remove(&name);
            self.views.remove(&name);
        }
    }
}

impl Session {
    /// Under what an environment of a daemon is remembered.
    pub fn place_of(view: &View) -> String {
        if view.home.is_empty() {
            return view.environment.clone();
        }
        format!("{} @{}", view.environment, view.home)
    }

    /// Reads the file; one that is missing or damaged holds nothing.
    pub fn load(path: Option<&Path>) -> Self {
        let text = path.and_then(|path| std::fs::read_to_string(path).ok());
        Self {
            path: path.map(Path::to_owned),
            kept: text.map_or_else(Kept::default, |text| Kept::read(&text)),
        }
    }

    /// Engine time of the last look.
    pub(super) fn looked(&self, place: &str) -> Option<Time> {
        let looked = self.kept.looked_ms.get(place);
        looked.copied().map(Time::from_ms)
    }

    /// The view that was left then.
    pub(super) fn view(&self, place: &str) -> Option<&str> {
        self.kept.views.get(place).map(String::as_str)
    }

    /// What was marked.
    pub(super) fn bookmarks(&self, place: &str) -> Bookmarks {
        let marked = self.kept.bookmarks.get(place);
        marked.cloned().unwrap_or_default()
    }

    /// Remembers a look, and the view that was left.
    ///
    /// # Errors
    /// The file cannot be written; for this console it is remembered all the same.
    pub fn look(&mut self, place: &str, at: Time, view: &str) -> io::Result<()> {
        let looked = &mut self.kept.looked_ms;
        looked.insert(place.to_owned(), at.ms());
        let views = &mut self.kept.views;
        views.insert(place.to_owned(), view.to_owned());
        self.kept.make_room();
        self.write()
    }

    /// Remembers what is marked, whenever the last look was.
    pub(super) fn mark(&mut self, place: &str, bookmarks: &Bookmarks, at: Time) -> io::Result<()> {
        let looked = &mut self.kept.looked_ms;
        looked.entry(place.to_owned()).or_insert_with(|| at.ms());
        let marked = &mut self.kept.bookmarks;
        marked.insert(place.to_owned(), bookmarks.clone());
        self.kept.make_room();
        self.write()
    }

    /// Writes the file anew beside the old one, so that a crash leaves either.
    fn write(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        self.kept.version = VERSION;
        let text = serde_json::to_string(&self.kept)?;
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_remembered_and_damage_forgets_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/console.json");
        let mut session = Session::load(Some(&path));
        assert_eq!(session.looked("prod"), None);
        session.look("prod", Time::from_ms(42), "alerts").unwrap();
        let again = Session::load(Some(&path));
        assert_eq!(again.looked("prod"), Some(Time::from_ms(42)));
        assert_eq!(again.view("prod"), Some("alerts"));
        // As version 3 wrote it, for every daemon that calls its environment so.
        let older = r#"{"version":3,"looked_ms":{"prod":42},"bookmarks":{},"views":{}}"#;
        std::fs::write(&path, older).unwrap();
        assert_eq!(Session::load(Some(&path)).looked("prod"), None);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Session::load(Some(&path)).looked("prod"), None);
    }

    #[test]
    fn daemons_that_call_their_environment_the_same_share_nothing() {
        let actor = crate::model::Actor {
            name: "mia".to_owned(),
            role: crate::model::Role::Responder,
        };
        let view = |environment: &str, home: &str| View {
            home: home.to_owned(),
            ..View::empty(environment, actor.clone(), Time::ZERO)
        };
        let views = [
            ("local", "aa"),
            ("local", "bb"),
            ("prod", "aa"),
            ("local", ""),
        ];
        let places = views.map(|(environment, home)| Session::place_of(&view(environment, home)));
        let told_apart: BTreeSet<&String> = places.iter().collect();
        assert_eq!(told_apart.len(), places.len(), "{places:?}");
        let mut session = Session::default();
        session
            .look(&places[0], Time::from_ms(42), "alerts")
            .unwrap();
        assert_eq!(session.view(&places[0]), Some("alerts"));
        for place in &places[1..] {
            assert_eq!((session.looked(place), session.view(place)), (None, None));
        }
    }

    #[test]
    fn marks_are_remembered_beside_the_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.json");
        let mut session = Session::load(Some(&path));
        session.look("prod", Time::from_ms(42), "alerts").unwrap();
        let marked: Bookmarks = [(IncidentId(7), Time::from_secs(9), "deploy v812".into())].into();
        session.mark("prod", &marked, Time::from_ms(99)).unwrap();
        session.mark("test", &marked, Time::from_ms(99)).unwrap();
        let again = Session::load(Some(&path));
        assert_eq!(again.looked("prod"), Some(Time::from_ms(42)));
        assert_eq!(again.bookmarks("prod"), marked);
        assert_eq!(again.bookmarks("stage"), Bookmarks::new());
        // A place that is forgotten takes its marks with it.
        let mut session = again;
        for at in 100..100 + PLACES_MAX as i64 {
            session
                .look(&format!("e{at}"), Time::from_ms(at), "incidents")
                .unwrap();
        }
        assert_eq!(session.bookmarks("test"), Bookmarks::new());
    }

    #[test]
    fn only_so_many_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Session::load(Some(&folder.path().join("console.json")));
        for at in 0..=PLACES_MAX as i64 {
            session
                .look(&format!("e{at}"), Time::from_ms(at), "incidents")
                .unwrap();
        }
        assert_eq!(session.looked("e0"), None);
        assert_eq!(session.looked("e1"), Some(Time::from_ms(1)));
    }
}
