//! The whole path in a real terminal: start the demo, wait for the incident, open it, read the
//! suspect, approve the plan, see that it worked.

mod pty;

use std::time::Duration;

use pty::Session;

/// A key that a dialog ignores as too quick is pressed again after this long.
const AGAIN: Duration = Duration::from_millis(700);

/// From the start of the demo to the moment the approved plan has run.
fn approved() -> Session {
    let mut demo = Session::start(&["demo", "bad-deploy", "--seed", "1"]);
    demo.shows("Y approve plan 1");
    demo.press("\r2");
    demo.shows("trigger");
    let suspect = demo.text();
    assert!(suspect.contains("#1 checkout"), "{suspect}");
    demo.press("Y");
    demo.shows("[ Cancel ]");
    assert!(
        demo.text().contains("What will run, exactly"),
        "{}",
        demo.text()
    );
    demo.press("\t");
    for _ in 0..20 {
        demo.press("\r");
        if demo.shows_within(AGAIN, |screen| !screen.contains("[ Cancel ]")) {
            break;
        }
    }
    demo.shows("ran; verifying until");
    demo
}

#[test]
fn from_a_bad_deploy_to_an_approved_fix() {
    let mut demo = approved();
    demo.press("qq");
    assert!(demo.child.wait().expect("it ends").success());
}

#[test]
fn the_approved_fix_is_seen_to_work() {
    let mut demo = approved();
    demo.shows("verified");
}
