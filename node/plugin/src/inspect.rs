//! What a component says of itself, read before anything is compiled.
//!
//! Only names are looked at: whether the component is valid, and its functions have the right types,
//! is for the compiler and the linker to say.

use tidegate_types::ByteSize;
use tidegate_types::limits::MAX_PLUGIN;
use wasmparser::{ComponentTypeRef, Parser, Payload};

use crate::abi::WORLD_VERSION;
use crate::guest::one_line;
use tidegate_types::PluginKind;

/// Longest reason that is passed on from the parser.
const MAX_REASON: usize = 512;

/// Why bytes are not a plugin that this node can run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// Larger than a plugin may be.
    #[error("plugin is {size}, at most {max} are allowed", max = MAX_PLUGIN)]
    TooLarge {
        /// Its size.
        size: ByteSize,
    },
    /// Something else altogether.
    #[error("not WebAssembly: the file does not begin with \\0asm")]
    NotWasm,
    /// WebAssembly, but not a component.
    #[error(
        "a core module, not a component: build it for wasm32-wasip2, or make a component of it \
         with `wasm-tools component new`"
    )]
    CoreModule,
    /// Cut short or damaged.
    #[error("damaged component, at byte {offset}: {reason}")]
    Corrupt {
        /// Where reading stopped.
        offset: u64,
        /// What was wrong there.
        reason: String,
    },
    /// A component, but not one of ours.
    #[error("not a Tidegate plugin: {reason}")]
    NotAPlugin {
        /// What it lacks.
        reason: String,
    },
    /// A plugin of another time.
    #[error(
        "this component was built against tidegate:plugin@{found}; this node knows {known}",
        known = WORLD_VERSION
    )]
    UnknownVersion {
        /// The version that it was built against.
        found: String,
    },
    /// It wants something that no plugin is given.
    #[error("imports {name}, which this node does not offer: plugins get tidegate:plugin only")]
    ForeignImport {
        /// The import.
        name: String,
    },
}

/// What the names tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inspected {
    pub kind: PluginKind,
    pub version: String,
}

/// Reads the names of a component's imports and exports.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Inspected, InspectError> {
    let size = ByteSize::bytes(bytes.len() as u64);
    if size > MAX_PLUGIN {
        return Err(InspectError::TooLarge { size });
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(InspectError::NotWasm);
    }
    if Parser::is_core_wasm(bytes) {
        return Err(InspectError::CoreModule);
    }
    let names = Names::read(bytes).map_err(|error| InspectError::Corrupt {
        offset: error.offset() as u64,
        reason: one_line(error.message().to_owned(), MAX_REASON),
    })?;
    let version = names.version()?;
    Ok(Inspected { kind: names.kind()?, version })
}

#[derive(Default)]
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Names {
    fn read(bytes: &[u8]) -> Result<Names, wasmparser::BinaryReaderError> {
        let mut names = Names::default();
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let import = import?;
                        // Types that the world uses are named beside what is called.
                        if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                            names.imports.push(import.name.name.to_owned());
                        }
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        names.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(names)
    }

    fn version(&self) -> Result<String, InspectError> {
        let mut version = None;
        for name in &self.imports {
            if name.starts_with("tidegate:plugin/") {
                let found = name.rsplit_once('@').map_or("an unknown version", |(_, v)| v);
                if found != WORLD_VERSION {
                    return Err(InspectError::UnknownVersion { found: found.to_owned() });
                }
                version = Some(found.to_owned());
            } else if !name.starts_with("wasi:") {
                return Err(InspectError::ForeignImport { name: name.clone() });
            }
        }
        version.ok_or_else(|| InspectError::NotAPlugin {
            reason: "it does not use tidegate:plugin".to_owned(),
        })
    }

    fn kind(&self) -> Result<PluginKind, InspectError> {
        let not = |reason: &str| InspectError::NotAPlugin { reason: reason.to_owned() };
        if !self.exports.iter().any(|name| name == "configure") {
            return Err(not("it does not export `configure`"));
        }
        let mut kinds = PluginKind::ALL
            .iter()
            .copied()
            .filter(|kind| self.exports.iter().any(|n| n == kind.as_str()));
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) => Ok(kind),
            (None, _) => Err(not("it exports none of `filter`, `partition`, `transform`")),
            (Some(_), Some(_)) => {
                Err(not("it exports more than one of `filter`, `partition`, `transform`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_named() {
        assert_eq!(inspect(b""), Err(InspectError::NotWasm));
        assert_eq!(inspect(b"#!/bin/sh\n"), Err(InspectError::NotWasm));
        assert_eq!(inspect(b"\0asm\x01\0\0\0"), Err(InspectError::CoreModule));
        assert!(matches!(inspect(b"\0asm"), Err(InspectError::Corrupt { .. })));
        assert!(matches!(inspect(b"\0asm\x0d\0\x01\0"), Err(InspectError::NotAPlugin { .. })));
        let huge = vec![0; MAX_PLUGIN.as_usize() + 1];
        assert!(matches!(inspect(&huge), Err(InspectError::TooLarge { .. })));
    }
}
