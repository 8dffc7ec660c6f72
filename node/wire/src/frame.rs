//! The frame: `u32` length of all that follows, `u32` length of the header, header, payload.
