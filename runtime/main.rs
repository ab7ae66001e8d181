//! The program: reads the command line, does what it says, answers with an exit code.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use oneiro::cli::Cli;
use oneiro::cores;
use tracing_subscriber::EnvFilter;

/// Environment variable that says what is logged, in the usual notation of tracing.
const LOG: &str = "ONEIRO_LOG";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let settled = cores::settle(cli.trains_a_world());
    oneiro::fault::tell_in_one_line();
    log();
    let [threads, candle] = [cores::THREADS, cores::CANDLE_THREADS].map(std::env::var);
    tracing::debug!(settled, ?threads, ?candle);
    match oneiro::commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough of it.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell it to when this fails.
            let _ = writeln!(io::stderr(), "oneiro: {error:#}");
            ExitCode::from(if error.is::<oneiro::commands::Usage>() { 2 } else { 1 })
        }
    }
}

/// Logs to standard error: our own news, other people's errors.
fn log() {
    let usual = "error,oneiro=info,engine=info,input=info,memory=info";
    let filter = EnvFilter::try_from_env(LOG).unwrap_or_else(|_| EnvFilter::new(usual));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(oneiro::terminal::LogWriter::default)
        .with_ansi(io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}
