//! Text files into one compressed list: the templates are the larger part of a small binary else.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// The files of some folders, each under its prefix, as deflated JSON of path to text.
pub fn pack(folders: &[(PathBuf, &str)]) -> io::Result<Vec<u8>> {
    let mut files = BTreeMap::new();
    for (folder, prefix) in folders {
        walk(folder, prefix, &mut files)?;
    }
    let mut out = DeflateEncoder::new(Vec::new(), Compression::best());
    out.write_all(&serde_json::to_vec(&files)?)?;
    out.finish()
}

fn walk(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{path}/"), files)?;
        } else if !name.ends_with("tests.rs") {
            files.insert(path, fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}
