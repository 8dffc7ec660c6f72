//! The append path: rounds over several logs, failures in the middle of them, and what a full disk
//! does.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use common::*;
use tidegate_env::{Fault, FaultKind, FaultOn, SimDisk};
use tidegate_log::*;
use tidegate_types::*;

#[test]
fn a_file_that_fails_to_sync_seals_its_log_alone() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let mut stepped = Stepped::open(disk.clone());
        let logs: Vec<_> = (0..5).map(|n| stepped.log(n, LogConfig::default())).collect();
        let path = segment_path(std::path::Path::new(ROOT), 3, 0).to_string_lossy().into_owned();
        disk.inject(Fault { on: FaultOn::Sync, after: 0, kind: FaultKind::Io, path });
        let answers: Vec<_> = logs
            .iter()
            .map(|log| Stepped::queue(log, request(batch(None, &[b"v"]), When::Durable)))
            .collect();
        stepped.step.run();
        for (n, answer) in answers.iter().enumerate() {
            let answer = answer.try_recv().unwrap();
            if n == 3 {
                assert!(matches!(answer, Err(AppendError::Sealed { .. })), "{answer:?}");
                assert!(logs[n].sealed_reason().unwrap().contains("syncing"));
                assert_eq!(logs[n].offsets().durable, Offset(0));
            } else {
                assert_eq!(answer.unwrap().base_offset, Offset(0), "log {n}");
                assert_eq!(logs[n].offsets().durable, Offset(1));
            }
        }
        let again = Stepped::open(disk.crash());
        for n in [0, 1, 2, 4] {
            let log = again.log(n, LogConfig::default());
            assert_eq!(values(&log, Offset(0)), [b"v"], "log {n}, seed {seed}");
        }
    }
}

#[test]
fn a_log_is_told_something_else_while_it_is_open() {
    let disk = SimDisk::new(1);
    let mut stepped = Stepped::open(disk.clone());
    let log = stepped.log(0, LogConfig { flush: Flush::Os, ..tiny(1 << 20) });
    stepped.put(&log, b"one");
    let before = disk.syncs();
    stepped.put(&log, b"two");
    assert_eq!(disk.syncs(), before, "the page cache was synced");
    log.set_config(tiny(100)).unwrap();
    assert_eq!(log.config(), tiny(100));
    stepped.put(&log, b"three");
    assert!(disk.syncs() > before);
    assert_eq!(log.segments(), 2, "the segment was too long already");
    for bytes in [0, MAX_SEGMENT.get() + 1] {
        let refused = log.set_config(tiny(bytes));
        assert!(matches!(refused, Err(ConfigError::SegmentSize { .. })), "{refused:?}");
    }
    assert_eq!(log.config(), tiny(100));
    let again = Stepped::open(disk.crash());
    let log = again.log(0, LogConfig::default());
    assert_eq!(values(&log, Offset(0)), [&b"one"[..], b"two", b"three"]);
}
