//! A record on which a plugin fails: what becomes of it, and of everything around it.

use tidegate_client::DeliveryError;
use tidegate_types::{Hook, PoisonPolicy};
use tidegate_wire::ErrorCode;

use crate::support::{
    DEEDS, Deed, GOOD, Site, assert_one_line, consume, good, hostile_name, name, values,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skip_costs_the_poisoned_record_alone() {
    let site = Site::start().await;
    for deed @ Deed { mode, words, .. } in &DEEDS {
        let topic = format!("skip-{mode}");
        site.attach(&topic, deed, PoisonPolicy::Skip).await;
        let outcomes = site.send_batch(&topic).await;
        assert!(outcomes.iter().all(Result::is_ok), "{mode}: {outcomes:?}");
        assert_eq!(values(&consume(&site.client, &topic).await), good(), "{mode}");
        let stats = site.stats(&topic).await;
        assert_eq!((stats.failed, stats.dead_lettered), (1, 0), "{mode}: {stats:?}");
        assert!(stats.traps >= 1, "{mode}: {stats:?}");
        let shown = site.node.cli().run(&["plugin", "show", "hostile"]).await.exits(0);
        assert!(shown.out.contains(words), "{mode}: {words:?} is missing in\n{}", shown.out);
        site.neighbour.progress(50).await;
    }
    let status = site.client.status().await.unwrap();
    assert_eq!(status.attachments.len(), DEEDS.len());
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letter_keeps_the_original_and_says_why() {
    let site = Site::start().await;
    for deed @ Deed { mode, words, .. } in &DEEDS {
        let topic = format!("dead-{mode}");
        site.attach(&topic, deed, PoisonPolicy::DeadLetter).await;
        let outcomes = site.send_batch(&topic).await;
        assert!(outcomes.iter().all(Result::is_ok), "{mode}: {outcomes:?}");
        assert_eq!(values(&consume(&site.client, &topic).await), good(), "{mode}");

        let dead = consume(&site.client, &format!("{topic}.dead")).await;
        let [letter] = dead.as_slice() else { panic!("{mode}: {dead:?}") };
        assert_eq!(letter.key.as_deref(), Some(&b"bad"[..]));
        assert_eq!(letter.value.as_deref(), Some(&b"poison, and more"[..]));
        let header = |name: &str| {
            let found = letter.headers.iter().find(|(n, _)| n == name.as_bytes());
            let (_, value) = found.unwrap_or_else(|| panic!("{name} is missing: {letter:?}"));
            String::from_utf8(value.as_deref().unwrap().to_vec()).unwrap()
        };
        assert!(header("tidegate.dead.reason").contains(words), "{letter:?}");
        assert_eq!(header("tidegate.dead.plugin"), "hostile");
        assert_eq!(header("tidegate.dead.plugin.hash"), site.hash.to_string());
        assert_eq!(header("tidegate.dead.topic"), topic);
        let stats = site.stats(&topic).await;
        assert_eq!((stats.failed, stats.dead_lettered), (1, 1), "{mode}: {stats:?}");
        site.neighbour.progress(50).await;
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halt_refuses_the_batch_with_the_reason_until_the_plugin_is_detached() {
    let site = Site::start().await;
    for deed @ Deed { mode, words, .. } in &DEEDS {
        let topic = format!("halt-{mode}");
        site.attach(&topic, deed, PoisonPolicy::Halt).await;
        let outcomes = site.send_batch(&topic).await;
        for outcome in outcomes {
            let Err(DeliveryError::Refused(error)) = outcome else {
                panic!("{mode}: {outcome:?}");
            };
            assert_eq!(error.code, ErrorCode::HaltedByPlugin, "{error:?}");
            assert!(error.message.contains(words), "{error:?}");
            assert!(!error.written, "{error:?}");
        }
        assert_eq!(values(&consume(&site.client, &topic).await), [""; 0], "{mode}");

        let told = site.node.cli().feed(&["produce", &topic], b"poison\n").await;
        assert_one_line(&told.fails(1, &["hostile", words]).err);
        site.node.cli().feed(&["produce", &topic], b"harmless\n").await.exits(0);
        assert_eq!(values(&consume(&site.client, &topic).await), ["harmless"], "{mode}");

        site.client.detach_plugin(name(&topic), Hook::Ingest, hostile_name()).await.unwrap();
        let outcomes = site.send_batch(&topic).await;
        assert!(outcomes.iter().all(Result::is_ok), "{mode}: {outcomes:?}");
        let stored = values(&consume(&site.client, &topic).await);
        assert_eq!(stored.len() as u32, 1 + GOOD + 1, "{mode}: {stored:?}");
        site.neighbour.progress(50).await;
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_and_their_policy_survive_kill_9() {
    let mut site = Site::start().await;
    let panic = DEEDS.iter().find(|deed| deed.mode == "panic").unwrap();
    site.attach("kept", panic, PoisonPolicy::DeadLetter).await;
    site.neighbour.finish().await;
    site.node.kill();
    site.node.restart().await;
    let client = site.node.client().await;
    let topic = client.describe_topic(name("kept")).await.unwrap();
    assert_eq!(topic.attachments.len(), 1);
    assert_eq!(topic.attachments[0].hash, site.hash);
    assert_eq!(topic.attachments[0].policy, PoisonPolicy::DeadLetter);
    site.node.cli().feed(&["produce", "kept"], b"poison\nfine\n").await.exits(0);
    assert_eq!(values(&consume(&client, "kept").await), ["fine"]);
    assert_eq!(values(&consume(&client, "kept.dead").await), ["poison"]);
}
