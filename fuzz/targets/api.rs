#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("api"), |data: &[u8]| fuzz::api::run(data));
