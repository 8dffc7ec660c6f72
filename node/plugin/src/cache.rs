//! Components and their machine code on disk.
//!
//! `<hash>.wasm` is a component as it was installed. `<hash>-<engine>.cwasm` is its machine code for
//! one engine version and one set of settings, and `<hash>-<engine>.sum` the SHA-256 of that code.
//! Every file is complete or absent: it is written under another name, synced, and renamed. Only
//! the `.wasm` is irreplaceable; whatever else is missing, foreign or damaged is made anew.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ring::digest::{Context, SHA256};
use tidegate_types::PluginHash;
use tidegate_types::limits::MAX_PLUGIN;

use crate::hash::{hash_of, sha256};

const TEMPORARY: &str = "tmp";

#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    /// Names the engine's version and settings.
    engine: String,
    next_temporary: AtomicU64,
}

impl Cache {
    pub(crate) fn open(dir: PathBuf, engine: String) -> io::Result<Cache> {
        fs::create_dir_all(&dir)?;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == TEMPORARY) {
                fs::remove_file(path)?;
            }
        }
        Ok(Cache { dir, engine, next_temporary: AtomicU64::new(0) })
    }

    /// The components that are here.
    pub(crate) fn list(&self) -> io::Result<Vec<PluginHash>> {
        let mut hashes = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "wasm")
                && let Some(hash) = path.file_stem().and_then(|s| s.to_str()?.parse().ok())
            {
                hashes.push(hash);
            }
        }
        hashes.sort_unstable();
        Ok(hashes)
    }

    pub(crate) fn component_path(&self, hash: &PluginHash) -> PathBuf {
        self.dir.join(format!("{hash}.wasm"))
    }

    fn code_path(&self, hash: &PluginHash) -> PathBuf {
        self.dir.join(format!("{hash}-{}.cwasm", self.engine))
    }

    fn sum_path(&self, hash: &PluginHash) -> PathBuf {
        self.dir.join(format!("{hash}-{}.sum", self.engine))
    }

    pub(crate) fn write_component(&self, hash: &PluginHash, bytes: &[u8]) -> io::Result<()> {
        self.write(&self.component_path(hash), bytes)
    }

    /// The component's bytes; `None` where there are none, or not those that its name promises.
    pub(crate) fn read_component(&self, hash: &PluginHash) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.component_path(hash)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_PLUGIN.get() + 1).read_to_end(&mut bytes)?;
        Ok((hash_of(&bytes) == *hash).then_some(bytes))
    }

    pub(crate) fn write_code(&self, hash: &PluginHash, code: &[u8]) -> io::Result<()> {
        self.remove_code(hash)?;
        self.write(&self.code_path(hash), code)?;
        self.write(&self.sum_path(hash), &sha256(code))
    }

    /// The file with this engine's code for a component, if it is whole.
    pub(crate) fn find_code(&self, hash: &PluginHash) -> io::Result<Option<PathBuf>> {
        let path = self.code_path(hash);
        let found = (|| {
            let sum = fs::read(self.sum_path(hash))?;
            Ok(sum == hash_file(&path)?)
        })();
        match found {
            Ok(true) => Ok(Some(path)),
            Ok(false) => Ok(None),
            Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the code of every engine for a component.
    fn remove_code(&self, hash: &PluginHash) -> io::Result<()> {
        let prefix = format!("{hash}-");
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes a component and its code; whether there was one.
    pub(crate) fn remove(&self, hash: &PluginHash) -> io::Result<bool> {
        let existed = remove(&self.component_path(hash))?;
        self.remove_code(hash)?;
        sync_dir(&self.dir)?;
        Ok(existed)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let n = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!("{}-{n}.{TEMPORARY}", std::process::id()));
        let written = (|| {
            let mut file = File::create_new(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            sync_dir(&self.dir)
        })();
        if written.is_err() {
            // What is left is removed when the cache is next opened, if not here.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn hash_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(context.finish().as_ref().to_vec()),
            n => context.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(dir: &Path, engine: &str) -> Cache {
        Cache::open(dir.to_owned(), engine.to_owned()).unwrap()
    }

    #[test]
    fn a_component_comes_back_only_whole() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path(), "e1");
        let hash = hash_of(b"component");
        assert_eq!(cache.read_component(&hash).unwrap(), None);
        cache.write_component(&hash, b"component").unwrap();
        assert_eq!(cache.read_component(&hash).unwrap().as_deref(), Some(&b"component"[..]));
        assert_eq!(cache.list().unwrap(), [hash]);
        fs::write(cache.component_path(&hash), b"componenT").unwrap();
        assert_eq!(cache.read_component(&hash).unwrap(), None);
        assert!(cache.remove(&hash).unwrap());
        assert!(!cache.remove(&hash).unwrap());
        assert_eq!(cache.list().unwrap(), []);
    }

    #[test]
    fn code_is_found_only_for_its_engine_and_only_undamaged() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (cache(dir.path(), "e1"), cache(dir.path(), "e2"));
        let hash = hash_of(b"component");
        one.write_code(&hash, b"code one").unwrap();
        let path = one.find_code(&hash).unwrap().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"code one");
        assert_eq!(two.find_code(&hash).unwrap(), None);
        fs::write(&path, b"code onE").unwrap();
        assert_eq!(one.find_code(&hash).unwrap(), None);
        one.write_code(&hash, b"code one").unwrap();
        two.write_code(&hash, b"code two").unwrap();
        assert_eq!(one.find_code(&hash).unwrap(), None, "another engine's code is not kept");
        assert!(two.find_code(&hash).unwrap().is_some());
    }

    #[test]
    fn what_was_half_written_is_gone_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("1-0.tmp"), b"half").unwrap();
        let cache = cache(dir.path(), "e1");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(cache.list().unwrap(), []);
    }
}
