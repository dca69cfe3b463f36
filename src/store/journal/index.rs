//! Where lines of the journal begin, every so many lines: so that reading a page of it, or what came
//! after a certain line, costs what is read and not what was ever written.
//!
//! In memory only: opening reads the journal anyway, to check it.

/// Lines between two marks: what may have to be read in vain before a page.
const LINES_PER_MARK: u64 = 256;

/// Places of some lines, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// Number of a line, and the byte at which it begins; both rise.
    marks: Vec<(u64, u64)>,
    /// Lines since the last mark.
    since: u64,
    /// The highest number so far.
    highest: u64,
}

impl Index {
    /// Takes the next line: its number, and the byte at which it begins. In an altered journal numbers
    /// may go back; such lines are found from the mark before.
    pub fn take(&mut self, n: u64, begins: u64) {
        let rises = n > self.highest;
        self.highest = self.highest.max(n);
        if rises && (self.marks.is_empty() || self.since >= LINES_PER_MARK) {
            self.marks.push((n, begins));
            self.since = 0;
        }
        self.since += 1;
    }

    /// A byte at which a line begins, so that every line after line `after` begins there or later.
    pub fn before(&self, after: u64) -> u64 {
        let later = self.marks.partition_point(|(n, _)| *n <= after + 1);
        let mark = later.checked_sub(1).and_then(|mark| self.marks.get(mark));
        mark.map_or(0, |(_, begins)| *begins)
    }

    /// Forgets the lines that begin at or after this byte.
    pub fn cut(&mut self, bytes: u64) {
        self.marks.retain(|(_, begins)| *begins < bytes);
        // How many lines came after the last mark is not known any more: the next line may be one.
        self.since = LINES_PER_MARK;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_from_a_mark_not_far_before_it() {
        let mut index = Index::default();
        for n in 1..=10_000 {
            index.take(n, (n - 1) * 100);
        }
        assert_eq!(index.marks.len(), 40);
        for after in [0, 1, 255, 256, 5_000, 9_999, 10_000, 20_000] {
            let begins = index.before(after);
            let next = after.min(9_999) * 100;
            assert!(
                begins <= next && next - begins < LINES_PER_MARK * 100,
                "after {after}: {begins}"
            );
        }
        index.cut(100_000);
        assert_eq!(index.before(9_999), 76_800);
        // Numbers that go back are no marks.
        for n in [9_000, 3, 10_001, 7] {
            index.take(n, 100_000 + n);
        }
        assert_eq!(index.before(10_000), 110_001);
    }
}
