//! Compiles the stock plugins to components, and puts them into one compressed archive.
//!
//! They share most of their code: compressed together they take a tenth of their size, compressed
//! apart a third.

use std::path::Path;
use std::{env, fs};

use tidegate_plugin_build::build_components;

/// The names under which they are installed; their packages are `tidegate-plugin-NAME`.
const NAMES: [&str; 12] = [
    "aggregate",
    "cbor-to-json",
    "check-schema",
    "convert-units",
    "deadband",
    "deduplicate",
    "enrich",
    "parse-log",
    "redact",
    "route-by-field",
    "sample",
    "threshold",
];

/// Its window spans the whole archive, which is what finds the shared code.
const LEVEL: i32 = 19;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let packages = NAMES.map(|name| format!("tidegate-plugin-{name}"));
    let files = build_components(&packages.each_ref().map(String::as_str));
    if let Err(reason) = write_archive(&files) {
        println!("cargo::error=cannot write the archive of the stock plugins: {reason}");
        std::process::exit(1);
    }
}

/// `components.zst`, and `places.rs` which says where in it each component lies.
fn write_archive(files: &[impl AsRef<Path>]) -> Result<(), Box<dyn std::error::Error>> {
    let out_dir = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    let mut all = Vec::new();
    let mut places = String::new();
    for (name, file) in NAMES.iter().zip(files) {
        let start = all.len();
        all.extend(fs::read(file)?);
        places += &format!("({name:?}, {start}..{}), ", all.len());
    }
    let out_dir = Path::new(&out_dir);
    fs::write(out_dir.join("components.zst"), zstd::bulk::compress(&all, LEVEL)?)?;
    fs::write(out_dir.join("places.rs"), format!("[{places}]"))?;
    Ok(())
}
