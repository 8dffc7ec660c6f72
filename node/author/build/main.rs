//! Packs what `plugin new` writes and what `plugin build` puts around a core module.

mod pack;
mod shell;

use std::path::PathBuf;
use std::{env, fs};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("no manifest folder")?);
    let root = here.join("../..");
    let wit = root.join("wit/plugin.wit");
    for path in ["build", "templates", "wat", "../../wit", "../../plugins/sdk/src"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let parts = [
        (here.join("templates"), ""),
        (root.join("plugins/sdk/src"), "rust/vendor/tidegate-plugin-sdk/src/"),
        (root.join("wit"), "common/wit/"),
    ];
    fs::write(out.join("files.bin"), pack::pack(&parts)?)?;
    let shells = shell::Shells::new(&fs::read_to_string(&wit)?, &here.join("wat"))?;
    for kind in ["filter", "partition", "transform"] {
        fs::write(out.join(format!("{kind}.shell")), shells.of(kind)?)?;
    }
    fs::write(out.join("identity.wasm"), wat::parse_file(here.join("wat/identity.wat"))?)?;
    Ok(())
}
