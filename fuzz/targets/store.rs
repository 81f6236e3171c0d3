#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("store"), |data: &[u8]| fuzz::store::run(data));
