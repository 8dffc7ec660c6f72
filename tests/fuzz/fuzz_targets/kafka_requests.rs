//! See `tidegate_fuzz::kafka_requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::kafka_requests(data));
