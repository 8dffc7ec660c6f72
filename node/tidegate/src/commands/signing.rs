//! `plugin sign` and `plugin verify`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use tidegate_plugin::{SigningKey, generate_key, signer};
use tidegate_types::{Publisher, limits};

use super::Context;
use super::plugin::read_bounded;
use crate::exit::{Exit, Failure};

/// Signs a component.
pub fn sign(
    context: &Context,
    file: &Path,
    key: &Path,
    new_key: bool,
    out: Option<&Path>,
) -> Result<(), Failure> {
    let component = read_bounded(file, limits::MAX_PLUGIN)?;
    let signing = read_key(key, new_key)?;
    let out = out.unwrap_or(file);
    replace(out, &signing.sign(&component))?;
    let public = signing.public();
    let json =
        serde_json::json!({ "signed": out.display().to_string(), "key": public.to_string() });
    context.output.print(&json, || format!("signed {} with key {public}\n", out.display()))
}

/// Tells who signed a component, and whether that counts.
pub fn verify(context: &Context, file: &Path, publishers: &[Publisher]) -> Result<(), Failure> {
    let component = read_bounded(file, limits::MAX_PLUGIN)?;
    let publishers = match publishers {
        [] => &context.settings.node.plugins.publishers[..],
        named => named,
    };
    let denied = |why: String| Failure::new(Exit::Denied, format!("{}: {why}", file.display()));
    let key = signer(&component).map_err(|wrong| denied(wrong.to_string()))?;
    let Some(key) = key else { return Err(denied("it is not signed".to_owned())) };
    let known = publishers.iter().find(|publisher| publisher.key == key);
    if known.is_none() && !publishers.is_empty() {
        return Err(denied(format!("it is signed by {key}, who is none of the publishers")));
    }
    let name = known.map(|publisher| publisher.name.clone());
    let json = serde_json::json!({ "key": key.to_string(), "publisher": name });
    context.output.print(&json, || match &name {
        Some(name) => format!("signed by {name}, key {key}\n"),
        None => format!("signed by key {key}; no publishers are known to compare it with\n"),
    })
}

fn read_key(path: &Path, new_key: bool) -> Result<SigningKey, Failure> {
    let unreadable = |what: &dyn std::fmt::Display| {
        Failure::new(Exit::Failed, format!("cannot use the key {}: {what}", path.display()))
    };
    if new_key && !path.exists() {
        let der = generate_key().map_err(|e| unreadable(&e))?;
        write_key(path, &der).map_err(|e| unreadable(&e))?;
    }
    let pem = fs::read(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => unreadable(&"there is no such file; --new-key makes it"),
        _ => unreadable(&e),
    })?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|e| unreadable(&e))?;
    SigningKey::from_pkcs8(der.secret_pkcs8_der()).map_err(|e| unreadable(&e))
}

/// Writes a private key that nobody else can read.
fn write_key(path: &Path, der: &[u8]) -> io::Result<()> {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()
}

/// Puts a file in another's place as a whole.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let part = path.with_extension("part");
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    written.map_err(|error| {
        Failure::of(Exit::Failed, &error).while_doing(format!("cannot write {}", path.display()))
    })
}
