use proptest::prelude::*;

use super::*;
use crate::testing::Store;

const MS: Duration = Duration::from_millis(1);

/// A record: its key, its time, and a number that tells it from the others.
type Item = (u8, i64, u64);
/// A closed window, the record that closed it, and what lies in it, in order of arrival.
type Closed = (usize, Window, Vec<u64>);

/// Runs records through windows, over a state that is all that is kept between them.
fn run(windows: &Windows, items: &[Item]) -> (Vec<Closed>, Vec<Added>) {
    let mut store = Store::default();
    let (mut closed, mut added) = (vec![], vec![]);
    for (i, (key, at, number)) in items.iter().enumerate() {
        store.run(|| {
            let mut close = |window: &Window, mut found: Vec<u64>| {
                found.sort_unstable();
                closed.push((i, window.clone(), found));
            };
            let update = |found: &mut Vec<u64>| found.push(*number);
            added.push(windows.add(&[*key], *at, update, &mut close).unwrap());
        });
    }
    (closed, added)
}

fn clock(items: &[Item], i: usize) -> i64 {
    items[..=i].iter().map(|(_, at, _)| *at).max().unwrap()
}

/// What fixed windows come to, said without a state: each window by itself, over all records.
fn fixed_model(size: i64, every: i64, grace: i64, items: &[Item]) -> (Vec<Closed>, Vec<Added>) {
    let (low, high) = (items.iter().map(|i| i.1).min(), items.iter().map(|i| i.1).max());
    let (Some(low), Some(high)) = (low, high) else { return (vec![], vec![]) };
    let mut added = vec![Added::Late; items.len()];
    let mut closed = vec![];
    let keys: std::collections::BTreeSet<u8> = items.iter().map(|(key, _, _)| *key).collect();
    let first = (low - size).div_euclid(every);
    for start in (first..=high.div_euclid(every)).map(|n| n * every) {
        let end = start + size;
        for key in &keys {
            let open = |i: usize| end + grace > clock(items, i);
            let inside: Vec<usize> = (0..items.len())
                .filter(|i| items[*i].0 == *key && (start..end).contains(&items[*i].1) && open(*i))
                .collect();
            inside.iter().for_each(|i| added[*i] = Added::Counted);
            let closer = (0..items.len()).find(|i| !open(*i));
            if let (Some(closer), false) = (closer, inside.is_empty()) {
                let numbers = inside.iter().map(|i| items[*i].2).collect();
                closed.push((closer, Window { end, start, key: vec![*key] }, numbers));
            }
        }
    }
    closed.sort();
    (closed, added)
}

/// What sessions come to: a plain list of open ones, searched from end to end.
fn session_model(gap: i64, grace: i64, items: &[Item]) -> (Vec<Closed>, Vec<Added>) {
    let mut open: Vec<(Window, Vec<u64>)> = vec![];
    let (mut closed, mut added) = (vec![], vec![]);
    for (i, (key, at, number)) in items.iter().enumerate() {
        let now = clock(items, i);
        let mut new = (Window { end: at + gap, start: *at, key: vec![*key] }, vec![*number]);
        let is_closed = |window: &Window| window.end + grace <= now;
        open.sort();
        for (window, numbers) in open.extract_if(.., |(window, _)| is_closed(window)) {
            closed.push((i, window, numbers));
        }
        let apart = |window: &Window, new: &Window| {
            window.key != new.key || window.end <= *at || window.start >= new.start + gap
        };
        let bounds = new.0.clone();
        let touched: Vec<_> = open.extract_if(.., |(window, _)| !apart(window, &bounds)).collect();
        for (window, numbers) in touched {
            new.0.end = new.0.end.max(window.end);
            new.0.start = new.0.start.min(window.start);
            new.1.extend(numbers);
        }
        new.1.sort_unstable();
        let late = is_closed(&new.0);
        added.push(if late { Added::Late } else { Added::Counted });
        if !late {
            open.push(new);
        }
    }
    (closed, added)
}

/// Records that mostly move on, with some that come late and some that leap.
fn items() -> impl Strategy<Value = Vec<Item>> {
    let step = prop_oneof![8 => 0..6_i64, 2 => -20..0_i64, 1 => 20..60_i64];
    (-30..30_i64, prop::collection::vec((97..100_u8, step), 0..60)).prop_map(|(start, steps)| {
        let mut at = start;
        let place = |(i, (key, step)): (usize, (u8, i64))| {
            at += step;
            (key, at, i as u64)
        };
        steps.into_iter().enumerate().map(place).collect()
    })
}

proptest! {
    #[test]
    fn tumbling_windows_are_as_the_model(size in 1..25_i64, grace in 0..25_i64, items in items()) {
        let kind = Kind::tumbling(MS * size as u32).unwrap();
        let windows = Windows::new(kind).with_grace(MS * grace as u32);
        prop_assert_eq!(run(&windows, &items), fixed_model(size, size, grace, &items));
    }

    #[test]
    fn hopping_windows_are_as_the_model(
        every in 1..12_i64, more in 0..40_i64, grace in 0..25_i64, items in items()
    ) {
        let size = every + more;
        let kind = Kind::hopping(MS * size as u32, MS * every as u32).unwrap();
        let windows = Windows::new(kind).with_grace(MS * grace as u32);
        prop_assert_eq!(run(&windows, &items), fixed_model(size, every, grace, &items));
    }

    #[test]
    fn sessions_are_as_the_model(gap in 1..25_i64, grace in 0..25_i64, items in items()) {
        let windows = Windows::new(Kind::session(MS * gap as u32).unwrap());
        let windows = windows.with_grace(MS * grace as u32);
        prop_assert_eq!(run(&windows, &items), session_model(gap, grace, &items));
    }

    #[test]
    fn times_are_ordered_as_their_bytes(a: i64, b: i64) {
        prop_assert_eq!(a.cmp(&b), ordered(a).cmp(&ordered(b)));
        prop_assert_eq!(time(ordered(a)), a);
    }

    #[test]
    fn no_time_is_too_far(ats in prop::collection::vec(any::<i64>(), 1..8), pick in 0..3) {
        let kind = match pick {
            0 => Kind::tumbling(MS * 7),
            1 => Kind::hopping(MS * 100, MS),
            _ => Kind::session(MS * 7),
        };
        let items: Vec<Item> = ats.into_iter().map(|at| (b'k', at, 0)).collect();
        let (_, added) = run(&Windows::new(kind.unwrap()), &items);
        prop_assert_eq!(added.len(), items.len());
    }
}

#[test]
fn closed_windows_leave_nothing_behind() {
    let kinds = [Kind::tumbling(MS * 10), Kind::hopping(MS * 10, MS * 5), Kind::session(MS * 10)];
    for kind in kinds.map(Result::unwrap) {
        let mut store = Store::default();
        let windows = Windows::new(kind);
        let mut add = |key: &[u8], at| {
            let mut close = |_: &Window, _: u64| {};
            store.run(|| windows.add(key, at, |count: &mut u64| *count += 1, &mut close)).unwrap();
            store.entries().count()
        };
        let steady = (0..50).map(|i| add(b"k", i * 20)).max();
        let bound = if kind == Kind::tumbling(MS * 10).unwrap() { 2 } else { 3 };
        assert_eq!(steady, Some(bound), "{kind:?}");
    }
}

#[test]
fn two_sets_with_names_of_their_own_do_not_meet() {
    let kind = Kind::tumbling(MS * 10).unwrap();
    let (a, b) = (Windows::new(kind).named("a"), Windows::new(kind).named("ab"));
    let mut closed = vec![];
    Store::default().run(|| {
        for (windows, at) in [(&a, 1), (&b, 100), (&a, 2), (&a, 11)] {
            let mut close = |window: &Window, count: u64| closed.push((window.start, count));
            windows.add(b"k", at, |count: &mut u64| *count += 1, &mut close).unwrap();
        }
    });
    assert_eq!(closed, [(0, 2)]);
}

#[test]
fn spans_are_checked() {
    assert_eq!(Kind::tumbling(Duration::ZERO), Err(KindError::Span));
    assert_eq!(Kind::session(Duration::MAX), Err(KindError::Span));
    assert_eq!(Kind::hopping(MS, MS * 2), Err(KindError::Gaps));
    assert_eq!(Kind::hopping(MS * 101, MS), Err(KindError::Overlap));
    assert!(Kind::hopping(MS * 100, MS).is_ok());
}
