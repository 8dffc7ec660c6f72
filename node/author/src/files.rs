//! The files that `plugin new` writes, as they were packed when the node was built.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::DeflateDecoder;

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/files.bin"));

/// Every file by its path below the templates.
pub(crate) fn all() -> BTreeMap<String, String> {
    let mut json = Vec::new();
    let read = DeflateDecoder::new(PACKED).read_to_end(&mut json);
    // The build script wrote both layers; a test reads them.
    read.ok().and_then(|_| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_the_contract_and_the_sdk_are_packed() {
        let files = all();
        for path in [
            "common/wit/plugin.wit",
            "common/tests/records.jsonl",
            "rust/vendor/tidegate-plugin-sdk/src/lib.rs",
            "rust/vendor/tidegate-plugin-sdk/src/json/path.rs",
        ] {
            assert!(files.get(path).is_some_and(|text| !text.is_empty()), "{path}");
        }
    }
}
