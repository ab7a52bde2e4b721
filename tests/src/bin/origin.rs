//! `limen-origin ADDRESS`: the kit's origin as a program, for the quickstart and for trying things out.

use limen_tests::Origin;
use std::process::ExitCode;

fn main() -> ExitCode {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    match Origin::start_on(&address) {
        Ok(origin) => {
            println!("listening on {origin}");
            origin.join();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: cannot listen on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}
