//! The log, on standard error: for people on a terminal, JSON lines otherwise.

use crate::config::{LogFormat, UsageError};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging.
pub(crate) fn start(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| UsageError(format!("--log `{filter}` is not a log filter: {error}")))?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let human = format == LogFormat::Human || (format == LogFormat::Auto && terminal);
    if human {
        builder.with_ansi(terminal).with_target(false).init();
    } else {
        builder.json().flatten_event(true).init();
    }
    Ok(())
}
