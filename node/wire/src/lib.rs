//! Native protocol frames: encode and decode.
//!
//! A frame is a length, a postcard header and raw record batches ([`frame`]). Which headers go
//! over which kind of stream stands in [`message`]. This crate knows nothing of sockets: it turns
//! bytes into messages and back, and bounds every length before it allocates.

pub mod frame;
pub mod message;

pub use message::*;
