//! The one program.

// Messages are made on the store's thread and dropped on the worker's; the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    callout::main()
}
