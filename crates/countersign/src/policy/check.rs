//! `countersign policy check`: findings of `policy::lint`, shown in the text of the file or as JSON.
//!
//! It needs no server. Where one runs on the data directory, it is asked which databases there are.

use super::Kind;
use crate::client;
use crate::config::DataDir;
use crate::control::Status;
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents,
};
use policy::{Diagnostic, KnownDatabase, Place, Severity, Span};
use std::borrow::Cow;
use std::fmt;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Flags of `policy check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with 0 where nothing is wrong, with 1 where something is or a file cannot be read. Warnings alone are no failure,
unless --deny-warnings is given.

Where a server runs on the data directory, resources are also held against the databases that it has.

Examples:
  countersign policy check policy.json
  countersign policy check --kind trust trust.json
  aws iam get-policy-version --policy-arn ... --version-id v1 --query PolicyVersion.Document |
      countersign policy check -")]
pub(super) struct Arguments {
    /// What the documents are for: it decides which rules apply
    #[arg(long, value_enum, default_value = "managed")]
    kind: Kind,
    /// How findings are shown
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Takes warnings for errors when it ends
    #[arg(long)]
    deny_warnings: bool,
    #[command(flatten)]
    data_dir: DataDir,
    /// The documents; `-` is the standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// How findings are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// An array of objects
    Json,
}

/// Checks the files.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let status = arguments.data_dir.path().ok().and_then(|path| ask(&path));
    let databases = status.as_ref().map(known).unwrap_or_default();
    let stdout = std::io::stdout();
    let look = Look::of(&stdout);
    let mut out = stdout.lock();
    let (mut failed, mut found_all) = (false, Vec::new());
    for file in &arguments.files {
        let name = if file == Path::new("-") { "<stdin>".to_owned() } else { file.display().to_string() };
        let text = match read(file) {
            Ok(text) => text,
            Err(reason) => {
                explain_unreadable(&name, &reason);
                failed = true;
                continue;
            }
        };
        let found = policy::lint(&text, arguments.kind.into(), &databases);
        let bad = |d: &Diagnostic| d.severity == Severity::Error || arguments.deny_warnings;
        failed |= found.iter().any(bad);
        match arguments.format {
            Format::Text => out.write_all(render(&name, &text, &found, look)?.as_bytes())?,
            Format::Json => found_all.extend(found.iter().map(|d| Finding::of(&name, &text, d))),
        }
    }
    if arguments.format == Format::Json {
        serde_json::to_writer_pretty(&mut out, &found_all)?;
        writeln!(out)?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(file: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    // A document that is longer is refused unread; the limit keeps a device from being read without end.
    let limit = policy::MAX_DOCUMENT_BYTES as u64 + 1;
    let done = if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    done.map_err(|error| error.to_string())?;
    let long = bytes.len() > policy::MAX_DOCUMENT_BYTES;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        // The limit may have cut a character in two.
        Err(error) if long && error.utf8_error().error_len().is_none() => {
            Ok(String::from_utf8_lossy(error.as_bytes()).into_owned())
        }
        Err(error) => Err(format!("not UTF-8 text at byte {}", error.utf8_error().valid_up_to() + 1)),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the other files are checked all the same, so this is no error to return"
)]
fn explain_unreadable(name: &str, reason: &str) {
    eprintln!("countersign: cannot read `{name}`: {reason}");
}

/// What the server on the data directory has; nothing where none runs.
fn ask(data_dir: &Path) -> Option<Status> {
    let answer = client::get_control(data_dir, "/status").ok()?;
    serde_json::from_slice(&answer).ok()
}

fn known(status: &Status) -> Vec<KnownDatabase<'_>> {
    let instances = status.databases.iter().map(|database| KnownDatabase {
        resource_id: database.instance_resource_id.as_deref().unwrap_or(&database.resource_id),
        identifier: &database.identifier,
        region: &database.region,
        account: &status.account,
        // Where the two differ, policies name the cluster.
        cluster: database.instance_resource_id.as_ref().map(|_| database.resource_id.as_str()),
    });
    let clusters = status.clusters.iter().map(|cluster| KnownDatabase {
        resource_id: &cluster.resource_id,
        identifier: &cluster.identifier,
        region: &cluster.region,
        account: &status.account,
        cluster: None,
    });
    clusters.chain(instances).collect()
}

/// How the text format looks.
#[derive(Debug, Clone, Copy)]
struct Look {
    colour: bool,
    /// Lines are broken for people, but not for programs that search in them.
    width: Option<usize>,
}

impl Look {
    fn of(stdout: &std::io::Stdout) -> Self {
        let terminal = stdout.is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: terminal && !no_colour, width: terminal.then_some(100) }
    }
}

/// All findings in a document, and a line that counts them.
fn render(name: &str, text: &str, found: &[Diagnostic], look: Look) -> Result<String, fmt::Error> {
    let theme = if look.colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false);
    let handler = match look.width {
        Some(width) => handler.with_width(width),
        None => handler.with_wrap_lines(false).with_width(usize::MAX / 2),
    };
    let source = Source { name: printable(name), text: printable(text) };
    let mut out = String::new();
    for diagnostic in found {
        handler.render_report(&mut out, &Report { diagnostic, source: &source })?;
        out.push('\n');
    }
    let count = |severity| found.iter().filter(|d| d.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let counted: Vec<String> = [(errors, "error"), (warnings, "warning")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }))
        .collect();
    let summary = if counted.is_empty() { "fine".to_owned() } else { counted.join(", ") };
    out.push_str(&format!("{}: {summary}\n", source.name));
    Ok(out)
}

/// A document may hold what a terminal takes for a command. Every control character becomes as many `?` as it has bytes, so
/// that places stay what they are.
fn printable(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\r' if characters.peek() == Some(&'\n') => shown.push(c),
            c if harmless(c) => shown.push(c),
            c => (0..c.len_utf8()).for_each(|_| shown.push('?')),
        }
    }
    Cow::Owned(shown)
}

/// A document under its name.
struct Source<'a> {
    name: Cow<'a, str>,
    text: Cow<'a, str>,
}

impl SourceCode for Source<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        behind: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.text.read_span(span, before, behind)?;
        // The heading shows the column, which is of characters and not of bytes.
        let column = match before {
            0 => Place::of(&self.text, span.offset()).column as usize - 1,
            _ => contents.column(),
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.to_string(),
            contents.data(),
            *contents.span(),
            contents.line(),
            column,
            contents.line_count(),
        )))
    }
}

/// A finding as miette shows it.
struct Report<'a> {
    diagnostic: &'a Diagnostic,
    source: &'a Source<'a>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.diagnostic.message))
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostic.fmt(f)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let severity = severity_name(self.diagnostic.severity);
        Some(Box::new(format!("{severity}: {}", self.diagnostic.code)))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.diagnostic.help.as_deref()?;
        Some(Box::new(printable(help)))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Span { start, end } = first_line(&self.source.text, self.diagnostic.span);
        Some(Box::new(std::iter::once(LabeledSpan::underline((start, end - start)))))
    }
}

/// What is about a whole statement or document is shown at its first line.
fn first_line(text: &str, span: Span) -> Span {
    let covered = text.get(span.start..span.end).unwrap_or_default();
    let line = covered.lines().next().unwrap_or_default();
    Span { start: span.start, end: span.start + line.len() }
}

/// A finding for programs.
#[derive(Debug, serde::Serialize)]
struct Finding {
    file: String,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    severity: &'static str,
    code: &'static str,
    message: String,
    help: Option<String>,
}

impl Finding {
    fn of(file: &str, text: &str, diagnostic: &Diagnostic) -> Self {
        let start = Place::of(text, diagnostic.span.start);
        let end = Place::of(text, diagnostic.span.end);
        Self {
            file: file.to_owned(),
            line: start.line,
            column: start.column,
            end_line: end.line,
            end_column: end.column,
            severity: severity_name(diagnostic.severity),
            code: diagnostic.code,
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
        }
    }
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { colour: false, width: None };

    fn shown(text: &str, look: Look) -> String {
        let found = policy::lint(text, policy::Kind::Managed, &[]);
        render("policy.json", text, &found, look).unwrap()
    }

    #[test]
    fn a_finding_shows_its_place_in_the_text() {
        let text = r#"{
  "Version": "2012-10-17",
  "Statement": {"Sid": "é", "Effect": "Deny", "Action": "rds:connect", "Resource": "*"}
}
"#;
        let shown = shown(text, PLAIN);
        // The column counts characters, not bytes.
        for line in [
            "error: unknown-action",
            "× `rds:connect` is not an action: logging in to a database is of the service `rds-db`",
            "╭─[policy.json:3:57]",
            "3 │   \"Statement\": {\"Sid\": \"é\", \"Effect\": \"Deny\", \"Action\": \"rds:connect\", \"Resource\": \"*\"}",
            "help: did you mean `rds-db:connect`?",
            "policy.json: 1 error\n",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn what_a_running_server_has_is_held_against_the_policy() {
        let database = |id: &str, own: &str| {
            format!(
                r#"{{"identifier": "{id}", "region": "us-east-1", "engine": "postgres 17", "endpoint": "localhost:1",
                   "resource_id": "cluster-CCCCCCCCCCCCCCCCCCCCCCCCCC"{own}, "iam_authentication": true, "status": "available"}}"#
            )
        };
        let answer = format!(
            r#"{{"version": "0.1.0", "endpoint": "http://127.0.0.1:1", "account": "123456789012", "started": "", "door": "pam",
               "engines": [], "revision": 1, "databases": [{}],
               "clusters": [{{"identifier": "orders", "region": "us-east-1", "resource_id": "cluster-CCCCCCCCCCCCCCCCCCCCCCCCCC"}}]}}"#,
            database("writer", r#", "instance_resource_id": "db-BBBBBBBBBBBBBBBBBBBBBBBBBB""#)
        );
        let status: Status = serde_json::from_str(&answer).unwrap();
        let databases = known(&status);
        for (id, help) in [
            ("db-BBBBBBBBBBBBBBBBBBBBBBBBBB", "write `cluster-CCCCCCCCCCCCCCCCCCCCCCCCCC`"),
            ("orders", "the resource id of `orders` is `cluster-CCCCCCCCCCCCCCCCCCCCCCCCCC`"),
            ("writer", "the resource id of `writer` is `cluster-CCCCCCCCCCCCCCCCCCCCCCCCCC`"),
        ] {
            let text = format!(
                r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Action": "rds-db:connect",
                   "Resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:{id}/jane"}}}}"#
            );
            let found = policy::lint(&text, policy::Kind::Managed, &databases);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].help.as_deref(), Some(help));
        }
    }

    #[test]
    fn colours_and_narrow_lines_are_for_terminals() {
        let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}}"#;
        let shown = shown(text, Look { colour: true, width: Some(40) });
        assert!(shown.contains("\u{1b}[") && shown.ends_with("policy.json: 1 warning\n"), "{shown}");
    }

    #[test]
    fn a_document_cannot_command_the_terminal() {
        let text = "{\u{1b}[2J\u{9b}31m\r}";
        let shown = shown(text, PLAIN);
        assert!(shown.contains("{?[2J??31m?}"), "{shown}");
        assert_eq!(printable("a\r\n\té"), "a\r\n\té");
        let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iam:\u001b[2J", "Resource": "*"}}"#;
        assert!(!self::shown(text, PLAIN).contains('\u{1b}'));
    }

    #[test]
    fn what_is_about_everything_is_shown_at_its_first_line() {
        let shown = shown(
            "{\n\"Version\": \"2008-10-17\",\n\"Statement\": {\"Effect\": \"Deny\", \"Action\": \"s3:*\", \"Resource\": \"*\"}\n}",
            PLAIN,
        );
        assert!(shown.contains("[policy.json:1:1]"), "{shown}");
        assert!(shown.contains("Policy document must be version 2012-10-17 or greater."), "{shown}");
        assert!(!shown.contains("Statement"), "{shown}");
    }

    #[test]
    fn nothing_to_say_is_said() {
        let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}}"#;
        assert_eq!(shown(text, PLAIN), "policy.json: fine\n");
        for text in ["", "\n", "{", "{\n"] {
            assert!(shown(text, PLAIN).ends_with("policy.json: 1 error\n"));
        }
    }
}
