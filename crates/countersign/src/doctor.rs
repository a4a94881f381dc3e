//! `countersign doctor`: why a login fails, and what mends it. The flags, and the findings as text or JSON; what is found stands
//! in the library of that name.

use crate::client::runtime;
use crate::target::{self, AwsArguments};
use ::doctor::{Admin, Engine, Finding, Mend, Question, Report, Status, examine};
use anstyle::{AnsiColor, Style};
use anyhow::Context;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use zeroize::{Zeroize, Zeroizing};

/// Flags of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It makes the login step by step, asks the RDS, IAM and STS APIs what they know (rds:DescribeDBInstances, rds:DescribeDBClusters,
iam:SimulatePrincipalPolicy, iam:GetRole; what may not be asked is skipped), and, where --admin-user is given, looks at the database's
accounts. Nothing is changed, and no token or password is printed.

Exit code: 0 if nothing failed, 1 if something did, 2 for wrong usage.

Examples:
  countersign doctor --host mydb.c7tj4example.us-east-1.rds.amazonaws.com --user app
  countersign doctor --host $RDSHOST --port 3306 --user app --profile app --api-profile admin
  countersign doctor --host $RDSHOST --user app --database shop --admin-user postgres --admin-password-file master.txt
  countersign doctor --host db.example.com --user app --region eu-west-1 --ca-bundle ca.pem --no-api
  eval \"$(countersign env)\"; countersign doctor --host localhost --port $RDSPORT --user app --json")]
pub(crate) struct Arguments {
    /// The host name of the database, as its endpoint has it
    #[arg(long, value_name = "H")]
    host: String,
    /// The database user who cannot log in
    #[arg(long, value_name = "U", value_parser = target::user)]
    user: String,
    /// The port [default: the one that the API says, else 5432 for postgres and 3306 for mysql]
    #[arg(long, value_name = "P", value_parser = ::client::host::port)]
    port: Option<u16>,
    /// What kind of server it is [default: what the API says, else by the port, else by what it says itself]
    #[arg(long, value_enum, value_name = "postgres|mysql")]
    engine: Option<Kind>,
    /// The database to log in to [default: the server's choice]
    #[arg(long, value_name = "D")]
    database: Option<String>,
    #[command(flatten)]
    aws: AwsArguments,
    /// The certificates that vouch for the server, PEM [default: Amazon's for its hosts, else the Countersign's that AWS_ENDPOINT_URL
    /// names]
    #[arg(long, value_name = "F")]
    ca_bundle: Option<PathBuf>,
    /// The profile whose credentials ask the RDS and IAM APIs [default: those that log in]
    #[arg(long, value_name = "P", conflicts_with = "no_api")]
    api_profile: Option<String>,
    /// Asks no API: what only it knows, the clock too, is skipped
    #[arg(long)]
    no_api: bool,
    /// A database user who may look at accounts, such as the master user: then these are looked at too
    #[arg(long, value_name = "A", value_parser = target::user)]
    admin_user: Option<String>,
    /// The file with the password of --admin-user [default: PGPASSWORD or MYSQL_PWD, else a token is made for it]
    #[arg(long, value_name = "F", requires = "admin_user")]
    admin_password_file: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// `--engine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// PostgreSQL, Aurora PostgreSQL
    #[value(alias = "postgresql")]
    Postgres,
    /// MySQL, MariaDB, Aurora MySQL
    #[value(alias = "mariadb")]
    Mysql,
}

/// Examines, and prints what was found.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let json = arguments.json;
    let question = question(arguments)?;
    let environment = |name: &str| std::env::var(name).ok();
    let report = runtime()?.block_on(examine(&question, &environment));
    if json {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        // Without colours where the output is no terminal, or NO_COLOR is set.
        print(&mut anstream::stdout().lock(), &report)?;
    }
    Ok(if report.status == Status::Failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn question(arguments: Arguments) -> anyhow::Result<Question> {
    let password = arguments.admin_password_file.as_deref().map(read_password).transpose()?;
    Ok(Question {
        host: target::host(&arguments.host)?,
        port: arguments.port,
        engine: arguments.engine.map(|kind| match kind {
            Kind::Postgres => Engine::Postgres,
            Kind::Mysql => Engine::MySql,
        }),
        user: arguments.user,
        database: arguments.database,
        region: arguments.aws.region,
        profile: arguments.aws.profile,
        api_profile: arguments.api_profile,
        ask_api: !arguments.no_api,
        ca_bundle: arguments.ca_bundle,
        admin: arguments.admin_user.map(|user| Admin { user, password }),
    })
}

/// The first line of a file.
fn read_password(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read --admin-password-file `{}`", path.display()))?;
    let password = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
    text.zeroize();
    Ok(password)
}

/// The width of the longest step, and of a status.
const STEP: usize = 18;
const STATUS: usize = 7;

fn print(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let Report { host, port, engine, user, .. } = report;
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let engine = engine.as_ref().map(|engine| format!(", {engine}")).unwrap_or_default();
    writeln!(out, "{} at {host}{port}{engine}\n", plain(user))?;
    for finding in &report.findings {
        print_finding(out, finding)?;
    }
    writeln!(out)?;
    let bold = Style::new().bold();
    match &report.cause {
        Some(cause) => {
            let red = style(Status::Failed);
            writeln!(
                out,
                "{red}likely cause{red:#}: {bold}{}{bold:#}: {}",
                cause.step.as_str(),
                plain(&cause.seen)
            )?;
            if let Some(first) = &cause.first {
                write!(out, "do first: ")?;
                print_mend(out, first, "")?;
            }
            Ok(())
        }
        None => {
            let green = style(Status::Ok);
            let status = report.finding(::doctor::Step::Login).map(|login| login.status);
            let said = if status == Some(Status::Ok) {
                "the login works"
            } else {
                "nothing failed, of what could be tried"
            };
            writeln!(out, "{green}{said}{green:#}")
        }
    }
}

fn print_finding(out: &mut impl Write, finding: &Finding) -> std::io::Result<()> {
    let Finding { step, status, seen, expected, mend } = finding;
    let colour = style(*status);
    writeln!(out, "{colour}{:STATUS$}{colour:#}  {:STEP$}  {}", status.as_str(), step.as_str(), plain(seen))?;
    let indent = " ".repeat(STATUS + STEP + 4);
    if *status == Status::Ok || *status == Status::Skipped {
        return Ok(());
    }
    if let Some(expected) = expected {
        writeln!(out, "{indent}expected: {}", plain(expected))?;
    }
    for mend in mend {
        write!(out, "{indent}mend: ")?;
        print_mend(out, mend, &indent)?;
    }
    Ok(())
}

fn print_mend(out: &mut impl Write, mend: &Mend, indent: &str) -> std::io::Result<()> {
    writeln!(out, "{}", plain(&mend.what))?;
    if let Some(command) = &mend.command {
        let bold = Style::new().bold();
        writeln!(out, "{indent}    {bold}{}{bold:#}", plain(command))?;
    }
    Ok(())
}

fn style(status: Status) -> Style {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match status {
        Status::Ok => colour(AnsiColor::Green),
        Status::Warning => colour(AnsiColor::Yellow).bold(),
        Status::Failed => colour(AnsiColor::Red).bold(),
        Status::Skipped => Style::new().dimmed(),
    }
}

/// Without what could steer the terminal: servers and APIs have their words in it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::doctor::{Cause, Step};

    #[test]
    fn findings_as_text() {
        let mend = Mend { what: "enable it".to_owned(), command: Some("aws rds ...".to_owned()) };
        let finding = Finding {
            step: Step::IamAuthentication,
            status: Status::Failed,
            seen: "dis\u{1b}[2Jabled".to_owned(),
            expected: Some("enabled".to_owned()),
            mend: vec![mend.clone()],
        };
        let cause = Cause { step: finding.step, seen: "disabled".to_owned(), first: Some(mend) };
        let report = Report {
            version: 1,
            host: "h".to_owned(),
            port: Some(5432),
            engine: Some("postgres".to_owned()),
            user: "app".to_owned(),
            status: Status::Failed,
            findings: vec![finding],
            cause: Some(cause),
        };
        let mut out = anstream::StripStream::new(Vec::new());
        print(&mut out, &report).unwrap();
        let text = String::from_utf8(out.into_inner()).unwrap();
        assert_eq!(
            text,
            "app at h:5432, postgres\n\n\
             failed   iam-authentication  dis\u{fffd}[2Jabled\n\
             \x20                            expected: enabled\n\
             \x20                            mend: enable it\n\
             \x20                                aws rds ...\n\
             \n\
             likely cause: iam-authentication: disabled\n\
             do first: enable it\n    aws rds ...\n"
        );
    }
}
