//! LZ4 frames. Read straight into the output, without the buffers of a streaming decoder.
//!
//! A body is one frame. Blocks may depend on each other and carry checksums, since C and Go
//! clients send such; what is written has independent blocks of 64 KiB, all that Java reads.

use std::io::Write;

use lz4_flex::block::{DecompressError as BlockError, decompress_into, decompress_into_with_dict};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use super::{DecompressError, MAX, too_large};

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
/// How far back a block may refer.
const WINDOW: usize = 64 * 1024;
/// Set in a block's length where the block is not packed.
const STORED: u32 = 1 << 31;

/// What is wrong with an LZ4 frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lz4FrameError {
    /// Not an LZ4 frame.
    #[error("it does not begin with the magic number")]
    Magic,
    /// It ends too early.
    #[error("its {part} is cut off")]
    Truncated {
        /// Which part.
        part: &'static str,
    },
    /// Another version, reserved bits, a block size that does not exist, or a dictionary.
    #[error("its descriptor {flags:#04x} {sizes:#04x} is not supported")]
    Descriptor {
        /// The byte of flags.
        flags: u8,
        /// The byte of sizes.
        sizes: u8,
    },
    /// The bytes are not those that were written.
    #[error("the checksum of its {part} does not match")]
    Checksum {
        /// Which part.
        part: &'static str,
    },
    /// A block is larger than the descriptor allows.
    #[error("a block exceeds the {max} bytes that its descriptor allows")]
    BlockTooLarge {
        /// The descriptor's limit.
        max: usize,
    },
    /// A block is broken.
    #[error("a block is damaged")]
    Block,
    /// It unpacks to another length than it says.
    #[error("it says that it holds {said} bytes, but holds {found}")]
    ContentSize {
        /// In the descriptor.
        said: u64,
        /// Unpacked.
        found: u64,
    },
    /// The body goes on after the frame.
    #[error("{bytes} bytes are left over after it")]
    Leftover {
        /// How many.
        bytes: usize,
    },
}

/// What a frame says about itself.
struct Descriptor {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_size: Option<u64>,
    max_block: usize,
}

pub(super) fn decompress(packed: &[u8], out: &mut Vec<u8>) -> Result<(), DecompressError> {
    let mut rest = packed.strip_prefix(&MAGIC).ok_or(Lz4FrameError::Magic)?;
    let frame = descriptor(&mut rest)?;
    loop {
        let word = u32::from_le_bytes(*take(&mut rest, "block length")?);
        if word == 0 {
            break;
        }
        let len = (word & !STORED) as usize;
        // A packed block may be as large as a stored one, never larger.
        if len > frame.max_block {
            return Err(Lz4FrameError::BlockTooLarge { max: frame.max_block }.into());
        }
        let (data, after) =
            rest.split_at_checked(len).ok_or(Lz4FrameError::Truncated { part: "block" })?;
        rest = after;
        if frame.block_checksums {
            verify(data, take(&mut rest, "block checksum")?, "block")?;
        }
        if word & STORED == 0 {
            unpack(data, &frame, out)?;
        } else if len > MAX - out.len() {
            return Err(too_large());
        } else {
            out.extend_from_slice(data);
        }
    }
    if frame.content_checksum {
        verify(out, take(&mut rest, "content checksum")?, "content")?;
    }
    let found = out.len() as u64;
    match frame.content_size {
        Some(said) if said != found => {
            return Err(Lz4FrameError::ContentSize { said, found }.into());
        }
        _ => {}
    }
    if rest.is_empty() { Ok(()) } else { Err(Lz4FrameError::Leftover { bytes: rest.len() }.into()) }
}

fn descriptor(rest: &mut &[u8]) -> Result<Descriptor, Lz4FrameError> {
    let start = *rest;
    let [flags, sizes] = *take(rest, "descriptor")?;
    // Version 1, no reserved bit, no dictionary.
    let max_block = match sizes {
        0x40 => 64 << 10,
        0x50 => 256 << 10,
        0x60 => 1 << 20,
        0x70 => 4 << 20,
        _ => 0,
    };
    if flags & 0b1100_0011 != 0b0100_0000 || max_block == 0 {
        return Err(Lz4FrameError::Descriptor { flags, sizes });
    }
    let content_size = match flags & 0b1000 {
        0 => None,
        _ => Some(u64::from_le_bytes(*take(rest, "descriptor")?)),
    };
    let covered = &start[..start.len() - rest.len()];
    let [check] = *take(rest, "descriptor")?;
    // The second byte of the hash.
    if check != (XxHash32::oneshot(0, covered) >> 8) as u8 {
        return Err(Lz4FrameError::Checksum { part: "descriptor" });
    }
    Ok(Descriptor {
        linked: flags & 0b10_0000 == 0,
        block_checksums: flags & 0b1_0000 != 0,
        content_checksum: flags & 0b100 != 0,
        content_size,
        max_block,
    })
}

/// Unpacks one block and appends it.
fn unpack(block: &[u8], frame: &Descriptor, out: &mut Vec<u8>) -> Result<(), DecompressError> {
    let start = out.len();
    let room = frame.max_block.min(MAX - start);
    // Few blocks unpack to more than four times their size: a frame that allows blocks of 4 MiB
    // costs what it holds, not what it allows.
    let mut guess = room.min((4 * block.len()).max(16 << 10));
    loop {
        out.resize(start + guess, 0);
        let (before, output) = out.split_at_mut(start);
        let unpacked = if frame.linked && !before.is_empty() {
            let window = &before[before.len().saturating_sub(WINDOW)..];
            decompress_into_with_dict(block, output, window)
        } else {
            decompress_into(block, output)
        };
        match unpacked {
            Ok(len) => {
                out.truncate(start + len);
                return Ok(());
            }
            Err(BlockError::OutputTooSmall { .. }) if guess < room => guess = room,
            Err(BlockError::OutputTooSmall { .. }) if room < frame.max_block => {
                return Err(too_large());
            }
            Err(BlockError::OutputTooSmall { .. }) => {
                return Err(Lz4FrameError::BlockTooLarge { max: frame.max_block }.into());
            }
            Err(_) => return Err(Lz4FrameError::Block.into()),
        }
    }
}

fn take<'a, const N: usize>(
    rest: &mut &'a [u8],
    part: &'static str,
) -> Result<&'a [u8; N], Lz4FrameError> {
    let (head, tail) = rest.split_first_chunk().ok_or(Lz4FrameError::Truncated { part })?;
    *rest = tail;
    Ok(head)
}

fn verify(data: &[u8], checksum: &[u8; 4], part: &'static str) -> Result<(), Lz4FrameError> {
    if XxHash32::oneshot(0, data) == u32::from_le_bytes(*checksum) {
        Ok(())
    } else {
        Err(Lz4FrameError::Checksum { part })
    }
}

pub(super) fn compress(body: &[u8], out: &mut Vec<u8>) -> Result<(), lz4_flex::frame::Error> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(body)?;
    encoder.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Vec<u8> {
        (0..300_000u32).flat_map(|i| [(i / 7) as u8, (i % 251) as u8, b'x']).collect()
    }

    fn pack(info: FrameInfo, body: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn frame_error(packed: &[u8]) -> Lz4FrameError {
        match decompress(packed, &mut Vec::new()) {
            Err(DecompressError::Lz4(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_kind_of_frame_is_read() {
        let body = body();
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB]
        {
            for mode in [BlockMode::Independent, BlockMode::Linked] {
                for checksums in [false, true] {
                    let info = FrameInfo::new()
                        .block_size(size)
                        .block_mode(mode)
                        .block_checksums(checksums)
                        .content_checksum(checksums)
                        .content_size(checksums.then_some(body.len() as u64));
                    let mut out = Vec::new();
                    decompress(&pack(info, &body), &mut out).unwrap();
                    assert!(out == body, "{size:?} {mode:?} {checksums}");
                }
            }
        }
    }

    #[test]
    fn blocks_that_did_not_pack_are_read() {
        let mut noise = 7u32;
        let body: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        })
        .take(100_000)
        .collect();
        let mut packed = Vec::new();
        compress(&body, &mut packed).unwrap();
        assert!(packed.len() > body.len(), "noise is stored");
        let mut out = Vec::new();
        decompress(&packed, &mut out).unwrap();
        assert!(out == body);
    }

    #[test]
    fn what_is_written_is_what_java_reads() {
        let mut packed = Vec::new();
        compress(&body(), &mut packed).unwrap();
        // Version 1, independent blocks, no checksums, no content size, no dictionary; 64 KiB.
        assert_eq!(packed[..6], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40]);
    }

    #[test]
    fn damage_is_named() {
        let info = FrameInfo::new().block_checksums(true).content_checksum(true);
        let good = pack(info, b"some bytes, and some bytes, and some bytes");
        let changed = |at: usize| {
            let mut bad = good.clone();
            bad[at] ^= 1;
            frame_error(&bad)
        };
        let end = good.len();
        assert_eq!(changed(0), Lz4FrameError::Magic);
        assert_eq!(changed(4), Lz4FrameError::Descriptor { flags: good[4] ^ 1, sizes: good[5] });
        assert_eq!(changed(6), Lz4FrameError::Checksum { part: "descriptor" });
        assert_eq!(changed(12), Lz4FrameError::Checksum { part: "block" });
        assert_eq!(changed(end - 1), Lz4FrameError::Checksum { part: "content" });
        let part = "content checksum";
        assert_eq!(frame_error(&good[..end - 1]), Lz4FrameError::Truncated { part });
        let part = "block length";
        assert_eq!(frame_error(&good[..end - 5]), Lz4FrameError::Truncated { part });
        assert_eq!(frame_error(&[&good[..], b"!!"].concat()), Lz4FrameError::Leftover { bytes: 2 });
    }
}
