use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use tidegate_plugin_sdk::testing::{Input, Tester};

use crate::Deduplicate;

fn tester(config: &str) -> Tester<Deduplicate> {
    Tester::transform(config).unwrap()
}

fn passes(plugin: &mut Tester<Deduplicate>, record: &Input) -> bool {
    let puts = plugin.apply_one(record).unwrap();
    assert!(puts.iter().all(|put| put.record == *record), "what passes is unchanged");
    puts.len() == 1
}

#[test]
fn repeats_of_a_key_are_dropped_within_the_time() {
    let mut plugin = tester(r#"{"within": "1s"}"#);
    let at = |key: &str, at| Input::value("x").with_key(key).at(at);
    assert!(passes(&mut plugin, &at("a", 0)));
    assert!(!passes(&mut plugin, &at("a", 999)));
    plugin.renew();
    assert!(!passes(&mut plugin, &at("a", 500)), "late ones too");
    assert!(passes(&mut plugin, &at("b", 500)));
    assert!(passes(&mut plugin, &at("a", 1_000)));
    assert!(passes(&mut plugin, &Input::value("x").at(1_000)));
    assert!(!passes(&mut plugin, &Input::value("x").at(1_001)), "a null key is a key");
}

#[test]
fn values_and_long_identities_are_told_apart_by_their_hash() {
    let mut plugin = tester(r#"{"by": "value", "within": "1s"}"#);
    assert!(passes(&mut plugin, &Input::value("x").with_key("a").at(0)));
    assert!(!passes(&mut plugin, &Input::value("x").with_key("b").at(1)));
    assert!(passes(&mut plugin, &Input::value("y").at(1)));
    let mut plugin = tester(r#"{"by": {"field": "id"}, "within": "1s"}"#);
    let long = "i".repeat(100);
    let with = |id: &str| Input::value(format!(r#"{{"id":"{id}","t":1}}"#)).at(5);
    assert!(passes(&mut plugin, &with(&long)));
    assert!(!passes(&mut plugin, &with(&long)));
    assert!(passes(&mut plugin, &with(&format!("{long}x"))));
    let longest = plugin.store().entries().map(|(key, _)| key.len()).max().unwrap();
    assert!(longest < 64, "{longest}");
}

#[test]
fn a_missing_field_fails_or_is_kept() {
    let record = Input::value("{}").at(0);
    let mut plugin = tester(r#"{"by": {"field": "id"}, "within": "1s"}"#);
    assert_eq!(plugin.apply_one(&record), Err("field `id` is missing".into()));
    assert!(plugin.apply_one(&Input::value("{").at(0)).unwrap_err().contains("not JSON"));
    let untimed = plugin.apply_one(&Input::value(r#"{"id":1}"#)).unwrap_err();
    assert_eq!(untimed, "a record without a timestamp");
    let mut plugin = tester(r#"{"by": {"field": "id"}, "within": "1s", "missing": "keep"}"#);
    assert!(passes(&mut plugin, &record));
    assert!(passes(&mut plugin, &record));
    assert_eq!(plugin.store().entries().count(), 0);
}

#[test]
fn refuses_configurations_with_the_reason() {
    for (config, word) in [
        ("{}", "missing field `within`"),
        (r#"{"within": "0s"}"#, "longer than 0"),
        (r#"{"within": "1s", "missing": "keep"}"#, "for `by` a field only"),
        (r#"{"within": "1s", "by": {"path": "a"}}"#, "unknown variant `path`"),
        (r#"{"within": "1s", "window": 1}"#, "unknown field `window`"),
    ] {
        let reason = Tester::<Deduplicate>::transform(config).err().expect(config);
        assert!(reason.contains(word), "{config}: {reason}");
    }
}

proptest! {
    #[test]
    fn batches_do_not_change_what_passes(
        records in prop::collection::vec((0..4_u8, 0..40_i64), 0..50), cut in 1..9_usize
    ) {
        let records: Vec<_> =
            records.iter().map(|(key, at)| Input::value("x").with_key([*key]).at(*at)).collect();
        let mut whole = tester(r#"{"within": "20ms"}"#);
        let mut cut_up = tester(r#"{"within": "20ms"}"#);
        let expected = whole.apply(&records).unwrap();
        let mut found = vec![];
        for batch in records.chunks(cut) {
            cut_up.renew();
            found.extend(cut_up.apply(batch).unwrap());
        }
        prop_assert_eq!(found, expected);
    }
}

/// Two thousand lines of sshd, of which many are the same but for their process.
#[test]
fn real_lines_pass_once_each() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/openssh_2k.log");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let messages: Vec<_> = text.lines().filter_map(|line| line.split_once("]: ")).collect();
    let distinct: BTreeSet<_> = messages.iter().map(|(_, message)| message).collect();
    let mut plugin = tester(r#"{"by": "value", "within": "1d"}"#);
    let passed = messages
        .iter()
        .zip(0..)
        .filter(|((_, message), i)| passes(&mut plugin, &Input::value(message).at(*i)));
    assert_eq!(passed.count(), distinct.len());
    println!("{} of {} lines passed", distinct.len(), messages.len());
    assert!(distinct.len() < messages.len());
}
