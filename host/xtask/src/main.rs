//! `cargo xtask`: the project's own commands, each a file below.
//!
//! It asks nothing of a machine but rustup and a C compiler, reaches for the network only when
//! something is missing, and does the same again, quickly, when called a second time.

mod build;
mod check;
mod contract;
mod dist;
mod manual;
mod process;
mod quickstart;
mod reference;
mod test;

use std::process::ExitCode;

/// What a command comes to: done, or one sentence about why it isn't.
type Outcome = Result<(), String>;

struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Outcome,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "quickstart",
        arguments: "",
        about: "build everything and run examples/quickstart until Ctrl-C",
        run: quickstart::run,
    },
    Command {
        name: "test",
        arguments: "[FILTER]",
        about: "build the gateway, plugins and guests, then run every test whose name contains FILTER",
        run: test::run,
    },
    Command {
        name: "check",
        arguments: "",
        about: "check formatting, lints, the references and the contract, as CI does",
        run: check::run,
    },
    Command {
        name: "reference",
        arguments: "",
        about: "write the references of limen.toml and for authors of policies, from the docs in the sources",
        run: references,
    },
    Command {
        name: "dist",
        arguments: "",
        about: "build the gateway for production into target/dist: optimised by a profile of one that served",
        run: dist::run,
    },
    Command {
        name: "plugins",
        arguments: "",
        about: "build the reference plugins into target/wasm32-wasip2/release",
        run: build::plugins_command,
    },
    Command {
        name: "guests",
        arguments: "",
        about: "build the tests' guests into target/wasm32-wasip2/release and target/guests",
        run: build::guests_command,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asks_for_help = arguments.iter().any(|it| it == "--help" || it == "-h" || it == "help");
    let Some((name, rest)) = arguments.split_first() else {
        eprint!("{}", help());
        return ExitCode::from(2);
    };
    if asks_for_help {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|it| it.name == name) else {
        eprintln!("error: no such command: {name}\n");
        eprint!("{}", help());
        return ExitCode::from(2);
    };
    let most = usize::from(!command.arguments.is_empty());
    if rest.len() > most {
        eprintln!("error: too many arguments for {name}: {}\n", rest.join(" "));
        eprint!("{}", help());
        return ExitCode::from(2);
    }
    match (command.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("\nerror: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn references(arguments: &[String]) -> Outcome {
    reference::run(arguments)?;
    manual::run()
}

fn help() -> String {
    let mut text = String::from("Usage: cargo xtask COMMAND\n\nCommands:\n");
    for Command { name, arguments, about, .. } in COMMANDS {
        let usage = format!("{name} {arguments}");
        text.push_str(&format!("  {usage:<15} {about}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn help_names_every_command() {
        let help = super::help();
        assert!(super::COMMANDS.iter().all(|it| help.contains(it.name)), "{help}");
    }
}
