//! The file that carries an invitation from one site to another.
//!
//! TOML, with the address to dial and three PEM texts. It holds a private key: whoever has it may
//! write to the inviting site under the invited site's name. Files are made readable by their owner
//! only, and nothing here prints the key except the file itself.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidegate_types::{ByteSize, Secret, SiteName};
use tidegate_wire::Invitation;

use crate::settings::host_and_port;

/// Largest invitation: three PEM texts are some 3 KiB.
const MAX_FILE: ByteSize = ByteSize::kib(64);

/// Version of the layout below.
const VERSION: u32 = 1;

/// What the file holds.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct InvitationFile {
    version: u32,
    /// The inviting site.
    pub from: SiteName,
    /// The invited site.
    pub site: SiteName,
    /// Where the inviting site listens, `host:port`.
    pub address: String,
    /// PEM of its authority.
    pub authority: String,
    /// PEM of the certificate for the link.
    pub certificate: String,
    /// PEM of its private key.
    pub key: Secret,
}

/// Why an invitation could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadInvitationError {
    /// Reading failed.
    #[error("cannot read the invitation")]
    Io(#[from] io::Error),
    /// Over the limit.
    #[error("the invitation is larger than {MAX_FILE}: is it one?")]
    TooLarge,
    /// It is no invitation. The text around the mistake is left out: it may be the key.
    #[error("line {line} of the invitation: {message}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// It was written by a version that is not known.
    #[error("the invitation has version {found}, this program reads version {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// A text that is no PEM of its kind.
    #[error("`{field}` of the invitation is not a PEM {what}: was the file cut?")]
    Pem {
        /// The field.
        field: &'static str,
        /// What it should hold.
        what: &'static str,
    },
    /// An address that cannot be dialled.
    #[error("`address` of the invitation: {0}")]
    Address(String),
}

/// Why an invitation could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the invitation to {}", path.display())]
pub struct WriteInvitationError {
    path: PathBuf,
    source: io::Error,
}

impl InvitationFile {
    /// The file for an invitation to a site that is reached at `address`.
    #[must_use]
    pub fn new(invitation: Invitation, address: String) -> InvitationFile {
        InvitationFile {
            version: VERSION,
            from: invitation.from,
            site: invitation.site,
            address,
            authority: invitation.authority,
            certificate: invitation.certificate,
            key: invitation.key,
        }
    }

    /// Reads and checks an invitation.
    ///
    /// # Errors
    /// If it cannot be read or is no invitation.
    pub fn read(input: impl Read) -> Result<InvitationFile, ReadInvitationError> {
        let mut text = String::new();
        input.take(MAX_FILE.get() + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_FILE.get() {
            return Err(ReadInvitationError::TooLarge);
        }
        let file: InvitationFile =
            toml::from_str(&text).map_err(|error| ReadInvitationError::Malformed {
                line: error.span().map_or(1, |span| {
                    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
                }),
                message: error.message().to_owned(),
            })?;
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<(), ReadInvitationError> {
        if self.version != VERSION {
            return Err(ReadInvitationError::Version { found: self.version });
        }
        for (field, what, text) in [
            ("authority", "certificate", &self.authority),
            ("certificate", "certificate", &self.certificate),
            ("key", "private key", &self.key.0),
        ] {
            let label = what.to_uppercase();
            let begins = text.trim_start().starts_with("-----BEGIN ");
            if !begins || !text.contains(&format!("{label}-----")) || !text.contains("-----END ") {
                return Err(ReadInvitationError::Pem { field, what });
            }
        }
        host_and_port(&self.address).map_err(ReadInvitationError::Address)?;
        Ok(())
    }

    /// Writes it to a new file that only its owner can read.
    ///
    /// # Errors
    /// If there is a file of that name, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), WriteInvitationError> {
        let failed = |source| WriteInvitationError { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        file.write_all(self.to_string().as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)
    }
}

impl fmt::Display for InvitationFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (site, from) = (&self.site, &self.from);
        writeln!(f, "# Tidegate invitation: lets site {site} copy its topics to site {from}.")?;
        writeln!(f, "# It holds a private key: keep it secret, and delete it once it was used.")?;
        f.write_str(&toml::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> InvitationFile {
        let pem = |label| format!("-----BEGIN {label}-----\nMIIB\n-----END {label}-----\n");
        let invitation = Invitation {
            site: "edge".parse().unwrap(),
            from: "region".parse().unwrap(),
            authority: pem("CERTIFICATE"),
            certificate: pem("CERTIFICATE"),
            key: Secret(pem("PRIVATE KEY")),
        };
        InvitationFile::new(invitation, "gw.example:9640".into())
    }

    #[test]
    fn an_invitation_survives_its_file() {
        let text = sample().to_string();
        assert!(text.starts_with("# Tidegate invitation: lets site edge copy"), "{text}");
        assert_eq!(InvitationFile::read(text.as_bytes()).unwrap(), sample());
    }

    #[test]
    #[cfg(unix)]
    fn the_file_is_its_owners_alone_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edge.invitation");
        sample().write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(sample().write(&path).is_err());
    }

    #[test]
    fn what_is_no_invitation_is_refused_without_telling_the_key() {
        let good = sample().to_string();
        for (text, told) in [
            (good.replace("version = 1", "version = 2"), "has version 2"),
            (good.replace("gw.example:9640", "nowhere"), "`address`"),
            (good.replace("PRIVATE KEY", "PUBLIC KEY"), "`key`"),
            (good.replace("from = \"region\"", "from = \"a b\""), "line "),
            (good.replace("version = 1", "version = 1\nextra = 1"), "line 4"),
            ("not toml".to_owned(), "line 1"),
            ("x".repeat(100_000), "larger than"),
        ] {
            let error = InvitationFile::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
            assert!(!error.contains("MIIB"), "{error}");
        }
    }
}
