//! The terminal while the console has it and afterwards: given back whatever ends or stops the
//! console, and drawn anew when it comes back or changes its size.

mod pty;

use portable_pty::CommandBuilder;
use pty::Session;
use rustix::process::Signal;
use stormglass::api::client::Address;
use stormglass::tui::TuiOptions;
use vt100::MouseProtocolMode;

/// The environment variable that tells this program to be the console under test.
const AS_CONSOLE: &str = "STORMGLASS_TEST_AS_CONSOLE";
/// Sizes in quick succession, as a dragged window or a phone that turns gives them.
const STORM: [(u16, u16); 9] = [
    (200, 60),
    (10, 3),
    (79, 23),
    (1, 1),
    (300, 80),
    (60, 20),
    (132, 43),
    (20, 50),
    (100, 30),
];

fn demo() -> Session {
    let mut demo = Session::start(&["demo", "quiet", "--seed", "1"]);
    demo.shows("Watching");
    assert!(demo.screen.screen().alternate_screen() && !demo.is_cooked());
    demo
}

#[test]
fn a_console_that_is_ended_gives_the_terminal_back() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let mut demo = demo();
        demo.signal(signal);
        demo.gives_back();
        assert!(demo.child.wait().expect("it ends").success(), "{signal:?}");
    }
}

#[test]
fn a_wall_that_is_ended_gives_the_terminal_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("demo.sock").display().to_string();
    let mut demo = Session::start(&["demo", "quiet", "--seed", "1", "--socket", &socket]);
    demo.shows("Watching");
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let mut wall = Session::start(&["wall", &socket]);
        let is_drawn = |screen: &str| !screen.trim().is_empty();
        assert!(wall.shows_within(pty::DEADLINE, is_drawn), "{signal:?}");
        assert!(wall.screen.screen().alternate_screen());
        wall.signal(signal);
        wall.gives_back();
        assert!(wall.child.wait().expect("it ends").success(), "{signal:?}");
    }
}

#[test]
fn a_panic_gives_the_terminal_back_and_says_where() {
    let program = std::env::current_exe().expect("this program");
    let mut command = CommandBuilder::new(program);
    command.args(["--ignored", "--exact", "console_that_panics", "--nocapture"]);
    command.env(AS_CONSOLE, "1");
    let mut console = Session::run(command);
    console.shows("Not connected");
    assert!(console.screen.screen().alternate_screen());
    console.signal(Signal::USR1);
    console.gives_back();
    console.shows("a panic on demand");
    console.shows("a part of the program panicked");
}

/// Not a test: the console that the test above starts in a terminal of its own. It panics on a signal.
#[test]
#[ignore = "the program of another test"]
fn console_that_panics() {
    if std::env::var_os(AS_CONSOLE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ended = runtime.block_on(async {
        let kind = tokio::signal::unix::SignalKind::user_defined1();
        let mut signal = tokio::signal::unix::signal(kind).expect("a signal handler");
        tokio::spawn(async move {
            signal.recv().await;
            panic!("a panic on demand");
        });
        let nobody = std::env::temp_dir().join("stormglass-nobody-listens.sock");
        stormglass::tui::run(TuiOptions::new(Address::Socket(nobody))).await
    });
    println!("{}", ended.expect_err("it panicked"));
}

#[test]
fn a_stopped_console_leaves_the_shell_its_terminal_and_comes_back_whole() {
    let mut shell = CommandBuilder::new("sh");
    shell.args(["-i"]);
    shell.env("PS1", "ready> ");
    let mut shell = Session::run(shell);
    shell.shows("ready>");
    let program = env!("CARGO_BIN_EXE_stormglass");
    shell.press(&format!("{program} demo quiet --seed 1\r"));
    shell.shows("Watching");
    shell.press("\x1a");
    shell.shows("Stopped");
    let screen = shell.screen.screen();
    assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
    shell.resize(100, 30);
    shell.press("fg\r");
    shell.shows("Watching");
    assert!(shell.screen.screen().alternate_screen() && !shell.is_cooked());
    footer_is_on_line(&mut shell, 29);
    shell.press("q");
    shell.shows("ready>");
    shell.gives_back();
}

/// The mouse is the terminal's until somebody asks for it, as copying needs it.
#[test]
fn the_mouse_is_reported_only_while_it_is_on() {
    let mut demo = demo();
    let mode = |demo: &Session| demo.screen.screen().mouse_protocol_mode();
    let marked = |screen: &str| screen.lines().position(|line| line.starts_with('\u{25b8}'));
    demo.press("gs");
    assert!(demo.shows_within(pty::DEADLINE, |screen| marked(screen).is_some()));
    assert_eq!(mode(&demo), MouseProtocolMode::None);
    let first = marked(&demo.text()).expect("a row has the cursor");
    demo.press("\x1bOQ");
    demo.shows("Mouse on");
    assert_eq!(mode(&demo), MouseProtocolMode::PressRelease);
    // A click on the row below, counted from 1, as terminals report it (SGR).
    let below = first + 1;
    demo.press(&format!("\x1b[<0;20;{0}M\x1b[<0;20;{0}m", below + 1));
    assert!(demo.shows_within(pty::DEADLINE, |screen| marked(screen) == Some(below)));
    // The wheel.
    demo.press("\x1b[<64;20;3M");
    assert!(demo.shows_within(pty::DEADLINE, |screen| marked(screen) == Some(first)));
    demo.press("\x1bOQ");
    demo.shows("Mouse off");
    assert_eq!(mode(&demo), MouseProtocolMode::None);
}

#[test]
fn a_storm_of_sizes_ends_in_the_last_one() {
    let mut demo = demo();
    for (columns, lines) in STORM {
        demo.resize(columns, lines);
    }
    footer_is_on_line(&mut demo, 29);
    demo.shows("Watching");
}

/// Takes output until the keys stand on this line, from 0, and nowhere else.
fn footer_is_on_line(session: &mut Session, line: usize) {
    let found = session.shows_within(pty::DEADLINE, |screen| {
        let with_keys: Vec<usize> = screen
            .lines()
            .enumerate()
            .filter(|(_, text)| text.contains("? keys"))
            .map(|(at, _)| at)
            .collect();
        with_keys == [line]
    });
    assert!(found, "{}", session.text());
}
