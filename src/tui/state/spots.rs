//! What stands where on the screen, for whoever points at it.

use std::cell::RefCell;

use ratatui::layout::{Position, Rect};

use super::Tab;

/// Spots remembered of a frame: more than the rows and tabs of any screen drawn.
const SPOTS_MAX: usize = 4_096;

/// A list with a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// The incidents.
    Incidents,
    /// The rows of a pane of one.
    Pane(Tab),
    /// The alerts.
    Alerts,
    /// The sources.
    Sources,
}

/// What can be pointed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// A row of a list, counted from its first.
    Row(Listed, usize),
    /// A pane, its title or its tab.
    Pane(Tab),
}

/// What the frame drawn last shows where. Drawing remembers it in cells, as cursors remember their window.
#[derive(Debug, Default)]
pub struct Spots(RefCell<Vec<(Rect, Spot)>>);

impl Spots {
    /// Forgets everything, before a frame is drawn.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// Notes what stands in an area; it hides what was noted there before.
    pub fn note(&self, area: Rect, spot: Spot) {
        let mut spots = self.0.borrow_mut();
        if spots.len() < SPOTS_MAX {
            spots.push((area, spot));
        }
    }

    /// What stands at a cell.
    pub fn at(&self, column: u16, line: u16) -> Option<Spot> {
        let here = Position::new(column, line);
        let spots = self.0.borrow();
        let found = spots.iter().rfind(|(area, _)| area.contains(here));
        found.map(|(_, spot)| *spot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_last_is_on_top() {
        let spots = Spots::default();
        let pane = Spot::Pane(Tab::Logs);
        let row = Spot::Row(Listed::Pane(Tab::Logs), 3);
        spots.note(Rect::new(10, 5, 20, 10), pane);
        spots.note(Rect::new(10, 7, 20, 1), row);
        let cases = [
            ((9, 7), None),
            ((10, 7), Some(row)),
            ((29, 7), Some(row)),
            ((30, 7), None),
            ((10, 6), Some(pane)),
            ((10, 15), None),
        ];
        for ((column, line), expected) in cases {
            assert_eq!(spots.at(column, line), expected, "{column},{line}");
        }
        spots.clear();
        assert_eq!(spots.at(10, 7), None);
    }
}
