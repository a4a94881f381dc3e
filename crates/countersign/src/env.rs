//! `countersign env`: the exports that point the AWS CLI and the SDKs at a server.

use crate::admin::Credentials;
use crate::client;
use crate::config::{DataDir, UsageError};
use iam::Region;
use std::io::Write;

/// Flags of `env`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  eval \"$(countersign env)\"
  aws sts get-caller-identity")]
pub(crate) struct Arguments {
    #[command(flatten)]
    data_dir: DataDir,
    /// The region that is set as default; any region may be named in a command
    #[arg(long, value_name = "R", default_value = "us-east-1")]
    region: String,
}

/// Prints the exports.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let region: Region = arguments.region.parse().map_err(|error| UsageError(format!("--region {error}")))?;
    let data_dir = arguments.data_dir.path()?;
    let endpoint = client::endpoint(&data_dir)?;
    let credentials = Credentials::read(&data_dir)?;
    let mut out = std::io::stdout().lock();
    for (name, value) in [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", &credentials.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key),
        ("AWS_DEFAULT_REGION", region.as_str()),
    ] {
        writeln!(out, "export {name}={}", quoted(value))?;
    }
    // What belongs to other credentials would go before these, or be sent along and spoil the signature.
    for name in ["AWS_SESSION_TOKEN", "AWS_PROFILE"] {
        if std::env::var_os(name).is_some() {
            writeln!(out, "unset {name}")?;
        }
    }
    Ok(())
}

/// The value as a shell word; left as it is where no character needs a quote.
fn quoted(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/:.+=_-".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_survive_a_shell() {
        assert_eq!(super::quoted("http://[::1]:4590"), "'http://[::1]:4590'");
        assert_eq!(super::quoted("a'b"), r"'a'\''b'");
        assert_eq!(super::quoted("wJalrXUtnFEMI/K7MDENG+"), "wJalrXUtnFEMI/K7MDENG+");
    }
}
