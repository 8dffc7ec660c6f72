//! Offsets that nobody needs go, in their time and not by a clock that jumps.

use std::time::Duration;

use tidegate_group::Request;

use crate::bench::{Bench, partition, seconds};

const DAY: Duration = Duration::from_secs(86_400);
/// Offsets are looked at so often.
const TICK: Duration = Duration::from_secs(600);

#[test]
fn offsets_of_an_empty_group_go_after_the_retention_and_the_group_with_them() {
    let mut bench = Bench::new();
    let members = bench.settle(1);
    bench.commit(&members[0].member_id, members[0].generation, 4).unwrap();
    // The group is long at work before it is empty.
    for _ in 0..8 * 24 * 450 {
        bench.advance(seconds(8));
        bench.heartbeat(&members[0].member_id, members[0].generation).unwrap();
    }
    bench.leave(&[(&members[0].member_id, None)]);
    bench.advance(7 * DAY - TICK);
    assert_eq!(bench.offset("a", 0), Some(4));
    bench.advance(2 * TICK);
    assert_eq!(bench.offset("a", 0), None);
    assert_eq!((bench.coordinator.groups(), bench.coordinator.memory()), (0, 0));
    bench.restart();
    assert_eq!(bench.coordinator.groups(), 0);
}

#[test]
fn a_clock_that_jumps_takes_nothing_away() {
    let mut bench = Bench::new();
    bench.commit("", -1, 4).unwrap();
    bench.now.wall.0 += 400 * 86_400_000;
    bench.advance(2 * TICK);
    assert_eq!(bench.offset("a", 0), Some(4));
    bench.restart();
    bench.advance(6 * DAY);
    assert_eq!(bench.offset("a", 0), Some(4));
    bench.advance(DAY + TICK);
    assert_eq!(bench.offset("a", 0), None);
}

#[test]
fn time_that_the_coordinator_did_not_run_does_not_count_and_time_that_it_ran_does() {
    let mut bench = Bench::new();
    bench.commit("", -1, 4).unwrap();
    bench.advance(5 * DAY);
    // Off for a month; the monotonic clock begins anew.
    bench.now.wall.0 += 30 * 86_400_000;
    bench.now.monotonic = seconds(3);
    bench.restart();
    bench.advance(DAY);
    assert_eq!(bench.offset("a", 0), Some(4));
    bench.advance(DAY + 2 * TICK);
    assert_eq!(bench.offset("a", 0), None, "five days and two are seven");
}

#[test]
fn members_keep_the_offsets_of_what_they_read_and_no_others() {
    let mut bench = Bench::new();
    bench.beat(bench.first_beat("m")).unwrap();
    let mut request = bench.commit_request("m", 1, 1);
    request.topics.push(("b".to_owned(), vec![partition(0, 2)]));
    bench.ask(Request::Commit(request));
    for _ in 0..7 * 24 * 120 + 40 {
        bench.advance(seconds(30));
        bench.beat(bench.next_beat("m", 1)).unwrap();
    }
    assert_eq!((bench.offset("a", 0), bench.offset("b", 0)), (Some(1), None));
}

#[test]
fn a_client_may_say_how_long() {
    let mut bench = Bench::new();
    let mut request = bench.commit_request("", -1, 1);
    request.retention = Some(DAY);
    bench.ask(Request::Commit(request));
    bench.advance(DAY - TICK);
    assert_eq!(bench.offset("a", 0), Some(1));
    bench.advance(2 * TICK);
    assert_eq!(bench.offset("a", 0), None);
}

#[test]
fn a_commit_renews() {
    let mut bench = Bench::new();
    for offset in 0..4 {
        bench.commit("", -1, offset).unwrap();
        bench.advance(5 * DAY);
    }
    assert_eq!(bench.offset("a", 0), Some(3));
}
