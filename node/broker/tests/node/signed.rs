//! Whose plugins are let in, and how they run.

use tidegate_broker::{Backend, PluginConfig};
use tidegate_plugin::{SigningKey, generate_key};
use tidegate_test_guests::{HOSTILE, KEEP};
use tidegate_types::Publisher;
use tidegate_wire::ErrorCode;

use crate::support::{Attach, TestNode};

#[tokio::test]
async fn only_what_a_publisher_signed_is_let_in_where_that_is_asked_for() {
    let key = || SigningKey::from_pkcs8(&generate_key().unwrap()).unwrap();
    let (ours, theirs) = (key(), key());
    let node = TestNode::start_with(PluginConfig {
        publishers: vec![Publisher { name: "ours".to_owned(), key: ours.public() }],
        require_signature: true,
        ..PluginConfig::default()
    })
    .await;
    let mut bent = ours.sign(KEEP);
    bent[20] ^= 1;
    for (component, why) in [
        (KEEP.to_vec(), "not signed"),
        (theirs.sign(KEEP), "none of plugins.publishers"),
        (bent, "changed after it was signed"),
    ] {
        let refused = node.client.install_plugin("keep".parse().unwrap(), component).await;
        let error = refused.unwrap_err();
        let body = error.refusal().unwrap();
        assert_eq!(body.code, ErrorCode::NotAuthorized);
        assert!(body.message.contains(why), "{body:?}");
    }
    let installed = node.client.install_plugin("keep".parse().unwrap(), ours.sign(KEEP)).await;
    assert_eq!(installed.unwrap().signed_by.as_deref(), Some("ours"));
    node.create("t", 1).await;
    node.attach(Attach::new("t", "keep", r#""all""#)).await;
    node.produce("t", &["a"]).await;
    assert_eq!(node.values("t").await, ["a"], "a signed component runs like any other");
}

#[tokio::test]
async fn the_interpreter_gives_what_machine_code_gives() {
    let config = PluginConfig { backend: Backend::Interpreter, ..PluginConfig::default() };
    let node = TestNode::start_with(config).await;
    node.create("t", 1).await;
    node.install("shape", HOSTILE).await;
    node.attach(Attach::new("t", "shape", r#""upper""#)).await;
    node.produce("t", &["a", "b"]).await;
    assert_eq!(node.values("t").await, ["A", "B"]);
}
