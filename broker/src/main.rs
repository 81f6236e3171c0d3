//! `millrace`: reads its configuration, starts the cores, waits for the end.
#![forbid(unsafe_code)]

use broker::{cli, output, start};
use std::process::ExitCode;

/// Of `sysexits.h`: the configuration cannot work.
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    match cli::read() {
        Ok(cli::Action::Print(text)) => output::print(&text),
        Ok(cli::Action::Run(resolved)) => start::run(*resolved),
        Err(error) => {
            output::complain(&error);
            ExitCode::from(CONFIGURATION)
        }
    }
}
