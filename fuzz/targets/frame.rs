#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("frame"), |data: &[u8]| fuzz::frame::run(data));
