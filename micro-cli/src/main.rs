//! The `micro` command, with the backends that are compiled in.

fn main() -> ! {
    micro_cli::main(&micro::Plugins::new())
}
