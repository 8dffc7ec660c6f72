//! Passes a range of a log on to a stream, as fast as the stream takes it.
//!
//! The range is read in small pieces, the next one while the one before is being sent. A reader that
//! takes nothing for a while loses its piece: only a few bytes are held out to it, whose leaving
//! says that the stream moves again, and the rest is read anew. So a reader that stands still costs
//! no memory of note, however many there are.

use std::time::Duration;

use bytes::Bytes;
use tidegate_log::FileRange;
use tidegate_transport::{CloseCode, FrameSender, SendError};
use tokio::task::JoinHandle;

/// Read at once for a reader of which nothing is known, or that stood still.
const FIRST_PIECE: usize = 16 << 10;

/// Read at once for one that takes what it is given.
const PIECE: usize = 64 << 10;

/// Held out to a stream that stands still.
const HEAD: usize = 512;

/// A stream that takes nothing for so long stands still.
const PATIENCE: Duration = Duration::from_millis(200);

/// How much one reader is trusted to take, from one range to the next.
pub(crate) struct Pace {
    piece: usize,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { piece: FIRST_PIECE }
    }
}

/// Sends all of `range` as the payload that was begun.
///
/// # Errors
/// If the stream is gone. If the disk fails, the stream is reset: its frame cannot be made whole.
pub(crate) async fn pass_on(
    sender: &mut FrameSender,
    mut range: FileRange,
    pace: &mut Pace,
) -> Result<(), SendError> {
    let (mut at, mut ahead) = (0, None);
    while at < range.len {
        let Some(mut piece) = next(&range, at, pace.piece, ahead.take()).await else {
            sender.reset(CloseCode::Internal);
            return Err(SendError::Ended);
        };
        let after = at + piece.len();
        if after < range.len && !range.is_in_memory() && pace.piece == PIECE {
            ahead = Some(read(&range, after, PIECE));
        }
        let mut moving = true;
        while moving && !piece.is_empty() {
            match tokio::time::timeout(PATIENCE, sender.push(&mut piece)).await {
                Ok(taken) => at += taken?,
                Err(_) => {
                    ahead = None;
                    pace.piece = FIRST_PIECE;
                    range.release_memory();
                    piece = Bytes::copy_from_slice(&piece[..piece.len().min(HEAD)]);
                    at += sender.push(&mut piece).await?;
                    moving = false;
                }
            }
        }
        if moving {
            pace.piece = PIECE;
        }
    }
    Ok(())
}

/// The next bytes; `None` if they cannot be read.
async fn next(
    range: &FileRange,
    at: usize,
    max: usize,
    ahead: Option<JoinHandle<std::io::Result<Bytes>>>,
) -> Option<Bytes> {
    let piece = if range.is_in_memory() {
        range.piece(at, max)
    } else {
        // Fails only while the runtime ends.
        ahead.unwrap_or_else(|| read(range, at, max)).await.ok()?
    };
    match piece {
        Ok(piece) => Some(piece).filter(|piece| !piece.is_empty()),
        Err(error) => {
            tracing::error!(
                base = %range.base_offset, next = %range.next_offset, %error,
                "a subscriber is cut off: records that were found cannot be read"
            );
            None
        }
    }
}

/// Reads off the async threads: a cold read waits for the disk.
fn read(range: &FileRange, at: usize, max: usize) -> JoinHandle<std::io::Result<Bytes>> {
    let range = range.clone();
    tokio::task::spawn_blocking(move || range.piece(at, max))
}
