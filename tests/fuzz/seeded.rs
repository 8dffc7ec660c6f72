//! Fuzz targets over seeded input, so that every test run of a crate has a little of them. The
//! crates' tests take this file in by its path.

/// How often each target is run, `FUZZ_TIMES` as often as usual.
fn times(usual: u64) -> u64 {
    let times = std::env::var("FUZZ_TIMES").ok().and_then(|text| text.parse().ok());
    usual * times.unwrap_or(1)
}

/// splitmix64.
pub struct Rng(u64);

impl Rng {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Any bytes, less than `most` of them.
    pub fn bytes(&mut self, most: u64) -> Vec<u8> {
        let len = self.next() % most;
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Runs a target over inputs; one that fails is told.
pub fn run(target: fn(&[u8]), usual: u64, input: impl Fn(&mut Rng) -> Vec<u8>) {
    for seed in 0..times(usual) {
        let input = input(&mut Rng(seed));
        let outcome = std::panic::catch_unwind(|| target(&input));
        assert!(outcome.is_ok(), "seed {seed}: {input:?}");
    }
}
