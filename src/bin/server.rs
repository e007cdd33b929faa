//! The example's server; see `server --help`.

fn main() -> std::process::ExitCode {
    iox2_gauntlet::example::server::main().into()
}
