//! Checks of this repository that no other tool does: `cargo xtask layers`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod layers;
mod source;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

const USAGE: &str = "usage: cargo xtask layers

  layers   check that dependencies between crates only point down, and that the pure crates stay pure";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["layers"] => layers().unwrap_or_else(|error| {
            eprintln!("layers: {error:#}");
            ExitCode::FAILURE
        }),
        ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn layers() -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
    let graph = layers::Graph::read(root)?;
    let mut violations = layers::violations(&graph);
    for (package, folder) in graph.pure_crates() {
        violations.extend(source::violations(package, &folder.join("src"))?);
    }
    for violation in &violations {
        eprintln!("layers: {violation}");
    }
    if violations.is_empty() {
        println!("layers: every arrow points down ({} crates)", layers::FLOORS.len());
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}
