//! See `tidegate_fuzz::kafka_fetch_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::kafka_fetch_session(data));
