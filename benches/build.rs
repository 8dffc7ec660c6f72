//! Builds the guest that is measured.

fn main() {
    for component in tidegate_plugin_build::build_components(&["tidegate-bench-guest"]) {
        println!("cargo::rustc-env=BENCH_GUEST={}", component.display());
    }
}
