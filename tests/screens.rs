//! What the console shows: reviewed snapshots of every view at two sizes.

mod fixture;

use fixture::Console;

#[test]
fn the_next_right_thing_is_on_the_first_screen() {
    let screen = Console::live(80, 24, "dark").screen();
    for words in [
        "prod-eu",
        "LIVE",
        "4821",
        "p99 latency 4.2s",
        "suspect  checkout  deploy v812",
        "Roll back checkout to v811",
        "1 BLIND",
    ] {
        assert!(screen.contains(words), "{words} is missing from\n{screen}");
    }
}
