//! `stormglass wall`: a console that only shows. It asks the daemon to be taken for a viewer, whoever
//! started it, and has no key but those that leave.

use std::io;
use std::time::Duration;

use crossterm::event::{Event as TerminalEvent, EventStream, KeyCode};
use futures_util::StreamExt;

use crate::api::client::Client;
use crate::model::{Phase, Time};

use super::app::{self, TuiError, TuiOptions, WallClock};
use super::ends::Ends;
use super::format::Clock;
use super::key::Key;
use super::keymap::Keymap;
use super::link::Link;
use super::screen::ScreenWriter;
use super::state::{Shown, State};
use super::terminal::{Terminal, drawn};
use super::transport;
use super::update::{Effects, Event, update};
use super::view::{draw_wall, worst};

/// Between frames, in milliseconds: the clock moves once a second, and nothing moves more often.
const FRAME_MS: u64 = 1_000;

/// What the wall shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallOptions {
    /// Free text and names of people too.
    pub text: bool,
    /// Hours of the day, in local time, in which only what is bad is shown: from, and until.
    pub quiet: Option<(u8, u8)>,
}

/// Everything the wall knows.
#[derive(Debug)]
pub struct Wall {
    /// What the daemon told.
    pub state: State,
    /// Whether free text and names of people are shown.
    pub text: bool,
    /// See [`WallOptions::quiet`].
    pub quiet: Option<(u8, u8)>,
}

impl Wall {
    /// A wall that has heard nothing yet.
    pub fn new(state: State, options: WallOptions) -> Self {
        Self {
            state,
            text: options.text,
            quiet: options.quiet,
        }
    }

    /// The quiet hours, if it is one of them now.
    pub fn quiet_now(&self) -> Option<(u8, u8)> {
        let (from, to) = self.quiet?;
        let hour = self.state.clock.hour(self.state.now);
        let within = if from <= to {
            (from..to).contains(&hour)
        } else {
            hour >= from || hour < to
        };
        within.then_some((from, to))
    }
}

/// Runs the wall until somebody leaves it or it is stopped.
pub async fn run(options: TuiOptions, shown: WallOptions) -> Result<(), TuiError> {
    show(options, shown).await.or_else(app::left)
}

async fn show(options: TuiOptions, shown: WallOptions) -> Result<(), TuiError> {
    let look = app::look(&options)?;
    let client = Client::new(options.address.clone())?.as_viewer();
    let (mut link, far) = Link::pair();
    let server = tokio::spawn(transport::serve(client, far));
    let mut ends = Ends::listen()?;
    let mut terminal = Terminal::enter()?;
    let size = Terminal::size()?;
    let time = WallClock::start();
    let keymap = Keymap::load(&options.keymap)?;
    let clock = Clock::local(options.utc);
    let state = State::new(look, keymap, clock, size, time.now());
    let mut wall = Wall::new(state, shown);
    let mut screen = ScreenWriter::new(size.0, size.1);
    let mut input = EventStream::new();
    let mut frame = tokio::time::interval(Duration::from_millis(FRAME_MS));
    loop {
        let now = time.now();
        tokio::select! {
            biased;
            () = ends.came() => break,
            event = input.next() => match event {
                Some(event) => if leaves(&mut wall, &mut screen, now, &event?) { break },
                None => break,
            },
            Some(told) = link.updates.recv() => feed(&mut wall, &link, now, Event::Update(told)),
            _ = frame.tick() => {
                feed(&mut wall, &link, now, Event::Tick);
                if !terminal.is_ours() {
                    return Err(TuiError::Panicked);
                }
                let bytes = screen.frame(|buf| draw_wall(&wall, buf));
                terminal.write(bytes.as_bytes())?;
            }
        }
    }
    terminal.give_back()?;
    server.abort();
    Ok(())
}

/// Takes what happened at the terminal; whether it leaves.
fn leaves(wall: &mut Wall, screen: &mut ScreenWriter, now: Time, event: &TerminalEvent) -> bool {
    match event {
        TerminalEvent::Key(key) => Key::from_event(*key).is_some_and(|key| {
            // Nobody sits before it: one stray key must not end it, so only those that say so do.
            key.is_ctrl('c') || key.code == KeyCode::Char('q')
        }),
        TerminalEvent::Resize(columns, lines) => {
            let (columns, lines) = drawn(*columns, *lines);
            screen.resize(columns, lines);
            // Requests that a size asks for come with the next tick.
            update(&mut wall.state, now, Event::Resize(columns, lines));
            false
        }
        _ => false,
    }
}

/// Takes an event, and asks for the charts of the worst incidents.
fn feed(wall: &mut Wall, link: &Link, now: Time, event: Event) {
    let Effects { mut requests, .. } = update(&mut wall.state, now, event);
    let shown: Vec<_> = match &wall.state.feed.view {
        Some(view) => worst(wall, view)
            .into_iter()
            .map(|row| (row.id, row.revision, row.phase != Phase::Resolved))
            .collect(),
        None => Vec::new(),
    };
    for (id, revision, lasts) in shown {
        let details = &mut wall.state.details;
        let charts = Shown {
            panels: true,
            path: false,
        };
        requests.extend(details.wanted(id, revision, charts, lasts, now));
    }
    for request in requests {
        if let Err(error) = link.requests.try_send(request) {
            let request = Box::new(error.into_inner());
            let why = io::Error::from(io::ErrorKind::WouldBlock).to_string();
            let failed = super::link::Update::Failed { request, why };
            update(&mut wall.state, now, Event::Update(failed));
        }
    }
}
