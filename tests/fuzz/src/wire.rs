//! Targets of `tidegate-wire`.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_wire::frame::{FrameDecoder, PREFIX_LEN, decode_header, encode_header};
use tidegate_wire::{
    HelloReply, MirrorBatches, MirrorReply, Open, ProduceBatch, ProduceReply, Response,
    SubscribeReply,
};

/// Reads arbitrary bytes as a stream of frames that arrives in pieces: what comes out is the same
/// however it was cut, and is never more than came in.
pub fn wire_stream(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let whole = frames(stream, stream.len());
    let pieces = frames(stream, usize::from(cut));
    assert_eq!(whole, pieces);
    let (frames, _) = whole;
    let taken: usize = frames.iter().map(|(h, p)| PREFIX_LEN + h.len() + p.len()).sum();
    assert!(taken <= stream.len());
}

/// The frames of a stream, and whether it was found to be broken.
fn frames(stream: &[u8], cut: usize) -> (Vec<(Bytes, Bytes)>, bool) {
    let mut decoder = FrameDecoder::new();
    let mut frames = Vec::new();
    for piece in stream.chunks(cut.max(1)) {
        decoder.handle_bytes(Bytes::copy_from_slice(piece));
        loop {
            match decoder.poll_frame() {
                Ok(Some(frame)) => frames.push((frame.header, frame.payload)),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

/// Reads arbitrary bytes as every message there is: what is understood can be said again.
pub fn wire_messages(data: &[u8]) {
    message::<Open>(data);
    message::<HelloReply>(data);
    message::<Response>(data);
    message::<ProduceBatch>(data);
    message::<ProduceReply>(data);
    message::<SubscribeReply>(data);
    message::<MirrorBatches>(data);
    message::<MirrorReply>(data);
}

fn message<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(message) = decode_header::<T>(data) else { return };
    let Ok(frame) = encode_header(&message, 0) else { return };
    let again: T = decode_header(&frame[PREFIX_LEN..]).expect("what was encoded decodes");
    assert_eq!(again, message);
}
