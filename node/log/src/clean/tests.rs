//! The rules of retention, by both clocks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_env::{Clock, Disk, ManualClock, SimDisk};
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::{
    ByteSize, Cleanup, Incarnation, LeaderEpoch, LogPolicy, Offset, PartitionId, Timestamp,
    TopicId, TopicPartition,
};

use super::Now;
use super::retention::{Closed, is_roll_due, new_start};
use crate::index::{Change, Index, LogMeta};
use crate::{AppendMode, AppendRequest, LogConfig, LogStore, StoreConfig, When};

const DAY: Duration = Duration::from_secs(86_400);
/// 2023-11-14.
const TODAY: i64 = 1_700_000_000_000;
const YEARS_50: i64 = 50 * 365 * 86_400_000;

fn days(n: u32) -> Duration {
    DAY * n
}

fn at(wall: i64, uptime: Duration) -> Now {
    Now { wall: Timestamp(wall), uptime }
}

/// Segments of 100 bytes and 10 offsets, written and closed a day apart from day 1 on.
fn closed(count: u32) -> Vec<Closed> {
    (1..=count)
        .map(|n| Closed {
            next: Offset(i64::from(n) * 10),
            len: 100,
            max_timestamp: Timestamp(TODAY + i64::from(n) * 86_400_000),
            closed_at: days(n),
        })
        .collect()
}

fn keep(retention: Option<Duration>, bytes: Option<u64>) -> LogPolicy {
    let retention_bytes = bytes.map(ByteSize::bytes);
    LogPolicy { retention, retention_bytes, ..LogPolicy::default() }
}

#[test]
fn age_counts_by_both_clocks() {
    let segments = closed(5);
    let policy = keep(Some(days(7)), None);
    let start = |wall, uptime| new_start(&policy, &segments, 50, at(wall, uptime));
    let day = |n: i64| TODAY + n * 86_400_000;
    assert_eq!(start(day(8), days(8)), None, "exactly the retention is not past it");
    assert_eq!(start(day(8) + 1, days(8) + Duration::from_millis(1)), Some(Offset(10)));
    assert_eq!(start(day(11), days(11)), Some(Offset(30)));
    // The wall clock jumps either way, or starts in 1970: what was not held stays.
    for wall in [day(8) + YEARS_50, day(8) - YEARS_50, 0, i64::MAX, i64::MIN] {
        assert_eq!(start(wall, days(8)), None, "wall {wall}");
    }
    // What was held for long goes once its own time has passed, or tells nothing.
    assert_eq!(start(day(8), days(100)), None);
    assert_eq!(start(0, days(10)), Some(Offset(20)));
    assert_eq!(start(day(12) - YEARS_50, days(100)), Some(Offset(50)));
}

#[test]
fn batches_without_a_time_go_by_how_long_they_were_held() {
    let mut segments = closed(2);
    segments[0].max_timestamp = Timestamp::NONE;
    let policy = keep(Some(days(7)), None);
    assert_eq!(new_start(&policy, &segments, 0, at(TODAY, days(8))), None);
    assert_eq!(new_start(&policy, &segments, 0, at(TODAY, days(9))), Some(Offset(10)));
}

#[test]
fn an_old_segment_behind_a_young_one_stays() {
    let mut segments = closed(3);
    segments[0].closed_at = days(50);
    let policy = keep(Some(days(7)), None);
    let now = at(TODAY + 50 * 86_400_000, days(50));
    assert_eq!(new_start(&policy, &segments, 0, now), None);
}

#[test]
fn size_keeps_at_least_what_it_says() {
    let segments = closed(5);
    let now = at(TODAY, Duration::ZERO);
    for (keeps, start) in
        [(551, None), (550, None), (451, None), (450, Some(10)), (50, Some(50)), (0, Some(50))]
    {
        let found = new_start(&keep(None, Some(keeps)), &segments, 50, now);
        assert_eq!(found, start.map(Offset), "keeping {keeps}");
    }
}

#[test]
fn a_log_that_only_compacts_loses_nothing_by_age_or_size() {
    let policy = LogPolicy { cleanup: Cleanup::Compact, ..keep(Some(days(1)), Some(0)) };
    assert_eq!(new_start(&policy, &closed(5), 0, at(TODAY + YEARS_50, days(900))), None);
    let policy = LogPolicy { cleanup: Cleanup::CompactDelete, ..policy };
    assert_eq!(new_start(&policy, &closed(5), 0, at(TODAY, days(0))), Some(Offset(50)));
}

#[test]
fn active_segments_close_at_the_shorter_of_two_ages() {
    let due = |policy: &LogPolicy, age| is_roll_due(policy, days(1), at(0, days(1) + age));
    let policy = LogPolicy { segment_age: days(3), ..keep(Some(days(7)), None) };
    assert!(!due(&policy, days(3)) && due(&policy, days(3) + Duration::from_millis(1)));
    let policy = LogPolicy { retention: Some(days(2)), ..policy };
    assert!(due(&policy, days(3)));
    let policy = LogPolicy { cleanup: Cleanup::Compact, ..policy };
    assert!(!due(&policy, days(3)));
}

const LOG: TopicPartition =
    TopicPartition { topic: TopicId(uuid::Uuid::from_u128(1)), partition: PartitionId(0) };

/// What the writer says of a log may be older than a trim that was stored meanwhile.
#[test]
fn a_stored_start_never_moves_back() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let index = Index::open(&disk, Path::new("/"), ByteSize::mib(1)).unwrap();
    let meta = |incarnation, start| {
        let (start, epochs) = (Offset(start), vec![(LeaderEpoch(1), Offset(0))]);
        let incarnation = Incarnation(incarnation);
        Change::Log(LOG, LogMeta { incarnation, start, epochs, damage: Vec::new() })
    };
    let start = || index.known(LOG).unwrap().meta.unwrap().start;
    index.commit(&[meta(1, 0), Change::Start(LOG, Incarnation(1), Offset(10))]).unwrap();
    index.commit(&[meta(1, 3)]).unwrap();
    assert_eq!(start(), Offset(10));
    index.commit(&[Change::Start(LOG, Incarnation(1), Offset(4)), meta(1, 20)]).unwrap();
    assert_eq!(start(), Offset(20));
    index.commit(&[meta(2, 0)]).unwrap();
    assert_eq!(start(), Offset(0), "another life of the log begins where it says");
}

#[test]
fn whoever_found_a_segment_before_it_was_compacted_reads_its_old_file() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(TODAY)));
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let (store, mut step) =
        LogStore::open_stepped(disk, clock, Path::new("/"), StoreConfig::default()).unwrap();
    let policy = LogPolicy { cleanup: Cleanup::Compact, ..LogPolicy::default() };
    let config = LogConfig { segment_bytes: ByteSize::kib(1), policy, ..LogConfig::default() };
    let handle = store.open_log(LOG, Incarnation(1), config).unwrap();
    for _ in 0..40 {
        let mut builder = BatchBuilder::new(BuildOptions::default());
        builder.push(Timestamp(1), Some(b"key"), Some(&[7; 100]), []).unwrap();
        let batches = builder.build().unwrap().into();
        let mode = AppendMode::Assign { leader_epoch: LeaderEpoch(1) };
        let request = AppendRequest { batches, mode, ack: When::Durable };
        handle.append(request, Box::new(|result| assert!(result.is_ok())));
        step.run();
    }
    let log = &handle.log;
    let (found, bytes) = (log.segments(), handle.bytes());
    store.maintenance_step().run();
    assert!(handle.bytes().get() < bytes.get() / 2);
    for segment in found.iter().filter(|old| old.len() > 0 && old.next() < handle.offsets().end) {
        let (file, position) =
            segment.look(LOG, log.context(), |index| index.position_of(0)).unwrap();
        assert_eq!((file.len().unwrap(), position), (segment.len(), 0));
    }
}

proptest! {
    /// However the wall clock jumps, no record goes by age that was not held for the retention,
    /// and the log's start is always the end of a closed segment.
    #[test]
    fn nothing_goes_before_it_was_held(
        wall in any::<i64>(),
        uptime in 0_u64..100,
        retention in 0_u32..50,
        times in prop::collection::vec((any::<i64>(), 0_u32..100), 0..8),
    ) {
        let segments: Vec<Closed> = times
            .iter()
            .enumerate()
            .map(|(n, (time, closed_at))| Closed {
                next: Offset(n as i64 + 1),
                len: 1,
                max_timestamp: Timestamp(*time),
                closed_at: days(*closed_at),
            })
            .collect();
        let now = at(wall, DAY * uptime as u32);
        let start = new_start(&keep(Some(days(retention)), None), &segments, 1, now);
        for segment in segments.iter().filter(|s| start.is_some_and(|start| s.next <= start)) {
            prop_assert!(now.uptime.saturating_sub(segment.closed_at) > days(retention));
        }
        prop_assert!(start.is_none_or(|start| segments.iter().any(|s| s.next == start)));
    }
}
