//! Packing and unpacking bodies. Unpacking never writes more than a batch's body may hold,
//! whatever the packed bytes claim, and allocates no more than that.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use tidegate_types::limits::MAX_BATCH_UNCOMPRESSED;

use crate::Compression;

pub use lz4::Lz4FrameError;
pub use snappy::SnappyFrameError;

/// The most that a body may unpack to.
const MAX: usize = MAX_BATCH_UNCOMPRESSED.as_usize();

/// Why a body could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// It would exceed what a batch may hold.
    #[error("it unpacks to more than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// Not gzip.
    #[error("gzip stream is damaged")]
    Gzip(#[source] std::io::Error),
    /// The framing around snappy's blocks is broken.
    #[error("snappy framing is damaged")]
    SnappyFrame(#[from] SnappyFrameError),
    /// A snappy block is broken.
    #[error("snappy block is damaged")]
    Snappy(#[from] snap::Error),
    /// Not an LZ4 frame.
    #[error("lz4 frame is damaged")]
    Lz4(#[from] Lz4FrameError),
    /// Not Zstandard.
    #[error("zstd frame is damaged: {reason}")]
    Zstd {
        /// The library's words.
        reason: &'static str,
    },
}

/// Why a body could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// The gzip encoder failed.
    #[error("gzip failed")]
    Gzip(#[source] std::io::Error),
    /// The snappy encoder failed.
    #[error("snappy failed")]
    Snappy(#[from] snap::Error),
    /// The LZ4 encoder failed.
    #[error("lz4 failed")]
    Lz4(#[source] lz4_flex::frame::Error),
    /// The Zstandard encoder failed.
    #[error("zstd failed")]
    Zstd(#[source] std::io::Error),
}

const fn too_large() -> DecompressError {
    DecompressError::TooLarge { max: MAX }
}

/// Unpacks `packed` into `out`, whose old contents go.
pub(crate) fn decompress(
    codec: Compression,
    packed: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), DecompressError> {
    out.clear();
    match codec {
        Compression::None => {
            out.extend_from_slice(packed);
            Ok(())
        }
        Compression::Gzip => gzip::decompress(packed, out),
        Compression::Snappy => snappy::decompress(packed, out),
        Compression::Lz4 => lz4::decompress(packed, out),
        Compression::Zstd => zstd::decompress(packed, out),
    }
}

/// Packs bodies; keeps what is dear to set up between two of them.
#[derive(Default)]
pub(crate) struct Compressor {
    zstd: Option<zstd::Compressor>,
}

impl Compressor {
    /// Packs `body` and appends it to `out`.
    pub(crate) fn compress(
        &mut self,
        codec: Compression,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CompressError> {
        match codec {
            Compression::None => {
                out.extend_from_slice(body);
                Ok(())
            }
            Compression::Gzip => gzip::compress(body, out).map_err(CompressError::Gzip),
            Compression::Snappy => Ok(snappy::compress(body, out)?),
            Compression::Lz4 => lz4::compress(body, out).map_err(CompressError::Lz4),
            Compression::Zstd => {
                zstd::compress(&mut self.zstd, body, out).map_err(CompressError::Zstd)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pack(codec: Compression, body: &[u8]) -> Vec<u8> {
        let mut out = b"in front".to_vec();
        Compressor::default().compress(codec, body, &mut out).unwrap();
        assert_eq!(&out[..8], b"in front", "packing appends");
        out.split_off(8)
    }

    fn compressed() -> impl Strategy<Value = Compression> {
        prop::sample::select(&Compression::ALL[1..])
    }

    /// Runs and noise, of many blocks.
    fn body() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec((any::<u8>(), 1usize..20_000, any::<bool>()), 0..12).prop_map(
            |runs| {
                let mut noise = 1u32;
                let mut body = Vec::new();
                for (byte, len, noisy) in runs {
                    body.extend((0..len).map(|_| {
                        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        if noisy { (noise >> 24) as u8 } else { byte }
                    }));
                }
                body
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn bodies_round_trip(codec in compressed(), body in body()) {
            let mut out = b"old".to_vec();
            decompress(codec, &pack(codec, &body), &mut out).unwrap();
            prop_assert!(out == body);
        }

        #[test]
        fn damaged_bodies_stay_within_the_limit(
            codec in compressed(),
            body in body(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut packed = pack(codec, &body);
            for (at, byte) in changes {
                let at = at.index(packed.len());
                packed[at] = byte;
            }
            let mut out = Vec::new();
            if decompress(codec, &packed, &mut out).is_ok() {
                prop_assert!(out.len() <= MAX);
            }
            prop_assert!(out.capacity() <= 2 * MAX);
        }

        #[test]
        fn noise_is_refused_or_bounded(
            codec in compressed(),
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut out = Vec::new();
            if decompress(codec, &noise, &mut out).is_ok() {
                prop_assert!(out.len() <= MAX);
            }
        }
    }

    #[test]
    fn bombs_are_refused() {
        let bomb = vec![0; MAX + 1];
        for codec in &Compression::ALL[1..] {
            let packed = pack(*codec, &bomb);
            let mut out = Vec::new();
            let error = decompress(*codec, &packed, &mut out).unwrap_err();
            assert!(matches!(error, DecompressError::TooLarge { max: MAX }), "{codec}: {error}");
            assert!(out.capacity() <= 2 * MAX, "{codec} took {} bytes", out.capacity());

            let packed = pack(*codec, &bomb[1..]);
            decompress(*codec, &packed, &mut out).unwrap();
            assert!(out == bomb[1..], "{codec}: the limit itself is allowed");
        }
    }

    #[test]
    fn cut_off_bodies_are_refused() {
        let body: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        for codec in &Compression::ALL[1..] {
            let packed = pack(*codec, &body);
            let mut out = Vec::new();
            for len in [0, 1, 3, 4, 7, 15, 20, packed.len() / 2, packed.len() - 1] {
                let result = decompress(*codec, &packed[..len], &mut out);
                // A snappy stream has no end mark: its first 16 bytes are one without blocks.
                let whole = result.is_ok() && out == body;
                assert!(!whole, "{codec} was taken when cut to {len}");
            }
        }
    }
}
