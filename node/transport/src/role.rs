//! Who a certificate speaks for, written into it as a URI.
//!
//! `tidegate://<site>/node/<id>`, `tidegate://<site>/client/<name>` and
//! `tidegate://<site>/link/<other site>`. The site is the one whose authority issued the
//! certificate. A role read here is only worth something after the chain was verified.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::CertificateDer;
use tidegate_types::{NodeId, SiteName, limits};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What precedes every role.
const SCHEME: &str = "tidegate://";

/// Who a certificate speaks for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// A node of the site.
    Node {
        /// The site.
        site: SiteName,
        /// The node in it.
        id: NodeId,
    },
    /// A program or person that uses the site.
    Client {
        /// The site.
        site: SiteName,
        /// Name of the client, by the rules of a site's name.
        name: String,
    },
    /// Another site, which may copy its topics here.
    Link {
        /// The site that issued the certificate.
        site: SiteName,
        /// The site that holds it.
        remote: SiteName,
    },
}

/// Why no role could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The peer sent no certificate.
    #[error("the peer presented no certificate")]
    NoCertificate,
    /// The certificate is not readable.
    #[error("certificate cannot be read: {reason}")]
    Certificate {
        /// What the parser found.
        reason: String,
    },
    /// The certificate has no URI of ours.
    #[error("certificate names no tidegate role")]
    Missing,
    /// The certificate has more than one.
    #[error("certificate names more than one tidegate role")]
    Ambiguous,
    /// The URI is no role.
    #[error("{uri:?} is no role: expected tidegate://SITE/node/ID, /client/NAME or /link/SITE")]
    Malformed {
        /// The URI.
        uri: String,
    },
}

impl Role {
    /// The site whose authority vouches for this role.
    #[must_use]
    pub fn site(&self) -> &SiteName {
        match self {
            Role::Node { site, .. } | Role::Client { site, .. } | Role::Link { site, .. } => site,
        }
    }

    /// Reads the role from a certificate whose chain was verified.
    ///
    /// # Errors
    /// If it has none, several, or one that is not understood.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Role, RoleError> {
        let unreadable = |e: &dyn fmt::Display| RoleError::Certificate { reason: e.to_string() };
        let (_, parsed) =
            X509Certificate::from_der(certificate.as_ref()).map_err(|e| unreadable(&e))?;
        let names = parsed.subject_alternative_name().map_err(|e| unreadable(&e))?;
        let mut uris =
            names.iter().flat_map(|names| names.value.general_names.iter()).filter_map(|name| {
                match name {
                    GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some(*uri),
                    _ => None,
                }
            });
        let uri = uris.next().ok_or(RoleError::Missing)?;
        if uris.next().is_some() {
            return Err(RoleError::Ambiguous);
        }
        uri.parse()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Node { site, id } => write!(f, "{SCHEME}{site}/node/{id}"),
            Role::Client { site, name } => write!(f, "{SCHEME}{site}/client/{name}"),
            Role::Link { site, remote } => write!(f, "{SCHEME}{site}/link/{remote}"),
        }
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(uri: &str) -> Result<Role, RoleError> {
        let malformed = || RoleError::Malformed { uri: uri.chars().take(300).collect() };
        let rest = uri.strip_prefix(SCHEME).ok_or_else(malformed)?;
        let (site, rest) = rest.split_once('/').ok_or_else(malformed)?;
        let (kind, name) = rest.split_once('/').ok_or_else(malformed)?;
        let site = SiteName::new(site).map_err(|_| malformed())?;
        match kind {
            "node" if name.bytes().all(|b| b.is_ascii_digit()) => {
                name.parse().map(|id| Role::Node { site, id: NodeId(id) }).map_err(|_| malformed())
            }
            "client" if is_client_name(name) => Ok(Role::Client { site, name: name.to_owned() }),
            "link" => SiteName::new(name)
                .map(|remote| Role::Link { site, remote })
                .map_err(|_| malformed()),
            _ => Err(malformed()),
        }
    }
}

/// Clients are named by the same rules as sites.
fn is_client_name(name: &str) -> bool {
    name.len() <= limits::MAX_NAME && SiteName::new(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_round_trip_as_text() {
        for uri in [
            "tidegate://hq/node/1",
            "tidegate://hq/node/4294967295",
            "tidegate://hq/client/admin",
            "tidegate://hq/link/edge-7",
        ] {
            assert_eq!(uri.parse::<Role>().unwrap().to_string(), uri);
        }
    }

    #[test]
    fn what_is_no_role_is_refused() {
        for uri in [
            "",
            "tidegate://",
            "tidegate://hq",
            "tidegate://hq/node",
            "tidegate://hq/node/",
            "tidegate://hq/node/-1",
            "tidegate://hq/node/+1",
            "tidegate://hq/node/4294967296",
            "tidegate://hq/client/",
            "tidegate://hq/client/a/b",
            "tidegate://hq/admin/x",
            "tidegate:///node/1",
            "tidegate://a b/node/1",
            "https://hq/node/1",
        ] {
            assert!(uri.parse::<Role>().is_err(), "{uri:?} was taken");
        }
    }
}
