//! Native protocol frames: encode and decode.
