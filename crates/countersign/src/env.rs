//! `countersign env`: the exports that point the AWS CLI and the SDKs at a server.

use crate::admin::Credentials;
use crate::client;
use crate::config::{DataDir, UsageError};
use anyhow::Context;
use iam::Region;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// Flags of `env`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  eval \"$(countersign env)\"
  aws sts get-caller-identity

With version 1 of the AWS CLI the PATH is exported too: that version sends `aws rds` in us-east-1 to Amazon whatever
AWS_ENDPOINT_URL says, unless it is given as --endpoint-url, which a wrapper then does.")]
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
    let mut out = std::io::stdout().lock();
    for (name, value) in variables(&arguments.data_dir.path()?, &region)? {
        writeln!(out, "export {name}={}", quoted(&value))?;
    }
    // What belongs to other credentials would go before these, or be sent along and spoil the signature.
    for name in ["AWS_SESSION_TOKEN", "AWS_PROFILE"] {
        if std::env::var_os(name).is_some() {
            writeln!(out, "unset {name}")?;
        }
    }
    Ok(())
}

/// The environment of a client of the server on the data directory.
pub(crate) fn variables(
    data_dir: &Path,
    region: &Region,
) -> anyhow::Result<Vec<(&'static str, Zeroizing<String>)>> {
    let endpoint = client::endpoint(data_dir)?;
    let credentials = Credentials::read(data_dir)?;
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", Zeroizing::new(endpoint)),
        ("AWS_ACCESS_KEY_ID", Zeroizing::new(credentials.access_key_id)),
        ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key),
        ("AWS_DEFAULT_REGION", Zeroizing::new(region.to_string())),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(path) = path_with_wrapper(data_dir, &path)? {
        variables.push(("PATH", Zeroizing::new(path)));
    }
    Ok(variables)
}

/// Version 1 of the AWS CLI has the host name of RDS in us-east-1 built in, and takes it where no `--endpoint-url` is
/// given. The wrapper gives it, and changes nothing else.
const WRAPPER: &str = r#"#!/bin/sh
# Written by `countersign env`. Version 1 of the AWS CLI ignores AWS_ENDPOINT_URL for `aws rds` in us-east-1;
# this hands it over as --endpoint-url and runs the aws that comes next on the PATH.
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
IFS=:
for folder in $PATH; do
    if [ "$folder" != "$here" ] && [ -x "$folder/aws" ]; then
        real=$folder/aws
        break
    fi
done
unset IFS
if [ -z "${real:-}" ]; then
    echo "aws: not found on the PATH" >&2
    exit 127
fi
rds=
for argument; do
    case $argument in
        rds) rds=yes ;;
        --endpoint-url | --endpoint-url=*) exec "$real" "$@" ;;
    esac
done
if [ -n "$rds" ] && [ -n "${AWS_ENDPOINT_URL:-}" ]; then
    exec "$real" --endpoint-url "$AWS_ENDPOINT_URL" "$@"
fi
exec "$real" "$@"
"#;

/// The PATH with the wrapper's directory in front, where the `aws` on it is of version 1.
fn path_with_wrapper(data_dir: &Path, path: &OsStr) -> anyhow::Result<Option<String>> {
    let folder = data_dir.join("bin");
    let others: Vec<PathBuf> = std::env::split_paths(path).filter(|entry| *entry != folder).collect();
    let others = std::env::join_paths(&others).unwrap_or_else(|_| path.to_owned());
    if !is_version_1(&others) {
        return Ok(None);
    }
    let write = || -> std::io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder)?;
        let (program, temporary) = (folder.join("aws"), folder.join(format!("aws.{}", std::process::id())));
        std::fs::write(&temporary, WRAPPER)?;
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o755))?;
        std::fs::rename(temporary, program)
    };
    write().with_context(|| format!("cannot write `{}`", folder.join("aws").display()))?;
    let mut value = OsString::from(folder);
    value.push(":");
    value.push(others);
    value.into_string().map(Some).map_err(|_| anyhow::anyhow!("the PATH is not UTF-8"))
}

fn is_version_1(path: &OsStr) -> bool {
    let program =
        std::env::split_paths(path).map(|folder| folder.join("aws")).find(|program| program.is_file());
    let Some(program) = program else { return false };
    let answer = Command::new(program).arg("--version").stdin(Stdio::null()).env("PATH", path).output();
    // Python 2 wrote it to standard error.
    answer
        .is_ok_and(|answer| [answer.stdout, answer.stderr].iter().any(|text| text.starts_with(b"aws-cli/1.")))
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
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("http://[::1]:4590"), "'http://[::1]:4590'");
        assert_eq!(quoted("a'b"), r"'a'\''b'");
        assert_eq!(quoted("wJalrXUtnFEMI/K7MDENG+"), "wJalrXUtnFEMI/K7MDENG+");
    }

    /// A directory with an `aws` that shows its version and its arguments.
    fn fake_aws(folder: &Path, version: &str) {
        let program = folder.join("aws");
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && echo aws-cli/{version} && exit\nprintf '<%s>' \"$@\"\n"
        );
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn version_1_is_told_the_endpoint_of_rds() {
        let (data, tools) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fake_aws(tools.path(), "1.45.11 Python/3.11");
        let path = format!("{}:/usr/bin:/bin", tools.path().display());
        let wrapped = path_with_wrapper(data.path(), path.as_ref()).unwrap().unwrap();
        assert_eq!(wrapped, format!("{}/bin:{path}", data.path().display()));
        assert_eq!(
            path_with_wrapper(data.path(), wrapped.as_ref()).unwrap().unwrap(),
            wrapped,
            "once is enough"
        );

        let run = |arguments: &[&str]| {
            let mut program = Command::new(data.path().join("bin/aws"));
            let answer =
                program.args(arguments).env_clear().env("PATH", &wrapped).env("AWS_ENDPOINT_URL", "http://e");
            String::from_utf8(answer.output().unwrap().stdout).unwrap()
        };
        assert_eq!(run(&["rds", "x", "a b"]), "<--endpoint-url><http://e><rds><x><a b>");
        assert_eq!(run(&["iam", "x"]), "<iam><x>");
        assert_eq!(run(&["rds", "x", "--endpoint-url=http://f"]), "<rds><x><--endpoint-url=http://f>");

        fake_aws(tools.path(), "2.31.0 Python/3.13");
        assert_eq!(path_with_wrapper(data.path(), path.as_ref()).unwrap(), None);
    }
}
