//! A disk that fails under one topic alone: its log is sealed and says why, the others go on, and
//! once the disk is well again a restart brings back what was acknowledged.
//!
//! The topic's folder is a file system of its own, which is stopped under the running node.

use tidegate_tests::{FileSystem, Load, Node, eventually};
use tidegate_types::ByteSize;
use tidegate_wire::NodeStatus;

use super::{Keeps, Loads, STEADY, Way, name};

/// The topic whose disk fails, and one that must not mind.
const FAILING: Way = Way { topic: "failing", partitions: 2, producers: 1, keeps: Keeps::All };
const SOUND: Way = Way { topic: "sound", partitions: 2, producers: 1, keeps: Keeps::All };

async fn status(node: &Node) -> NodeStatus {
    node.client().await.status().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_disk_seals_its_own_logs_and_no_other() {
    let Some(mut disk) = FileSystem::or_skip("a failing disk", ByteSize::mib(64)) else { return };
    let mut node = Node::start("edge").await;
    for way in [FAILING, SOUND] {
        way.create(&node.client().await).await;
    }
    let id = node.client().await.describe_topic(name(FAILING.topic)).await.unwrap().id;
    node.stop().await;
    disk.move_under(&node.data().join("topics").join(id.to_string()));
    node.restart().await;

    let failing = Loads::start(&node, &[FAILING], STEADY, Load::start_undaunted).await;
    let sound = Loads::start(&node, &[SOUND], STEADY, Load::start).await;
    failing.more(300).await;
    sound.more(300).await;
    disk.cut_power();
    let sealed = eventually("both logs to be sealed", async || {
        let sealed = status(&node).await.sealed;
        if sealed.len() == 2 { Ok(sealed) } else { Err(format!("{sealed:?}")) }
    })
    .await;
    for log in &sealed {
        assert_eq!(log.topic, name(FAILING.topic), "{sealed:?}");
        // What the system said, with the operation and the file.
        assert!(log.reason.contains("Input/output error"), "{sealed:?}");
    }
    let told = node.cli().run(&["status", "--output", "json"]).await.exits(0);
    assert_eq!(told.json()["sealed"][0]["reason"], sealed[0].reason, "{}", told.out);

    // The other topic takes no notice, and the first reason stays the reason.
    sound.more(1_000).await;
    assert_eq!(status(&node).await.sealed, sealed);

    node.kill();
    disk.remount();
    node.restart().await;
    assert_eq!(status(&node).await.sealed, []);
    failing.more(300).await;
    sound.more(300).await;
    failing.check(&mut node, 0).await;
    sound.check(&mut node, 0).await;
    node.kill();
}
