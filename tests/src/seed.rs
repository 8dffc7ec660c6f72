//! One source of chance per test, printed so that a failure can be repeated.

pub use tidegate_env::Rng;

/// Where a test's chance begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seed(pub u64);

impl Seed {
    /// Takes `TIDEGATE_SEED`, or draws one, and prints it.
    ///
    /// # Panics
    /// If `TIDEGATE_SEED` is no number.
    #[must_use]
    pub fn take(test: &str) -> Seed {
        let seed = match std::env::var("TIDEGATE_SEED") {
            Ok(text) => text.parse().expect("TIDEGATE_SEED is a number"),
            Err(_) => {
                use std::hash::{BuildHasher, Hasher, RandomState};
                RandomState::new().build_hasher().finish() % 1_000_000
            }
        };
        println!("{test}: seed {seed}; TIDEGATE_SEED={seed} repeats it");
        Seed(seed)
    }

    /// The generator that begins here. Streams with different numbers are independent.
    #[must_use]
    pub fn rng(self, stream: u64) -> Rng {
        Rng::new(self.0 ^ stream.wrapping_mul(0xd134_2543_de82_ef95))
    }
}

/// `n` times `TIDEGATE_SCALE`, at least 1.
///
/// # Panics
/// If `TIDEGATE_SCALE` is no number.
#[must_use]
pub fn scaled(n: u64) -> u64 {
    let scale: f64 = match std::env::var("TIDEGATE_SCALE") {
        Ok(text) => text.parse().expect("TIDEGATE_SCALE is a number"),
        Err(_) => 1.0,
    };
    ((n as f64 * scale) as u64).max(1)
}
