use tidegate_plugin_sdk::testing::{Input, Tester};

use crate::Sample;

fn tester(config: &str) -> Tester<Sample> {
    Tester::filter(config).unwrap()
}

fn kept(plugin: &mut Tester<Sample>, records: &[Input]) -> Vec<usize> {
    let kept = plugin.keep(records).unwrap();
    (0..records.len()).filter(|i| kept[*i] == Ok(true)).collect()
}

fn keyed(count: u32) -> Vec<Input> {
    (0..count).map(|i| Input::value(format!(r#"{{"id":{i}}}"#)).with_key(format!("k{i}"))).collect()
}

#[test]
fn every_nth_is_evenly_apart_and_starts_where_the_seed_says() {
    let records = keyed(1_000);
    let mut starts = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut plugin = tester(r#"{"every": 10}"#).with_seed(seed);
        let kept = kept(&mut plugin, &records);
        assert_eq!(kept.len(), 100);
        assert!(kept.windows(2).all(|pair| pair[1] - pair[0] == 10));
        starts.insert(kept[0]);
    }
    assert_eq!(starts, (0..10).collect(), "each place is the first at times");
    assert_eq!(kept(&mut tester(r#"{"every": 1}"#), &records).len(), 1_000);
}

#[test]
fn batches_of_one_record_are_sampled_too() {
    let one = [Input::value("x")];
    let kept = |seed| kept(&mut tester(r#"{"every": 4}"#).with_seed(seed), &one).len();
    let total: usize = (0..4_000).map(kept).sum();
    assert!((900..1_100).contains(&total), "{total} of 4000");
}

#[test]
fn a_fraction_is_kept_the_same_on_every_run() {
    let records = keyed(10_000);
    let run = |seed| kept(&mut tester(r#"{"fraction": 0.25}"#).with_seed(seed), &records);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let count = run(1).len();
    assert!((2_300..2_700).contains(&count), "{count} of 10000");
    assert!(tester(r#"{"fraction": 0.25}"#).needs().is_empty(), "nothing is read for it");
}

#[test]
fn by_key_or_field_what_belongs_together_stays_together() {
    let records = keyed(10_000);
    let by_key = kept(&mut tester(r#"{"fraction": 0.1, "by": "key"}"#).with_seed(1), &records);
    let again = kept(&mut tester(r#"{"fraction": 0.1, "by": "key"}"#).with_seed(2), &records);
    assert_eq!(by_key, again, "no seed plays a part");
    assert!((850..1_150).contains(&by_key.len()), "{}", by_key.len());
    // Fixed for ever: nodes of different versions must agree.
    assert_eq!(by_key[..4], FIRST_KEPT);

    let more = kept(&mut tester(r#"{"fraction": 0.5, "by": "key"}"#), &records);
    assert!(by_key.iter().all(|i| more.contains(i)), "a larger fraction keeps more, not others");
    let salted = kept(&mut tester(r#"{"fraction": 0.1, "by": "key", "salt": 7}"#), &records);
    let both = salted.iter().filter(|i| by_key.contains(i)).count();
    assert!((50..200).contains(&both), "{both} in common");

    let mut plugin = tester(r#"{"fraction": 0.5, "by": {"field": "id"}}"#);
    let (a, b) = (Input::value(r#"{"id":"7","x":1}"#), Input::value(r#"{"x":2, "id":7}"#));
    assert_eq!(plugin.keep_one(&a), plugin.keep_one(&b));
    assert_eq!(plugin.keep_one(&Input::value("{}")), Err("field `id` is missing".into()));
    let mut plugin = tester(r#"{"fraction": 0.5, "by": "key"}"#);
    assert!(plugin.keep_one(&Input::null()).is_ok());
}

const FIRST_KEPT: [usize; 4] = [16, 32, 34, 64];

#[test]
fn refuses_configurations_with_the_reason() {
    for (config, word) in [
        ("{}", "give `every` or `fraction`"),
        (r#"{"every": 2, "fraction": 0.5}"#, "not both"),
        (r#"{"every": 0}"#, "at least 1"),
        (r#"{"every": 2, "by": "key"}"#, "`by` is for `fraction` only"),
        (r#"{"fraction": 0.5, "salt": 1}"#, "`salt` is for `by` only"),
        (r#"{"fraction": 0}"#, "not between 0 and 1"),
        (r#"{"fraction": 1}"#, "not between 0 and 1"),
        (r#"{"nth": 2}"#, "unknown field `nth`"),
    ] {
        let reason = Tester::<Sample>::filter(config).err().expect(config);
        assert!(reason.contains(word), "{config}: {reason}");
    }
}
