//! `countersign policy generate`: the policy that AWS documents for `rds-db:connect`, for a database that runs here or for
//! one on Amazon RDS, and on standard error what to do with it.

use crate::client;
use crate::config::DataDir;
use crate::control::database::{self, DatabaseAnswer};
use crate::control::query::Query;
use anyhow::{Context, bail};
use iam::{AccountId, CONNECT_ACTION, Region};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Flags of `policy generate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The running server is asked for the database's resource id. Without one, and for databases on Amazon RDS, --resource-id,
--region and --account-id say it. What to do with the policy is said on standard error.

Examples:
  countersign policy generate --db mydb --user mydbuser --output mydb-connect.json
  countersign policy generate --db mydb --user reader --user writer
  countersign policy generate --resource-id db-ABCDEFGHIJKLMNOPQRSTUVWXYZ --region eu-central-1 \\
      --account-id 123456789012 --user mydbuser")]
#[command(group = clap::ArgGroup::new("database").required(true).args(["db", "resource_id"]))]
pub(super) struct Arguments {
    #[command(flatten)]
    data_dir: DataDir,
    /// The identifier of a DB instance or cluster of the running server; a member of a cluster stands for its cluster
    #[arg(long, value_name = "IDENTIFIER")]
    db: Option<String>,
    /// The database user; may be given several times
    #[arg(long = "user", value_name = "DBUSER", required = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    users: Vec<String>,
    /// The region [default: the only one that has the database]
    #[arg(long, value_name = "R")]
    region: Option<Region>,
    /// The database's resource id, in the place of --db: `db-...`, `cluster-...`, or `prx-...` of a proxy
    #[arg(long, value_name = "ID", requires = "region", requires = "account_id", value_parser = resource_id)]
    resource_id: Option<String>,
    /// The account that the database belongs to
    #[arg(long, value_name = "N", requires = "resource_id")]
    account_id: Option<AccountId>,
    /// The file that is written [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrites the file
    #[arg(long, requires = "output")]
    force: bool,
}

/// Databases of Amazon RDS have these ids too.
fn resource_id(text: &str) -> Result<String, String> {
    let tail = ["db-", "cluster-", "prx-"].iter().find_map(|prefix| text.strip_prefix(prefix));
    match tail {
        Some(tail) if !tail.is_empty() && tail.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            Ok(text.to_owned())
        }
        _ => Err("expected `db-`, `cluster-` or `prx-` with letters and digits behind, as `aws rds describe-db-instances` \
                  shows as DbiResourceId"
            .to_owned()),
    }
}

/// AWS's limit of a managed policy, in characters without white space.
const MOST_CHARACTERS: usize = 6_144;

/// Prints or writes the policy.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let asked = match &arguments.db {
        Some(db) => Some(ask(arguments, db)?),
        None => None,
    };
    let target = match (&asked, &arguments.resource_id, &arguments.region, arguments.account_id) {
        (Some(answer), ..) => Target {
            region: &answer.region,
            account: answer.account,
            resource_id: &answer.resource_id,
            name: &answer.identifier,
        },
        (None, Some(resource_id), Some(region), Some(account)) => {
            Target { region, account, resource_id, name: "rds-db" }
        }
        // The command line does not let it come to this.
        _ => bail!("expected --db, or --resource-id with --region and --account-id"),
    };
    let document = target.policy(&arguments.users)?;
    let characters = ::policy::size_without_whitespace(&document);
    if characters > MOST_CHARACTERS {
        bail!(
            "the policy would have {characters} characters without white space, and a managed policy has at most \
             {MOST_CHARACTERS}: make several with fewer users each"
        );
    }
    match &arguments.output {
        Some(path) => write(path, &document, arguments.force)?,
        None => std::io::stdout().write_all(document.as_bytes())?,
    }
    let hints = target.hints(&arguments.users, arguments.output.as_deref(), asked.as_ref());
    Ok(std::io::stderr().write_all(hints.as_bytes())?)
}

fn ask(arguments: &Arguments, identifier: &str) -> anyhow::Result<DatabaseAnswer> {
    let mut query = Query::default();
    query.push("identifier", identifier);
    if let Some(region) = &arguments.region {
        query.push("region", region.as_str());
    }
    let answer = client::get_control(&arguments.data_dir.path()?, &query.behind(database::PATH))?;
    serde_json::from_slice(&answer).context("the server's answer cannot be read")
}

fn write(path: &Path, document: &str, force: bool) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).truncate(force).create(force).create_new(!force);
    match options.open(path).and_then(|mut file| file.write_all(document.as_bytes())) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!(
                "`{}` is there already: choose another --output, or overwrite it with --force",
                path.display()
            )
        }
        result => result.with_context(|| format!("cannot write `{}`", path.display())),
    }
}

struct Target<'a> {
    region: &'a Region,
    account: AccountId,
    resource_id: &'a str,
    /// What the policy is called after.
    name: &'a str,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    version: &'static str,
    statement: [Statement; 1],
}

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: &'static str,
    action: [&'static str; 1],
    resource: Vec<String>,
}

impl Target<'_> {
    fn policy(&self, users: &[String]) -> anyhow::Result<String> {
        let Self { region, account, resource_id, .. } = self;
        let partition = region.partition();
        let resource = |user: &String| {
            format!("arn:{partition}:rds-db:{region}:{account}:dbuser:{resource_id}/{}", literal(user))
        };
        let statement = Statement {
            effect: "Allow",
            action: [CONNECT_ACTION],
            resource: users.iter().map(resource).collect(),
        };
        let document = Document { version: "2012-10-17", statement: [statement] };
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }

    fn hints(&self, users: &[String], written: Option<&Path>, asked: Option<&DatabaseAnswer>) -> String {
        let (partition, account, name) = (self.region.partition(), self.account, self.name);
        let file = written.map_or_else(|| "policy.json".to_owned(), |path| path.display().to_string());
        let mut hints = String::new();
        let mut say = |line: String| {
            hints.push_str(&line);
            hints.push('\n');
        };
        if let Some(DatabaseAnswer { member: Some(member), identifier, .. }) = asked {
            say(format!("{member} is a member of the cluster {identifier}: the policy is about the cluster"));
        }
        if let Some(database) = asked.filter(|database| !database.iam_authentication) {
            let kind = database.kind.as_str();
            say(format!(
                "warning: IAM database authentication is off for {name}; switch it on:\n  \
                 aws rds modify-db-{kind} --db-{kind}-identifier {name} --enable-iam-database-authentication \
                 --apply-immediately --region {}",
                self.region
            ));
        }
        if written.is_none() {
            say(format!("With the policy in {file}, let an IAM user log in:"));
        } else {
            say("To let an IAM user log in:".to_owned());
        }
        say(format!("  aws iam create-policy --policy-name {name}-connect --policy-document file://{file}"));
        say(format!(
            "  aws iam attach-user-policy --user-name NAME --policy-arn arn:{partition}:iam::{account}:policy/{name}-connect"
        ));
        say("In the database (PostgreSQL), once for each user:".to_owned());
        for user in users {
            let user = sql_name(user);
            say(format!("  CREATE USER {user}; GRANT rds_iam TO {user};"));
        }
        hints
    }
}

/// A user's name as a policy has it: what would be a wildcard or begin a variable stands for itself.
fn literal(user: &str) -> String {
    let mut out = String::with_capacity(user.len());
    for character in user.chars() {
        match character {
            '*' | '?' | '$' => out.extend(['$', '{', character, '}']),
            _ => out.push(character),
        }
    }
    out
}

/// A name in SQL, in quotation marks where it is not a plain one.
fn sql_name(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::policy::{Kind, NoContext, Outcome, Policy, Request, Resource};

    #[test]
    fn a_policy_allows_its_users_and_nobody_else() {
        let region = "cn-north-1".parse().unwrap();
        let target = Target {
            region: &region,
            account: "123456789012".parse().unwrap(),
            resource_id: "db-ABC",
            name: "mydb",
        };
        let users = ["jane", "a*", "b?", "c$", "${aws:username}", "quo\"te"].map(str::to_owned);
        let policy = Policy::parse(&target.policy(&users).unwrap(), Kind::Managed).unwrap();
        let allowed = |user: &str| {
            let arn = format!("arn:aws-cn:rds-db:cn-north-1:123456789012:dbuser:db-ABC/{user}");
            let request = Request::new("rds-db:connect", Resource::parse(&arn).unwrap(), &NoContext);
            matches!(policy.evaluate(&request), Outcome::Allow(_))
        };
        for user in &users {
            assert!(allowed(user), "{user}");
        }
        for other in ["jan", "ab", "bx", "c", "joe", "", "*"] {
            assert!(!allowed(other), "{other}");
        }
    }

    #[test]
    fn names_in_sql() {
        for (name, sql) in
            [("my_user1", "my_user1"), ("Jane", "\"Jane\""), ("1a", "\"1a\""), ("a\"b", "\"a\"\"b\"")]
        {
            assert_eq!(sql_name(name), sql);
        }
    }
}
