//! How QUIC is set up: the settings that measured best, and the bounds.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::{EndpointConfig, MtuDiscoveryConfig, TransportConfig, VarInt};
use socket2::{Domain, Protocol, Socket, Type};
use tidegate_types::{ByteSize, limits};

use crate::restart::RestartKey;

/// Largest datagram looked for between machines: fits Ethernet over IPv6.
const MTU_NETWORK: u16 = 1_452;

/// Largest datagram looked for on loopback. Above it segmentation offload drops datagrams silently.
const MTU_LOOPBACK: u16 = 6_500;

/// Bytes that may be on their way on one connection before the sender waits.
const SEND_WINDOW: u64 = 16 << 20;

/// Bytes that one stream may hold unread.
pub(crate) const STREAM_WINDOW: ByteSize = ByteSize::mib(8);

/// Bytes that all streams of one connection to a node may hold unread there. A client sets none:
/// what waits unread at it is what its own program leaves unread, a window for each stream, and
/// one that is not read must not hold up the others.
const SERVER_WINDOW: u32 = 64 << 20;

/// Socket buffers asked for; the system may give less.
const SOCKET_BUFFER: usize = 4 << 20;

/// Keeps NAT mappings alive, and the idle timeout away.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// A peer that is silent for so long is gone.
const IDLE_TIMEOUT_MS: u32 = 20_000;

/// Which end of a connection the settings are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Client,
    Server,
}

/// QUIC settings for a connection with `peer`.
/// `stream_window` bytes may wait on each stream for who reads it.
pub(crate) fn transport(side: Side, peer: IpAddr, stream_window: ByteSize) -> Arc<TransportConfig> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(if is_loopback(peer) { MTU_LOOPBACK } else { MTU_NETWORK });
    let (streams, window) = match side {
        Side::Server => (limits::MAX_STREAMS_PER_CONNECTION, VarInt::from_u32(SERVER_WINDOW)),
        Side::Client => (0, VarInt::MAX),
    };
    let stream_window = u32::try_from(stream_window.get()).unwrap_or(u32::MAX);
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(discovery))
        .congestion_controller_factory(Arc::new(CubicConfig::default()))
        .enable_segmentation_offload(true)
        .send_window(SEND_WINDOW)
        .stream_receive_window(VarInt::from_u32(stream_window))
        .receive_window(window)
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()));
    Arc::new(config)
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Settings of an endpoint: it takes datagrams as large as the largest looked for. A node's answers
/// for the connections of its earlier processes.
pub(crate) fn endpoint(node: Option<&RestartKey>) -> EndpointConfig {
    let mut config = EndpointConfig::default();
    if let Some(key) = node {
        key.apply(&mut config);
    }
    if let Err(error) = config.max_udp_payload_size(MTU_LOOPBACK) {
        tracing::debug!(%error, "keeping the default datagram size");
    }
    config
}

/// A UDP socket at `address`, with large buffers as far as the system gives them.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        // [::] means both families wherever the system can do both.
        let _ = socket.set_only_v6(false);
    }
    for (what, result) in [
        ("receive", socket.set_recv_buffer_size(SOCKET_BUFFER)),
        ("send", socket.set_send_buffer_size(SOCKET_BUFFER)),
    ] {
        if let Err(error) = result {
            tracing::debug!(%error, "the system gives no larger {what} buffer");
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
