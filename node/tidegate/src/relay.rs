//! A UDP relay that can be cut: a line between two sites on one machine.
//!
//! The demo and the tests put it between an edge and a region. While it is cut it drops whatever
//! comes, both ways, as a dead line does; neither end is told. Delay and loss can be set as well.
//! It forgets senders that were silent for a minute and bounds how many it knows.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Senders known at once.
const MAX_SENDERS: usize = 256;

/// After this silence a sender is forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// Largest UDP payload.
const DATAGRAM: usize = 65_536;

/// How the line behaves while it is not cut.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// Time that each datagram takes longer.
    pub delay: Duration,
    /// Datagrams lost, of a thousand.
    pub loss_per_mille: u32,
}

/// A relay at work; dropping it stops it.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    target: SocketAddr,
    line: Line,
    cut: AtomicBool,
    passed: AtomicU64,
    dropped: AtomicU64,
    /// State of the generator that decides about losses.
    dice: AtomicU64,
}

struct Sender {
    upstream: Arc<UdpSocket>,
    answers: JoinHandle<()>,
    heard: Instant,
}

impl Relay {
    /// Relays between a free port of loopback and `target`.
    ///
    /// # Errors
    /// If no socket can be had.
    pub async fn start(target: SocketAddr, line: Line) -> io::Result<Relay> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            line,
            cut: AtomicBool::new(false),
            passed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            dice: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
        });
        let task = tokio::spawn(forward(socket, shared.clone()));
        Ok(Relay { address, shared, task })
    }

    /// The address to dial instead of the target's.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the line, or mends it.
    pub fn set_cut(&self, cut: bool) {
        self.shared.cut.store(cut, Ordering::Relaxed);
    }

    /// Datagrams passed on, and dropped.
    #[must_use]
    pub fn datagrams(&self) -> (u64, u64) {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        (read(&self.shared.passed), read(&self.shared.dropped))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

impl Shared {
    /// Whether this datagram gets through.
    fn passes(&self) -> bool {
        let lost = self.cut.load(Ordering::Relaxed) || {
            let next = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            let mixed = (next ^ (next >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed >> 32) % 1_000 < u64::from(self.line.loss_per_mille)
        };
        let count = if lost { &self.dropped } else { &self.passed };
        count.fetch_add(1, Ordering::Relaxed);
        !lost
    }

    async fn pass(&self, socket: Arc<UdpSocket>, datagram: &[u8], to: SocketAddr) {
        if !self.passes() {
            return;
        }
        if self.line.delay.is_zero() {
            // A full socket buffer loses the datagram, as a full line does.
            _ = socket.send_to(datagram, to).await;
            return;
        }
        let (delay, datagram) = (self.line.delay, datagram.to_vec());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            _ = socket.send_to(&datagram, to).await;
        });
    }
}

async fn forward(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut senders: HashMap<SocketAddr, Sender> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        // An error here is an ICMP answer to an earlier datagram: the other end is not there now.
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
        if !senders.contains_key(&from) {
            senders.retain(|_, sender| sender.heard.elapsed() < FORGET);
            if senders.len() >= MAX_SENDERS {
                continue;
            }
            let Ok(upstream) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await else { continue };
            let upstream = Arc::new(upstream);
            let answers =
                tokio::spawn(answer(upstream.clone(), socket.clone(), from, shared.clone()));
            senders.insert(from, Sender { upstream, answers, heard: Instant::now() });
        }
        if let Some(sender) = senders.get_mut(&from) {
            sender.heard = Instant::now();
            shared.pass(sender.upstream.clone(), &buffer[..len], shared.target).await;
        }
    }
}

async fn answer(
    upstream: Arc<UdpSocket>,
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    shared: Arc<Shared>,
) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let Ok((len, _)) = upstream.recv_from(&mut buffer).await else { continue };
        shared.pass(socket.clone(), &buffer[..len], to).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cut_line_drops_both_ways_and_a_mended_one_passes() {
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let relay = Relay::start(far.local_addr().unwrap(), Line::default()).await.unwrap();
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut buffer = [0; 16];

        near.send_to(b"one", relay.address()).await.unwrap();
        let (len, from) = far.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..len], b"one");
        far.send_to(b"back", from).await.unwrap();
        let (len, _) = near.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..len], b"back");

        relay.set_cut(true);
        near.send_to(b"lost", relay.address()).await.unwrap();
        far.send_to(b"lost", from).await.unwrap();
        while relay.datagrams().1 < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }

        relay.set_cut(false);
        near.send_to(b"two", relay.address()).await.unwrap();
        let (len, _) = far.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..len], b"two", "nothing sent while the line was cut comes later");
    }
}
