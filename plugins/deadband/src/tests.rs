use std::path::Path;

use proptest::prelude::*;
use tidegate_plugin_sdk::testing::{Input, Tester};

use crate::Deadband;

fn tester(config: &str) -> Tester<Deadband> {
    Tester::transform(config).unwrap()
}

fn passes(plugin: &mut Tester<Deadband>, record: &Input) -> bool {
    let puts = plugin.apply_one(record).unwrap();
    assert!(puts.iter().all(|put| put.record == *record), "what passes is unchanged");
    puts.len() == 1
}

#[test]
fn only_moves_beyond_the_band_pass_measured_from_what_passed() {
    let mut plugin = tester(r#"{"absolute": 2}"#);
    for (number, passed) in
        [("10", true), ("12", false), ("11", false), ("12.1", true), ("11", false), ("10", true)]
    {
        assert_eq!(passes(&mut plugin, &Input::value(number).with_key("a")), passed, "{number}");
    }
    assert!(passes(&mut plugin, &Input::value("10").with_key("b")), "a series of its own");
    assert!(passes(&mut plugin, &Input::value("10")), "a null key is one too");
    assert!(!passes(&mut plugin, &Input::value("10")));
    assert!(passes(&mut plugin, &Input::value("10").with_key("")), "an empty key is another");
}

#[test]
fn percents_are_of_the_last_number_and_either_limit_is_enough() {
    let mut plugin = tester(r#"{"percent": 10}"#);
    let moves = [("-100", true), ("-90", false), ("-110.1", true), ("0", true), ("0.001", true)];
    for (number, passed) in moves {
        assert_eq!(passes(&mut plugin, &Input::value(number)), passed, "{number}");
    }
    let mut plugin = tester(r#"{"percent": 10, "absolute": 1}"#);
    for (number, passed) in
        [("100", true), ("101", false), ("101.5", true), ("1", true), ("1.2", true)]
    {
        assert_eq!(passes(&mut plugin, &Input::value(number)), passed, "{number}");
    }
}

#[test]
fn silence_passes_a_record_and_late_ones_are_no_silence() {
    let config = r#"{"field": "v", "by": {"field": "id"}, "absolute": 0, "max_silence": "1s"}"#;
    let mut plugin = tester(config);
    for (at, passed) in [(0, true), (999, false), (1_000, true), (-5_000, false), (1_999, false)] {
        let record = Input::value(r#"{"v": 1, "id": 7}"#).at(at);
        assert_eq!(passes(&mut plugin, &record), passed, "{at}");
    }
    let untimed = plugin.apply_one(&Input::value(r#"{"v": 1, "id": 7}"#)).unwrap_err();
    assert!(untimed.contains("without a timestamp"), "{untimed}");
}

#[test]
fn a_series_is_forgotten_after_a_time() {
    let mut plugin = tester(r#"{"absolute": 0, "forget": "1h"}"#);
    let at = |hours: i64| Input::value("1").with_key("k").at(hours * 3_600_000);
    assert!(passes(&mut plugin, &at(0)));
    assert_eq!(plugin.store().entries().count(), 1);
    assert!(passes(&mut plugin, &at(2)));
    plugin.store_mut().advance(9 * 3_600_000);
    assert_eq!(plugin.store().entries().count(), 0);
}

#[test]
fn bad_records_fail_and_change_nothing() {
    let mut plugin = tester(r#"{"absolute": 1, "by": {"field": "id"}, "field": "v"}"#);
    for (value, word) in [
        (r#"{"id": 1}"#, "field `v` is missing"),
        (r#"{"v": "x", "id": 1}"#, "no finite number"),
        (r#"{"v": 1}"#, "field `id` is missing"),
        (r#"{"v": 1, "id": []}"#, "object or array"),
        ("{", "not JSON"),
    ] {
        let reason = plugin.apply_one(&Input::value(value)).unwrap_err();
        assert!(reason.contains(word), "{value}: {reason}");
    }
    assert!(plugin.apply_one(&Input::null()).is_err());
    assert_eq!(plugin.store().entries().count(), 0);
}

#[test]
fn refuses_configurations_with_the_reason() {
    for (config, word) in [
        ("{}", "no band is set"),
        (r#"{"absolute": -1}"#, "must not be negative"),
        (r#"{"absolute": 1, "by": "value"}"#, "a series of its own"),
        (r#"{"absolute": 1, "max_silence": "0s"}"#, "longer than 0"),
        (r#"{"absolute": 1, "max_silence": "2h", "forget": "1h"}"#, "shorter than `max_silence`"),
        (r#"{"absolute": 1, "max_silence": "soon"}"#, "`soon` is no duration"),
        (r#"{"absolut": 1}"#, "unknown field `absolut`"),
        (r#"{"absolute": 1, "column": 1}"#, "for format csv only"),
    ] {
        let reason = Tester::<Deadband>::transform(config).err().expect(config);
        assert!(reason.contains(word), "{config}: {reason}");
    }
    assert!(Tester::<Deadband>::transform(r#"{"absolute": 1, "max_silence": "30d"}"#).is_ok());
}

proptest! {
    #[test]
    fn what_was_dropped_lies_within_the_band_of_what_passed(
        numbers in prop::collection::vec(-50..50_i32, 1..60), band in 0..10_i32, cut in 1..7_usize
    ) {
        let mut plugin = tester(&format!(r#"{{"absolute": {band}}}"#));
        let mut last = None;
        for batch in numbers.chunks(cut) {
            plugin.renew();
            let records: Vec<_> = batch.iter().map(|n| Input::value(n.to_string())).collect();
            for (number, puts) in batch.iter().zip(plugin.apply(&records).unwrap()) {
                let moved = last.is_none_or(|last: i32| (number - last).abs() > band);
                prop_assert_eq!(puts.unwrap().len() == 1, moved);
                last = if moved { Some(*number) } else { last };
            }
        }
    }
}

/// Five weeks of a machine's temperature, every five minutes.
#[test]
fn a_real_series_shrinks_and_stays_within_the_band() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/machine_temperature.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return;
    };
    let mut plugin = tester(r#"{"format": "csv", "column": 1, "absolute": 1}"#);
    let (mut shown, mut passed, mut rows) = (f64::NAN, 0, 0);
    for line in text.lines().skip(1) {
        let number: f64 = line.split(',').nth(1).unwrap().parse().unwrap();
        rows += 1;
        if passes(&mut plugin, &Input::value(line)) {
            shown = number;
            passed += 1;
        }
        assert!((shown - number).abs() <= 1.0, "{line}: shown as {shown}");
    }
    println!("{passed} of {rows} readings passed");
    assert!(rows > 20_000 && passed < rows / 2, "{passed} of {rows}");
}
