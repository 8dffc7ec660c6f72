//! The hash of a component's bytes.

use ring::digest;
use tidegate_types::PluginHash;

/// The hash that identifies `component`.
#[must_use]
pub fn hash_of(component: &[u8]) -> PluginHash {
    PluginHash(sha256(component))
}

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_named_by_its_sha_256() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_of(b"abc").to_string(), text);
    }
}
