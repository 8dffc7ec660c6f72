//! A core module into a component, for languages whose compilers make none.
//!
//! What stands around the module (types, imports, their lowering, exports, a stand-in for WASI) is
//! the same for every plugin of a kind. It was encoded when the node was built, with a module that
//! does nothing; here that module is replaced.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use tidegate_types::PluginKind;
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

static FILTER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/filter.shell"));
static PARTITION: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/partition.shell"));
static TRANSFORM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/transform.shell"));

/// The identifier of a section that holds a core module.
const MODULE_SECTION: u8 = 1;
/// The identifier of a module's section of imports.
const IMPORT_SECTION: u8 = 2;
/// The modules whose functions a plugin's module may import.
const IMPORTS: [&str; 3] =
    ["tidegate:plugin/host@0.1.0", "tidegate:plugin/state@0.1.0", "wasi_snapshot_preview1"];

/// Why no component was made of a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComponentizeError {
    /// Not a core module, or a damaged one.
    #[error("not a WebAssembly module: {reason}")]
    Invalid {
        /// What the parser said.
        reason: String,
    },
    /// It imports what a plugin is not given.
    #[error(
        "the module imports {name}, which no plugin is given: it may import tidegate:plugin/host, \
         tidegate:plugin/state and WASI preview 1"
    )]
    Import {
        /// The import.
        name: String,
    },
    /// It lacks what every plugin exports.
    #[error("the module does not export {name}, as a plugin of kind {kind} must")]
    Export {
        /// The export.
        name: String,
        /// The kind that it was taken for.
        kind: PluginKind,
    },
    /// Its kind cannot be told.
    #[error("the module must export one of `filter`, `partition`, `transform`; it exports {found}")]
    Kind {
        /// How many.
        found: usize,
    },
}

/// Whether `bytes` are a core module, not a component.
pub(crate) fn is_core_module(bytes: &[u8]) -> bool {
    Parser::is_core_wasm(bytes)
}

/// Makes a component of a core module that follows the canonical ABI of the contract: it exports
/// `memory`, `cabi_realloc`, `_initialize`, `configure`, one of `filter`, `partition`, `transform`,
/// and for both of these `cabi_post_...`.
///
/// # Errors
/// If the module imports or exports something else. Its types are checked where it is installed.
pub fn componentize(module: &[u8]) -> Result<Vec<u8>, ComponentizeError> {
    let Module { exports, imports } = Module::read(module)?;
    let kinds: Vec<_> = PluginKind::ALL
        .iter()
        .copied()
        .filter(|kind| exports.iter().any(|name| name == kind.as_str()))
        .collect();
    let [kind] = kinds.as_slice() else {
        return Err(ComponentizeError::Kind { found: kinds.len() });
    };
    let post = format!("cabi_post_{kind}");
    for name in ["memory", "cabi_realloc", "_initialize", "configure", "cabi_post_configure", &post]
    {
        if !exports.iter().any(|export| export == name) {
            return Err(ComponentizeError::Export { name: name.to_owned(), kind: *kind });
        }
    }
    let shell = match kind {
        PluginKind::Filter => FILTER,
        PluginKind::Partition => PARTITION,
        PluginKind::Transform => TRANSFORM,
    };
    Ok(replace_module(shell, &with_imports_once(module, &imports)))
}

/// What of a module has to fit its surroundings.
struct Module<'a> {
    exports: Vec<String>,
    imports: Imports<'a>,
}

#[derive(Default)]
struct Imports<'a> {
    /// Where the section's content lies.
    range: Range<usize>,
    /// Module, name and type of each; all are functions.
    items: Vec<(&'a str, &'a str, u32)>,
}

impl<'a> Module<'a> {
    /// Reads a module, if it imports nothing that it is not given.
    fn read(module: &'a [u8]) -> Result<Module<'a>, ComponentizeError> {
        if !is_core_module(module) {
            let reason = "it does not begin as one".to_owned();
            return Err(ComponentizeError::Invalid { reason });
        }
        let invalid = |error: wasmparser::BinaryReaderError| ComponentizeError::Invalid {
            reason: error.to_string(),
        };
        let mut read = Module { exports: Vec::new(), imports: Imports::default() };
        for payload in Parser::new(0).parse_all(module) {
            match payload.map_err(invalid)? {
                Payload::ImportSection(section) => {
                    read.imports.range = section.range();
                    for import in section.into_imports() {
                        let import = import.map_err(invalid)?;
                        match import.ty {
                            TypeRef::Func(ty) if IMPORTS.contains(&import.module) => {
                                read.imports.items.push((import.module, import.name, ty));
                            }
                            _ => {
                                let name = format!("{}.{}", import.module, import.name);
                                return Err(ComponentizeError::Import { name });
                            }
                        }
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export.map_err(invalid)?;
                        if matches!(export.kind, ExternalKind::Func | ExternalKind::Memory) {
                            read.exports.push(export.name.to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(read)
    }
}

/// The module with each import that is there again under a second name: `fd_write#2`. A module may
/// import a function twice, a component's may not.
fn with_imports_once<'m>(module: &'m [u8], imports: &Imports<'_>) -> Cow<'m, [u8]> {
    let mut seen = BTreeMap::new();
    let mut content = leb128(imports.items.len());
    for (from, name, ty) in &imports.items {
        let times = seen.entry((from, name)).or_insert(0);
        *times += 1;
        let name = if *times == 1 { (*name).to_owned() } else { format!("{name}#{times}") };
        for text in [from, name.as_str()] {
            content.extend_from_slice(&leb128(text.len()));
            content.extend_from_slice(text.as_bytes());
        }
        content.push(0); // a function
        content.extend_from_slice(&leb128(*ty as usize));
    }
    if seen.len() == imports.items.len() {
        return Cow::Borrowed(module);
    }
    Cow::Owned(replace_section(module, &imports.range, IMPORT_SECTION, &content))
}

/// The shell with another module in place of its first.
fn replace_module(shell: &[u8], module: &[u8]) -> Vec<u8> {
    let first = Parser::new(0).parse_all(shell).find_map(|payload| match payload {
        Ok(Payload::ModuleSection { unchecked_range, .. }) => Some(unchecked_range),
        _ => None,
    });
    // The build script's encoder validated each shell, and a test finds its module.
    first.map_or_else(Vec::new, |range| replace_section(shell, &range, MODULE_SECTION, module))
}

/// `bytes` with other content in the section whose content lies at `range`.
fn replace_section(bytes: &[u8], range: &Range<usize>, id: u8, content: &[u8]) -> Vec<u8> {
    // Before the content lie the section's identifier and its length, which may be padded.
    let mut start = range.start - 1 - leb128(range.len()).len();
    while bytes[start] != id {
        start -= 1;
    }
    let mut out = Vec::with_capacity(bytes.len() + content.len());
    out.extend_from_slice(&bytes[..start]);
    out.push(id);
    out.extend_from_slice(&leb128(content.len()));
    out.extend_from_slice(content);
    out.extend_from_slice(&bytes[range.end..]);
    out
}

fn leb128(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_with_its_own_module_put_back_is_what_it_was() {
        for shell in [FILTER, PARTITION, TRANSFORM] {
            let range = Parser::new(0)
                .parse_all(shell)
                .find_map(|payload| match payload.unwrap() {
                    Payload::ModuleSection { unchecked_range, .. } => Some(unchecked_range),
                    _ => None,
                })
                .unwrap();
            let module = shell[range].to_vec();
            assert_eq!(componentize(&module).unwrap(), shell);
        }
    }

    #[test]
    fn what_is_no_plugin_is_told_with_what_it_lacks() {
        let empty = b"\0asm\x01\0\0\0";
        assert_eq!(componentize(empty), Err(ComponentizeError::Kind { found: 0 }));
        assert!(matches!(componentize(FILTER), Err(ComponentizeError::Invalid { .. })));
        // One function, exported as `filter`.
        let filter = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06filter\0\0\
                       \x0a\x04\x01\x02\0\x0b";
        let error = componentize(filter).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the module does not export memory, as a plugin of kind filter must"
        );
        // The import env.f.
        let import = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x09\x01\x03env\x01f\0\0";
        let error = componentize(import).unwrap_err();
        assert!(error.to_string().starts_with("the module imports env.f"), "{error}");
    }

    #[test]
    fn what_is_imported_twice_gets_a_second_name() {
        let module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x31\x02\
                       \x16wasi_snapshot_preview1\x01f\0\0\x16wasi_snapshot_preview1\x01f\0\0";
        let mut module = module.to_vec();
        let len = module.len() - 16;
        module[15] = len as u8;
        let read = Module::read(&module).unwrap();
        let renamed = with_imports_once(&module, &read.imports);
        let names = Module::read(&renamed).unwrap().imports.items;
        assert_eq!(names.iter().map(|item| item.1).collect::<Vec<_>>(), ["f", "f#2"]);
        let again = Module::read(&renamed).unwrap();
        assert!(matches!(with_imports_once(&renamed, &again.imports), Cow::Borrowed(_)));
    }

    #[test]
    fn lengths_are_written_as_the_format_wants() {
        assert_eq!(leb128(0), [0]);
        assert_eq!(leb128(127), [127]);
        assert_eq!(leb128(624_485), [0xe5, 0x8e, 0x26]);
    }
}
