//! Builds the guest that is measured.

use std::path::Path;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = tidegate_plugin_build::build_components(here, &["tidegate-bench-guest"]);
    for component in built {
        println!("cargo::rustc-env=BENCH_GUEST={}", component.display());
    }
}
