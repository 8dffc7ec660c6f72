//! Signed components.
//!
//! A signature is the last section of the component, a custom one, so that a signed component is a
//! component to everyone. It is Ed25519 (RFC 8032) over a fixed text and all bytes before it:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0 | 0, a custom section |
//! | 1 | 116, the bytes that follow |
//! | 2 | 18, then `tidegate:signature` |
//! | 21 | 1, the layout's version |
//! | 22..54 | the public key |
//! | 54..118 | the signature |

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use tidegate_types::PublicKey;

/// What a signature's section begins with.
const HEAD: &[u8; 22] = b"\0\x74\x12tidegate:signature\x01";
const LEN: usize = HEAD.len() + KEY + SIGNATURE;
const KEY: usize = 32;
const SIGNATURE: usize = 64;

/// Keeps a signature from meaning anything else.
const CONTEXT: &[u8] = b"tidegate plugin, signed as a whole: ";

/// Why a component cannot be signed, or its signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The key is of another kind or damaged.
    #[error("not an Ed25519 private key in PKCS#8: {reason}")]
    Key {
        /// What is wrong with it.
        reason: String,
    },
    /// The bytes are not those that were signed.
    #[error("the signature by {key} does not fit: the component was changed after it was signed")]
    Wrong {
        /// The key that it names.
        key: PublicKey,
    },
}

/// A private key.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Reads a key from PKCS#8, as `openssl genpkey -algorithm ed25519 -outform DER` writes it.
    ///
    /// # Errors
    /// If it is no Ed25519 key.
    pub fn from_pkcs8(der: &[u8]) -> Result<SigningKey, SignatureError> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
            .map(SigningKey)
            .map_err(|error| SignatureError::Key { reason: error.to_string() })
    }

    /// The key that others check with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut key = [0; KEY];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }

    /// The component with a signature behind it, in place of one that it had.
    #[must_use]
    pub fn sign(&self, component: &[u8]) -> Vec<u8> {
        let component = split(component).map_or(component, |(component, _)| component);
        let signature = self.0.sign(&message(component));
        [component, HEAD, &self.public().0, signature.as_ref()].concat()
    }
}

/// A new private key, as PKCS#8.
///
/// # Errors
/// If the system gives no randomness.
pub fn generate_key() -> Result<Vec<u8>, SignatureError> {
    Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new())
        .map(|document| document.as_ref().to_vec())
        .map_err(|_| SignatureError::Key { reason: "the system gives no randomness".to_owned() })
}

/// Who signed a component; `None` if nobody did.
///
/// # Errors
/// If the signature does not fit the component.
pub fn signer(component: &[u8]) -> Result<Option<PublicKey>, SignatureError> {
    let Some((component, section)) = split(component) else { return Ok(None) };
    let (key, signature) = section[HEAD.len()..].split_at(KEY);
    let public = UnparsedPublicKey::new(&ED25519, key);
    let mut bytes = [0; KEY];
    bytes.copy_from_slice(key);
    let key = PublicKey(bytes);
    match public.verify(&message(component), signature) {
        Ok(()) => Ok(Some(key)),
        Err(_) => Err(SignatureError::Wrong { key }),
    }
}

/// The component and its signature's section, if it has one.
fn split(component: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = component.len().checked_sub(LEN)?;
    let (component, section) = component.split_at(at);
    section.starts_with(HEAD).then_some((component, section))
}

fn message(component: &[u8]) -> Vec<u8> {
    [CONTEXT, component].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&generate_key().unwrap()).unwrap()
    }

    #[test]
    fn a_signature_is_for_these_bytes_by_this_key() {
        let (one, other) = (key(), key());
        assert_eq!(signer(COMPONENT), Ok(None));
        let signed = one.sign(COMPONENT);
        assert_eq!(signed.len(), COMPONENT.len() + LEN);
        assert_eq!(signer(&signed), Ok(Some(one.public())));
        assert_ne!(one.public(), other.public());
        // Signing again replaces.
        assert_eq!(signer(&other.sign(&signed)), Ok(Some(other.public())));
        assert_eq!(other.sign(&signed).len(), signed.len());
        for at in 0..signed.len() {
            let mut bent = signed.clone();
            bent[at] ^= 1;
            assert_ne!(signer(&bent), Ok(Some(one.public())), "byte {at}");
        }
        let longer = [&signed[..], b"x"].concat();
        assert_eq!(signer(&longer), Ok(None), "it is no longer the last section");
    }

    #[test]
    fn a_section_is_what_readers_of_components_expect() {
        let signed = key().sign(COMPONENT);
        let sections: Vec<_> = wasmparser::Parser::new(0)
            .parse_all(&signed)
            .filter_map(|payload| match payload.unwrap() {
                wasmparser::Payload::CustomSection(section) => Some(section.name().to_owned()),
                _ => None,
            })
            .collect();
        assert_eq!(sections, ["tidegate:signature"]);
    }

    #[test]
    fn what_is_no_key_is_told() {
        assert!(SigningKey::from_pkcs8(b"").is_err());
        assert!(SigningKey::from_pkcs8(&[0; 48]).is_err());
    }

    /// The first test vector of RFC 8032, section 7.1, as OpenSSL writes such a key.
    #[test]
    fn keys_are_those_of_the_rfc() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let der = format!("302e020100300506032b657004220420{seed}");
        let bytes = (0..der.len()).step_by(2);
        let bytes: Vec<_> =
            bytes.map(|at| u8::from_str_radix(&der[at..at + 2], 16).unwrap()).collect();
        assert_eq!(
            SigningKey::from_pkcs8(&bytes).unwrap().public().to_string(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
    }
}
