//! The one program.

fn main() -> std::process::ExitCode {
    callout::main()
}
