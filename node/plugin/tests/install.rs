//! What is installed, what is refused, and what survives on disk.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use common::{columns, context, host_at, patient};
use tidegate_plugin::{
    Backend, Column, HostConfig, InspectError, InstallError, InstantiateError, LoadError,
    PluginHost, Verdict, hash_of,
};
use tidegate_test_guests::{HOSTILE, KEEP, SPREAD};
use tidegate_types::PluginKind;

/// `component` with every occurrence of one text replaced by another of the same length.
fn patched(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = component.to_vec();
    let mut found = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} is not in the component");
    bytes
}

fn files(dir: &std::path::Path, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
}

#[test]
fn each_kind_is_told_by_its_exports() {
    let dir = tempfile::tempdir().unwrap();
    let host = host_at(dir.path());
    for (component, kind) in [
        (KEEP, PluginKind::Filter),
        (SPREAD, PluginKind::Partition),
        (HOSTILE, PluginKind::Transform),
    ] {
        let installed = host.install(component).unwrap();
        assert_eq!(installed.kind, kind);
        assert_eq!(installed.version, "0.1.0");
        assert_eq!(installed.size.get(), component.len() as u64);
        assert_eq!(installed.hash, hash_of(component));
        assert_eq!(host.load(&installed.hash).unwrap().kind(), kind);
        assert_eq!(host.component(&installed.hash).unwrap(), component);
    }
    assert_eq!(host.installed().unwrap().len(), 3);
}

#[test]
fn what_this_node_cannot_run_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let host = host_at(dir.path());
    let refused = |bytes: &[u8]| host.install(bytes).unwrap_err();

    assert!(matches!(refused(b"hello"), InstallError::Inspect(InspectError::NotWasm)));
    let core = refused(b"\0asm\x01\0\0\0").to_string();
    assert!(core.contains("core module") && core.contains("wasm32-wasip2"), "{core}");

    let newer = patched(KEEP, "tidegate:plugin/types@0.1.0", "tidegate:plugin/types@0.9.0");
    let newer = patched(&newer, "tidegate:plugin/host@0.1.0", "tidegate:plugin/host@0.9.0");
    assert_eq!(
        refused(&newer).to_string(),
        "this component was built against tidegate:plugin@0.9.0; this node knows 0.1.0"
    );

    let foreign = patched(KEEP, "tidegate:plugin/host@0.1.0", "acmegate:plugin/host@0.1.0");
    assert!(matches!(
        refused(&foreign),
        InstallError::Inspect(InspectError::ForeignImport { name }) if name.starts_with("acmegate:")
    ));

    assert!(matches!(
        refused(&KEEP[..KEEP.len() / 2]),
        InstallError::Inspect(InspectError::Corrupt { .. })
    ));
    assert_eq!(host.installed().unwrap(), []);
    assert!(files(dir.path(), "cwasm").is_empty());
}

#[test]
fn damaged_components_are_refused_or_run_and_never_bring_the_host_down() {
    let dir = tempfile::tempdir().unwrap();
    let host = host_at(dir.path());
    let step = KEEP.len() / 61;
    let mut refused = 0;
    for at in (8..KEEP.len()).step_by(step) {
        let mut bytes = KEEP.to_vec();
        bytes[at] ^= 0x55;
        match host.install(&bytes) {
            Ok(installed) => {
                let plugin = host.load(&installed.hash).unwrap();
                if let Ok(mut instance) = plugin.instantiate("\"all\"", patient()) {
                    let _ = common::run(&mut instance, &["a"]);
                }
            }
            Err(error) => {
                assert!(!error.to_string().contains('\n'), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn code_survives_a_restart_and_is_not_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let hash = host_at(dir.path()).install(KEEP).unwrap().hash;
    let [code] = files(dir.path(), "cwasm").try_into().unwrap();
    let written = fs::metadata(&code).unwrap().modified().unwrap();
    let host = host_at(dir.path());
    let plugin = host.load(&hash).unwrap();
    let mut instance = plugin.instantiate("\"all\"", patient()).unwrap();
    assert!(common::run(&mut instance, &["a", "b"]).is_ok());
    assert_eq!(fs::metadata(&code).unwrap().modified().unwrap(), written);
    assert!(Arc::ptr_eq(&plugin, &host.load(&hash).unwrap()), "loaded code is shared");
}

#[test]
fn damaged_or_foreign_code_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let hash = host_at(dir.path()).install(KEEP).unwrap().hash;
    let [code] = files(dir.path(), "cwasm").try_into().unwrap();
    let whole = fs::read(&code).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    for bytes in [&damaged[..], &whole[..whole.len() - 100], b""] {
        fs::write(&code, bytes).unwrap();
        let plugin = host_at(dir.path()).load(&hash).unwrap();
        let mut instance = plugin.instantiate("\"all\"", patient()).unwrap();
        assert!(common::run(&mut instance, &["a"]).is_ok());
        assert_eq!(fs::read(&code).unwrap().len(), whole.len());
    }
    // As if it had been written by another engine.
    let other = code.with_file_name(format!("{hash}-0123456789abcdef.cwasm"));
    fs::rename(&code, &other).unwrap();
    host_at(dir.path()).load(&hash).unwrap();
    assert!(code.exists() && !other.exists());
}

#[test]
fn a_damaged_component_is_not_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let host = host_at(dir.path());
    let hash = host.install(KEEP).unwrap().hash;
    let [component] = files(dir.path(), "wasm").try_into().unwrap();
    fs::write(component, &KEEP[..100]).unwrap();
    assert!(matches!(host.load(&hash), Err(LoadError::NotInstalled { .. })));
    host.install(KEEP).unwrap();
    assert!(host.load(&hash).is_ok());
}

#[test]
fn a_removed_plugin_is_gone_and_its_instances_run_on() {
    let dir = tempfile::tempdir().unwrap();
    let host = host_at(dir.path());
    let hash = host.install(KEEP).unwrap().hash;
    let mut instance = host.load(&hash).unwrap().instantiate("\"none\"", patient()).unwrap();
    assert!(host.remove(&hash).unwrap());
    assert!(!host.remove(&hash).unwrap());
    assert!(matches!(host.load(&hash), Err(LoadError::NotInstalled { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert!(common::run(&mut instance, &["a"]).is_ok());
}

#[test]
fn a_configuration_is_checked_by_the_plugin() {
    let dir = tempfile::tempdir().unwrap();
    let host = host_at(dir.path());
    let plugin = host.load(&host.install(KEEP).unwrap().hash).unwrap();
    let refused = |config: &str| plugin.instantiate(config, patient()).unwrap_err();
    assert_eq!(refused("\"some\"").to_string(), "configuration refused: unknown mode \"some\"");
    let long = " ".repeat(300 << 10);
    assert!(matches!(refused(&long), InstantiateError::ConfigTooLong { .. }));
}

#[test]
fn the_interpreter_gives_the_same_answers_and_keeps_its_own_code() {
    let dir = tempfile::tempdir().unwrap();
    let native = host_at(dir.path());
    let mut config = HostConfig::new(dir.path());
    config.backend = Backend::Interpreter;
    let interpreter = PluginHost::new(config).unwrap();
    let mut answers = Vec::new();
    for host in [&native, &interpreter] {
        let hash = host.install(HOSTILE).unwrap().hash;
        let mut instance = host.load(&hash).unwrap().instantiate("\"upper\"", patient()).unwrap();
        let mut batch = columns(instance.needs(), &["abc", "", "Def"]);
        let outcome = instance.run(&mut batch, &context()).unwrap();
        let Verdict::Tags(tags) = outcome.verdict else { panic!("no tags: {outcome:?}") };
        let values: &Column = &tags.values;
        answers.push((0..3).map(|i| values.get(i).to_vec()).collect::<Vec<_>>());
    }
    assert_eq!(answers[0], [&b"ABC"[..], b"", b"DEF"]);
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_bounded_reservation_limits_nothing_but_speed() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = HostConfig::new(dir.path());
    config.memory_reservation = Some(tidegate_types::ByteSize::mib(1));
    let host = PluginHost::new(config).unwrap();
    let hash = host.install(HOSTILE).unwrap().hash;
    let plugin = host.load(&hash).unwrap();
    // More than is reserved: the memory moves.
    let big = "x".repeat(8 << 20);
    let mut instance = plugin.instantiate("\"upper\"", patient()).unwrap();
    let outcome = common::run(&mut instance, &[&big]).unwrap();
    let Verdict::Tags(tags) = outcome.verdict else { panic!("no tags") };
    assert_eq!(tags.values.get(0).len(), big.len());
}
