#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    micro_fuzz::connection(data);
});
