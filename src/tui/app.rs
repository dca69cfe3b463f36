//! Joins the state to a terminal and to the API: drains what happened, draws at most once, sleeps
//! until something happens. The only place of the console that reads a clock.

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossterm::event::{Event as TerminalEvent, EventStream, MouseButton, MouseEventKind};
use futures_util::StreamExt;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use crate::api::client::{Address, Client, ClientError};
use crate::model::Time;

use super::ends::Ends;
use super::format::Clock;
use super::key::Key;
use super::keymap::{Keymap, KeymapError};
use super::link::{Link, Update};
use super::pace::Pace;
use super::paint::{Glyphs, Look};
use super::screen::ScreenWriter;
use super::session::Session;
use super::state::{PROGRAM, State};
use super::terminal::{Terminal, drawn, is_gone};
use super::theme::{Role, Theme, ThemeError};
use super::transport;
use super::update::{Effects, Event, TerminalOp, update};
use super::view::draw;

/// Longest sleep, in milliseconds. What time alone changes on the screen has its deadline; what is asked
/// for again may wait for the next news. A console that nobody touches and that is told nothing does
/// nothing.
const SLEEP_MS_MAX: i64 = 10_000;
/// Told to stop, a console may take this long to do so in order, in milliseconds.
const STUCK_MS_MAX: u64 = 3_000;
/// Exit code of one that did not: as of a process that SIGTERM ended.
const STUCK_CODE: i32 = 143;
/// Updates taken before keys are looked at again.
const DRAIN_MAX: usize = 64;

/// How to start a console.
#[derive(Clone, Debug)]
pub struct TuiOptions {
    /// Where the daemon listens.
    pub address: Address,
    /// How the program is called to reach it, for commands to be copied.
    pub command: String,
    /// Name of a theme or path of one; `None` chooses by `NO_COLOR` and `COLORFGBG`.
    pub theme: Option<String>,
    /// Name of a keymap or path of one.
    pub keymap: String,
    /// What the terminal can show; `None` chooses by the locale.
    pub glyphs: Option<Glyphs>,
    /// Times in UTC from the start.
    pub utc: bool,
    /// Spare the link: fewer frames.
    pub slow: bool,
    /// Where to begin, such as `incident 12 why`.
    pub view: Option<String>,
    /// Where it is kept when the operator last looked; nowhere without it.
    pub session: Option<PathBuf>,
}

/// Why the console could not run.
#[derive(Debug, Error)]
pub enum TuiError {
    /// See [`ThemeError`].
    #[error(transparent)]
    Theme(#[from] ThemeError),
    /// See [`KeymapError`].
    #[error(transparent)]
    Keymap(#[from] KeymapError),
    /// See [`ClientError`].
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The terminal failed.
    #[error("terminal: {0}")]
    Terminal(#[from] io::Error),
    /// Something panicked; the terminal was given back first.
    #[error("a part of the program panicked; the message above says where")]
    Panicked,
}

impl TuiOptions {
    /// The usual console on a daemon.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            command: PROGRAM.to_owned(),
            theme: None,
            keymap: "default".to_owned(),
            glyphs: None,
            utc: false,
            slow: false,
            view: None,
            session: None,
        }
    }
}

/// Runs the console until the operator leaves.
pub async fn run(options: TuiOptions) -> Result<(), TuiError> {
    let look = look(&options)?;
    let keymap = Keymap::load(&options.keymap)?;
    let client = Client::new(options.address.clone())?;
    let (link, far) = Link::pair();
    let server = tokio::spawn(transport::serve(client, far));
    let clock = Clock::local(options.utc);
    let mut terminal = Terminal::enter()?;
    let size = Terminal::size()?;
    let wall = WallClock::start();
    let mut state = State::new(look, keymap, clock, size, wall.now());
    state.go_first.clone_from(&options.view);
    state.command.clone_from(&options.command);
    state.feed.told_slow = options.slow;
    state.session = Session::load(options.session.as_deref());
    let mut app = App {
        screen: ScreenWriter::new(size.0, size.1),
        pace: Pace::new(options.slow),
        is_dirty: true,
        quit: false,
        state,
        link,
        wall,
    };
    let last_resort = tokio::spawn(end_when_stuck());
    let result = app.run(&mut terminal).await;
    app.looked();
    let given_back = terminal.give_back().map_err(TuiError::from);
    last_resort.abort();
    server.abort();
    result.and(given_back).or_else(left)
}

/// Ends the process when it was told to stop and a write to a terminal that takes nothing keeps it from
/// stopping in order. What was decided is in the journal by then.
async fn end_when_stuck() -> io::Result<()> {
    Ends::listen()?.came().await;
    tokio::time::sleep(Duration::from_millis(STUCK_MS_MAX)).await;
    // Of the terminal this much can be given back without a write.
    let _ = crossterm::terminal::disable_raw_mode();
    std::process::exit(STUCK_CODE)
}

/// A terminal that is gone was left, as by a hang-up: there is nobody to tell, and nothing failed.
pub(super) fn left(error: TuiError) -> Result<(), TuiError> {
    match error {
        TuiError::Terminal(error) if is_gone(&error) => Ok(()),
        error => Err(error),
    }
}

/// How everything looks: as asked for, or as the terminal says.
pub(super) fn look(options: &TuiOptions) -> Result<Look, ThemeError> {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let name = match &options.theme {
        Some(name) => name.as_str(),
        None if set("NO_COLOR") => "mono",
        None if background_is_light() => "light",
        None => "dark",
    };
    Ok(Look {
        theme: Theme::load(name)?,
        glyphs: options.glyphs.unwrap_or_else(glyphs_of_terminal),
    })
}

/// As terminals tell it in `COLORFGBG`: the last number is the background, 7 and 9 to 15 are light.
fn background_is_light() -> bool {
    let colours = std::env::var("COLORFGBG").unwrap_or_default();
    let background = colours.rsplit(';').next().and_then(|n| n.parse().ok());
    background.is_some_and(|n: u8| n == 7 || (9..=15).contains(&n))
}

/// By the locale, as the C library reads it; the Linux console has no braille.
fn glyphs_of_terminal() -> Glyphs {
    let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = get("LC_ALL")
        .or_else(|| get("LC_CTYPE"))
        .or_else(|| get("LANG"));
    let utf8 = locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    let is_bare = get("TERM").is_some_and(|term| term == "linux" || term == "dumb");
    if !utf8 || is_bare {
        Glyphs::Ascii
    } else {
        Glyphs::Braille
    }
}

/// Wall-clock time that never goes back while the console runs.
pub(super) struct WallClock {
    started: Instant,
    started_at: Time,
}

impl WallClock {
    /// Begins to count.
    pub(super) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            started: Instant::now(),
            started_at: Time::from_ms(since_epoch.map_or(0, |d| d.as_millis() as i64)),
        }
    }

    /// The time.
    pub(super) fn now(&self) -> Time {
        self.started_at
            .plus_ms(self.started.elapsed().as_millis() as i64)
    }
}

/// An event that is already there. The stream keeps the waker of its first poll, so it must be polled
/// with the task's own: with another one no key would ever wake the console.
async fn ready_now(input: &mut EventStream) -> Option<io::Result<TerminalEvent>> {
    poll_fn(|context| match input.poll_next_unpin(context) {
        Poll::Ready(event) => Poll::Ready(event),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

struct App {
    state: State,
    link: Link,
    screen: ScreenWriter,
    wall: WallClock,
    /// What the world said since the last frame for news.
    pace: Pace,
    /// Whether the state says more than the screen.
    is_dirty: bool,
    quit: bool,
}

impl App {
    async fn run(&mut self, terminal: &mut Terminal) -> Result<(), TuiError> {
        let mut ends = Ends::listen()?;
        let continued = SignalKind::from_raw(rustix::process::Signal::CONT.as_raw());
        let mut continued = signal(continued)?;
        let mut input = EventStream::new();
        self.draw(terminal)?;
        while !self.quit {
            let sleep = Duration::from_millis(self.sleep_ms() as u64);
            tokio::select! {
                biased;
                () = ends.came() => break,
                _ = continued.recv() => self.back_again(terminal)?,
                event = input.next() => match event {
                    Some(event) => self.take_input(event?, &mut input, terminal).await?,
                    None => break,
                },
                Some(told) = self.link.updates.recv() => self.told(told, terminal)?,
                () = tokio::time::sleep(sleep) => self.feed(Event::Tick, terminal)?,
            }
            if !terminal.is_ours() {
                return Err(TuiError::Panicked);
            }
            // What a key changed is drawn by itself, before anything else that waits; and whatever else is in
            // the state before the next key is looked at, which would have to carry it.
            self.draw(terminal)?;
            self.drain_told(terminal)?;
            self.draw(terminal)?;
            self.take_news(terminal)?;
            self.draw(terminal)?;
        }
        Ok(())
    }

    /// Takes an event with all that are there already, so that a burst costs one frame; keys of it that follow each
    /// other together, for pasted text may come as such.
    async fn take_input(
        &mut self,
        first: TerminalEvent,
        input: &mut EventStream,
        terminal: &mut Terminal,
    ) -> Result<(), TuiError> {
        let (mut next, mut keys) = (Some(first), Vec::new());
        while let Some(event) = next {
            match event {
                TerminalEvent::Key(key) => keys.extend(Key::from_event(key)),
                other => {
                    self.pressed(&mut keys, terminal)?;
                    self.typed(other, terminal)?;
                }
            }
            next = ready_now(input).await.transpose()?;
        }
        self.pressed(&mut keys, terminal)
    }

    /// Takes keys that were there together.
    fn pressed(&mut self, keys: &mut Vec<Key>, terminal: &mut Terminal) -> Result<(), TuiError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.pace.pressed(self.wall.now());
        self.feed(Event::Keys(std::mem::take(keys)), terminal)
    }

    /// Takes what the transport has already told.
    fn drain_told(&mut self, terminal: &mut Terminal) -> Result<(), TuiError> {
        for _ in 0..DRAIN_MAX {
            let Ok(told) = self.link.updates.try_recv() else {
                break;
            };
            self.told(told, terminal)?;
        }
        Ok(())
    }

    /// An answer that somebody waits for goes into the state at once, news with the next frame.
    fn told(&mut self, told: Update, terminal: &mut Terminal) -> Result<(), TuiError> {
        let told = if self.state.is_news(&told) {
            self.pace.hold(told, self.wall.now())
        } else {
            Some(told)
        };
        let Some(told) = told else { return Ok(()) };
        // What came before it is taken before it.
        for news in self.pace.take_all() {
            self.feed(Event::Update(news), terminal)?;
        }
        self.feed(Event::Update(told), terminal)
    }

    /// Takes what was held back, when it is time for a frame.
    fn take_news(&mut self, terminal: &mut Terminal) -> Result<(), TuiError> {
        for news in self.pace.take(self.wall.now()) {
            self.feed(Event::Update(news), terminal)?;
        }
        Ok(())
    }

    fn typed(&mut self, event: TerminalEvent, terminal: &mut Terminal) -> Result<(), TuiError> {
        self.pace.pressed(self.wall.now());
        let event = match event {
            TerminalEvent::Paste(text) => Event::Paste(text),
            TerminalEvent::Resize(columns, lines) => {
                let (columns, lines) = drawn(columns, lines);
                self.screen.resize(columns, lines);
                Event::Resize(columns, lines)
            }
            TerminalEvent::Mouse(mouse) => match mouse.kind {
                MouseEventKind::ScrollDown => Event::Wheel(1),
                MouseEventKind::ScrollUp => Event::Wheel(-1),
                MouseEventKind::Down(MouseButton::Left) => Event::Click(mouse.column, mouse.row),
                _ => return Ok(()),
            },
            TerminalEvent::Key(_) | TerminalEvent::FocusGained | TerminalEvent::FocusLost => {
                return Ok(());
            }
        };
        self.feed(event, terminal)
    }

    fn feed(&mut self, event: Event, terminal: &mut Terminal) -> Result<(), TuiError> {
        if matches!(event, Event::Update(_)) {
            let ms = self.link.round_trip_ms.load(Ordering::Relaxed);
            self.state.feed.note_round_trip(ms);
        }
        let Effects {
            requests,
            terminal: operations,
            draws,
        } = update(&mut self.state, self.wall.now(), event);
        self.is_dirty |= draws;
        for request in requests {
            if let Err(error) = self.link.requests.try_send(request) {
                let request = Box::new(error.into_inner());
                let why = "too many requests are waiting for the daemon".to_owned();
                let failed = Update::Failed { request, why };
                update(&mut self.state, self.wall.now(), Event::Update(failed));
            }
        }
        for operation in operations {
            self.operate(operation, terminal)?;
        }
        self.keep_bookmarks();
        Ok(())
    }

    /// Keeps what was marked as soon as it is, so that a lost connection does not lose it.
    fn keep_bookmarks(&mut self) {
        let state = &mut self.state;
        let (true, Some(view)) = (state.lanes.unsaved, &state.feed.view) else {
            return;
        };
        state.lanes.unsaved = false;
        let (place, at) = (Session::place_of(view), view.at);
        if let Err(why) = state.session.mark(&place, &state.lanes.bookmarks, at) {
            let text = format!("Marked until you leave: it cannot be kept ({why}).");
            state.tell(Role::Warn, &text);
        }
    }

    fn operate(&mut self, operation: TerminalOp, terminal: &mut Terminal) -> Result<(), TuiError> {
        match operation {
            TerminalOp::Quit => self.quit = true,
            TerminalOp::Redraw => self.screen.invalidate(),
            TerminalOp::Copy(text) => terminal.copy(&text)?,
            TerminalOp::Mouse(on) => terminal.mouse(on)?,
            TerminalOp::Suspend => {
                terminal.give_back()?;
                // Raw mode swallowed the key; the shell must see the whole job stop.
                let stop = rustix::process::Signal::TSTP;
                rustix::process::kill_current_process_group(stop).map_err(io::Error::from)?;
                self.back_again(terminal)?;
            }
        }
        Ok(())
    }

    /// After a stop the terminal is as the shell left it.
    fn back_again(&mut self, terminal: &mut Terminal) -> Result<(), TuiError> {
        terminal.take()?;
        if self.state.mouse {
            terminal.mouse(true)?;
        }
        let (columns, lines) = Terminal::size()?;
        self.screen.resize(columns, lines);
        self.screen.invalidate();
        self.feed(Event::Resize(columns, lines), terminal)
    }

    /// Until news are due, or time alone changes the screen.
    fn sleep_ms(&self) -> i64 {
        let now = self.wall.now();
        let dues = [self.pace.due(), self.state.deadline()];
        let next = dues.into_iter().flatten().min();
        let next = next.map_or(SLEEP_MS_MAX, |due| due.since(now));
        next.clamp(1, SLEEP_MS_MAX)
    }

    /// Remembers that the operator has seen everything up to now, and where they were. A file that cannot be written costs
    /// a sentence next time, and nobody is left to tell.
    fn looked(&mut self) {
        if let Some(view) = &self.state.feed.view {
            let here = self.state.view_string();
            let place = Session::place_of(view);
            let _ = self.state.session.look(&place, view.at, &here);
        }
    }

    /// Brings the screen to what the state says, if it says more.
    fn draw(&mut self, terminal: &mut Terminal) -> Result<(), TuiError> {
        if !std::mem::take(&mut self.is_dirty) {
            return Ok(());
        }
        let state = &self.state;
        let bytes = self.screen.frame(|buf| draw(state, buf));
        terminal.write(bytes.as_bytes())?;
        Ok(())
    }
}
