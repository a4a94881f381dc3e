//! `countersign completions` and `countersign man`: what the command line says of itself, for shells and for `man`.

use anyhow::Context;
use clap_complete::Shell;
use std::io::Write;
use std::path::PathBuf;

/// Flags of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign completions bash > ~/.local/share/bash-completion/completions/countersign
  countersign completions zsh > \"${fpath[1]}/_countersign\"
  countersign completions fish > ~/.config/fish/completions/countersign.fish")]
pub(crate) struct CompletionArguments {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Flags of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign man | man -l -
  countersign man ~/.local/share/man/man1")]
pub(crate) struct PageArguments {
    /// The folder that the pages of all commands go to
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Prints what a shell reads.
pub(crate) fn print_completions(
    arguments: &CompletionArguments,
    mut command: clap::Command,
) -> anyhow::Result<()> {
    // The generator fails by panicking where its output has gone, as a pipe does.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "countersign", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

/// Prints the page of the whole, or writes all pages.
pub(crate) fn print_pages(arguments: &PageArguments, command: clap::Command) -> anyhow::Result<()> {
    let Some(folder) = &arguments.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return Ok(std::io::stdout().write_all(&page)?);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .with_context(|| format!("cannot write manual pages to `{}`", folder.display()))
}
