//! What `wit/plugin.wit` says, as Rust: generated, so that the contract stands in one place only.
//!
//! The types and the host's functions are generated once; each world adds its exports. A plugin's
//! crate exports one world, through `export_filter!` and its siblings.

wit_bindgen::generate!({
    path: "../../wit",
    inline: "package tidegate:sdk; world shared { \
             import tidegate:plugin/types@0.1.0; import tidegate:plugin/host@0.1.0; \
             import tidegate:plugin/state@0.1.0; }",
    world: "tidegate:sdk/shared",
    generate_all,
    generate_unused_types: true,
    additional_derives: [PartialEq, Eq, Clone],
});

pub use tidegate::plugin::{host, state, types};

/// The world of filters.
pub mod filter {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "tidegate:plugin/filter-plugin",
        pub_export_macro: true,
        with: {
            "tidegate:plugin/types@0.1.0": super::types,
            "tidegate:plugin/host@0.1.0": super::host,
            "tidegate:plugin/state@0.1.0": super::state,
        },
    });
}

/// The world of partitioners.
pub mod partition {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "tidegate:plugin/partition-plugin",
        pub_export_macro: true,
        with: {
            "tidegate:plugin/types@0.1.0": super::types,
            "tidegate:plugin/host@0.1.0": super::host,
            "tidegate:plugin/state@0.1.0": super::state,
        },
    });
}

/// The world of transforms.
pub mod transform {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "tidegate:plugin/transform-plugin",
        pub_export_macro: true,
        with: {
            "tidegate:plugin/types@0.1.0": super::types,
            "tidegate:plugin/host@0.1.0": super::host,
            "tidegate:plugin/state@0.1.0": super::state,
        },
    });
}
