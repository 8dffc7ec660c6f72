//! The components, compressed together.

use std::ops::Range;

static COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/components.zst"));
/// Where each component lies in what was compressed, by name.
static PLACES: [(&str, Range<usize>); 12] = include!(concat!(env!("OUT_DIR"), "/places.rs"));

/// Where the component of that name lies; empty where there is none.
pub(crate) fn place(name: &str) -> Range<usize> {
    let place = PLACES.iter().find(|(known, _)| *known == name);
    place.map_or(0..0, |(_, place)| place.clone())
}

/// The bytes of all components.
pub(crate) fn open() -> Vec<u8> {
    let size = PLACES.iter().map(|(_, place)| place.end).max().unwrap_or(0);
    zstd::bulk::decompress(COMPRESSED, size)
        .expect("the build wrote the archive as it is read here")
}

/// What all of it takes in the program.
#[cfg(test)]
pub(crate) fn compressed_size() -> usize {
    COMPRESSED.len()
}
