//! What the operator's own console remembers of each environment, kept between consoles: when they last
//! looked and at what, so that the next one can say what changed since and take them back, and the entries of
//! timelines they marked. Losing it costs that sentence, the way back and those marks, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{IncidentId, Time};

/// Environments remembered; the one looked at longest ago makes room.
const ENVIRONMENTS_MAX: usize = 32;
/// Entries marked in one environment; those of the oldest incidents make room.
pub(super) const BOOKMARKS_MAX: usize = 500;
/// Counts up when the file changes its shape.
const VERSION: u32 = 3;

/// Entries marked: of which incident, when, and what they say.
pub type Bookmarks = BTreeSet<(IncidentId, Time, Box<str>)>;

/// The file, and what it held.
#[derive(Clone, Debug, Default)]
pub struct Session {
    path: Option<PathBuf>,
    kept: Kept,
}

/// The file's text. Version 1 was the first map alone, version 2 had no views.
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
        let of_version_1 = || {
            let looked_ms = serde_json::from_str(text).unwrap_or_default();
            Self {
                looked_ms,
                ..Self::default()
            }
        };
        serde_json::from_str(text).unwrap_or_else(|_| of_version_1())
    }

    /// Makes room for one more environment.
    fn make_room(&mut self) {
        while self.looked_ms.len() > ENVIRONMENTS_MAX {
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
    /// Reads the file; one that is missing or damaged holds nothing.
    pub fn load(path: Option<&Path>) -> Self {
        let text = path.and_then(|path| std::fs::read_to_string(path).ok());
        Self {
            path: path.map(Path::to_owned),
            kept: text.map_or_else(Kept::default, |text| Kept::read(&text)),
        }
    }

    /// Engine time of the last look.
    pub(super) fn looked(&self, environment: &str) -> Option<Time> {
        let looked = self.kept.looked_ms.get(environment);
        looked.copied().map(Time::from_ms)
    }

    /// The view that was left then.
    pub(super) fn view(&self, environment: &str) -> Option<&str> {
        self.kept.views.get(environment).map(String::as_str)
    }

    /// What was marked.
    pub(super) fn bookmarks(&self, environment: &str) -> Bookmarks {
        let marked = self.kept.bookmarks.get(environment);
        marked.cloned().unwrap_or_default()
    }

    /// Remembers a look, and the view that was left.
    ///
    /// # Errors
    /// The file cannot be written; for this console it is remembered all the same.
    pub fn look(&mut self, environment: &str, at: Time, view: &str) -> io::Result<()> {
        let looked = &mut self.kept.looked_ms;
        looked.insert(environment.to_owned(), at.ms());
        let views = &mut self.kept.views;
        views.insert(environment.to_owned(), view.to_owned());
        self.kept.make_room();
        self.write()
    }

    /// Remembers what is marked, whenever the last look was.
    pub(super) fn mark(
        &mut self,
        environment: &str,
        bookmarks: &Bookmarks,
        at: Time,
    ) -> io::Result<()> {
        let looked = &mut self.kept.looked_ms;
        looked
            .entry(environment.to_owned())
            .or_insert_with(|| at.ms());
        let marked = &mut self.kept.bookmarks;
        marked.insert(environment.to_owned(), bookmarks.clone());
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
        // As version 2 wrote it.
        let older = r#"{"version":2,"looked_ms":{"prod":42},"bookmarks":{}}"#;
        std::fs::write(&path, older).unwrap();
        let again = Session::load(Some(&path));
        assert_eq!(again.looked("prod"), Some(Time::from_ms(42)));
        assert_eq!(again.view("prod"), None);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Session::load(Some(&path)).looked("prod"), None);
    }

    #[test]
    fn marks_are_remembered_beside_the_look_and_the_older_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.json");
        std::fs::write(&path, r#"{"prod":42}"#).unwrap();
        let mut session = Session::load(Some(&path));
        assert_eq!(session.looked("prod"), Some(Time::from_ms(42)));
        let marked: Bookmarks = [(IncidentId(7), Time::from_secs(9), "deploy v812".into())].into();
        session.mark("prod", &marked, Time::from_ms(99)).unwrap();
        session.mark("test", &marked, Time::from_ms(99)).unwrap();
        let again = Session::load(Some(&path));
        assert_eq!(again.looked("prod"), Some(Time::from_ms(42)));
        assert_eq!(again.bookmarks("prod"), marked);
        assert_eq!(again.bookmarks("stage"), Bookmarks::new());
        // An environment that is forgotten takes its marks with it.
        let mut session = again;
        for at in 100..100 + ENVIRONMENTS_MAX as i64 {
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
        for at in 0..=ENVIRONMENTS_MAX as i64 {
            session
                .look(&format!("e{at}"), Time::from_ms(at), "incidents")
                .unwrap();
        }
        assert_eq!(session.looked("e0"), None);
        assert_eq!(session.looked("e1"), Some(Time::from_ms(1)));
    }
}
