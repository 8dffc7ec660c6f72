//! The codecs that a batch's body may be packed with.

use std::fmt;
use std::str::FromStr;

/// How a batch's body is packed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Gzip: widest support, slowest.
    Gzip,
    /// Snappy, in the framing of Java's snappy library.
    Snappy,
    /// LZ4 frames: cheapest to write.
    Lz4,
    /// Zstandard: smallest.
    Zstd,
}

/// A text that names no compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no compression: use none, gzip, snappy, lz4 or zstd")]
pub struct ParseCompressionError {
    text: String,
}

impl Compression {
    /// Every codec, by rising id.
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// The number that stands for it in a batch's attributes.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }

    /// The codec with that number; `None` for 5 and above.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Compression> {
        match id {
            0 => Some(Compression::None),
            1 => Some(Compression::Gzip),
            2 => Some(Compression::Snappy),
            3 => Some(Compression::Lz4),
            4 => Some(Compression::Zstd),
            _ => None,
        }
    }

    /// Its name in Kafka's configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Compression {
    type Err = ParseCompressionError;

    fn from_str(text: &str) -> Result<Compression, ParseCompressionError> {
        Compression::ALL
            .into_iter()
            .find(|codec| codec.as_str().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| ParseCompressionError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_round_trip() {
        for codec in Compression::ALL {
            assert_eq!(codec.to_string().parse(), Ok(codec));
            assert_eq!(Compression::from_id(codec.id()), Some(codec));
        }
        assert_eq!(" LZ4 ".parse(), Ok(Compression::Lz4));
        assert!((5..=u8::MAX).all(|id| Compression::from_id(id).is_none()));
        let error = "brotli".parse::<Compression>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"brotli\" is no compression: use none, gzip, snappy, lz4 or zstd"
        );
    }
}
