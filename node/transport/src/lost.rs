//! How connections end, and how that is told.

use quinn::{ConnectionError, VarInt};
use tidegate_types::limits;

/// Codes with which a connection is closed, a stream reset or stopped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CloseCode {
    /// Nothing was wrong.
    Done,
    /// The node is about to stop.
    ShuttingDown,
    /// Bytes that are no frame, or a frame out of place.
    BadFrame,
    /// A protocol version that is not spoken here.
    UnsupportedVersion,
    /// The certificate does not allow this.
    NotAuthorized,
    /// The peer was too slow.
    TooSlow,
    /// A limit was reached.
    Overloaded,
    /// A fault of the node.
    Internal,
    /// A code of a later version.
    Unknown(u64),
}

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        match self {
            CloseCode::Done => 0,
            CloseCode::ShuttingDown => 1,
            CloseCode::BadFrame => 2,
            CloseCode::UnsupportedVersion => 3,
            CloseCode::NotAuthorized => 4,
            CloseCode::TooSlow => 5,
            CloseCode::Overloaded => 6,
            CloseCode::Internal => 7,
            CloseCode::Unknown(code) => code,
        }
    }

    /// The code that a number on the wire stands for.
    #[must_use]
    pub const fn from_wire(code: u64) -> CloseCode {
        match code {
            0 => CloseCode::Done,
            1 => CloseCode::ShuttingDown,
            2 => CloseCode::BadFrame,
            3 => CloseCode::UnsupportedVersion,
            4 => CloseCode::NotAuthorized,
            5 => CloseCode::TooSlow,
            6 => CloseCode::Overloaded,
            7 => CloseCode::Internal,
            other => CloseCode::Unknown(other),
        }
    }

    pub(crate) fn var_int(self) -> VarInt {
        VarInt::from_u64(self.get()).unwrap_or(VarInt::MAX)
    }
}

impl std::fmt::Display for CloseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            CloseCode::Done => "done",
            CloseCode::ShuttingDown => "shutting down",
            CloseCode::BadFrame => "bad frame",
            CloseCode::UnsupportedVersion => "unsupported version",
            CloseCode::NotAuthorized => "not authorized",
            CloseCode::TooSlow => "too slow",
            CloseCode::Overloaded => "overloaded",
            CloseCode::Internal => "internal fault",
            CloseCode::Unknown(code) => return write!(f, "code {code}"),
        })
    }
}

/// Why a connection is no more.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Lost {
    /// The peer closed it.
    #[error("the peer closed the connection ({code}){}", colon(.reason))]
    Closed {
        /// Why, for programs.
        code: CloseCode,
        /// Why, for people; may be empty.
        reason: String,
    },
    /// Nothing came from the peer for too long.
    #[error("the peer no longer answers")]
    TimedOut,
    /// This end closed it.
    #[error("the connection was closed on this end")]
    ClosedHere,
    /// The peer has no memory of the connection.
    #[error("the peer has restarted")]
    Restarted,
    /// A certificate was not accepted, by the peer or by this end.
    #[error("{by} refused the certificate: {reason}")]
    Certificate {
        /// Who did not accept it.
        by: RefusedBy,
        /// What was wrong with it.
        reason: String,
    },
    /// The peer does not speak this protocol.
    #[error("the peer speaks another protocol than tidegate/1")]
    OtherProtocol,
    /// The peer takes no more connections.
    #[error("the peer takes no more connections now")]
    Full,
    /// QUIC itself failed.
    #[error("the connection failed: {reason}")]
    Transport {
        /// What failed.
        reason: String,
    },
}

/// Which end did not accept a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusedBy {
    /// The other end refused ours.
    Peer,
    /// This end refused the peer's.
    Us,
}

impl std::fmt::Display for RefusedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RefusedBy::Peer => "the peer",
            RefusedBy::Us => "this end",
        })
    }
}

fn colon(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// TLS alerts arrive as QUIC errors 0x100 to 0x1ff.
const TLS_ALERTS: u64 = 0x100;
const NO_APPLICATION_PROTOCOL: u64 = 120;
const CONNECTION_REFUSED: u64 = 0x2;

/// Alerts that speak of a certificate, or of keys that do not belong to it.
fn certificate_alert(alert: u64) -> Option<&'static str> {
    Some(match alert {
        41 | 116 => "it demands one",
        42 => "it is not valid",
        43 => "its kind is not supported",
        44 => "it was revoked",
        45 => "it has expired, or a clock is wrong",
        46 => "it is not acceptable",
        48 => "it is not signed by the site's authority",
        49 => "access is denied",
        51 => "its signature does not match",
        _ => return None,
    })
}

impl Lost {
    fn from_transport(code: u64, reason: &str, by: RefusedBy) -> Lost {
        if code == CONNECTION_REFUSED {
            return Lost::Full;
        }
        if let Some(alert) = code.checked_sub(TLS_ALERTS).filter(|alert| *alert <= 0xff) {
            if alert == NO_APPLICATION_PROTOCOL {
                return Lost::OtherProtocol;
            }
            if let Some(told) = certificate_alert(alert) {
                let reason = match by {
                    RefusedBy::Us if !reason.is_empty() => reason,
                    _ => told,
                };
                return Lost::Certificate { by, reason: reason.to_owned() };
            }
        }
        let reason = if reason.is_empty() { format!("error {code:#x}") } else { reason.to_owned() };
        Lost::Transport { reason }
    }
}

impl From<ConnectionError> for Lost {
    fn from(error: ConnectionError) -> Lost {
        match error {
            ConnectionError::VersionMismatch => Lost::OtherProtocol,
            ConnectionError::TransportError(e) => {
                Lost::from_transport(e.code.into(), &e.reason, RefusedBy::Us)
            }
            ConnectionError::ConnectionClosed(close) => {
                let reason = text(&close.reason);
                Lost::from_transport(close.error_code.into(), &reason, RefusedBy::Peer)
            }
            ConnectionError::ApplicationClosed(close) => Lost::Closed {
                code: CloseCode::from_wire(close.error_code.into_inner()),
                reason: text(&close.reason),
            },
            ConnectionError::Reset => Lost::Restarted,
            ConnectionError::TimedOut => Lost::TimedOut,
            ConnectionError::LocallyClosed => Lost::ClosedHere,
            ConnectionError::CidsExhausted => {
                Lost::Transport { reason: "no connection ids left".to_owned() }
            }
        }
    }
}

/// A reason from outside, fit for a log line: bounded, and without control characters.
fn text(reason: &[u8]) -> String {
    let reason = &reason[..reason.len().min(limits::MAX_NAME * 16)];
    String::from_utf8_lossy(reason).chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_round_trip() {
        for code in 0..20 {
            assert_eq!(CloseCode::from_wire(code).get(), code);
        }
        assert_eq!(CloseCode::from_wire(2), CloseCode::BadFrame);
    }

    #[test]
    fn tls_alerts_are_told_apart() {
        let lost = Lost::from_transport(0x100 + 120, "", RefusedBy::Peer);
        assert_eq!(lost, Lost::OtherProtocol);
        let lost = Lost::from_transport(0x100 + 48, "x", RefusedBy::Peer);
        assert_eq!(
            lost.to_string(),
            "the peer refused the certificate: it is not signed by the site's authority"
        );
        assert_eq!(Lost::from_transport(2, "", RefusedBy::Peer), Lost::Full);
        let lost = Lost::from_transport(7, "frame encoding", RefusedBy::Peer);
        assert_eq!(lost.to_string(), "the connection failed: frame encoding");
    }

    #[test]
    fn a_reason_from_outside_is_fit_for_a_log_line() {
        let long = vec![b'x'; 100_000];
        assert_eq!(text(&long).len(), 1024);
        assert_eq!(text(b"a\nb\x1b[31mc"), "ab[31mc");
    }
}
