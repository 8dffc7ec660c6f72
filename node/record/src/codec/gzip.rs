//! Gzip. Several members in a row count as one stream, as in Java.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{DecompressError, MAX, too_large};

pub(super) fn decompress(packed: &[u8], out: &mut Vec<u8>) -> Result<(), DecompressError> {
    MultiGzDecoder::new(packed)
        .take(MAX as u64 + 1)
        .read_to_end(out)
        .map_err(DecompressError::Gzip)?;
    if out.len() > MAX { Err(too_large()) } else { Ok(()) }
}

pub(super) fn compress(body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = GzEncoder::new(out, Compression::default());
    encoder.write_all(body)?;
    encoder.finish()?;
    Ok(())
}
