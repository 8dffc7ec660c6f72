//! Where a consumer starts, and when a producer counts a batch as taken.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Offset, Timestamp};

/// Where in a partition a consumer begins.
///
/// Written `start`, `end`, `N` (that offset), `+N` (N after the first), `-N` (the last N), and
/// `@MS` (the first record at or after that time, in milliseconds since 1970).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StartPosition {
    /// The log start offset.
    Start,
    /// The high watermark: only what comes from now on.
    End,
    /// This offset.
    Offset(Offset),
    /// This many offsets after the log start.
    AfterStart(u64),
    /// This many offsets before the high watermark, the log start at the earliest.
    BeforeEnd(u64),
    /// The first record whose timestamp is at least this.
    Time(Timestamp),
}

/// A text that is no start position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no position: write start, end, N, +N, -N or @TIME in ms since 1970")]
pub struct ParseStartPositionError {
    text: String,
}

impl FromStr for StartPosition {
    type Err = ParseStartPositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseStartPositionError { text: text.to_owned() };
        let number = |digits: &str| -> Result<u64, Self::Err> {
            if !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(error());
            }
            digits.parse().ok().filter(|n| *n <= i64::MAX as u64).ok_or_else(error)
        };
        Ok(match text {
            "start" | "beginning" | "earliest" => StartPosition::Start,
            "end" | "latest" => StartPosition::End,
            _ => match text.split_at_checked(1) {
                Some(("+", n)) => StartPosition::AfterStart(number(n)?),
                Some(("-", n)) => StartPosition::BeforeEnd(number(n)?),
                Some(("@", n)) => StartPosition::Time(Timestamp(number(n)? as i64)),
                _ => StartPosition::Offset(Offset(number(text)? as i64)),
            },
        })
    }
}

impl fmt::Display for StartPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartPosition::Start => f.write_str("start"),
            StartPosition::End => f.write_str("end"),
            StartPosition::Offset(offset) => write!(f, "{offset}"),
            StartPosition::AfterStart(n) => write!(f, "+{n}"),
            StartPosition::BeforeEnd(n) => write!(f, "-{n}"),
            StartPosition::Time(at) => write!(f, "@{}", at.millis()),
        }
    }
}

/// When the broker acknowledges a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Acks {
    /// Never: the batch counts as taken once sent.
    None,
    /// Once written on the leader; a power cut may still lose it.
    Leader,
    /// Once fsynced on every in-sync replica.
    #[default]
    All,
}

/// A text that is no acks setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no acks setting: write 0, 1 or all")]
pub struct ParseAcksError {
    text: String,
}

impl FromStr for Acks {
    type Err = ParseAcksError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "0" | "none" => Ok(Acks::None),
            "1" | "leader" => Ok(Acks::Leader),
            "all" | "-1" => Ok(Acks::All),
            _ => Err(ParseAcksError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Acks::None => "0",
            Acks::Leader => "1",
            Acks::All => "all",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_round_trip_as_text() {
        for text in ["start", "end", "17", "+3", "-3", "@1700000000000"] {
            assert_eq!(text.parse::<StartPosition>().unwrap().to_string(), text);
        }
        for bad in ["", "+", "-", "@", "--3", "1x", "@soon", "99999999999999999999"] {
            assert!(bad.parse::<StartPosition>().is_err(), "{bad:?} was taken");
        }
    }
}
