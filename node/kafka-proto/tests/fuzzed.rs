//! The fuzz targets of this crate over seeded input, so that every test run has a little of them.

#[path = "../../../tests/fuzz/src/kafka.rs"]
mod kafka;

#[path = "../../../tests/fuzz/seeded.rs"]
mod seeded;

use seeded::{Rng, run};

/// Up to `most` bytes, small ones now and then: lengths and counts that make sense.
fn mostly_small(rng: &mut Rng, most: u64) -> Vec<u8> {
    let len = rng.next() % most;
    let top = [3, 12, 256][(rng.next() % 3) as usize];
    (0..len).map(|_| (rng.next() % top) as u8).collect()
}

#[test]
fn frames() {
    run(kafka::kafka_frames, 2_000, |rng| {
        let mut input = vec![rng.next() as u8];
        // Frames of lengths that are mostly right, with bytes in between now and then.
        for _ in 0..rng.next() % 8 {
            let payload = mostly_small(rng, 60);
            let off = if rng.next().is_multiple_of(8) { 1 } else { 0 };
            input.extend((payload.len() as u32 + off).to_be_bytes());
            input.extend(payload);
        }
        input
    });
}

#[test]
fn requests() {
    run(kafka::kafka_requests, 20_000, |rng| {
        let mut input = vec![rng.next() as u8, rng.next() as u8, rng.next() as u8];
        input.extend(mostly_small(rng, 80));
        input
    });
}

#[test]
fn fetch_sessions() {
    run(kafka::kafka_fetch_session, 150, |rng| rng.bytes(800));
}
