//! The fuzz targets of this crate over seeded input, so that every test run has a little of them.

#[path = "../../../tests/fuzz/src/kafka.rs"]
mod kafka;

/// How often each target is run, `FUZZ_TIMES` as often as usual.
fn times(usual: u64) -> u64 {
    let times = std::env::var("FUZZ_TIMES").ok().and_then(|text| text.parse().ok());
    usual * times.unwrap_or(1)
}

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Up to `most` bytes, small ones now and then: lengths and counts that make sense.
    fn input(&mut self, most: u64) -> Vec<u8> {
        let len = self.next() % most;
        let top = [3, 12, 256][(self.next() % 3) as usize];
        (0..len).map(|_| (self.next() % top) as u8).collect()
    }
}

fn run(target: fn(&[u8]), usual: u64, input: impl Fn(&mut Rng) -> Vec<u8>) {
    for seed in 0..times(usual) {
        let input = input(&mut Rng(seed));
        let outcome = std::panic::catch_unwind(|| target(&input));
        assert!(outcome.is_ok(), "seed {seed}: {input:?}");
    }
}

#[test]
fn frames() {
    run(kafka::kafka_frames, 2_000, |rng| {
        let mut input = vec![rng.next() as u8];
        // Frames of lengths that are mostly right, with bytes in between now and then.
        for _ in 0..rng.next() % 8 {
            let payload = rng.input(60);
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
        input.extend(rng.input(80));
        input
    });
}

#[test]
fn fetch_sessions() {
    run(kafka::kafka_fetch_session, 150, |rng| {
        let steps = rng.next() % 400;
        (0..2 * steps).map(|_| rng.next() as u8).collect()
    });
}
