//! The simulated folders: names as the process sees them, and as the platter has them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};

use crate::{DirEntry, Rng};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    File(usize),
    Dir(usize),
}

#[derive(Clone, Debug)]
enum Change {
    Link(String, Node),
    Unlink(String),
    Rename(String, String),
}

type Names = BTreeMap<String, Node>;

#[derive(Clone, Debug, Default)]
struct Folder {
    seen: Names,
    platter: Names,
    pending: Vec<Change>,
}

fn apply(names: &mut Names, change: &Change) {
    match change {
        Change::Link(name, node) => {
            names.insert(name.clone(), *node);
        }
        Change::Unlink(name) => {
            names.remove(name);
        }
        Change::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
    }
}

impl Folder {
    fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.pending.push(change);
    }
}

/// All folders; the root is the first.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    folders: Vec<Folder>,
}

/// The names along a path; the root and `.` are none.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?);
            }
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        }
    }
    Ok(names)
}

impl Tree {
    pub(super) fn new() -> Tree {
        Tree { folders: vec![Folder::default()] }
    }

    fn folder(&self, names: &[&str]) -> io::Result<usize> {
        let mut at = 0;
        for name in names {
            at = match self.folders[at].seen.get(*name) {
                Some(Node::Dir(id)) => *id,
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => return Err(io::ErrorKind::NotFound.into()),
            };
        }
        Ok(at)
    }

    /// The folder that holds the path's last name, and that name.
    fn parent<'p>(&self, path: &'p Path) -> io::Result<(usize, &'p str)> {
        let names = names(path)?;
        let (name, above) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.folder(above)?, name))
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        let (folder, name) = self.parent(path)?;
        self.folders[folder].seen.get(name).copied().ok_or(io::ErrorKind::NotFound.into())
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<usize> {
        match self.node(path)? {
            Node::File(id) => Ok(id),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        names(path).is_ok_and(|names| names.is_empty()) || self.node(path).is_ok()
    }

    pub(super) fn link_file(&mut self, path: &Path, id: usize) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        self.folders[folder].change(Change::Link(name.to_owned(), Node::File(id)));
        Ok(())
    }

    /// How many folders of a path are missing.
    pub(super) fn missing(&self, path: &Path) -> io::Result<u64> {
        let names = names(path)?;
        for there in 0..names.len() {
            match self.folder(&names[..=there]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok((names.len() - there) as u64);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut at = 0;
        for name in names(path)? {
            at = match self.folders[at].seen.get(name) {
                Some(Node::Dir(id)) => *id,
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {
                    let id = self.folders.len();
                    self.folders.push(Folder::default());
                    self.folders[at].change(Change::Link(name.to_owned(), Node::Dir(id)));
                    self.sync(at);
                    id
                }
            };
        }
        Ok(())
    }

    fn sync(&mut self, folder: usize) {
        let Folder { platter, pending, .. } = &mut self.folders[folder];
        for change in pending.drain(..) {
            apply(platter, &change);
        }
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let folder = self.folder(&names(path)?)?;
        self.sync(folder);
        Ok(())
    }

    pub(super) fn list(
        &self,
        path: &Path,
        file_len: impl Fn(usize) -> u64,
    ) -> io::Result<Vec<DirEntry>> {
        let folder = self.folder(&names(path)?)?;
        let entry = |(name, node): (&String, &Node)| match node {
            Node::File(id) => DirEntry { name: name.clone(), is_dir: false, len: file_len(*id) },
            Node::Dir(_) => DirEntry { name: name.clone(), is_dir: true, len: 0 },
        };
        Ok(self.folders[folder].seen.iter().map(entry).collect())
    }

    /// Removes a file's name; gives the file that had it.
    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<usize> {
        let id = self.file(path)?;
        let (folder, name) = self.parent(path)?;
        self.folders[folder].change(Change::Unlink(name.to_owned()));
        Ok(id)
    }

    /// Removes a folder; gives the files that were in it, and the number of folders gone.
    pub(super) fn remove_dir_all(&mut self, path: &Path) -> io::Result<(Vec<usize>, u64)> {
        let (mut files, mut gone) = (Vec::new(), 0);
        let Node::Dir(removed) = self.node(path)? else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        // Emptied first, name by name, as the real one is: a crash may leave some of it.
        let mut below = vec![removed];
        while let Some(at) = below.pop() {
            gone += 1;
            let names: Vec<_> =
                self.folders[at].seen.iter().map(|(n, k)| (n.clone(), *k)).collect();
            for (name, node) in names {
                match node {
                    Node::Dir(id) => below.push(id),
                    Node::File(id) => files.push(id),
                }
                self.folders[at].change(Change::Unlink(name));
            }
        }
        let (folder, name) = self.parent(path)?;
        self.folders[folder].change(Change::Unlink(name.to_owned()));
        Ok((files, gone))
    }

    /// Renames; gives the file that lost its name to this one.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<Option<usize>> {
        let node = self.node(from)?;
        let (folder, from_name) = self.parent(from)?;
        let (to_folder, to_name) = self.parent(to)?;
        if folder != to_folder {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the simulated disk renames within one folder only",
            ));
        }
        let replaced = self.folders[folder].seen.get(to_name).copied();
        match (node, replaced) {
            (Node::File(_), Some(Node::Dir(_))) => return Err(io::ErrorKind::IsADirectory.into()),
            (Node::Dir(_), Some(Node::File(_))) => {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            (Node::Dir(_), Some(Node::Dir(id))) if !self.folders[id].seen.is_empty() => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            _ => {}
        }
        if replaced == Some(node) {
            return Ok(None);
        }
        self.folders[folder].change(Change::Rename(from_name.to_owned(), to_name.to_owned()));
        Ok(match replaced {
            Some(Node::File(id)) => Some(id),
            _ => None,
        })
    }

    pub(super) fn after_crash(&self, rng: &mut Rng) -> Tree {
        let settle = |folder: &Folder| {
            let mut names = folder.platter.clone();
            let kept = rng.below(folder.pending.len() as u64 + 1) as usize;
            for change in &folder.pending[..kept] {
                apply(&mut names, change);
            }
            Folder { seen: names.clone(), platter: names, pending: Vec::new() }
        };
        Tree { folders: self.folders.iter().map(settle).collect() }
    }

    /// The files that have a name, and the number of folders below the root.
    pub(super) fn reachable(&self) -> (Vec<usize>, u64) {
        let (mut files, mut folders) = (Vec::new(), 0);
        let mut below = vec![0];
        while let Some(at) = below.pop() {
            for node in self.folders[at].seen.values() {
                match node {
                    Node::File(id) => files.push(*id),
                    Node::Dir(id) => {
                        folders += 1;
                        below.push(*id);
                    }
                }
            }
        }
        (files, folders)
    }
}
