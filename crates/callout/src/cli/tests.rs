use super::*;
use clap::CommandFactory as _;
use expect_test::expect_file;
use std::fmt::Write as _;

#[test]
fn the_definition_of_the_commands_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_reference_of_the_commands_is_fresh() {
    let mut program = Cli::command().term_width(100);
    program.build();
    let mut page = String::from(
        "# Commands\n\nWhat `callout --help` and `callout COMMAND --help` say. \
         A test keeps this page fresh.\n",
    );
    let mut add = |title: &str, command: &mut clap::Command| {
        let help = command.render_long_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        _ = write!(page, "\n## {title}\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    };
    add("callout", &mut program);
    for command in program.get_subcommands_mut() {
        let name = command.get_name().to_owned();
        // The same everywhere, and told once above.
        *command = command.clone().term_width(100).mut_arg("config", |arg| arg.hide(true));
        add(&format!("callout {name}"), command);
    }
    expect_file!["../../../../docs/reference/commands.md"].assert_eq(&page);
}
