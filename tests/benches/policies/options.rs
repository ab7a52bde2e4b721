//! What the benchmark was told.

use crate::cases::{Case, all};

pub struct Options {
    names: Vec<String>,
    pub rounds: usize,
    pub seconds: u64,
    pub json: bool,
}

impl Options {
    /// Of the command line; one that can't be read ends the process.
    pub fn read() -> Options {
        let mut options = Options { names: vec![], rounds: 5, seconds: 1, json: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().and_then(|it| it.parse().ok()).filter(|it| *it > 0);
            match &*argument {
                "--bench" => {}
                "--json" => options.json = true,
                "--rounds" => options.rounds = number().unwrap_or_else(|| usage()) as usize,
                "--secs" => options.seconds = number().unwrap_or_else(|| usage()),
                option if option.starts_with('-') => usage(),
                name => options.names.push(name.to_owned()),
            }
        }
        options
    }

    pub fn cases(&self) -> Vec<&'static Case> {
        let chosen =
            |case: &&Case| self.names.is_empty() || self.names.iter().any(|it| case.name.starts_with(it));
        let cases: Vec<_> = all().filter(chosen).collect();
        if cases.is_empty() {
            usage();
        }
        cases
    }
}

fn usage() -> ! {
    eprintln!(
        "usage: cargo bench --workspace --bench policies -- [CASE ...] [--rounds N] [--secs S] [--json]"
    );
    eprintln!("cases: {}", all().map(|case| case.name).collect::<Vec<_>>().join("; "));
    std::process::exit(2);
}
