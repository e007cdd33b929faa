//! The example's client; see `client --help`.

fn main() -> std::process::ExitCode {
    iox2_gauntlet::example::client::main().into()
}
