//! How simulations go through their seeds. The crates' tests take this file in by its path.
//!
//! `TIDEGATE_SEEDS=100000` plays so many, `TIDEGATE_SEED=17` that one alone.

use std::collections::BTreeMap;
use std::ops::Range;

/// The seeds to play, `usual` of them unless somebody says otherwise.
pub fn seeds(usual: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    match number("TIDEGATE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TIDEGATE_SEEDS").unwrap_or(usual),
    }
}

/// Plays them. `run` tells what happened in one and how often, or what went wrong.
///
/// # Panics
/// If one goes wrong; or if something happened in none, since a simulation in which nothing happens
/// proves nothing.
pub fn play<C>(usual: u64, run: impl Fn(u64) -> Result<C, String>)
where
    C: IntoIterator<Item = (&'static str, u64)>,
{
    let mut sum = BTreeMap::new();
    for seed in seeds(usual) {
        match run(seed) {
            Ok(counts) => {
                for (what, count) in counts {
                    *sum.entry(what).or_insert(0) += count;
                }
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    println!("{sum:?}");
    if std::env::var("TIDEGATE_SEED").is_err() {
        for (what, count) in sum {
            assert!(count > 0, "no seed had {what}");
        }
    }
}
