#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("codec"), |data: &[u8]| fuzz::codec::run(data));
