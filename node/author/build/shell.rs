//! Components with a hole: all that stands around a plugin's core module.
//!
//! For each world a module is made that imports and exports everything that a plugin can, and a
//! component of it by the reference encoder. `src/component.rs` puts a real module in its place; that
//! may import less, and exports the same.

use std::fmt::Write;
use std::path::Path;

use wasmparser::{ExternalKind, Parser, Payload, TypeRef, ValType};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Function, PackageId, Resolve, WorldItem};

use crate::Failure;

/// The module of the functions that `wat/wasi.wat` stands in for.
const WASI: &str = "wasi_snapshot_preview1";

pub struct Shells {
    resolve: Resolve,
    package: PackageId,
    wasi: Vec<u8>,
    /// The names of its functions, with parameters and results as text.
    wasi_functions: Vec<(String, String)>,
}

impl Shells {
    pub fn new(contract: &str, wat: &Path) -> Result<Shells, Failure> {
        let mut resolve = Resolve::default();
        let package = resolve.push_source("plugin.wit", contract)?;
        let world = "package tidegate:wasi; world wasi { import tidegate:plugin/host@0.1.0; }";
        let own = resolve.push_source("wasi.wit", world)?;
        let world = resolve.select_world(&[own], Some("wasi"))?;
        let mut wasi = wat::parse_file(wat.join("wasi.wat"))?;
        let wasi_functions = functions(&wasi)?;
        embed_component_metadata(&mut wasi, &resolve, world, StringEncoding::UTF8)?;
        Ok(Shells { resolve, package, wasi, wasi_functions })
    }

    pub fn of(&self, kind: &str) -> Result<Vec<u8>, Failure> {
        let world = self.resolve.select_world(&[self.package], Some(&format!("{kind}-plugin")))?;
        let mut module = "(module\n".to_owned();
        for (key, item) in &self.resolve.worlds[world].imports {
            let WorldItem::Interface { id, .. } = item else { continue };
            let interface = self.resolve.name_world_key(key);
            for (name, function) in &self.resolve.interfaces[*id].functions {
                let signature = self.signature(AbiVariant::GuestImport, function);
                writeln!(module, "(import {interface:?} {name:?} (func {signature}))")?;
            }
        }
        for (name, signature) in &self.wasi_functions {
            writeln!(module, "(import {WASI:?} {name:?} (func {signature}))")?;
        }
        for item in self.resolve.worlds[world].exports.values() {
            let WorldItem::Function(function) = item else { continue };
            let signature = self.signature(AbiVariant::GuestExport, function);
            let name = &function.name;
            writeln!(module, "(func (export {name:?}) {signature} unreachable)")?;
            writeln!(module, "(func (export \"cabi_post_{name}\") (param i32))")?;
        }
        module.push_str(
            "(memory (export \"memory\") 0)\n\
             (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable)\n\
             (func (export \"_initialize\")))",
        );
        let mut module = wat::parse_str(module)?;
        embed_component_metadata(&mut module, &self.resolve, world, StringEncoding::UTF8)?;
        let mut encoder = ComponentEncoder::default()
            .validate(true)
            .module(&module)?
            .adapter(WASI, &self.wasi)?;
        Ok(encoder.encode()?)
    }

    fn signature(&self, variant: AbiVariant, function: &Function) -> String {
        let signature = self.resolve.wasm_signature(variant, function);
        let mut text = String::new();
        for (word, types) in [("param", &signature.params), ("result", &signature.results)] {
            for ty in types {
                text.push_str(&format!("({word} {}) ", core_type(*ty)));
            }
        }
        text
    }
}

fn core_type(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
    }
}

/// The functions that a module exports.
fn functions(module: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let mut types = Vec::new();
    let mut of_function = Vec::new();
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    types.push(ty?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(ty) = import?.ty {
                        of_function.push(ty as usize);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    of_function.push(ty? as usize);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        let ty = &types[of_function[export.index as usize]];
                        let list = |word: &str, types: &[ValType]| {
                            types.iter().map(|ty| format!("({word} {ty}) ")).collect::<String>()
                        };
                        let text = list("param", ty.params()) + &list("result", ty.results());
                        found.push((export.name.to_owned(), text));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found)
}
