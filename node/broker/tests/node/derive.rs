//! From one topic into another: every record once, whatever happens on the way.

use std::path::Path;

use tidegate_types::{Hook, PoisonPolicy};
use tidegate_wire::{AttachmentStatus, ErrorCode};

use crate::support::{Attach, TestNode, eventually, texts, topic, variant};

/// A node with topics `in` and `out`, and the counting guest between them.
async fn counted(policy: PoisonPolicy) -> TestNode {
    let node = TestNode::start().await;
    node.create("in", 1).await;
    node.create("out", 1).await;
    node.install("tally", tidegate_test_guests::TALLY).await;
    node.attach(Attach::new("in", "tally", r#""a""#).derive_to("out").policy(policy)).await;
    node
}

async fn caught_up(node: &TestNode) -> AttachmentStatus {
    let mut found = None;
    eventually("the derivation to be at the end", async || {
        let status = node.attachment("tally").await;
        let behind = status.derived.iter().find(|at| at.next != at.end);
        if behind.is_some() || status.derived.is_empty() {
            return Err(format!("{:?}", status.derived));
        }
        found = Some(status);
        Ok(())
    })
    .await;
    found.unwrap()
}

#[tokio::test]
async fn records_are_derived_with_their_state_across_restarts() {
    let mut node = counted(PoisonPolicy::Skip).await;
    node.produce("in", &["x 1", "y 2", "x 3"]).await;
    let derived = node.wait_for("out", 3).await;
    assert_eq!(texts(&derived), ["x 1 0a", "y 2 0a", "x 3 1a"]);
    assert_eq!(node.values("in").await, ["x 1", "y 2", "x 3"], "the input stays as it is");
    node.restart().await;
    node.produce("in", &["y 4", "x 5"]).await;
    let derived = node.wait_for("out", 5).await;
    assert_eq!(texts(&derived)[3..], ["y 4 1a", "x 5 2a"]);
    let status = caught_up(&node).await;
    assert_eq!(status.attachment.hook, Hook::Derive);
    assert!(status.derived[0].state > 0, "{status:?}");
    assert_eq!(node.values("out").await.len(), 5);
}

#[tokio::test]
async fn the_view_of_the_state_can_be_lost() {
    let mut node = counted(PoisonPolicy::Skip).await;
    node.produce("in", &["x 1", "x 2"]).await;
    node.wait_for("out", 2).await;
    caught_up(&node).await;
    node.stop().await;
    std::fs::remove_file(node.data().join("derive.redb")).unwrap();
    node.start_again().await;
    node.produce("in", &["x 3"]).await;
    assert_eq!(texts(&node.wait_for("out", 3).await)[2], "x 3 2a");
}

/// What of a node's data folder is its own, and no part of its logs: its certificates, and the view
/// that it has of `__derive`.
const OWN: [&str; 2] = ["tls", "derive.redb"];

/// Copies a folder with all that is in it, except for those names in it.
fn copy(from: &Path, to: &Path, except: &[&str]) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if except.iter().any(|except| name == *except) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name), &[]);
        } else {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// Another node, with its own address and certificates, on a copy of the logs of one that stands
/// still. It has the same number: the metadata that name the logs say whose they are.
async fn on_a_copy(node: &TestNode) -> TestNode {
    let mut other = TestNode::start().await;
    other.stop().await;
    for entry in std::fs::read_dir(other.data()).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            _ if entry.file_name() == "tls" => {}
            true => std::fs::remove_dir_all(entry.path()).unwrap(),
            false => std::fs::remove_file(entry.path()).unwrap(),
        }
    }
    copy(node.data(), other.data(), &OWN);
    assert!(!other.data().join("derive.redb").exists());
    other.start_again().await;
    other
}

#[tokio::test]
async fn another_node_goes_on_from_the_logs_alone() {
    let mut node = counted(PoisonPolicy::Skip).await;
    node.produce("in", &["x 1", "y 2", "x 3"]).await;
    node.wait_for("out", 3).await;
    let before = caught_up(&node).await;
    node.stop().await;
    assert!(node.data().join("derive.redb").exists());

    let other = on_a_copy(&node).await;
    let after = caught_up(&other).await;
    assert_eq!(after.derived, before.derived, "as far, with as much state");
    assert_eq!(other.values("out").await, ["x 1 0a", "y 2 0a", "x 3 1a"], "nothing twice");
    other.produce("in", &["y 4", "x 5"]).await;
    assert_eq!(texts(&other.wait_for("out", 5).await)[3..], ["y 4 1a", "x 5 2a"]);

    // The first one has not heard of it, and its state is where it was.
    node.start_again().await;
    node.produce("in", &["x 4"]).await;
    assert_eq!(texts(&node.wait_for("out", 4).await)[3], "x 4 2a");
    assert_eq!(other.values("out").await.len(), 5);
}

#[tokio::test]
async fn what_fails_leaves_no_trace_in_the_state() {
    let node = counted(PoisonPolicy::DeadLetter).await;
    // The whole batch panics, and is run again record by record.
    node.produce("in", &["x 1", "panic 2", "x 3"]).await;
    assert_eq!(texts(&node.wait_for("out", 2).await), ["x 1 0a", "x 3 1a"]);
    node.produce("in", &["panic 4"]).await;
    let dead = node.wait_for("in.dead", 2).await;
    assert_eq!(texts(&dead), ["panic 2", "panic 4"]);
    let offset = dead[1].headers.iter().find(|(name, _)| name == "tidegate.dead.offset");
    assert_eq!(offset.and_then(|(_, value)| value.as_deref()), Some(&b"3"[..]));
    node.produce("in", &["x 5"]).await;
    assert_eq!(texts(&node.wait_for("out", 3).await)[2], "x 5 2a");
    let status = caught_up(&node).await;
    assert_eq!((status.stats.failed, status.stats.dead_lettered), (2, 2));
}

#[tokio::test]
async fn a_halted_derivation_goes_on_with_another_version() {
    let node = counted(PoisonPolicy::Halt).await;
    node.produce("in", &["x 1"]).await;
    node.produce("in", &["fail 2"]).await;
    node.produce("in", &["x 3"]).await;
    node.wait_for("out", 1).await;
    eventually("the derivation to be halted", async || {
        let status = node.attachment("tally").await;
        let waiting = status.derived.first().and_then(|at| at.waiting.clone());
        let reason = waiting.ok_or("it goes on")?;
        if reason.contains("asked to fail") { Ok(()) } else { Err(reason) }
    })
    .await;
    assert_eq!(node.values("out").await, ["x 1 0a"]);
    let new = node.install("tally", variant(tidegate_test_guests::TALLY)).await;
    let skipping = Attach::new("in", "tally", r#""b""#).derive_to("out");
    let attached = node.attach(Attach { hash: Some(new), ..skipping }).await;
    assert_ne!(attached.previous.unwrap().hash, new);
    assert_eq!(texts(&node.wait_for("out", 2).await), ["x 1 0a", "x 3 1b"]);
}

#[tokio::test]
async fn each_partition_has_a_state_of_its_own_and_new_ones_join() {
    let node = TestNode::start().await;
    node.create("in", 2).await;
    node.create("out", 3).await;
    node.install("tally", tidegate_test_guests::TALLY).await;
    node.attach(Attach::new("in", "tally", r#""""#).derive_to("out")).await;
    for round in 0..2 {
        for partition in 0..2 {
            let value = format!("x {partition}");
            node.produce_to("in", partition, &[&value]).await;
        }
        let mut values = texts(&node.wait_for("out", 2 * (round + 1)).await);
        values.sort();
        assert_eq!(values.len(), 2 * (round + 1));
    }
    let read = node.read("out").await;
    let places: Vec<_> =
        read.iter().map(|r| (r.partition.get(), crate::support::text(r))).collect();
    let expected = [(0, "x 0 0"), (0, "x 0 1"), (1, "x 1 0"), (1, "x 1 1")];
    assert_eq!(places, expected.map(|(at, value)| (at, value.to_owned())));
}

#[tokio::test]
async fn detaching_forgets_and_attaching_begins_anew() {
    let node = counted(PoisonPolicy::Skip).await;
    node.produce("in", &["x 1", "x 2"]).await;
    node.wait_for("out", 2).await;
    node.client.detach_plugin(topic("in"), Hook::Derive, "tally".parse().unwrap()).await.unwrap();
    node.produce("in", &["x 3"]).await;
    node.attach(Attach::new("in", "tally", r#""b""#).derive_to("out")).await;
    let derived = texts(&node.wait_for("out", 5).await);
    assert_eq!(derived[2..], ["x 1 0b", "x 2 1b", "x 3 2b"], "from the first record again");
}

#[tokio::test]
async fn a_table_is_looked_up_as_it_was_before_the_record() {
    let node = TestNode::start().await;
    for name in ["in", "out", "names"] {
        node.create(name, 1).await;
    }
    node.install("tally", tidegate_test_guests::TALLY).await;
    node.produce_keyed("names", &[("a", Some("Ada")), ("b", Some("Bob")), ("a", Some("Ann"))])
        .await;
    let attach = Attach::new("in", "tally", r#""""#).derive_to("out");
    node.attach(Attach { table: Some("names"), ..attach }).await;
    node.produce("in", &["look a", "look b", "look c"]).await;
    let derived = texts(&node.wait_for("out", 3).await);
    assert_eq!(derived, ["look a=Ann 0", "look b=Bob 1", "look c=nothing 2"]);
    node.produce_keyed("names", &[("a", None), ("c", Some("Cid"))]).await;
    node.produce("in", &["look a", "look c"]).await;
    let derived = texts(&node.wait_for("out", 5).await);
    assert_eq!(derived[3..], ["look a=nothing 3", "look c=Cid 4"]);
}

#[tokio::test]
async fn what_cannot_be_derived_is_refused_in_words() {
    let node = counted(PoisonPolicy::Skip).await;
    for (from, to, code, words) in [
        ("out", "in", ErrorCode::InvalidRequest, "comes back"),
        ("in", "in", ErrorCode::InvalidRequest, "already"),
        ("out", "nowhere", ErrorCode::UnknownTopic, "nowhere"),
        ("out", "__derive", ErrorCode::InvalidRequest, "derivations"),
        ("__derive", "out", ErrorCode::InvalidRequest, "derivations"),
    ] {
        let refused = node.try_attach(Attach::new(from, "tally", "{}").derive_to(to)).await;
        let error = refused.unwrap_err();
        let body = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(body.code, code, "{from} to {to}: {body:?}");
        assert!(body.message.contains(words), "{from} to {to}: {body:?}");
    }
    let refused = node.client.delete_topic(topic("out")).await.unwrap_err().to_string();
    assert!(refused.contains("derived to from in"), "{refused}");
}

#[tokio::test]
async fn state_is_for_the_hook_derive_alone() {
    let node = TestNode::start().await;
    node.create("t", 1).await;
    node.install("tally", tidegate_test_guests::TALLY).await;
    node.attach(Attach::new("t", "tally", r#""""#)).await;
    node.produce("t", &["x 1"]).await;
    assert_eq!(node.values("t").await, [""; 0]);
    let status = node.attachment("tally").await;
    let error = status.last_error.unwrap();
    assert!(error.contains("at the hook derive only"), "{error}");
}
