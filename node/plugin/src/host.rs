//! Installing and loading: from bytes that somebody sent to code that can run.
//!
//! A component is compiled once, when it is installed, and never on the way of a request. What is
//! loaded is shared: two attachments of one plugin use the same code.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tidegate_types::{ByteSize, PluginHash, PluginKind};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentType, Lift, Linker, Lower};
use wasmtime::component::{ComponentNamedList, InstancePre};
use wasmtime::{Config, Engine, Strategy};

use crate::abi;
use crate::cache::Cache;
use crate::guest::{self, Guest, one_line};
use crate::hash::hash_of;
use crate::inspect::{InspectError, inspect};
use crate::plugin::Plugin;
use crate::ticker::Ticker;

/// Longest reason that is passed on from the compiler.
const MAX_REASON: usize = 1_024;

/// How plugins are turned into something that runs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Backend {
    /// Machine code. The default.
    #[default]
    Native,
    /// Interpreted byte code, some ten times slower: where memory must not be made executable, as
    /// under systemd's `MemoryDenyWriteExecute`.
    Interpreter,
}

/// What a [`PluginHost`] is made of.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where components and their code are kept.
    pub cache_dir: PathBuf,
    /// How they run.
    pub backend: Backend,
    /// Address space set aside for each running instance. `None`, the default, takes 4 GiB, which
    /// costs no memory and lets bounds checks be left out; on a device with little address space a
    /// bound such as 64 MiB costs 20 to 45 % of a plugin's speed.
    pub memory_reservation: Option<ByteSize>,
}

impl HostConfig {
    /// The defaults, with everything kept in `cache_dir`.
    #[must_use]
    pub fn new(cache_dir: impl Into<PathBuf>) -> HostConfig {
        HostConfig {
            cache_dir: cache_dir.into(),
            backend: Backend::default(),
            memory_reservation: None,
        }
    }
}

/// Why no host could be made.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The settings do not fit this machine.
    #[error("cannot set up the plugin engine: {reason}")]
    Engine {
        /// What the engine said.
        reason: String,
    },
    /// No thread for the clock.
    #[error("cannot start the thread that limits the time of plugins")]
    Ticker(#[source] io::Error),
    /// The folder for components cannot be used.
    #[error("cannot use {} for plugins", dir.display())]
    Cache {
        /// The folder.
        dir: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// Why a component was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It is no plugin that this node knows.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// The compiler refused it.
    #[error("not a valid component: {reason}")]
    Invalid {
        /// What the compiler said.
        reason: String,
    },
    /// Its imports or exports have other types than their names promise.
    #[error("does not fit tidegate:plugin@{version}: {reason}", version = abi::WORLD_VERSION)]
    Mismatch {
        /// What does not fit.
        reason: String,
    },
    /// It could not be stored.
    #[error("cannot store the plugin")]
    Store(#[source] io::Error),
}

/// Why an installed plugin could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No such plugin is installed, or its file was damaged.
    #[error(
        "plugin {hash} is not installed on this node, or its file is damaged: install it again"
    )]
    NotInstalled {
        /// The plugin.
        hash: PluginHash,
    },
    /// Its files could not be read.
    #[error("cannot read plugin {hash}")]
    Read {
        /// The plugin.
        hash: PluginHash,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// It was installed by a node that knew it, and this one does not.
    #[error("plugin {hash} cannot run on this node")]
    Unusable {
        /// The plugin.
        hash: PluginHash,
        /// Why.
        #[source]
        source: Box<InstallError>,
    },
}

/// What was installed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Installed {
    /// Its name from now on.
    pub hash: PluginHash,
    /// What it does.
    pub kind: PluginKind,
    /// The version of `tidegate:plugin` that it was built against.
    pub version: String,
    /// The size of the component.
    pub size: ByteSize,
    /// How long compiling took.
    pub compile: Duration,
}

/// Installs and loads plugins; one for a node.
pub struct PluginHost {
    engine: Engine,
    ticker: Arc<Ticker>,
    cache: Cache,
    loaded: Mutex<HashMap<PluginHash, Weak<Plugin>>>,
}

impl PluginHost {
    /// A host with its engine and its clock.
    ///
    /// # Errors
    /// If the engine's settings do not fit the machine, or the folder cannot be used.
    pub fn new(config: HostConfig) -> Result<PluginHost, HostError> {
        let engine =
            engine(&config).map_err(|error| HostError::Engine { reason: reason(&error) })?;
        let ticker = Ticker::start(&engine).map_err(HostError::Ticker)?;
        let dir = config.cache_dir;
        let cache = Cache::open(dir.clone(), fingerprint(&engine))
            .map_err(|source| HostError::Cache { dir, source })?;
        Ok(PluginHost { engine, ticker: Arc::new(ticker), cache, loaded: Mutex::default() })
    }

    /// Checks a component, compiles it, and stores both durably. Installing what is installed
    /// already does it again and changes nothing.
    ///
    /// # Errors
    /// If it is not a plugin that this node can run, or cannot be stored.
    pub fn install(&self, component: &[u8]) -> Result<Installed, InstallError> {
        let inspected = inspect(component)?;
        let hash = hash_of(component);
        let started = Instant::now();
        let compiled = self.compile(component)?;
        let compile = started.elapsed();
        self.prepare(&compiled, inspected.kind)?;
        let code = compiled.serialize().map_err(invalid)?;
        self.cache.write_component(&hash, component).map_err(InstallError::Store)?;
        self.cache.write_code(&hash, &code).map_err(InstallError::Store)?;
        tracing::info!(%hash, kind = %inspected.kind, ?compile, "plugin installed");
        Ok(Installed {
            hash,
            kind: inspected.kind,
            version: inspected.version,
            size: ByteSize::bytes(component.len() as u64),
            compile,
        })
    }

    /// Loads an installed plugin. Its code is compiled again if it is another engine's or damaged.
    ///
    /// # Errors
    /// If it is not installed, or this node cannot run it.
    pub fn load(&self, hash: &PluginHash) -> Result<Arc<Plugin>, LoadError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plugin) = loaded.get(hash).and_then(Weak::upgrade) {
            return Ok(plugin);
        }
        let plugin = Arc::new(self.load_from_disk(hash)?);
        loaded.retain(|_, plugin| plugin.strong_count() > 0);
        loaded.insert(*hash, Arc::downgrade(&plugin));
        Ok(plugin)
    }

    /// Forgets a plugin. Instances that run go on running. Tells whether it was installed.
    ///
    /// # Errors
    /// If its files cannot be removed.
    pub fn remove(&self, hash: &PluginHash) -> io::Result<bool> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).remove(hash);
        self.cache.remove(hash)
    }

    /// The plugins that are installed here.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn installed(&self) -> io::Result<Vec<PluginHash>> {
        self.cache.list()
    }

    /// The bytes of an installed component, to hand on to another node.
    ///
    /// # Errors
    /// If it is not installed or cannot be read.
    pub fn component(&self, hash: &PluginHash) -> Result<Vec<u8>, LoadError> {
        self.cache
            .read_component(hash)
            .map_err(|source| LoadError::Read { hash: *hash, source })?
            .ok_or(LoadError::NotInstalled { hash: *hash })
    }

    fn load_from_disk(&self, hash: &PluginHash) -> Result<Plugin, LoadError> {
        let bytes = self.component(hash)?;
        let unusable = |source| LoadError::Unusable { hash: *hash, source: Box::new(source) };
        let inspected = inspect(&bytes).map_err(|error| unusable(error.into()))?;
        let component = match self.cached_code(hash) {
            Some(component) => component,
            None => {
                let component = self.compile(&bytes).map_err(unusable)?;
                self.store_code(hash, &component);
                component
            }
        };
        let pre = self.prepare(&component, inspected.kind).map_err(unusable)?;
        Ok(Plugin::new(*hash, inspected, bytes.len(), pre, Arc::clone(&self.ticker)))
    }

    #[expect(unsafe_code, reason = "the only way to load compiled code; see SAFETY")]
    fn cached_code(&self, hash: &PluginHash) -> Option<Component> {
        let path = match self.cache.find_code(hash) {
            Ok(path) => path?,
            Err(error) => {
                tracing::warn!(%hash, %error, "cannot read a plugin's code: compiling it again");
                return None;
            }
        };
        // SAFETY: the file was written by `Component::serialize` of an engine with this one's
        // version and settings (they are part of its name), under a name that only complete files
        // get, and its SHA-256 was just compared with the one stored beside it. The folder is the
        // node's own: who can write there can replace the node's binary as well. The file is
        // replaced by renaming only, so a mapping of it does not change.
        match unsafe { Component::deserialize_file(&self.engine, &path) } {
            Ok(component) => Some(component),
            Err(error) => {
                let reason = reason(&error);
                tracing::warn!(%hash, reason, "cannot load a plugin's code: compiling it again");
                None
            }
        }
    }

    /// Stores code that was compiled while loading; without it, loading is only slower.
    fn store_code(&self, hash: &PluginHash, component: &Component) {
        let stored = component
            .serialize()
            .map_err(io::Error::other)
            .and_then(|code| self.cache.write_code(hash, &code));
        if let Err(error) = stored {
            tracing::warn!(%hash, %error, "cannot store a plugin's code");
        }
    }

    fn compile(&self, component: &[u8]) -> Result<Component, InstallError> {
        Component::from_binary(&self.engine, component).map_err(invalid)
    }

    /// Links a component and checks the types of what it exports.
    fn prepare(
        &self,
        component: &Component,
        kind: PluginKind,
    ) -> Result<InstancePre<Guest>, InstallError> {
        let mismatch = |error: wasmtime::Error| InstallError::Mismatch { reason: reason(&error) };
        let mut linker = Linker::new(&self.engine);
        guest::link(&self.engine, &mut linker, component).map_err(mismatch)?;
        let pre = linker.instantiate_pre(component).map_err(mismatch)?;
        self.check_export::<abi::ConfigureArguments, abi::ConfigureAnswer>(component, "configure")?;
        match kind {
            PluginKind::Filter => {
                self.check_export::<abi::Arguments, abi::FilterAnswer>(component, kind.as_str())?;
            }
            PluginKind::Partition => {
                self.check_export::<abi::Arguments, abi::PartitionAnswer>(
                    component,
                    kind.as_str(),
                )?;
            }
            PluginKind::Transform => {
                self.check_export::<abi::Arguments, abi::TransformAnswer>(
                    component,
                    kind.as_str(),
                )?;
            }
        }
        Ok(pre)
    }

    fn check_export<P, R>(&self, component: &Component, name: &str) -> Result<(), InstallError>
    where
        P: ComponentNamedList + Lower + ComponentType,
        R: ComponentNamedList + Lift + ComponentType,
    {
        let ty = component.component_type();
        let checked = match ty.get_export(&self.engine, name).map(|export| export.ty) {
            Some(ComponentItem::ComponentFunc(func)) => {
                func.typecheck::<P, R>(&ty.instance_type()).map_err(|error| reason(&error))
            }
            _ => Err("it is not a function".to_owned()),
        };
        checked.map_err(|why| InstallError::Mismatch { reason: format!("export `{name}`: {why}") })
    }
}

fn engine(config: &HostConfig) -> wasmtime::Result<Engine> {
    let mut settings = Config::new();
    settings
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        // 580 ns a call against 176 with it.
        .concurrency_support(false)
        // A re-run must give the same bytes.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false);
    if let Some(reservation) = config.memory_reservation {
        settings.memory_reservation(reservation.get());
        settings.memory_guard_size(64 << 10);
    }
    if config.backend == Backend::Interpreter {
        settings.target(if cfg!(target_pointer_width = "64") { "pulley64" } else { "pulley32" })?;
    }
    Engine::new(&settings)
}

/// Names the engine's version and those of its settings that its code depends on.
fn fingerprint(engine: &Engine) -> String {
    /// FNV-1a: stable from one build of this node to the next, as the standard hasher need not be.
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn invalid(error: wasmtime::Error) -> InstallError {
    InstallError::Invalid { reason: reason(&error) }
}

/// The whole chain of an engine's error, on one line.
pub(crate) fn reason(error: &wasmtime::Error) -> String {
    one_line(format!("{error:#}"), MAX_REASON)
}
