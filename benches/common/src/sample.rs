//! Records as a sensor sends them. The same number gives the same record on every machine.

use bytes::Bytes;
use tidegate_record::{BatchBuilder, BuildOptions};
use tidegate_types::Timestamp;

use crate::Failure;

/// When the first record was taken, in milliseconds; each later one follows after one more.
pub const EPOCH: i64 = 1_700_000_000_000;

/// A value of about 200 bytes of JSON.
#[must_use]
pub fn value(n: u64) -> String {
    let temperature = 20.0 + (n * 7_919 % 1_000) as f64 / 50.0;
    format!(
        "{{\"device\":\"sensor-{:04}\",\"sequence\":{},\"temperature\":{temperature:.3},\
         \"humidity\":{:.1},\"pressure\":{:.1},\"status\":\"ok\",\"firmware\":\"2.11.4\",\
         \"site\":\"berlin-{:02}\",\"note\":\"periodic reading\"}}",
        n % 4_096,
        1_000_000_000 + n,
        40.0 + (n % 200) as f64 / 10.0,
        990.0 + (n % 400) as f64 / 10.0,
        n % 16,
    )
}

/// One batch of such records, with keys and two headers.
///
/// # Errors
/// If it is too large.
pub fn batch(first: u64, records: u32) -> Result<Bytes, Failure> {
    let mut builder = BatchBuilder::new(BuildOptions::default());
    for n in first..first + u64::from(records) {
        let key = format!("sensor-{:09}", n % 4_096);
        let headers: [(&[u8], Option<&[u8]>); 2] =
            [(b"unit", Some(b"celsius")), (b"trace", Some(b"00-4bf92f3577b34da6"))];
        let at = Timestamp(EPOCH + n as i64);
        builder.push(at, Some(key.as_bytes()), Some(value(n).as_bytes()), headers)?;
    }
    Ok(builder.build()?.into())
}
