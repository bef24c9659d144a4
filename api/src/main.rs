//! The one binary: `countersign`.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match api::cli::run(api::cli::Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            api::cli::complain(&error);
            let source = std::error::Error::source(&error);
            if let Some(source) = source {
                eprintln!("  because {source}");
            }
            for (key, value) in &error.details {
                eprintln!("  {key}: {value}");
            }
            ExitCode::FAILURE
        }
    }
}
