//! Zstandard. Unpacked in one step straight into the output: a streaming decoder would allocate
//! the window that a frame asks for, up to 128 MiB for a frame of a few bytes.

use std::io;

use ::zstd::bulk;
use ::zstd::zstd_safe::{DCtx, compress_bound, decompress_bound, get_error_name};

use super::{DecompressError, MAX, too_large};

/// Zstandard's own default, and Kafka's.
const LEVEL: i32 = 3;

pub(super) type Compressor = bulk::Compressor<'static>;

pub(super) fn decompress(packed: &[u8], out: &mut Vec<u8>) -> Result<(), DecompressError> {
    let damaged = |code| DecompressError::Zstd { reason: get_error_name(code) };
    let bound = decompress_bound(packed).map_err(damaged)?;
    let bound = usize::try_from(bound).unwrap_or(usize::MAX);
    let room = bound.min(MAX);
    out.reserve_exact(room);
    // The output is as large as the vector's capacity, which may be left over from another batch.
    match DCtx::create().decompress(out, packed) {
        Ok(len) if len > MAX => Err(too_large()),
        Ok(_) => Ok(()),
        // It did not fit although every frame's own claim did: the claim was wrong.
        Err(code) if bound > MAX && get_error_name(code) == TOO_SMALL => Err(too_large()),
        Err(code) => Err(damaged(code)),
    }
}

const TOO_SMALL: &str = "Destination buffer is too small";

pub(super) fn compress(
    kept: &mut Option<Compressor>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let compressor = match kept {
        Some(compressor) => compressor,
        None => kept.insert(bulk::Compressor::new(LEVEL)?),
    };
    let start = out.len();
    out.resize(start + compress_bound(body.len()), 0);
    let len = compressor.compress_to_buffer(body, &mut out[start..])?;
    out.truncate(start + len);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn frames_without_a_content_size_are_read() {
        let body = b"as a streaming encoder such as Java's writes them".repeat(20_000);
        let mut encoder = ::zstd::stream::Encoder::new(Vec::new(), LEVEL).unwrap();
        for part in body.chunks(1_000) {
            encoder.write_all(part).unwrap();
        }
        let packed = encoder.finish().unwrap();
        let mut out = Vec::new();
        decompress(&packed, &mut out).unwrap();
        assert!(out == body);
    }

    #[test]
    fn a_large_window_costs_nothing() {
        let mut encoder = ::zstd::stream::Encoder::new(Vec::new(), LEVEL).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"a few bytes").unwrap();
        let packed = encoder.finish().unwrap();
        let mut out = Vec::new();
        decompress(&packed, &mut out).unwrap();
        assert_eq!(out, b"a few bytes");
        assert!(out.capacity() <= 256 << 10, "took {}", out.capacity());
    }

    #[test]
    fn the_librarys_word_for_a_full_buffer_is_known() {
        let packed = bulk::compress(&[7; 100], LEVEL).unwrap();
        let mut small = Vec::with_capacity(10);
        let code = DCtx::create().decompress(&mut small, &packed).unwrap_err();
        assert_eq!(get_error_name(code), TOO_SMALL);
    }

    #[test]
    fn a_body_beyond_the_limit_is_refused_although_the_scratch_would_hold_it() {
        let packed = bulk::compress(&vec![7; MAX + 10], LEVEL).unwrap();
        let mut roomy = Vec::with_capacity(MAX + 100);
        let error = decompress(&packed, &mut roomy).unwrap_err();
        assert!(matches!(error, DecompressError::TooLarge { .. }), "{error}");
    }
}
