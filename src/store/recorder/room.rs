//! Room on the disk: what a recording leaves to everything else, decisions above all.
//!
//! It only asks; where the system does not tell, there counts as room enough.

use std::path::Path;

use crate::model::counted;

/// So much of a disk is left free, in bytes …
const LEFT_BYTES: u64 = 256 << 20;
/// … but of a small one only one part in so many.
const LEFT_SHARE: u64 = 16;

/// Bytes that a recording in this folder leaves free.
pub fn left_bytes(folder: &Path) -> u64 {
    let disk = rustix::fs::statvfs(folder);
    disk.map_or(0, |disk| {
        let whole = disk.f_blocks.saturating_mul(disk.f_frsize);
        LEFT_BYTES.min(whole / LEFT_SHARE)
    })
}

/// Bytes that are free where this folder is.
pub(super) fn free_bytes(folder: &Path) -> u64 {
    let disk = rustix::fs::statvfs(folder);
    disk.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// So many bytes in words: never nothing of something.
pub fn words(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(
        || counted(bytes, "byte", "bytes"),
        |(unit, name)| format!("{} {name}", bytes.div_ceil(*unit)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_never_told_as_nothing() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (256 << 10, "256 KiB"),
            ((256 << 20) + 1, "257 MiB"),
            (3 << 30, "3 GiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(words(bytes), expected);
        }
    }

    #[test]
    fn what_is_not_there_lacks_nothing() {
        let nowhere = Path::new("/no/such/folder");
        assert_eq!((left_bytes(nowhere), free_bytes(nowhere)), (0, u64::MAX));
        let folder = tempfile::tempdir().unwrap();
        assert!((1..u64::MAX).contains(&free_bytes(folder.path())));
        assert!((1..=LEFT_BYTES).contains(&left_bytes(folder.path())));
    }
}
