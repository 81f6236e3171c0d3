#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("recovery"), |data: &[u8]| fuzz::recovery::run(data));
