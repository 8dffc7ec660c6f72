//! A folder in one file, since an index is a megabyte of mostly zeros.
//!
//! The file is gzip. In it, for each file in order of its path, with nothing before, between or
//! after:
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | length of the path, u32 big-endian |
//! | ... | the path from the folder on, UTF-8, with `/` |
//! | 8 | length of the content, u64 big-endian |
//! | ... | the content |
//!
//! Folders are those that the paths name.

use std::io::{Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// Paths with contents.
pub type Files = Vec<(String, Vec<u8>)>;

/// No folder of these tests comes near it.
const MAX: u64 = 64 << 20;

pub fn pack(files: &Files) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    for (path, content) in files {
        packer.write_all(&u32::try_from(path.len()).unwrap().to_be_bytes()).unwrap();
        packer.write_all(path.as_bytes()).unwrap();
        packer.write_all(&(content.len() as u64).to_be_bytes()).unwrap();
        packer.write_all(content).unwrap();
    }
    packer.finish().unwrap()
}

pub fn unpack(archive: &[u8]) -> Files {
    let mut bytes = Vec::new();
    GzDecoder::new(archive).take(MAX).read_to_end(&mut bytes).unwrap();
    let (mut rest, mut files) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let (len, after) = rest.split_first_chunk().unwrap();
        let (path, after) = after.split_at(u32::from_be_bytes(*len) as usize);
        let (len, after) = after.split_first_chunk().unwrap();
        let (content, after) = after.split_at(u64::from_be_bytes(*len) as usize);
        files.push((String::from_utf8(path.to_vec()).unwrap(), content.to_vec()));
        rest = after;
    }
    files
}

/// Writes the files into a folder.
pub fn lay_out(files: &Files, root: &Path) {
    for (path, content) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}
