//! `countersign policy explain`: asks the running server why a login would be allowed or refused, and shows it to people:
//! the decision, then type by type, policy by policy, statement by statement.

use crate::client;
use crate::config::DataDir;
use crate::control::explain::{
    ContextKey, Explanation, List, PATH, PolicyShown, StatementShown, TestShown, TypeShown,
};
use crate::control::query::Query;
use anyhow::Context;
use iam::{Arn, Region};
use std::io::{IsTerminal, Write};

/// Flags of `policy explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The principal is a user, a role, or a session: `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION` or `.../federated-user/NAME`.
Of several sessions with a name the one that ends last is meant, with its session policies and tags. A role stands for a session
of it without them.

Nobody logs in: the token is not asked about, only the policies. The words for why are those of the audit trail. It ends
with 0 whether the login would be allowed or refused, with 1 where there is no answer.

Examples:
  countersign policy explain --principal arn:aws:iam::123456789012:user/jane --db mydb --user mydbuser
  countersign policy explain --principal arn:aws:iam::123456789012:role/app --db mydb --user app \\
      --context aws:SourceIp=203.0.113.7 --context aws:PrincipalTag/team=blue
  countersign policy explain --principal arn:aws:sts::123456789012:assumed-role/app/job --db mydb --user app --json")]
pub(super) struct Arguments {
    #[command(flatten)]
    data_dir: DataDir,
    /// Who logs in
    #[arg(long, value_name = "ARN", value_parser = principal)]
    principal: Arn,
    /// The identifier of a DB instance or cluster; a member of a cluster stands for its cluster
    #[arg(long, value_name = "IDENTIFIER")]
    db: String,
    /// The database user
    #[arg(long, value_name = "DBUSER", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    user: String,
    /// The region [default: the only one that has the database]
    #[arg(long, value_name = "R")]
    region: Option<Region>,
    /// A context key as it is to be, whatever it would be at a login; the same key again adds a value
    #[arg(long, value_name = "KEY=VALUE", value_parser = context)]
    context: Vec<String>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

fn principal(text: &str) -> Result<Arn, String> {
    const EXPECTED: &str = "expected the ARN of a user, of a role, or of a session, such as \
        `arn:aws:iam::123456789012:user/jane` or `arn:aws:sts::123456789012:assumed-role/ROLE/SESSION`";
    let arn: Arn = text.parse().map_err(|_| EXPECTED.to_owned())?;
    let names = |prefix: &str, count: usize| {
        let names = arn.resource().strip_prefix(prefix).map(|names| names.split('/').collect::<Vec<_>>());
        names.is_some_and(|names| names.len() >= count && names.iter().all(|name| !name.is_empty()))
    };
    let known = match arn.service() {
        "iam" => names("user/", 1) || names("role/", 1),
        "sts" => names("assumed-role/", 2) || names("federated-user/", 1),
        _ => false,
    };
    if known { Ok(arn) } else { Err(EXPECTED.to_owned()) }
}

fn context(text: &str) -> Result<String, &'static str> {
    match text.split_once('=') {
        Some((key, _)) if key.contains(':') => Ok(text.to_owned()),
        _ => Err("expected a condition key and its value, such as `aws:SourceIp=203.0.113.7`"),
    }
}

/// Asks and shows.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut query = Query::default();
    query.push("principal", arguments.principal.as_str());
    query.push("database", &arguments.db);
    query.push("user", &arguments.user);
    if let Some(region) = &arguments.region {
        query.push("region", region.as_str());
    }
    for pair in &arguments.context {
        query.push("context", pair);
    }
    let answer = client::get_control(&arguments.data_dir.path()?, &query.behind(PATH))?;
    let explanation: Explanation =
        serde_json::from_slice(&answer).context("the server's answer cannot be read")?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &explanation)?;
        return Ok(writeln!(out)?);
    }
    let colours = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Ok(out.write_all(Page::of(&explanation, colours).as_bytes())?)
}

/// How wide the text is where it can be broken; ARNs cannot.
const WIDTH: usize = 100;

/// How many items of a list are shown; JSON has all.
const SHOWN: usize = 12;

/// The text in the making.
struct Page {
    text: String,
    colours: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Green,
    Red,
    Dim,
    Bold,
}

impl Page {
    fn of(explanation: &Explanation, colours: bool) -> String {
        let mut page = Self { text: String::new(), colours };
        page.head(explanation);
        for of_type in &explanation.policies {
            page.line("");
            page.of_type(of_type);
        }
        page.text
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn coloured(&self, colour: Colour, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Green => "32",
            Colour::Red => "31",
            Colour::Dim => "2",
            Colour::Bold => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// A label and words behind it, broken at spaces that are not in backticks, the lines below each other.
    fn words(&mut self, indent: usize, label: &str, label_width: usize, words: &str) {
        let start = indent + label_width;
        let mut line = format!("{:indent$}{label:label_width$}", "");
        let mut column = start;
        let mut quoted = false;
        let words = words.split(|c: char| {
            quoted ^= c == '`';
            c == ' ' && !quoted
        });
        for (index, word) in words.enumerate() {
            let width = word.chars().count();
            if index > 0 && column + 1 + width > WIDTH {
                self.line(line.trim_end());
                line = format!("{:start$}", "");
                column = start;
            } else if index > 0 {
                line.push(' ');
                column += 1;
            }
            line.push_str(word);
            column += width;
        }
        self.line(line.trim_end());
    }

    fn head(&mut self, explanation: &Explanation) {
        let said = explanation.verdict.sentence();
        let (word, rest) = said.split_once(':').unwrap_or((&said, ""));
        let colour = if explanation.verdict.reason.is_none() { Colour::Green } else { Colour::Red };
        let word = self.coloured(colour, word);
        self.line(&format!("{word}:{rest}"));
        if let Some(otherwise) = &explanation.otherwise {
            self.line(&format!("with it switched on: {}", otherwise.sentence()));
        }
        self.line("");
        const LABEL: usize = 11;
        let database = &explanation.database;
        let switch = if database.iam_authentication { "on" } else { "off" };
        self.words(0, "principal", LABEL, &explanation.principal);
        self.words(
            0,
            "database",
            LABEL,
            &format!(
                "{} {} in {}, IAM database authentication is {switch}",
                database.kind.as_str(),
                database.identifier,
                database.region
            ),
        );
        self.words(0, "resource", LABEL, &explanation.resource);
        let width = explanation.context.iter().map(|key| key.key.chars().count()).max().unwrap_or_default();
        for (index, key) in explanation.context.iter().enumerate() {
            let label = if index == 0 { "context" } else { "" };
            let label = format!("{label:LABEL$}{:width$}  ", key.key);
            self.words(0, &label, label.chars().count(), &context_values(key));
        }
        for note in &explanation.notes {
            self.words(0, "note", LABEL, note);
        }
    }

    fn of_type(&mut self, of_type: &TypeShown) {
        let (heading, colour) = heading(of_type);
        let heading = self.coloured(Colour::Bold, heading.as_str());
        let says = match (of_type.says.as_str(), of_type.policies.is_empty()) {
            ("no-limit", _) => "none, and so no limit",
            ("allows", _) => "allowed",
            ("denies", _) => "denied",
            ("unreadable", _) => "one cannot be read, and so nothing is allowed",
            (_, true) => "none, and so nothing is allowed",
            (_, false) => "not allowed",
        };
        let says = match colour {
            Some(colour) => self.coloured(colour, says),
            None => says.to_owned(),
        };
        self.line(&format!("{heading}: {says}"));
        for policy in &of_type.policies {
            self.policy(&of_type.kind, policy);
        }
    }

    fn policy(&mut self, kind: &str, policy: &PolicyShown) {
        let to = match &policy.attached_to.name {
            Some(name) => format!("{} {name}", policy.attached_to.kind),
            None => policy.attached_to.kind.clone(),
        };
        let name = &policy.name;
        let title = match (policy.managed, policy.attached_to.kind.as_str()) {
            (true, "session") => format!("{name}, passed with the session"),
            (false, "session") => "passed with the session".to_owned(),
            (false, "level") => name.clone(),
            (true, _) if kind == "permissions boundary" => format!("{name}, of {to}"),
            (true, _) => format!("{name}, attached to {to}"),
            (false, _) => format!("{name}, inline in {to}"),
        };
        self.words(2, "", 0, &title);
        if let Some(problem) = &policy.problem {
            let problem = format!("cannot be read: {problem}");
            self.words(4, "", 0, &problem);
        }
        let widest = |text: fn(&StatementShown) -> String| {
            policy.statements.iter().map(|s| text(s).chars().count()).max().unwrap_or_default()
        };
        let (name, at) = (widest(name_of), widest(place_of));
        for statement in &policy.statements {
            self.statement(statement, name, at);
        }
    }

    fn statement(&mut self, statement: &StatementShown, name_width: usize, at_width: usize) {
        let mut line = format!("    {:name_width$}  {:5}", name_of(statement), statement.effect);
        if at_width > 0 {
            line.push_str(&format!("  {:at_width$}", place_of(statement)));
        }
        let why = why(statement);
        let colour = match (statement.applies, statement.effect.as_str()) {
            (true, "Allow") => Colour::Green,
            (true, _) => Colour::Red,
            (false, _) => Colour::Dim,
        };
        let why = self.coloured(colour, why);
        self.line(&format!("{line}  {why}"));
        if let Some(list) = &statement.list {
            self.list(list);
        }
        // What is about other actions and resources is not made plainer by its conditions.
        if statement.list.is_none() {
            for test in &statement.conditions {
                self.test(test);
            }
        }
    }

    fn list(&mut self, list: &List) {
        const LABEL: usize = 15;
        // Actions fit beside each other, resources do not.
        let lines: Vec<String> = match list.element.ends_with("Action") {
            true => vec![cut(&list.items).join(", ")],
            false => cut(&list.items),
        };
        // An ARN is long: where one does not fit beside the label, all stand below it.
        let wide = |line: &String| !line.contains(' ') && 6 + LABEL + line.chars().count() > WIDTH;
        let below = lines.iter().any(wide);
        if below {
            self.words(6, &list.element, 0, "");
        }
        for (index, items) in lines.iter().enumerate() {
            match (below, index) {
                (true, _) => self.words(8, "", 0, items),
                (false, 0) => self.words(6, &list.element, LABEL, items),
                (false, _) => self.words(6, "", LABEL, items),
            }
        }
        self.without_value(LABEL, &list.without_value);
    }

    fn without_value(&mut self, label: usize, keys: &[String]) {
        for key in keys {
            self.words(6, "without value", label, &format!("${{{key}}}"));
        }
    }

    fn test(&mut self, test: &TestShown) {
        const LABEL: usize = 15;
        let (result, colour) = match test.result.as_str() {
            "holds" => ("holds", Colour::Green),
            "does-not-hold" => ("does not hold", Colour::Red),
            _ => ("cannot be evaluated, and so counts against the login", Colour::Red),
        };
        let result = self.coloured(colour, result);
        self.line(&format!("      {:LABEL$}{} {}: {result}", "Condition", test.operator, test.key));
        let expected = match test.expected.is_empty() {
            true => "nothing".to_owned(),
            false => cut(&test.expected).join(", "),
        };
        self.words(6, "  policy", LABEL, &expected);
        let found = test.found.as_ref().map_or_else(|| "absent".to_owned(), |found| cut(found).join(", "));
        self.words(6, "  login", LABEL, &found);
        self.without_value(LABEL, &test.without_value);
    }
}

fn context_values(key: &ContextKey) -> String {
    let mut text = match &key.values {
        Some(values) => values.join(", "),
        None => "absent".to_owned(),
    };
    if key.given {
        text.push_str(" (given)");
    }
    text
}

fn heading(of_type: &TypeShown) -> (String, Option<Colour>) {
    let heading = match (of_type.kind.as_str(), &of_type.level) {
        ("service control policy", Some(level)) => format!("service control policies, level {level}"),
        ("service control policy", None) => "service control policies".to_owned(),
        ("identity-based policy", _) => "identity-based policies".to_owned(),
        ("session policy", _) => "session policies".to_owned(),
        (other, _) => other.to_owned(),
    };
    let colour = match of_type.says.as_str() {
        "no-limit" => None,
        "allows" => Some(Colour::Green),
        _ => Some(Colour::Red),
    };
    (heading, colour)
}

/// `1 Own`
fn name_of(statement: &StatementShown) -> String {
    match &statement.sid {
        Some(sid) => format!("{} {sid}", statement.statement),
        None => statement.statement.to_string(),
    }
}

/// `3:5`
fn place_of(statement: &StatementShown) -> String {
    match (statement.line, statement.column) {
        (Some(line), Some(column)) => format!("{line}:{column}"),
        _ => String::new(),
    }
}

fn why(statement: &StatementShown) -> &'static str {
    let unknown = |list: &List| !list.without_value.is_empty();
    match (statement.because.as_deref(), &statement.list) {
        (None, _) => "applies",
        (Some("action"), Some(list)) if list.element == "NotAction" => {
            "does not apply: the action is one that it excepts"
        }
        (Some("action"), _) => "does not apply: the action is not one of its own",
        (Some("resource"), Some(list)) if list.element == "NotResource" && unknown(list) => {
            "does not apply: what it excepts is not known, a variable has no value"
        }
        (Some("resource"), Some(list)) if list.element == "NotResource" => {
            "does not apply: the resource is one that it excepts"
        }
        (Some("resource"), _) => "does not apply: the resource matches none of its own",
        (Some(_), _) if statement.conditions.iter().any(|test| test.result == "does-not-hold") => {
            "does not apply: a condition does not hold"
        }
        (Some(_), _) => "does not apply: a condition cannot be evaluated",
    }
}

/// The first items, and how many more there are.
fn cut(items: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = items.iter().take(SHOWN).cloned().collect();
    if items.len() > SHOWN {
        shown.push(format!("and {} more", items.len() - SHOWN));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_and_context_keys_are_checked_where_they_are_typed() {
        for good in [
            "arn:aws:iam::123456789012:user/jane",
            "arn:aws:iam::123456789012:role/team/app",
            "arn:aws:sts::123456789012:assumed-role/app/job",
            "arn:aws:sts::123456789012:federated-user/bob",
        ] {
            assert!(principal(good).is_ok(), "{good}");
        }
        for bad in [
            "jane",
            "arn:aws:iam::123456789012:root",
            "arn:aws:iam::123456789012:user/",
            "arn:aws:iam::123456789012:group/staff",
            "arn:aws:sts::123456789012:assumed-role/app",
        ] {
            assert!(principal(bad).is_err(), "{bad}");
        }
        assert!(context("aws:PrincipalTag/a=b=c").is_ok() && context("aws:SourceIp=").is_ok());
        assert!(context("aws:SourceIp").is_err() && context("x=y").is_err());
    }

    #[test]
    fn long_words_are_broken_at_spaces() {
        let mut page = Page { text: String::new(), colours: false };
        page.words(2, "label", 7, &"word ".repeat(40));
        let lines: Vec<&str> = page.text.lines().collect();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= WIDTH), "{}", page.text);
        assert!(lines[0].starts_with("  label  word word") && lines[1].starts_with("         word"));
    }
}
