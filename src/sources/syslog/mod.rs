//! Syslog over UDP, TCP and TLS: RFC 5424 and 3164, lines or octet counts.
//!
//! Over UDP what finds no room is lost and counted; over TCP and TLS reading waits while the engine is
//! behind, so that the sender keeps what we cannot take, unless the config says to drop.

mod data;
mod frame;
mod header;
mod message;

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::backoff::Backoff;
use super::connections::{Connection, Connections};
use super::listen::{bind, crowd, gave_way, refused};
use super::tls::Tls;
use super::udp::{self, ReadDatagram, Rejected};
use super::{Clock, SendError, SignalSender, SourceRegistry};
use crate::config::{Networks, SyslogConfig, WhenFull};
use crate::model::{Signal, Time};
use frame::{Frames, MESSAGE_BYTES_MAX};
use message::Reader;

/// Bytes read from a connection at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// What is said of a message that says nothing.
const EMPTY: &str = "a message without text";

/// Where syslog is taken, for the sources screen.
pub(super) fn place(config: &SyslogConfig) -> Option<String> {
    let places = [
        ("udp", config.udp),
        ("tcp", config.tcp),
        ("tls", config.tls),
    ];
    let places: Vec<String> = places
        .into_iter()
        .filter_map(|(name, address)| Some(format!("{name} {}", address?)))
        .collect();
    (!places.is_empty()).then(|| places.join(", "))
}

/// Says that nothing is taken over TLS, and why: of a source that works otherwise this stays beside where it listens.
pub(super) fn fail_tls(config: &SyslogConfig, sender: &SignalSender, why: &str) {
    let Some(address) = config.tls else { return };
    let why = format!("nothing is taken over tls {address}: {why}; restart to try again");
    tracing::error!("syslog: {why}");
    let others = SyslogConfig {
        tls: None,
        ..config.clone()
    };
    match place(&others) {
        Some(place) => sender.describe(&format!("{place}; {why}")),
        None => sender.fail_standing(&why),
    }
}

/// Takes syslog until the future is dropped. `tls` is what streams over TLS are taken with.
pub(super) async fn receive(
    config: SyslogConfig,
    tls: Option<Tls>,
    sender: SignalSender,
    clock: Clock,
    registry: SourceRegistry,
) {
    let mut tasks = JoinSet::new();
    let allow = match Networks::parse(&config.allow) {
        Ok(allow) => allow,
        Err(why) => return sender.fail(&format!("`sources.syslog.allow`: {why}")),
    };
    if let Some(address) = config.udp {
        let (sender, clock) = (sender.clone(), clock.clone());
        let setting = "sources.syslog.udp";
        let (allow, reader) = (allow.clone(), Reader::of_datagrams());
        tasks.spawn(udp::receive(address, setting, sender, clock, allow, reader));
    }
    let stream = |address, setting, tls| Listener {
        address,
        setting,
        tls,
        when_full: config.when_full,
        allow: allow.clone(),
        sender: sender.clone(),
        clock: clock.clone(),
        registry: registry.clone(),
    };
    if let Some(address) = config.tcp {
        tasks.spawn(stream(address, "sources.syslog.tcp", None).run());
    }
    if let (Some(address), Some(tls)) = (config.tls, tls) {
        tasks.spawn(stream(address, "sources.syslog.tls", Some(tls)).run());
    }
    while tasks.join_next().await.is_some() {}
}

impl ReadDatagram for Reader {
    fn read(
        &mut self,
        datagram: &[u8],
        peer: IpAddr,
        now: Time,
        signals: &mut Vec<Signal>,
    ) -> Result<(), Rejected> {
        let line = Self::read(self, datagram, peer, now);
        signals.push(line.ok_or_else(|| Rejected::whole(EMPTY))?);
        Ok(())
    }
}

/// One address where streams are taken; cheap to clone.
#[derive(Clone)]
struct Listener {
    address: SocketAddr,
    setting: &'static str,
    tls: Option<Tls>,
    when_full: WhenFull,
    allow: Networks,
    sender: SignalSender,
    clock: Clock,
    /// Where connections are counted that brought nothing.
    registry: SourceRegistry,
}

/// What a piece of a stream held.
#[derive(Default)]
struct Piece {
    signals: Vec<Signal>,
    cut: u64,
    empty: u64,
}

impl Listener {
    async fn run(self) {
        let listener = self.bind().await;
        let all = Connections::default();
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok((stream, peer)) = listener.accept().await else {
                all.relieve().await;
                continue;
            };
            let address = peer;
            let peer = peer.ip().to_canonical();
            if !self.allow.admit(peer) {
                self.sender.reject(1, &udp::stranger(peer));
                continue;
            }
            let Some(connection) = all.admit(peer) else {
                self.crowd().send_back(1, &refused(address));
                continue;
            };
            let this = self.clone();
            connections.spawn(async move {
                tokio::select! {
                    () = this.take(stream, peer, &connection) => {}
                    () = connection.closed() => this.crowd().send_back(1, &gave_way(address)),
                }
            });
        }
    }

    /// Counts connections. Syslog never sends again what was on its way, so that nothing of it is sent back.
    fn crowd(&self) -> SignalSender {
        crowd(&self.registry, &format!("syslog {}", self.address))
    }

    async fn bind(&self) -> TcpListener {
        let mut backoff = Backoff::new();
        loop {
            match bind(self.address, self.setting).await {
                Ok(listener) => {
                    self.sender.recovered();
                    return listener;
                }
                Err(error) => {
                    self.sender.fail(&error.to_string());
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    async fn take(&self, stream: TcpStream, peer: IpAddr, connection: &Connection) {
        match &self.tls {
            None => self.read(stream, peer, connection).await,
            Some(tls) => match tls.accept(stream).await {
                Some(stream) => self.read(stream, peer, connection).await,
                None => self
                    .sender
                    .reject(1, &format!("no TLS handshake with {peer}")),
            },
        }
    }

    async fn read(
        &self,
        mut stream: impl AsyncRead + Unpin,
        peer: IpAddr,
        connection: &Connection,
    ) {
        let (mut frames, mut reader) = (Frames::default(), Reader::of_stream());
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            // A connection that breaks is the sender's to open again.
            let length = stream.read(&mut chunk).await.unwrap_or(0);
            let now = (self.clock)();
            let mut piece = Piece::default();
            let mut take = |raw: &[u8], is_cut: bool| {
                let line = reader.read(raw, peer, now);
                piece.cut += u64::from(is_cut);
                piece.empty += u64::from(line.is_none());
                piece.signals.extend(line);
            };
            if length > 0 {
                frames.push(&chunk[..length], &mut take);
            } else if !frames.end(&mut take) {
                self.sender
                    .reject(1, &format!("{peer} broke off within a message"));
            }
            // While it waits for room, what it brought would be lost with it.
            connection.busy();
            if self.hand_over(piece).await.is_err() || length == 0 {
                return;
            }
            connection.heard();
        }
    }

    async fn hand_over(&self, piece: Piece) -> Result<(), SendError> {
        if piece.cut > 0 {
            let why = format!("a message longer than {MESSAGE_BYTES_MAX} bytes was cut");
            self.sender.reject(piece.cut, &why);
        }
        if piece.empty > 0 {
            self.sender.reject(piece.empty, EMPTY);
        }
        if piece.signals.is_empty() {
            return Ok(());
        }
        match self.when_full {
            WhenFull::Block => self.sender.send(piece.signals).await,
            WhenFull::Drop => match self.sender.send_or_lose(piece.signals) {
                Err(SendError::Closed) => Err(SendError::Closed),
                Ok(()) | Err(SendError::Full) => Ok(()),
            },
        }
    }
}
