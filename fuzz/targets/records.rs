#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("records"), |data: &[u8]| fuzz::records::run(data));
