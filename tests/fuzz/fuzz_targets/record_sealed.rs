//! See `tidegate_fuzz::record_sealed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::record_sealed(data));
