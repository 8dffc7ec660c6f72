//! Snappy, in the framing of Java's snappy library ("xerial"): a header of 16 bytes, then blocks
//! of at most 32 KiB, each after its packed length. Written so; read so or as one bare block,
//! which is what C clients send.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{DecompressError, MAX, too_large};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Version and the oldest version that can read it, both 1.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const BLOCK: usize = 32 * 1024;

/// What is wrong with the framing around snappy's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnappyFrameError {
    /// The header ends too early.
    #[error("its header is cut off: {have} bytes of 16")]
    Header {
        /// Bytes there.
        have: usize,
    },
    /// A later version, that says that we cannot read it.
    #[error("it wants a reader of version {wanted}, this is version 1")]
    Version {
        /// The version wanted.
        wanted: u32,
    },
    /// A block ends too early.
    #[error("a block of {len} bytes is cut off: {left} bytes are left")]
    Block {
        /// Its packed length.
        len: u32,
        /// Bytes there.
        left: usize,
    },
    /// A block's length ends too early.
    #[error("{left} bytes are left, too few for a block's length")]
    BlockLength {
        /// Bytes there.
        left: usize,
    },
}

pub(super) fn decompress(packed: &[u8], out: &mut Vec<u8>) -> Result<(), DecompressError> {
    let Some(framed) = packed.strip_prefix(&MAGIC) else {
        return block(&mut Decoder::new(), packed, out);
    };
    let Some(([_, _, _, _, wanted @ ..], mut rest)) = framed.split_first_chunk::<8>() else {
        return Err(SnappyFrameError::Header { have: packed.len() }.into());
    };
    let wanted = u32::from_be_bytes(*wanted);
    if wanted > 1 {
        return Err(SnappyFrameError::Version { wanted }.into());
    }
    let mut decoder = Decoder::new();
    while !rest.is_empty() {
        let Some((len, after)) = rest.split_first_chunk::<4>() else {
            return Err(SnappyFrameError::BlockLength { left: rest.len() }.into());
        };
        let len = u32::from_be_bytes(*len);
        let Some((packed, after)) = after.split_at_checked(len as usize) else {
            return Err(SnappyFrameError::Block { len, left: after.len() }.into());
        };
        block(&mut decoder, packed, out)?;
        rest = after;
    }
    Ok(())
}

/// Unpacks one block and appends it.
fn block(decoder: &mut Decoder, packed: &[u8], out: &mut Vec<u8>) -> Result<(), DecompressError> {
    let len = decompress_len(packed)?;
    let start = out.len();
    if len > MAX - start {
        return Err(too_large());
    }
    out.resize(start + len, 0);
    decoder.decompress(packed, &mut out[start..])?;
    Ok(())
}

pub(super) fn compress(body: &[u8], out: &mut Vec<u8>) -> Result<(), snap::Error> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSIONS);
    let mut encoder = Encoder::new();
    for block in body.chunks(BLOCK) {
        let at = out.len();
        out.resize(at + 4 + max_compress_len(block.len()), 0);
        let len = encoder.compress(block, &mut out[at + 4..])?;
        out[at..at + 4].copy_from_slice(&(len as u32).to_be_bytes());
        out.truncate(at + 4 + len);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one record `value = "sdfdsf"`, as Java's Kafka client packed it.
    const JAVA: &[u8] =
        b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x0f\x0d\x30\x18\0\0\0\x01\x0csdfdsf\0";
    const UNPACKED: &[u8] = b"\x18\0\0\0\x01\x0csdfdsf\0";

    #[test]
    fn java_framing_is_read_and_written() {
        let mut out = Vec::new();
        decompress(JAVA, &mut out).unwrap();
        assert_eq!(out, UNPACKED);
        let mut packed = Vec::new();
        compress(UNPACKED, &mut packed).unwrap();
        assert_eq!(packed, JAVA);
    }

    #[test]
    fn a_bare_block_is_read() {
        let body = b"a body that is longer than the sixteen bytes of Java's header".repeat(3);
        let mut out = Vec::new();
        decompress(&Encoder::new().compress_vec(&body).unwrap(), &mut out).unwrap();
        assert_eq!(out, body);
    }

    #[test]
    fn broken_framing_is_named() {
        let frame = |bytes: &[u8]| match decompress(bytes, &mut Vec::new()) {
            Err(DecompressError::SnappyFrame(error)) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(frame(&JAVA[..12]), SnappyFrameError::Header { have: 12 });
        assert_eq!(frame(&JAVA[..18]), SnappyFrameError::BlockLength { left: 2 });
        assert_eq!(frame(&JAVA[..30]), SnappyFrameError::Block { len: 15, left: 10 });
        let mut later = JAVA.to_vec();
        later[15] = 2;
        assert_eq!(frame(&later), SnappyFrameError::Version { wanted: 2 });
    }

    #[test]
    fn a_block_that_claims_gigabytes_allocates_nothing() {
        let mut out = Vec::new();
        let error = decompress(b"\xff\xff\xff\xff\x0f\0", &mut out).unwrap_err();
        assert!(matches!(error, DecompressError::TooLarge { .. }), "{error}");
        assert_eq!(out.capacity(), 0);
    }
}
