//! Compiles the stock plugins to components and says where they lie.

use tidegate_plugin_build::build_components;

const PACKAGES: [(&str, &str); 4] = [
    ("tidegate-plugin-threshold", "THRESHOLD"),
    ("tidegate-plugin-route-by-field", "ROUTE_BY_FIELD"),
    ("tidegate-plugin-redact", "REDACT"),
    ("tidegate-plugin-parse-log", "PARSE_LOG"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let names = PACKAGES.map(|(package, _)| package);
    let files = build_components(&names);
    for ((_, variable), file) in PACKAGES.iter().zip(files) {
        println!("cargo::rustc-env={variable}={}", file.display());
    }
}
