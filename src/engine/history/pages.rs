//! The points of all histories, packed: a trail holds its newest point as it is and the older ones in
//! pages, each as the bytes in which it differs from the one after it.
//!
//! ```text
//! | next page | bytes in use | points | records, oldest first |     64 bytes a page
//!
//! record:  | which of 7 bytes differ, and whether … | which of 4 seldom ones do | those bytes, XORed |
//! ```
//!
//! Neighbours share sign, exponent, band and distance, so that a point takes about 5 bytes of 11. Pages are all
//! alike and go from one series to the next: buffers of many lengths would leave holes. Nothing is rounded.
//!
//! A trail holds no more pages than [`trail_pages_max`], but not always as many: neighbours that differ in every byte
//! fill a page with four, those that are alike with 58. [`Pages`] never gets smaller: it holds as many as were in use
//! at once, and its memory grows by doubling, so that up to as much again may be set aside and not used yet.

use serde::{Deserialize, Serialize};

/// Bytes of a page for records, so that a page is 64.
const PAGE_BYTES: usize = 58;
/// Bytes of a point.
const POINT_BYTES: usize = 11;
/// Of those, the ones that often differ from one point to the next …
const LIVELY_BYTES: usize = 7;
/// … and the bit that says that others do too.
const MORE: u8 = 1 << LIVELY_BYTES;
/// Longest record: two masks and every byte.
const RECORD_BYTES_MAX: usize = 2 + POINT_BYTES;
/// Fewest records of a page that was left for the next one.
const RECORDS_A_PAGE_MIN: usize = PAGE_BYTES / RECORD_BYTES_MAX;
/// Points a trail may hold beyond those wanted: a page is forgotten once nothing of it is wanted, and that is found out
/// only when a page begins. The shortest record has one byte.
pub const SPARE_POINTS_MAX: usize = 2 * PAGE_BYTES - 2;
/// No page.
const NONE: u32 = u32::MAX;

/// One point as it is kept; the module above says what it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// The value's bits.
    pub value: u32,
    /// Lower end of the band, the upper half of its bits.
    pub low: u16,
    /// Upper end of the band, likewise.
    pub high: u16,
    /// Ticks since the point before.
    pub gap: u16,
    /// Evidence, in quarters.
    pub evidence: u8,
}

/// Most pages of a trail of which the last `max` points are wanted, three at least: the oldest, the one that is written,
/// and those between, of which every record is wanted.
pub const fn trail_pages_max(max: usize) -> usize {
    (max - 3) / RECORDS_A_PAGE_MIN + 2
}

/// All pages, those in use and those to be used again: at most as many as all trails may have together.
#[derive(Debug)]
pub struct Pages {
    pages: Vec<Page>,
    /// The first page that is free; the next is named in it.
    free: u32,
}

#[derive(Clone, Copy, Debug)]
struct Page {
    /// The one with newer records, or the next that is free.
    next: u32,
    len: u8,
    points: u8,
    records: [u8; PAGE_BYTES],
}

/// A row of points, the oldest forgotten.
#[derive(Debug)]
pub struct Trail {
    newest: Packed,
    oldest_page: u32,
    newest_page: u32,
    /// Points held, the newest included: 0 before the first.
    points: u16,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            free: NONE,
        }
    }
}

impl Default for Trail {
    fn default() -> Self {
        Self {
            newest: Packed::default(),
            oldest_page: NONE,
            newest_page: NONE,
            points: 0,
        }
    }
}

impl Trail {
    /// Reads a word of it and of the page that is written, so that they come while others are worked on.
    pub fn touch(&self, pages: &Pages) -> u32 {
        let page = pages.pages.get(self.newest_page as usize);
        page.map_or(0, |page| {
            page.next ^ u32::from(page.records[PAGE_BYTES - 1])
        })
    }

    /// Adds a point; at least the last `max` are held, and at most [`SPARE_POINTS_MAX`] more.
    pub fn push(&mut self, point: Packed, max: usize, pages: &mut Pages) {
        if self.points > 0 {
            let (record, len) = record(self.newest.bytes(), point.bytes());
            self.append(&record, len, max, pages);
        }
        self.newest = point;
        self.points += 1;
        debug_assert!(usize::from(self.points) <= max + SPARE_POINTS_MAX);
    }

    /// The newest point.
    pub fn newest(&self) -> Option<Packed> {
        (self.points > 0).then_some(self.newest)
    }

    /// The last `max` points, newest first.
    pub fn newest_first(&self, max: usize, pages: &Pages) -> Vec<Packed> {
        if self.points == 0 {
            return Vec::new();
        }
        let mut differences = Vec::with_capacity(usize::from(self.points));
        let mut at = self.oldest_page;
        while let Some(page) = pages.pages.get(at as usize) {
            page.read(&mut differences);
            at = page.next;
        }
        let mut bytes = self.newest.bytes();
        let older = differences.iter().rev().map(|difference| {
            for (byte, other) in bytes.iter_mut().zip(difference) {
                *byte ^= other;
            }
            Packed::of(bytes)
        });
        let mut points = vec![self.newest];
        points.extend(older.take(max.saturating_sub(1)));
        points
    }

    /// Gives its pages back.
    pub fn clear(&mut self, pages: &mut Pages) {
        while self.oldest_page != NONE {
            self.forget_page(pages);
        }
        *self = Self::default();
    }

    fn append(
        &mut self,
        record: &[u8; RECORD_BYTES_MAX],
        len: usize,
        max: usize,
        pages: &mut Pages,
    ) {
        let has_room = pages
            .pages
            .get(self.newest_page as usize)
            .is_some_and(|page| usize::from(page.len) + len <= PAGE_BYTES);
        if !has_room {
            self.turn(max, pages);
        }
        let page = &mut pages.pages[self.newest_page as usize];
        let from = usize::from(page.len);
        page.records[from..from + len].copy_from_slice(&record[..len]);
        page.len += len as u8;
        page.points += 1;
    }

    /// Begins a page, and forgets those of which nothing is needed any more.
    fn turn(&mut self, max: usize, pages: &mut Pages) {
        while let Some(oldest) = pages.pages.get(self.oldest_page as usize)
            // The point to come counts, too.
            && usize::from(self.points) + 1 >= max + usize::from(oldest.points)
        {
            self.forget_page(pages);
        }
        let fresh = pages.take();
        match pages.pages.get_mut(self.newest_page as usize) {
            Some(page) => page.next = fresh,
            None => self.oldest_page = fresh,
        }
        self.newest_page = fresh;
    }

    fn forget_page(&mut self, pages: &mut Pages) {
        let page = &mut pages.pages[self.oldest_page as usize];
        self.points -= u16::from(page.points);
        let next = std::mem::replace(&mut page.next, pages.free);
        pages.free = self.oldest_page;
        self.oldest_page = next;
        if next == NONE {
            self.newest_page = NONE;
        }
    }
}

#[cfg(test)]
impl Pages {
    /// Pages that are in a trail.
    pub fn in_use(&self) -> usize {
        let next = |free: &u32| self.pages.get(*free as usize).map(|page| page.next);
        let free = std::iter::successors(Some(self.free).filter(|free| *free != NONE), |free| {
            next(free).filter(|next| *next != NONE)
        });
        self.pages.len() - free.count()
    }

    /// All pages.
    pub fn held(&self) -> usize {
        self.pages.len()
    }
}

impl Pages {
    /// An empty page.
    fn take(&mut self) -> u32 {
        const EMPTY: Page = Page {
            next: NONE,
            len: 0,
            points: 0,
            records: [0; PAGE_BYTES],
        };
        let Some(page) = self.pages.get_mut(self.free as usize) else {
            self.pages.push(EMPTY);
            return self.pages.len() as u32 - 1;
        };
        let next = page.next;
        *page = EMPTY;
        std::mem::replace(&mut self.free, next)
    }
}

impl Page {
    /// Appends what its points differ by, oldest first.
    fn read(&self, into: &mut Vec<[u8; POINT_BYTES]>) {
        let mut bytes = self.records[..usize::from(self.len)].iter().copied();
        while let Some(lively) = bytes.next() {
            let more = if lively & MORE == 0 {
                0
            } else {
                bytes.next().unwrap_or(0)
            };
            let mask = u16::from(lively & !MORE) | u16::from(more) << LIVELY_BYTES;
            let mut difference = [0; POINT_BYTES];
            for (i, byte) in difference.iter_mut().enumerate() {
                if mask >> i & 1 == 1 {
                    *byte = bytes.next().unwrap_or(0);
                }
            }
            into.push(difference);
        }
    }
}

impl Packed {
    /// Those that often differ from one point to the next first.
    fn bytes(self) -> [u8; POINT_BYTES] {
        let [v0, v1, v2, v3] = self.value.to_le_bytes();
        let [low, low_upper] = self.low.to_le_bytes();
        let [high, high_upper] = self.high.to_le_bytes();
        let [gap, gap_upper] = self.gap.to_le_bytes();
        let evidence = self.evidence;
        [
            v0, v1, v2, v3, low, high, evidence, gap, gap_upper, low_upper, high_upper,
        ]
    }

    fn of(bytes: [u8; POINT_BYTES]) -> Self {
        let [
            v0,
            v1,
            v2,
            v3,
            low,
            high,
            evidence,
            gap,
            gap_upper,
            low_upper,
            high_upper,
        ] = bytes;
        Self {
            value: u32::from_le_bytes([v0, v1, v2, v3]),
            low: u16::from_le_bytes([low, low_upper]),
            high: u16::from_le_bytes([high, high_upper]),
            gap: u16::from_le_bytes([gap, gap_upper]),
            evidence,
        }
    }
}

/// What `older` differs from `newer` by, and how long that is.
fn record(older: [u8; POINT_BYTES], newer: [u8; POINT_BYTES]) -> ([u8; RECORD_BYTES_MAX], usize) {
    let mut mask = 0_u16;
    for i in 0..POINT_BYTES {
        mask |= u16::from(older[i] != newer[i]) << i;
    }
    let more = (mask >> LIVELY_BYTES) as u8;
    let mut record = [0; RECORD_BYTES_MAX];
    record[0] = mask as u8 & !MORE;
    let mut len = 1;
    if more > 0 {
        record[0] |= MORE;
        record[1] = more;
        len = 2;
    }
    // Every byte is written, and the place moves on past those that differ: nothing to guess for the processor.
    for i in 0..POINT_BYTES {
        record[len] = older[i] ^ newer[i];
        len += usize::from(mask >> i & 1);
    }
    (record, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POINTS_MAX: usize = 48;

    fn points() -> impl Strategy<Value = Packed> {
        let any_point = any::<(u32, u16, u16, u16, u8)>();
        // Mostly as telemetry is, sometimes as nothing is.
        let usual = (0_u32..1 << 20, 0_u16..4, 0_u16..4, 149_u16..151, 0_u8..3);
        let usual =
            usual.prop_map(|(v, l, h, g, e)| (0x4200_0000 | v, 0x4200 | l, 0x4210 | h, g, e));
        prop_oneof![8 => usual, 1 => any_point].prop_map(|(value, low, high, gap, evidence)| {
            Packed {
                value,
                low,
                high,
                gap,
                evidence,
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_pushed_is_read_back_and_pages_go_round(
            pushed in proptest::collection::vec((0_usize..3, points()), 0..600),
        ) {
            let mut pages = Pages::default();
            let mut trails = [Trail::default(), Trail::default(), Trail::default()];
            let mut expected = [const { Vec::new() }; 3];
            for (n, point) in &pushed {
                trails[*n].push(*point, POINTS_MAX, &mut pages);
                expected[*n].insert(0, *point);
                expected[*n].truncate(POINTS_MAX);
                prop_assert!(usize::from(trails[*n].points) <= POINTS_MAX + SPARE_POINTS_MAX);
            }
            for (trail, expected) in trails.iter().zip(&expected) {
                prop_assert_eq!(&trail.newest_first(POINTS_MAX, &pages), expected);
                prop_assert_eq!(trail.newest(), expected.first().copied());
            }
            prop_assert!(pages.pages.len() <= 3 * trail_pages_max(POINTS_MAX));
            for trail in &mut trails {
                trail.clear(&mut pages);
                prop_assert!(trail.newest_first(POINTS_MAX, &pages).is_empty());
            }
            let held = pages.pages.len();
            for (n, point) in &pushed {
                trails[*n].push(*point, POINTS_MAX, &mut pages);
            }
            prop_assert_eq!(pages.pages.len(), held, "the pages of before are used again");
        }
    }

    #[test]
    fn a_page_is_as_long_as_it_says() {
        assert_eq!(size_of::<Page>(), 64);
    }
}
