//! When each request is due.

use std::time::Duration;

/// When one connection's requests are due. A plain rule: nothing here remembers anything, so that
/// being late once makes no later request late.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Pace {
    /// As soon as there is room.
    Closed,
    /// At fixed times, however long the broker takes.
    Open {
        /// Of the first request.
        first: Duration,
        /// Between two.
        interval: f64,
    },
}

impl Pace {
    /// The pace of one of several connections that keep `rate` requests a second together, taking
    /// turns.
    pub fn open(rate: f64, connection: u32, connections: u32) -> Pace {
        Pace::Open {
            first: seconds(f64::from(connection) / rate),
            interval: f64::from(connections) / rate,
        }
    }

    /// When a request is due, from 0; `None` if nothing but room is to be waited for.
    pub fn due(&self, number: u64) -> Option<Duration> {
        match self {
            Pace::Closed => None,
            Pace::Open { first, interval } => {
                Some(first.saturating_add(seconds(number as f64 * interval)))
            }
        }
    }

    /// How many requests are due before `end`.
    pub fn due_before(&self, end: Duration) -> u64 {
        match self {
            Pace::Closed => 0,
            Pace::Open { first, interval } => {
                let time = end.saturating_sub(*first).as_secs_f64();
                (time / interval).ceil() as u64
            }
        }
    }
}

/// Saturates, where a duration cannot tell a time so long.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_loop_waits_for_room_only() {
        assert_eq!(Pace::Closed.due(7), None);
        assert_eq!(Pace::Closed.due_before(Duration::from_secs(1)), 0);
    }

    #[test]
    fn connections_take_turns_and_keep_the_rate_together() {
        let paces = [0, 1, 2, 3].map(|connection| Pace::open(200.0, connection, 4));
        let mut due: Vec<_> =
            paces.iter().flat_map(|pace| (0..50).map(|n| pace.due(n).unwrap())).collect();
        due.sort_unstable();
        for (n, due) in due.iter().enumerate() {
            let at = Duration::from_millis(5) * n as u32;
            assert!(due.abs_diff(at) < Duration::from_micros(1), "{n}: {due:?}");
        }
        let in_a_second: u64 =
            paces.iter().map(|pace| pace.due_before(Duration::from_secs(1))).sum();
        assert_eq!(in_a_second, 200);
    }

    #[test]
    fn a_day_does_not_make_it_drift() {
        let pace = Pace::open(3.0, 0, 1);
        let day = 86_400;
        let due = pace.due(3 * day).unwrap();
        assert!(due.abs_diff(Duration::from_secs(day)) < Duration::from_micros(1));
    }

    #[test]
    fn times_that_never_come_are_no_panic() {
        let pace = Pace::open(f64::MIN_POSITIVE, 1, 2);
        assert_eq!(pace.due(u64::MAX), Some(Duration::MAX));
        assert_eq!(pace.due_before(Duration::from_secs(9)), 0);
    }
}
