#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    micro_fuzz::mdns_record(data);
});
