//! A component in the node's own host, on this machine.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tidegate_plugin::{
    HostConfig, HostError, InstallError, Instance, InstantiateError, Limits, LoadError, Plugin,
    PluginHost, hash_of,
};
use tidegate_types::PluginHash;

/// Why a component does not run here.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No place for compiled code.
    #[error("cannot make a folder for compiled plugins")]
    Folder(#[source] io::Error),
    /// No host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It is no plugin.
    #[error("a node would not install it: {0}")]
    Install(#[from] InstallError),
    /// It was installed and did not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It does not start.
    #[error(transparent)]
    Instantiate(#[from] InstantiateError),
}

/// A workbench: the node's host, and a folder of its own for compiled code.
pub struct Bench {
    host: PluginHost,
    /// Removed with the bench, where nobody named a folder.
    _folder: Option<TempDir>,
}

impl Bench {
    /// A bench that keeps compiled code in `cache`, or for as long as it lives.
    ///
    /// Compiled code is trusted: the folder must be one that nobody else writes to.
    ///
    /// # Errors
    /// If the folder cannot be used, or there is no engine for this machine.
    pub fn new(cache: Option<&Path>) -> Result<Bench, BenchError> {
        let folder = match cache {
            Some(_) => None,
            None => Some(TempDir::new().map_err(BenchError::Folder)?),
        };
        let path: PathBuf = match (cache, &folder) {
            (Some(cache), _) => cache.to_owned(),
            (None, Some(folder)) => folder.path().to_owned(),
            (None, None) => PathBuf::new(),
        };
        Ok(Bench { host: PluginHost::new(HostConfig::new(path))?, _folder: folder })
    }

    /// Takes a component as a node does: inspects it, checks its types, compiles it. One that was
    /// compiled here before is only loaded.
    ///
    /// # Errors
    /// Says why a node would not take it.
    pub fn load(&self, component: &[u8]) -> Result<Arc<Plugin>, BenchError> {
        let hash = hash_of(component);
        let known = self.host.installed().is_ok_and(|known| known.contains(&hash));
        if !known {
            self.host.install(component)?;
        }
        Ok(self.host.load(&hash)?)
    }

    /// Forgets all compiled code but that of one plugin.
    pub fn keep_only(&self, hash: &PluginHash) {
        // What cannot be listed or removed only takes room.
        for known in self.host.installed().unwrap_or_default() {
            if known != *hash {
                let _ = self.host.remove(&known);
            }
        }
    }

    /// A running instance.
    ///
    /// # Errors
    /// If the plugin refuses the configuration or fails over it.
    pub fn instance(
        &self,
        component: &[u8],
        config: &str,
        limits: Limits,
    ) -> Result<Instance, BenchError> {
        Ok(self.load(component)?.instantiate(config, limits)?)
    }
}
