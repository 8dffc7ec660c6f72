//! Builds the guests and tells where they are.

use std::path::Path;

fn main() {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let names = ["keep", "spread", "hostile"];
    let folders = names.map(|name| guests.join(name));
    let packages = names.map(|name| format!("tidegate-guest-{name}"));
    let built = tidegate_plugin_build::build_components(&[
        (&folders[0], &packages[0]),
        (&folders[1], &packages[1]),
        (&folders[2], &packages[2]),
    ]);
    for (name, component) in names.iter().zip(built) {
        println!("cargo::rustc-env=GUEST_{}={}", name.to_uppercase(), component.display());
    }
}
