//! Times as a histogram of bounded size, however many there are.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time told apart from longer ones.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Times are told to three digits.
const DIGITS: u8 = 3;

/// Where the buckets of a told histogram begin; each is twice as wide as the one before.
const FIRST_BUCKET: Duration = Duration::from_micros(16);

/// Many times; a logarithmic-linear histogram, so that its size does not grow with them.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    nanos: Histogram<u64>,
}

/// The figures of many times, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Percentiles {
    /// How many there were.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half of them took no longer.
    pub p50: f64,
    /// 90 of a hundred took no longer.
    pub p90: f64,
    /// 99 of a hundred took no longer.
    pub p99: f64,
    /// 999 of a thousand took no longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// Times between the bucket before and this one's end.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Bucket {
    /// Its end in microseconds, inclusive.
    pub up_to: f64,
    /// How many there are.
    pub count: u64,
}

impl Latencies {
    pub fn new() -> Latencies {
        let longest = LONGEST.as_nanos() as u64;
        // The bounds are constants that it takes; a growing one would do as well.
        let nanos = Histogram::new_with_bounds(1, longest, DIGITS)
            .unwrap_or_else(|_| unreachable!("a histogram from 1 to {longest} exists"));
        Latencies { nanos }
    }

    pub fn record(&mut self, time: Duration) {
        self.nanos.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn add(&mut self, other: &Latencies) {
        // Both have the same bounds.
        self.nanos.add(&other.nanos).unwrap_or_else(|_| unreachable!("of the same bounds"));
    }

    pub fn percentiles(&self) -> Percentiles {
        let micros = |quantile| self.nanos.value_at_quantile(quantile) as f64 / 1e3;
        Percentiles {
            count: self.nanos.len(),
            mean: self.nanos.mean() / 1e3,
            p50: micros(0.5),
            p90: micros(0.9),
            p99: micros(0.99),
            p999: micros(0.999),
            max: self.nanos.max() as f64 / 1e3,
        }
    }

    /// Buckets, each twice as wide as the one before; leading empty ones are left out.
    pub fn buckets(&self) -> Vec<Bucket> {
        let all = self.nanos.iter_log(FIRST_BUCKET.as_nanos() as u64, 2.0);
        let all = all.map(|step| Bucket {
            up_to: (step.value_iterated_to() + 1) as f64 / 1e3,
            count: step.count_since_last_iteration(),
        });
        all.skip_while(|bucket| bucket.count == 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::new();
        for micros in 1..=1_000 {
            latencies.record(Duration::from_micros(micros));
        }
        let told = latencies.percentiles();
        assert_eq!(told.count, 1_000);
        for (told, expected) in [
            (told.p50, 500.0),
            (told.p90, 900.0),
            (told.p99, 990.0),
            (told.p999, 999.0),
            (told.max, 1_000.0),
            (told.mean, 500.5),
        ] {
            assert!((told - expected).abs() / expected < 0.002, "{told} for {expected}");
        }
    }

    #[test]
    fn two_make_one() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        one.record(Duration::from_millis(1));
        other.record(Duration::from_secs(1));
        one.add(&other);
        let told = one.percentiles();
        assert_eq!(told.count, 2);
        assert!((told.max - 1e6).abs() < 1e3, "{}", told.max);
    }

    #[test]
    fn buckets_hold_every_time() {
        let mut latencies = Latencies::new();
        for micros in [20, 300, 310, 40_000] {
            latencies.record(Duration::from_micros(micros));
        }
        let buckets = latencies.buckets();
        assert_eq!(buckets.iter().map(|bucket| bucket.count).sum::<u64>(), 4);
        assert_eq!(buckets.first().unwrap().count, 1);
        assert_eq!(buckets.last().unwrap().count, 1);
        assert!(buckets.iter().any(|bucket| bucket.count == 2 && bucket.up_to == 512.0));
        assert!(buckets.windows(2).all(|pair| pair[0].up_to < pair[1].up_to));
    }

    #[test]
    fn nothing_recorded_is_nothing_told() {
        let latencies = Latencies::new();
        assert_eq!(latencies.percentiles(), Percentiles::default());
        assert_eq!(latencies.buckets(), []);
    }

    #[test]
    fn times_out_of_range_count_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::MAX);
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.percentiles().count, 2);
    }
}
