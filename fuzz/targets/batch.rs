#![no_main]
libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("batch"), |data: &[u8]| fuzz::batch::run(data));
