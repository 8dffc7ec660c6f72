//! Builds the guests and tells where they are.

fn main() {
    let names = ["keep", "spread", "hostile", "tally"];
    let packages = names.map(|name| format!("tidegate-guest-{name}"));
    let packages = packages.each_ref().map(String::as_str);
    let built = tidegate_plugin_build::build_components(&packages);
    for (name, component) in names.iter().zip(built) {
        println!("cargo::rustc-env=GUEST_{}={}", name.to_uppercase(), component.display());
    }
}
