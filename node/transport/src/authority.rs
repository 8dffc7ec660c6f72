//! The certificate authority of a site.
//!
//! ECDSA P-256 keys, random serial numbers, one role per certificate. Node certificates serve and
//! dial; all others only dial. Nothing here touches the disk: see [`crate::init_tls_dir`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use tidegate_types::{NodeId, Secret, SiteName};

use crate::role::Role;
use crate::tls::{ReadIdentityError, SERVER_NAME, read_pem};

const DAY: Duration = Duration::from_secs(86_400);
const AUTHORITY_VALIDITY: Duration = DAY.saturating_mul(20 * 365);
const LEAF_VALIDITY: Duration = DAY.saturating_mul(10 * 365);

/// 2026-01-01: no certificate is issued as if it were earlier, because gateways without a battery
/// start in 1970, and what they issued then would have expired once their clock is set.
const EARLIEST_NOW: Duration = DAY.saturating_mul(20_454);

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The system gives no random bytes.
    #[error("no random bytes for a key or serial number")]
    Random,
    /// A name that cannot stand in a certificate.
    #[error("{name:?} cannot stand in a certificate as a host name")]
    HostName {
        /// The name.
        name: String,
    },
    /// A role of another site.
    #[error("the authority of site {site} does not vouch for {role}")]
    OtherSite {
        /// The authority's site.
        site: SiteName,
        /// What was asked for.
        role: String,
    },
    /// A role that does not read back as itself.
    #[error("{role} is no valid role")]
    Role {
        /// What was asked for.
        role: String,
    },
    /// The stored authority is not usable.
    #[error("the authority's certificate and key cannot be used")]
    Authority {
        /// What was found.
        source: rcgen::Error,
    },
    /// The certificate could not be built or signed.
    #[error("certificate for {subject} cannot be made")]
    Sign {
        /// Whose it was to be.
        subject: String,
        /// What failed.
        source: rcgen::Error,
    },
}

/// Why a stored authority could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum LoadAuthorityError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadIdentityError),
    /// What it holds cannot be used.
    #[error(transparent)]
    Unusable(#[from] IssueError),
}

/// A certificate with its private key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// PEM of the certificate.
    pub certificate: String,
    /// PEM of its private key.
    pub key: Secret,
}

/// The authority of one site.
pub struct Authority {
    site: SiteName,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("site", &self.site).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority for `site`.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn create(site: &SiteName) -> Result<Authority, IssueError> {
        let subject = format!("site {site}");
        let sign = |source| IssueError::Sign { subject: subject.clone(), source };
        let key = new_key()?;
        let mut params = base_params(&format!("Tidegate site {site}"), AUTHORITY_VALIDITY)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(sign)?.pem();
        Ok(Authority { site: site.clone(), certificate, issuer: Issuer::new(params, key) })
    }

    /// Takes up an authority made earlier.
    ///
    /// # Errors
    /// If certificate or key is not readable.
    pub fn from_pem(
        site: &SiteName,
        certificate: &str,
        key: &Secret,
    ) -> Result<Authority, IssueError> {
        let unusable = |source| IssueError::Authority { source };
        let key = KeyPair::from_pem(&key.0).map_err(unusable)?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(unusable)?;
        Ok(Authority { site: site.clone(), certificate: certificate.to_owned(), issuer })
    }

    /// Takes up the authority in a node's `tls` folder.
    ///
    /// # Errors
    /// If its files cannot be read or used.
    pub fn load(dir: &Path, site: &SiteName) -> Result<Authority, LoadAuthorityError> {
        let certificate = read_pem(&dir.join("ca.pem"))?;
        let key = Secret(read_pem(&dir.join("ca.key"))?);
        Ok(Authority::from_pem(site, &certificate, &key)?)
    }

    /// The site.
    #[must_use]
    pub fn site(&self) -> &SiteName {
        &self.site
    }

    /// PEM of the authority's own certificate, by which others recognise the site.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// PEM of the authority's private key.
    #[must_use]
    pub fn key_pem(&self) -> Secret {
        Secret(self.issuer.key().serialize_pem())
    }

    /// Issues a certificate for `role`, which must be of this site.
    ///
    /// # Errors
    /// If the role is another site's, or the system gives no random bytes.
    pub fn issue(&self, role: &Role) -> Result<Issued, IssueError> {
        self.issue_with_names(role, &[])
    }

    /// Issues a certificate for a node, which also holds for these host names and addresses.
    ///
    /// # Errors
    /// If a name cannot stand in a certificate, or the system gives no random bytes.
    pub fn issue_node(&self, id: NodeId, names: &[String]) -> Result<Issued, IssueError> {
        self.issue_with_names(&Role::Node { site: self.site.clone(), id }, names)
    }

    fn issue_with_names(&self, role: &Role, names: &[String]) -> Result<Issued, IssueError> {
        let uri = role.to_string();
        if role.site() != &self.site {
            return Err(IssueError::OtherSite { site: self.site.clone(), role: uri });
        }
        if uri.parse().ok().as_ref() != Some(role) {
            return Err(IssueError::Role { role: uri });
        }
        let sign = |source| IssueError::Sign { subject: uri.clone(), source };
        let mut params = base_params(&uri, LEAF_VALIDITY)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().map_err(sign)?));
        if let Role::Node { .. } = role {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            add_host_names(&mut params, names)?;
        }
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(sign)?.pem();
        Ok(Issued { certificate, key: Secret(key.serialize_pem()) })
    }
}

fn add_host_names(params: &mut CertificateParams, names: &[String]) -> Result<(), IssueError> {
    let fixed = [
        SERVER_NAME.to_owned(),
        "localhost".to_owned(),
        Ipv4Addr::LOCALHOST.to_string(),
        Ipv6Addr::LOCALHOST.to_string(),
    ];
    for name in fixed.iter().chain(names) {
        let refused = || IssueError::HostName { name: name.clone() };
        let san = match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => {
                rustls_pki_types::DnsName::try_from(name.as_str()).map_err(|_| refused())?;
                SanType::DnsName(name.as_str().try_into().map_err(|_| refused())?)
            }
        };
        if !params.subject_alt_names.contains(&san) {
            params.subject_alt_names.push(san);
        }
    }
    Ok(())
}

fn base_params(common_name: &str, validity: Duration) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = SystemTime::now().max(SystemTime::UNIX_EPOCH + EARLIEST_NOW);
    // Valid since 1970, so that a peer whose clock was never set accepts it all the same.
    params.not_before = SystemTime::UNIX_EPOCH.into();
    params.not_after = (now + validity).into();
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

fn random_serial() -> Result<SerialNumber, IssueError> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| IssueError::Random)?;
    // Positive and of full length, as X.509 wants it.
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&serial))
}

fn new_key() -> Result<KeyPair, IssueError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| IssueError::Random)
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    fn site(name: &str) -> SiteName {
        SiteName::new(name).unwrap()
    }

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn every_role_reads_back_from_its_certificate() {
        let authority = Authority::create(&site("hq")).unwrap();
        for role in [
            Role::Node { site: site("hq"), id: NodeId(7) },
            Role::Client { site: site("hq"), name: "admin".into() },
            Role::Link { site: site("hq"), remote: site("edge.1") },
        ] {
            let issued = authority.issue(&role).unwrap();
            assert_eq!(Role::from_certificate(&der(&issued.certificate)).unwrap(), role);
        }
    }

    #[test]
    fn an_authority_taken_up_again_issues_for_the_same_site() {
        let first = Authority::create(&site("hq")).unwrap();
        let again =
            Authority::from_pem(&site("hq"), first.certificate_pem(), &first.key_pem()).unwrap();
        let issued =
            again.issue_node(NodeId(1), &["gw.example".into(), "10.0.0.7".into()]).unwrap();
        let (leaf, ca) = (der(&issued.certificate), der(first.certificate_pem()));
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        let (_, ca) = X509Certificate::from_der(&ca).unwrap();
        assert_eq!(leaf.issuer(), ca.subject());
        let authority_key = leaf
            .iter_extensions()
            .find_map(|e| match e.parsed_extension() {
                x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => {
                    id.key_identifier.as_ref().map(|id| id.0.to_vec())
                }
                _ => None,
            })
            .unwrap();
        let subject_key = ca
            .iter_extensions()
            .find_map(|e| match e.parsed_extension() {
                x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => {
                    Some(id.0.to_vec())
                }
                _ => None,
            })
            .unwrap();
        assert_eq!(authority_key, subject_key);
    }

    #[test]
    fn serial_numbers_differ_and_validity_covers_an_unset_clock() {
        let authority = Authority::create(&site("hq")).unwrap();
        let role = Role::Client { site: site("hq"), name: "a".into() };
        let serials: Vec<_> = (0..4)
            .map(|_| {
                let pem = authority.issue(&role).unwrap().certificate;
                let der = der(&pem);
                let (_, parsed) = X509Certificate::from_der(&der).unwrap();
                assert_eq!(parsed.validity().not_before.timestamp(), 0);
                assert!(parsed.validity().not_after.timestamp() > 2_000_000_000);
                parsed.raw_serial().to_vec()
            })
            .collect();
        for (i, serial) in serials.iter().enumerate() {
            assert_eq!(serial.len(), 16);
            assert!(!serials[..i].contains(serial));
        }
    }

    #[test]
    fn what_must_not_be_issued_is_refused() {
        let authority = Authority::create(&site("hq")).unwrap();
        let foreign = Role::Node { site: site("edge"), id: NodeId(1) };
        assert!(matches!(authority.issue(&foreign), Err(IssueError::OtherSite { .. })));
        let slash = Role::Client { site: site("hq"), name: "a/../node/1".into() };
        assert!(matches!(authority.issue(&slash), Err(IssueError::Role { .. })));
        let name = authority.issue_node(NodeId(1), &["no host".into()]);
        assert!(matches!(name, Err(IssueError::HostName { .. })));
    }
}
