use crate::prelude::*;
use crate::testing::{Input, Refused, Tester, take_log};
use crate::{Level, murmur2};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Every {
    every: u32,
}

/// Looks at every part of a record.
struct Checker(Every);

impl Filter for Checker {
    type Config = Every;

    fn configure(config: Every) -> Result<Self, String> {
        if config.every == 0 { Err("every 0 is never".into()) } else { Ok(Checker(config)) }
    }

    fn needs(&self) -> Columns {
        Columns::all()
    }

    fn keep(&mut self, record: &Record<'_>) -> Result<bool, Failure> {
        match record.value_str()? {
            "fail" => return Err("told to fail".into()),
            "reject" => return Err(Failure::reject_batch("told to reject")),
            "log" => {
                crate::warn!("saw {} of {}", record.index(), record.topic());
                count("seen", 1);
            }
            "header" => return Ok(record.header("h") == Some(b"1")),
            "key" => return Ok(record.key() == Some(b"k") && record.timestamp() == Some(9)),
            _ => {}
        }
        Ok(record.index().is_multiple_of(self.0.every))
    }
}

fn checker(every: u32) -> Tester<Checker> {
    Tester::filter(&format!(r#"{{"every": {every}}}"#)).unwrap()
}

#[test]
fn bits_land_on_their_records_across_bytes() {
    for count in [0, 1, 7, 8, 9, 64, 100] {
        let records = vec![Input::value("x"); count];
        let kept = checker(3).keep(&records).unwrap();
        let expected: Vec<_> = (0..count).map(|i| Ok(i % 3 == 0)).collect();
        assert_eq!(kept, expected, "{count}");
    }
}

#[test]
fn every_part_of_a_record_is_read() {
    let mut checker = checker(1);
    let headers = Input::value("header").with_header("g", "0").with_header("h", "1");
    assert_eq!(checker.keep_one(&headers.with_header("h", "2")), Ok(true));
    assert_eq!(checker.keep_one(&Input::value("header")), Ok(false));
    assert_eq!(checker.keep_one(&Input::value("key").with_key("k").at(9)), Ok(true));
    assert_eq!(checker.keep_one(&Input::value("key").with_key("k")), Ok(false));
    assert_eq!(checker.keep_one(&Input::value("key").at(9)), Ok(false));
    let reason = checker.keep_one(&Input::value(b"ab\xff")).unwrap_err();
    assert_eq!(reason, "value is not UTF-8 at byte 2");
}

#[test]
fn failures_mark_single_records_and_rejections_the_batch() {
    let records = ["x", "fail", "x"].map(Input::value);
    let expected = vec![Ok(true), Err("told to fail".into()), Ok(true)];
    assert_eq!(checker(1).keep(&records), Ok(expected));
    let records = ["x", "reject", "fail"].map(Input::value);
    assert_eq!(checker(1).keep(&records), Err(Refused::Rejected("told to reject".into())));
}

#[test]
fn configurations_are_refused_with_the_reason() {
    for (config, word) in [
        (r#"{"every": 0}"#, "every 0 is never"),
        (r#"{"evry": 1}"#, "unknown field `evry`, expected `every`"),
        ("", "missing field `every`"),
        ("{", "configuration: EOF"),
    ] {
        let reason = Tester::<Checker>::filter(config).err().expect(config);
        assert!(reason.contains(word), "{config}: {reason}");
    }
}

#[test]
fn lines_go_to_the_log() {
    take_log();
    checker(1).in_topic("t", 0, 1).keep_one(&Input::value("log")).unwrap();
    assert_eq!(take_log(), [(Level::Warn, "saw 0 of t".to_owned())]);
    let long = "é".repeat(4000);
    crate::info!("{long}");
    assert_eq!(take_log()[0].1.len(), 4096);
}

/// Chooses what its record says.
struct Named;

impl Partition for Named {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Named)
    }

    fn partition(&mut self, record: &Record<'_>, _: u32) -> Result<u32, Failure> {
        Ok(record.value_str()?.parse()?)
    }
}

#[test]
fn a_partition_that_is_not_there_fails_its_record() {
    let mut named = Tester::<Named>::partition("{}").unwrap().in_topic("t", 0, 3);
    let results = named.choose(&["2", "3", "x", "0"].map(Input::value)).unwrap();
    assert_eq!(results[0], Ok(2));
    assert_eq!(results[1], Err("chose partition 3 of a topic with 3".into()));
    assert!(results[2].as_ref().is_err_and(|reason| reason.contains("invalid digit")));
    assert_eq!(results[3], Ok(0));
    assert!(named.choose_one(&Input::null()).is_err());
    let refused = Tester::<Named>::partition(r#"{"x": 1}"#).err();
    assert!(refused.is_some_and(|reason| reason.contains("unknown field `x`")));
}

/// Keeps about half.
struct Half;

impl Filter for Half {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Half)
    }

    fn keep(&mut self, record: &Record<'_>) -> Result<bool, Failure> {
        Ok(record.random().is_multiple_of(2))
    }
}

#[test]
fn randomness_comes_from_the_seed_alone() {
    let run = |seed| {
        let mut half = Tester::<Half>::filter("").unwrap().with_seed(seed);
        half.keep(&vec![Input::value("x"); 1000]).unwrap()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    let kept = run(7).iter().filter(|kept| **kept == Ok(true)).count();
    assert!((400..600).contains(&kept), "{kept} of 1000");
}

#[test]
fn hash_maps_need_no_seed() {
    let map: HashMap<&str, u32> = [("a", 1)].into_iter().collect();
    assert_eq!(map.get("a"), Some(&1));
    assert_ne!(murmur2(b"a"), murmur2(b"b"));
}

/// Counts records in its state, looks one up in its table, and does what its value says.
struct Counter;

impl Transform for Counter {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Counter)
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let count = state::get_as::<u32>(b"count")?.unwrap_or(0) + 1;
        state::put_as(b"count", &count)?;
        if record.bytes()? == b"reject" {
            return Err(Failure::reject_batch("told to reject"));
        }
        let place = state::lookup(b"place").unwrap_or_default();
        let (place, time) = (String::from_utf8_lossy(&place), state::stream_time());
        out.replace_value(format!("{count} {place} {time:?}").as_bytes());
        Ok(())
    }
}

#[test]
fn a_tester_has_the_state_of_the_hook_derive() {
    let mut counter = Tester::<Counter>::transform("").unwrap().with_table("place", "shelf");
    let said = |puts: Result<Vec<crate::testing::Put>, String>| puts.unwrap()[0].text().to_owned();
    assert_eq!(said(counter.apply_one(&Input::value(""))), "1 shelf None");
    assert_eq!(said(counter.apply_one(&Input::value("").at(7))), "2 shelf Some(7)");
    let rejected = counter.apply(&["", "", "reject"].map(Input::value));
    assert_eq!(rejected, Err(Refused::Rejected("told to reject".into())));
    counter.renew();
    assert_eq!(said(counter.apply_one(&Input::value("").at(3))), "3 shelf Some(7)");
    assert_eq!(counter.store().entries().count(), 1);
}
