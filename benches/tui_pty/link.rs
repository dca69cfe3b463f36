//! A slow link: what passes in a second, and how long it is on its way. What is sent waits behind what was
//! sent before, in a queue without an end, as the buffers of ssh have none that a console would notice.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// Read at once from a connection.
const CHUNK: usize = 16_384;
/// Chunks on their way.
const CHUNKS_MAX: usize = 4_096;

/// How slow.
#[derive(Clone, Copy, Debug)]
pub struct Slowness {
    pub round_trip: Duration,
    pub bytes_per_s: u32,
}

/// One direction of a link.
#[derive(Debug)]
pub struct Way {
    slowness: Option<Slowness>,
    free_at: Instant,
}

/// When something is there, and how long it waited for what was sent before it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub at: Instant,
    pub waited: Duration,
}

impl Way {
    /// A way; as quick as can be without a slowness.
    pub fn new(slowness: Option<Slowness>) -> Self {
        let free_at = Instant::now();
        Self { slowness, free_at }
    }

    /// Sends so many bytes now.
    pub fn send(&mut self, len: usize) -> Arrival {
        let now = Instant::now();
        let Some(slowness) = self.slowness else {
            let waited = Duration::ZERO;
            return Arrival { at: now, waited };
        };
        let begins = self.free_at.max(now);
        let passes = Duration::from_secs_f64(len as f64 / f64::from(slowness.bytes_per_s));
        self.free_at = begins + passes;
        Arrival {
            at: self.free_at + slowness.round_trip / 2,
            waited: begins - now,
        }
    }
}

/// Listens beside a socket and passes on to it whatever comes, slowly both ways.
pub fn proxy(to: &Path, slowness: Slowness) -> PathBuf {
    let path = to.with_extension("slow");
    let listener = UnixListener::bind(&path).unwrap();
    let to = to.to_owned();
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = UnixStream::connect(&to) else {
                return;
            };
            let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || pass(near, far, slowness));
            std::thread::spawn(move || pass(far_too, near_too, slowness));
        }
    });
    path
}

/// Passes on what comes until there is no more.
fn pass(mut from: UnixStream, mut to: UnixStream, slowness: Slowness) {
    let (send, arriving) = sync_channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    std::thread::spawn(move || {
        for (at, bytes) in arriving {
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let mut way = Way::new(Some(slowness));
    let mut chunk = vec![0; CHUNK];
    while let Ok(len @ 1..) = from.read(&mut chunk) {
        let at = way.send(len).at;
        if send.send((at, chunk[..len].to_vec())).is_err() {
            return;
        }
    }
}
