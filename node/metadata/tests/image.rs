//! Any commands in any order: images stay equal, consistent, and readable at every point.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::collections::BTreeSet;

use proptest::prelude::*;
use tidegate_metadata::{
    Command, Image, Outcome, decode_entry, decode_snapshot, encode_entry, encode_snapshot,
};

/// What must hold of every image, seen from outside.
fn assert_consistent(image: &Image) {
    let ids: BTreeSet<_> = image.topics().map(|topic| topic.id).collect();
    assert_eq!(ids.len(), image.topics().len(), "an id comes twice");
    for topic in image.topics() {
        assert_eq!(image.topic_by_id(topic.id), Some(topic));
        assert_eq!(topic.partitions().count(), topic.incarnations.len());
        assert_eq!(topic.name.site(), topic.mirror_of.as_ref().map(|site| site.as_str()));
    }
    let mut places = BTreeSet::new();
    for a in image.all_attachments() {
        assert!(image.topic(&a.topic).is_some(), "{} has a plugin but is not there", a.topic);
        assert!(image.plugin_version(&a.plugin, a.hash).is_some(), "{} is not there", a.plugin);
        assert!(places.insert((&a.topic, a.hook, &a.plugin)), "{} is there twice", a.plugin);
    }
    for (name, versions) in image.plugins() {
        let hashes: BTreeSet<_> = versions.iter().map(|version| version.hash).collect();
        assert!(!versions.is_empty() && hashes.len() == versions.len(), "{name} has doubles");
    }
    for link in image.links() {
        for name in &link.topics {
            assert!(image.topic(name).is_some_and(|topic| topic.mirror_of.is_none()), "{name}");
        }
    }
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    prop::collection::vec(common::command(), 0..60)
}

proptest! {
    #[test]
    fn equal_commands_make_equal_images(commands in commands()) {
        let (mut one, mut other) = (Image::default(), Image::default());
        let mut handed_out = 0;
        for (index, command) in (1..).zip(&commands) {
            let result = one.apply(index, command);
            prop_assert_eq!(&other.apply(index, command), &result);
            prop_assert_eq!(&one, &other);
            assert_consistent(&one);
            if let Ok(Outcome::ProducerIds { first, count }) = result {
                prop_assert!(first.0 >= handed_out, "a producer id was handed out twice");
                handed_out = first.0 + i64::from(count);
            }
        }
    }

    #[test]
    fn a_snapshot_at_any_point_and_the_log_after_it_make_the_same_image(
        commands in commands(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut whole = Image::default();
        let cut = cut.index(commands.len() + 1);
        let mut snapshot = encode_snapshot(&whole).unwrap();
        let mut log = Vec::new();
        for (index, command) in (1..).zip(&commands) {
            // Rejected commands lie in a replicated log too.
            let _ = whole.apply(index, command);
            log.push(encode_entry(index, command).unwrap());
            if index as usize == cut {
                snapshot = encode_snapshot(&whole).unwrap();
            }
        }
        let mut replayed = decode_snapshot(&snapshot).unwrap();
        for (index, bytes) in (1..).zip(&log).skip(cut) {
            let entry = decode_entry(index, bytes).unwrap();
            let _ = replayed.apply(entry.index, &entry.command);
        }
        prop_assert_eq!(replayed, whole);
    }

    #[test]
    fn bytes_from_anywhere_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (decode_entry(1, &bytes), decode_snapshot(&bytes));
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        let _ = decode_entry(1, &bytes);
        if let Ok(image) = decode_snapshot(&bytes) {
            assert_consistent(&image);
        }
    }
}
