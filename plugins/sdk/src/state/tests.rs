use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn what_was_put_is_got_until_it_is_deleted_or_expires() {
    let mut store = Store::default();
    store.advance(100);
    store.run(|| {
        assert_eq!(get(b"k"), None);
        put(b"k", b"1");
        put(b"k", b"2");
        put_for(b"t", b"3", Duration::from_millis(50));
        assert_eq!(get(b"k").as_deref(), Some(&b"2"[..]));
        delete(b"k");
        delete(b"k");
        assert_eq!(get(b"k"), None);
        assert_eq!(stream_time(), Some(100));
    });
    store.advance(149);
    store.advance(20);
    assert_eq!(store.run(|| (get(b"t"), stream_time())), (Some(b"3".to_vec()), Some(149)));
    store.advance(150);
    assert_eq!(store.run(|| get(b"t")), None);
}

#[test]
fn a_stream_without_timestamps_has_no_time() {
    let mut store = Store::default();
    assert_eq!(store.run(stream_time), None);
}

#[test]
fn types_go_through_and_another_type_is_a_failure() {
    Store::default().run(|| {
        put_as(b"k", &("a", Some(-7_i64), 1.5_f64)).unwrap();
        let found: (String, Option<i64>, f64) = get_as(b"k").unwrap().unwrap();
        assert_eq!(found, ("a".to_owned(), Some(-7), 1.5));
        assert_eq!(get_as::<u32>(b"none"), Ok(None));
        put(b"k", b"\xff");
        let reason = get_as::<String>(b"k").unwrap_err();
        assert!(reason.reason().starts_with("state is of another form"), "{reason}");
    });
}

#[test]
fn the_table_is_looked_up_and_is_not_the_state() {
    let mut store = Store::default();
    store.set_table("k", "v");
    assert_eq!(
        store.run(|| (lookup(b"k"), lookup(b"x"), get(b"k"))),
        (Some(b"v".to_vec()), None, None)
    );
}

#[test]
fn a_walk_goes_on_while_its_keys_are_deleted() {
    let mut store = Store::default();
    store.run(|| {
        for i in 0..500_u16 {
            put(&[b"p", &i.to_be_bytes()[..]].concat(), b"");
        }
        put(b"q", b"");
        let walked = scan(b"p").inspect(|(key, _)| delete(key)).count();
        assert_eq!(walked, 500);
    });
    assert_eq!(store.entries().map(|(key, _)| key).collect::<Vec<_>>(), [b"q"]);
}

#[test]
fn a_panic_gives_the_store_back() {
    let mut store = Store::default();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.run(|| {
            put(b"k", b"v");
            panic!("told to");
        })
    }));
    assert!(ended.is_err());
    assert_eq!(store.entries().count(), 1);
    assert!(std::panic::catch_unwind(|| get(b"k")).is_err(), "no state outside of run");
}

proptest! {
    #[test]
    fn scans_are_the_ordered_entries_with_the_prefix(
        keys in prop::collection::btree_map("[ab]{0,4}", "[a-z]{0,3}", 0..24),
        prefix in "[ab]{0,2}",
        page in 1..5_u32,
    ) {
        let mut store = Store::default();
        let found: Vec<_> = store.run(|| {
            for (key, value) in &keys {
                put(key.as_bytes(), value.as_bytes());
            }
            scan(prefix.as_bytes()).paged(page).collect()
        });
        let expected: BTreeMap<_, _> =
            keys.iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(key, value)| (key.clone().into_bytes(), value.clone().into_bytes()))
            .collect();
        prop_assert_eq!(found, expected);
    }
}
