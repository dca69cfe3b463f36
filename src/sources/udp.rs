//! Datagrams, for the sources that take them: received in batches, never answered.
//!
//! Who sends datagrams cannot send them again: what finds no room is counted as lost, and so is what
//! the system had to drop before we came to read it.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::backoff::Backoff;
use super::{Clock, SignalSender};
use crate::config::Networks;
use crate::model::{Signal, Time};

/// Longest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// Most datagrams read before their signals are handed over.
const BATCH_DATAGRAMS_MAX: usize = 1_024;
/// Room asked of the system for datagrams that wait, in bytes; it may give less.
const WAITING_BYTES: usize = 8 * 1024 * 1024;
/// Time between two looks at what the system dropped, and at what was put together, in seconds.
const LOOK_EVERY_S: u64 = 1;
/// Where the system counts what it dropped.
const PROC_TABLES: [&str; 2] = ["/proc/net/udp", "/proc/net/udp6"];

/// What of a datagram was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    /// Messages in it that were not.
    pub(super) count: u64,
    /// Why the last of them was not.
    pub(super) why: String,
    /// Whether the rest of the datagram was taken.
    pub(super) is_part: bool,
}

/// Makes signals of a datagram; on an error, what was rejected.
pub(super) trait ReadDatagram {
    /// Appends what a datagram holds.
    fn read(
        &mut self,
        datagram: &[u8],
        peer: IpAddr,
        now: Time,
        signals: &mut Vec<Signal>,
    ) -> Result<(), Rejected>;

    /// The passing of a second: gives what was put together meanwhile.
    fn tick(&mut self, _now: Time) -> Vec<Signal> {
        Vec::new()
    }
}

impl Rejected {
    /// All of a datagram.
    pub(super) fn whole(why: &str) -> Self {
        Self {
            count: 1,
            why: why.to_owned(),
            is_part: false,
        }
    }
}

/// Receives until the future is dropped, binding again and again until that works.
pub(super) async fn receive(
    address: SocketAddr,
    setting: &'static str,
    sender: SignalSender,
    clock: Clock,
    allow: Networks,
    mut reader: impl ReadDatagram,
) {
    let mut backoff = Backoff::new();
    let socket = loop {
        match UdpSocket::bind(address).await {
            Ok(socket) => break socket,
            Err(error) => {
                let why =
                    format!("cannot listen on UDP {address} (`{setting}` in the config): {error}");
                sender.fail(&why);
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    };
    sender.recovered();
    // A smaller room only means that bursts are dropped earlier, which is counted.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, WAITING_BYTES);
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut look = tokio::time::interval(Duration::from_secs(LOOK_EVERY_S));
    let mut dropped_before = 0;
    loop {
        tokio::select! {
            ready = socket.readable() => {
                if ready.is_err() {
                    tokio::time::sleep(backoff.next_wait()).await;
                    continue;
                }
                let now = clock();
                let signals = batch(&socket, &mut buffer, now, &sender, &allow, &mut reader);
                // Counted as lost by the queue.
                let _ = sender.send_or_lose(signals);
                // Other tasks have their turn, however fast datagrams come.
                tokio::task::yield_now().await;
            }
            _ = look.tick() => {
                let signals = reader.tick(clock());
                // What was put together came earlier, or never. Counted as lost by the queue.
                let _ = sender.send_ours_or_lose(signals);
                let dropped = drops(socket.as_fd());
                if dropped > dropped_before {
                    let why = "the system dropped datagrams: they came faster than they were read";
                    sender.lose(dropped - dropped_before, why);
                }
                dropped_before = dropped;
            }
        }
    }
}

/// Everything that waits, as far as the bound.
fn batch(
    socket: &UdpSocket,
    buffer: &mut [u8],
    now: Time,
    sender: &SignalSender,
    allow: &Networks,
    reader: &mut impl ReadDatagram,
) -> Vec<Signal> {
    let mut signals = Vec::new();
    let mut is_heard = false;
    for _ in 0..BATCH_DATAGRAMS_MAX {
        // An error here concerns one datagram, or says that none is left.
        let Ok((length, peer)) = socket.try_recv_from(buffer) else {
            break;
        };
        let peer = peer.ip().to_canonical();
        if !allow.admit(peer) {
            sender.reject(1, &stranger(peer));
            continue;
        }
        match reader.read(&buffer[..length], peer, now, &mut signals) {
            Ok(()) => is_heard = true,
            Err(rejected) => {
                is_heard |= rejected.is_part;
                sender.reject(rejected.count, &rejected.why);
            }
        }
    }
    if is_heard {
        sender.hear(now);
    }
    signals
}

/// Why nothing is taken from a peer.
pub(super) fn stranger(peer: IpAddr) -> String {
    format!("{peer} is in none of the networks that may send (`allow` in the config)")
}

/// Datagrams that the system dropped at this socket since it was opened.
fn drops(socket: BorrowedFd<'_>) -> u64 {
    let Ok(stat) = rustix::fs::fstat(socket) else {
        return 0;
    };
    let tables = PROC_TABLES.iter();
    let mut texts = tables.filter_map(|table| std::fs::read_to_string(table).ok());
    let found = texts.find_map(|text| drops_of_inode(&text, stat.st_ino));
    found.unwrap_or(0)
}

/// `sl local_address rem_address st tx_queue:rx_queue … inode ref pointer drops`: others may have a
/// socket on the same port, but none with the same inode.
fn drops_of_inode(table: &str, inode: u64) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let is_ours = fields.nth(9)?.parse() == Ok(inode);
        let drops = fields.last()?.parse::<u64>().ok()?;
        is_ours.then_some(drops)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read_from_the_systems_table() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
             112: 0100007F:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1234 2 0000000000000000 17\n\
             113: 0200007F:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1235 2 0000000000000000 3\n";
        // Both have port 514, each at an address of its own.
        assert_eq!(drops_of_inode(table, 1_234), Some(17));
        assert_eq!(drops_of_inode(table, 1_235), Some(3));
        assert_eq!(drops_of_inode(table, 9), None);
        assert_eq!(drops_of_inode("garbage\n\u{0}", 9), None);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let inode = rustix::fs::fstat(&socket).unwrap().st_ino;
        let table = std::fs::read_to_string(PROC_TABLES[0]).unwrap();
        assert_eq!(drops_of_inode(&table, inode), Some(0), "the system's own");
    }
}
