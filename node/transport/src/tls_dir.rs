//! A node's `tls` folder: `ca.pem ca.key node.pem node.key client.pem client.key`.
//!
//! It is made once, all or nothing: written beside its place, synced, then renamed into it. Keys
//! are readable by their owner alone. What is there already is never changed here.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tidegate_types::{NodeId, SiteName};

use crate::authority::{Authority, IssueError, LoadAuthorityError};
use crate::role::{Role, RoleError};
use crate::tls::{Identity, ReadIdentityError};

const FILES: [&str; 6] = ["ca.pem", "ca.key", "node.pem", "node.key", "client.pem", "client.key"];

/// Name of the client whose certificate is made with the folder.
const FIRST_CLIENT: &str = "admin";

/// Why the folder could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum InitTlsError {
    /// Some of the files are there, others are not.
    #[error(
        "{} has no {missing}, but other files of the set: restore it, or move the folder away",
        .dir.display()
    )]
    Partial {
        /// The folder.
        dir: PathBuf,
        /// The first file that is missing.
        missing: &'static str,
    },
    /// The folder was made for another node.
    #[error("{} holds the identity {found}, not {wanted}: was the node renamed?", .dir.display())]
    OtherNode {
        /// The folder.
        dir: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// A file in it cannot be read.
    #[error(transparent)]
    Read(#[from] ReadIdentityError),
    /// The node's certificate in it is not understood.
    #[error("the node's certificate in {} is not usable", .dir.display())]
    Role {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with it.
        source: RoleError,
    },
    /// The authority in it cannot be used.
    #[error("the site's authority in {} is not usable", .dir.display())]
    Authority {
        /// The folder.
        dir: PathBuf,
        /// What is wrong with it.
        source: LoadAuthorityError,
    },
    /// A certificate could not be made.
    #[error("cannot make the site's certificates")]
    Issue(#[from] IssueError),
    /// A file or folder could not be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Makes the folder with a new authority for `site`, the node's certificate (which also holds for
/// the host names and addresses in `names`) and one for a first client, `admin`. A folder that is
/// complete is checked and left as it is.
///
/// # Errors
/// If the folder is incomplete or another node's, or cannot be written.
pub fn init_tls_dir(
    dir: &Path,
    site: &SiteName,
    node: NodeId,
    names: &[String],
) -> Result<Authority, InitTlsError> {
    let missing: Vec<_> = FILES.into_iter().filter(|file| !dir.join(file).exists()).collect();
    match missing.as_slice() {
        [] => load(dir, site, node),
        [first, ..] if missing.len() < FILES.len() => {
            Err(InitTlsError::Partial { dir: dir.to_owned(), missing: first })
        }
        _ => create(dir, site, node, names),
    }
}

fn load(dir: &Path, site: &SiteName, node: NodeId) -> Result<Authority, InitTlsError> {
    let role = Identity::node_from_dir(dir)?
        .role()
        .map_err(|source| InitTlsError::Role { dir: dir.to_owned(), source })?;
    let wanted = Role::Node { site: site.clone(), id: node };
    if role != wanted {
        return Err(InitTlsError::OtherNode {
            dir: dir.to_owned(),
            found: role.to_string(),
            wanted: wanted.to_string(),
        });
    }
    Authority::load(dir, site)
        .map_err(|source| InitTlsError::Authority { dir: dir.to_owned(), source })
}

fn create(
    dir: &Path,
    site: &SiteName,
    node: NodeId,
    names: &[String],
) -> Result<Authority, InitTlsError> {
    let authority = Authority::create(site)?;
    let own = authority.issue_node(node, names)?;
    let client =
        authority.issue(&Role::Client { site: site.clone(), name: FIRST_CLIENT.to_owned() })?;
    let contents = [
        authority.certificate_pem().to_owned(),
        authority.key_pem().0,
        own.certificate,
        own.key.0,
        client.certificate,
        client.key.0,
    ];

    let mut staging = dir.as_os_str().to_owned();
    staging.push(".new");
    let staging = PathBuf::from(staging);
    let write = |path: &Path, result: io::Result<()>| {
        result.map_err(|source| InitTlsError::Write { path: path.to_owned(), source })
    };
    match fs::remove_dir_all(&staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => write(&staging, Err(error))?,
        _ => {}
    }
    write(&staging, create_private_dir(&staging))?;
    for (file, text) in FILES.iter().zip(&contents) {
        let path = staging.join(file);
        write(&path, write_file(&path, text, file.ends_with(".key")))?;
    }
    write(&staging, sync_dir(&staging))?;
    write(dir, fs::rename(&staging, dir))?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        write(parent, sync_dir(parent))?;
    }
    Ok(authority)
}

#[cfg(unix)]
fn create_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn create_private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

fn write_file(path: &Path, text: &str, private: bool) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(if private { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = private;
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{ClientTls, ServerTls};

    fn site() -> SiteName {
        SiteName::new("hq").unwrap()
    }

    fn read_all(dir: &Path) -> Vec<String> {
        FILES.iter().map(|file| fs::read_to_string(dir.join(file)).unwrap()).collect()
    }

    #[test]
    fn a_folder_is_made_once_and_kept() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("data/tls");
        fs::create_dir(base.path().join("data")).unwrap();
        // A staging folder that an interrupted start left behind.
        fs::create_dir(base.path().join("data/tls.new")).unwrap();
        fs::write(base.path().join("data/tls.new/ca.pem"), "half").unwrap();

        let first = init_tls_dir(&dir, &site(), NodeId(1), &[]).unwrap();
        let files = read_all(&dir);
        let again = init_tls_dir(&dir, &site(), NodeId(1), &["other".into()]).unwrap();
        assert_eq!(first.certificate_pem(), again.certificate_pem());
        assert_eq!(files, read_all(&dir));
        assert!(!base.path().join("data/tls.new").exists());

        ServerTls::new(&Identity::node_from_dir(&dir).unwrap()).unwrap();
        let client = Identity::client_from_dir(&dir).unwrap();
        ClientTls::new(&client).unwrap();
        assert_eq!(client.role().unwrap().to_string(), "tidegate://hq/client/admin");
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_readable_by_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("tls");
        init_tls_dir(&dir, &site(), NodeId(1), &[]).unwrap();
        for file in FILES {
            let mode = fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777;
            if file.ends_with(".key") {
                assert_eq!(mode, 0o600, "{file}");
            }
        }
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o077, 0);
    }

    #[test]
    fn an_incomplete_folder_is_refused_and_left_alone() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("tls");
        init_tls_dir(&dir, &site(), NodeId(1), &[]).unwrap();
        fs::remove_file(dir.join("node.key")).unwrap();
        let error = init_tls_dir(&dir, &site(), NodeId(1), &[]).unwrap_err();
        assert!(matches!(error, InitTlsError::Partial { missing: "node.key", .. }), "{error}");
        assert!(!dir.join("node.key").exists());
    }

    #[test]
    fn another_nodes_folder_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("tls");
        init_tls_dir(&dir, &site(), NodeId(1), &[]).unwrap();
        let error = init_tls_dir(&dir, &site(), NodeId(2), &[]).unwrap_err();
        assert!(matches!(error, InitTlsError::OtherNode { .. }), "{error}");
    }
}
