//! `millrace`: reads its configuration, starts the cores, waits for the end.
#![forbid(unsafe_code)]

use broker::{cli, start};
use std::process::ExitCode;

/// Of `sysexits.h`: the configuration cannot work.
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    match cli::read() {
        Ok(cli::Action::Print(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Ok(cli::Action::Run(resolved)) => match start::run(*resolved) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("millrace: {error:#}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("millrace: {error}");
            ExitCode::from(CONFIGURATION)
        }
    }
}
