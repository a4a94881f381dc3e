//! Resources of `rds-db:connect`: ARNs that can match no login, and those that match too many.
//!
//! `arn:<partition>:rds-db:<region>:<account>:dbuser:<resource id>/<database user>`. Wildcards and variables are
//! understood wherever they can stand.

use super::variable::{Form, variables};
use super::{KnownDatabase, Lint, Scope};
use crate::document::{Effect, Text, Version};
use crate::json::Span;
use crate::pattern;

/// Characters of a resource id behind `db-` or `cluster-`.
const ID_LENGTH: usize = 26;

const SHAPE: &str = "`dbuser:<resource id>/<database user>`";
const EXAMPLE: &str = "`arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/jane`";
const WHERE_IDS_ARE: &str = "write the resource id, as `aws rds describe-db-instances --query \
                             'DBInstances[].DbiResourceId'` shows it, or of a cluster `aws rds \
                             describe-db-clusters --query 'DBClusters[].DbClusterResourceId'`";

/// A part of a resource, with its place in the value.
#[derive(Debug, Clone, Copy)]
struct Part<'t> {
    text: &'t str,
    start: usize,
}

impl<'t> Part<'t> {
    fn end(self) -> usize {
        self.start + self.text.len()
    }

    /// What is before and behind the first of these characters.
    fn split(self, at: char) -> (Part<'t>, Option<Part<'t>>) {
        match self.text.split_once(at) {
            Some((before, behind)) => (
                Part { text: before, start: self.start },
                Some(Part { text: behind, start: self.start + before.len() + at.len_utf8() }),
            ),
            None => (self, None),
        }
    }

    fn is_open(self) -> bool {
        self.text.contains(['*', '?']) || self.text.contains("${")
    }
}

impl Lint<'_> {
    pub(super) fn resource(&mut self, resource: &Text, negated: bool, scope: Scope<'_>) {
        let value = resource.value.as_ref();
        let widens = scope.effect == Effect::Allow && !negated && scope.names_connect();
        if value == "*" {
            if widens {
                self.any_user(resource.span, "`*`");
            }
            return;
        }
        // The colon of a variable's key counts as well: what is split is the text as written.
        let head = value.match_indices(':').nth(4).map_or(value, |(at, _)| value.get(..at).unwrap_or(value));
        if let Some(at) = head.find("${") {
            if self.version == Version::V2012 {
                let end =
                    value.get(at..).and_then(|rest| rest.find('}')).map_or(value.len(), |end| at + end + 1);
                self.error(
                    "variable-place",
                    self.place(resource, at, end),
                    "a variable before the fifth colon of an ARN is plain text, so this matches nothing",
                    Some("write the region and the account, or `*`".to_owned()),
                );
            }
            return;
        }
        let mut parts = Vec::new();
        let mut rest = Some(Part { text: value, start: 0 });
        while let Some(part) = rest.take() {
            if parts.len() == 5 {
                parts.push(part);
                break;
            }
            let (before, behind) = part.split(':');
            parts.push(before);
            rest = behind;
        }
        let part = |index: usize| parts.get(index).copied();
        if part(0).is_none_or(|prefix| prefix.text != "arn") || parts.len() < 2 {
            if scope.names_connect() {
                let help = format!("write it such as {EXAMPLE}");
                self.error("resource-format", resource.span, format!("`{value}` is not an ARN"), Some(help));
            }
            return;
        }
        if let Some(partition) = part(1).filter(|p| p.text.bytes().any(|b| b.is_ascii_uppercase())) {
            let (span, lower) = (self.span(resource, partition), partition.text.to_ascii_lowercase());
            let message = format!("`{}` is not a partition", partition.text);
            self.error("resource-partition", span, message, Some(format!("write `{lower}`")));
        }
        let Some(service) = part(2) else { return };
        if service.text != "rds-db" {
            return self.other_service(resource, service, negated, scope);
        }
        if scope.actions.is_some() && !scope.covers_connect() {
            self.warn(
                "resource-without-action",
                resource.span,
                "no action of the statement is about logins to databases",
                Some("add `rds-db:connect` to its actions".to_owned()),
            );
        }
        let errors = self.errors();
        self.place_of(resource, part(3), part(4));
        let Some(last) = part(5) else {
            // AWS completes it with `*`.
            if widens {
                self.any_user(resource.span, &format!("`{value}`, which is completed with `*`,"));
            }
            return;
        };
        self.database_user(resource, last, [part(3), part(4)], widens);
        if self.errors() == errors && !can_be_a_login(last.text, self.version) {
            let span = self.span(resource, last);
            let help = format!("a resource of `rds-db:connect` ends in {SHAPE}");
            self.error("resource-type", span, format!("`{}` matches no login", last.text), Some(help));
        }
    }

    fn other_service(&mut self, resource: &Text, service: Part<'_>, negated: bool, scope: Scope<'_>) {
        let name = service.text;
        // Elsewhere a resource may belong to another of the statement's actions.
        let stray = match name {
            "rds" => scope.names_connect() && !scope.names_service("rds") && !scope.is_about_everything(),
            _ => scope.is_connect_only(),
        };
        if !stray || negated || name.is_empty() {
            return;
        }
        let span = self.span(resource, service);
        let message = format!("a resource of `{name}` matches no login: those are resources of `rds-db`");
        self.error("resource-service", span, message, Some(format!("write it such as {EXAMPLE}")));
    }

    /// Region and account.
    fn place_of(&mut self, resource: &Text, region: Option<Part<'_>>, account: Option<Part<'_>>) {
        for (part, what, example) in [(region, "region", "us-east-1"), (account, "account", "123456789012")] {
            let Some(part) = part else { continue };
            if part.text.is_empty() {
                let span = self.place(resource, part.start - 1, part.end() + 1);
                self.error(
                    "resource-place",
                    span,
                    format!("the {what} is empty, which matches no login"),
                    Some(format!("write it, such as `{example}`, or `*`")),
                );
                continue;
            }
            let fits = if what == "region" { is_region(part.text) } else { is_account(part.text) };
            if !fits {
                let span = self.span(resource, part);
                let message = match what {
                    "region" => format!("`{}` is not a region", part.text),
                    _ => format!("`{}` is not an account: those have twelve digits", part.text),
                };
                self.error(
                    "resource-place",
                    span,
                    message,
                    Some(format!("write it such as `{example}`, or `*`")),
                );
            }
        }
    }

    /// What is behind the fifth colon.
    fn database_user(&mut self, resource: &Text, last: Part<'_>, place: [Option<Part<'_>>; 2], widens: bool) {
        let Some(tail) = last.text.strip_prefix("dbuser:") else {
            if can_be_a_login(last.text, self.version) {
                if widens && last.text.ends_with('*') {
                    self.any_user(resource.span, &format!("`{}`", last.text));
                }
                return;
            }
            // `db:mydb`, `cluster:mycluster`, `dbuser/jane`
            let wrong = last.text.find([':', '/']).map_or(last.text.len(), |at| at + 1);
            let span = self.place(resource, last.start, last.start + wrong.max(1).min(last.text.len()));
            let message = match last.text {
                "" => "the resource is empty, which matches no login".to_owned(),
                _ => format!("`{}` where `dbuser:` is meant", last.text.get(..wrong).unwrap_or(last.text)),
            };
            let span = if last.text.is_empty() { resource.span } else { span };
            self.error("resource-type", span, message, Some(format!("write {SHAPE}")));
            return;
        };
        let tail = Part { text: tail, start: last.end() - tail.len() };
        let (id, user) = split_user(tail);
        if !id.is_open() {
            self.resource_id(resource, id, place);
        }
        match user {
            Some(user) if user.text.is_empty() => {
                let span = self.place(resource, user.start - 1, user.start);
                let help = "write the name of a database user, or `*` for any".to_owned();
                self.error("resource-user", span, "no database user behind the `/`", Some(help));
            }
            Some(user) => {
                if widens && user.text.chars().all(|c| c == '*') {
                    self.any_user(self.span(resource, user), "`*`");
                }
            }
            // A `*` here takes the slash and the user as well.
            None if id.text.contains('*') || id.text.contains("${") => {
                if widens && id.text.ends_with('*') {
                    self.any_user(self.span(resource, id), &format!("`{}`", id.text));
                }
            }
            None => {
                let span = self.span(resource, tail);
                let help = format!("write `dbuser:{}/<database user>`, or `/*` for any", id.text);
                self.error(
                    "resource-user",
                    span,
                    "names no database user, which matches no login",
                    Some(help),
                );
            }
        }
    }

    fn resource_id(&mut self, resource: &Text, id: Part<'_>, [region, account]: [Option<Part<'_>>; 2]) {
        let span = self.span(resource, id);
        let text = id.text;
        let named = self.databases.iter().find(|database| database.identifier.eq_ignore_ascii_case(text));
        let known = self
            .databases
            .iter()
            .find(|database| database.resource_id == text || database.cluster == Some(text));
        if known.is_none()
            && let Some(problem) = id_problem(text)
        {
            let help = match named {
                Some(named) => {
                    format!("the resource id of `{}` is `{}`", named.identifier, named.policy_id())
                }
                None => problem.help.unwrap_or_else(|| WHERE_IDS_ARE.to_owned()),
            };
            let span = if text.is_empty() { self.place(resource, id.start, id.start + 1) } else { span };
            return self.error("resource-id", span, problem.message, Some(help));
        }
        let Some(database) = known else {
            if !self.databases.is_empty() {
                let message = format!("no database here has the resource id `{text}`");
                self.warn("unknown-database", span, message, Some(self.ids_here()));
            }
            return;
        };
        if let Some(cluster) = database.cluster.filter(|_| database.resource_id == text) {
            self.error(
                "cluster-member",
                span,
                format!(
                    "`{}` is an instance of a cluster, and a login to it is one to the cluster",
                    database.identifier
                ),
                Some(format!("write `{cluster}`")),
            );
        }
        for (part, is, what) in [(region, database.region, "region"), (account, database.account, "account")]
        {
            if let Some(part) = part.filter(|part| !part.text.is_empty() && !pattern::matches(part.text, is))
            {
                let message = format!("`{}` is not the {what} of `{}`", part.text, database.identifier);
                self.error("other-place", self.span(resource, part), message, Some(format!("write `{is}`")));
            }
        }
    }

    /// The databases there are, as far as a person reads them.
    fn ids_here(&self) -> String {
        let mut ids: Vec<String> = self
            .databases
            .iter()
            .filter(|database| database.cluster.is_none())
            .take(5)
            .map(|KnownDatabase { identifier, resource_id, .. }| format!("`{resource_id}` is `{identifier}`"))
            .collect();
        if self.databases.len() > ids.len() {
            ids.push("...".to_owned());
        }
        ids.join(", ")
    }

    fn any_user(&mut self, span: Span, what: &str) {
        self.warn(
            "any-user",
            span,
            format!("{what} allows logging in as any database user, the master user included"),
            Some(
                "name the user: `/jane`, or `/${aws:username}` for one of the same name as the caller"
                    .to_owned(),
            ),
        );
    }

    fn span(&self, resource: &Text, part: Part<'_>) -> Span {
        self.place(resource, part.start, part.end())
    }

    fn errors(&self) -> usize {
        self.found.iter().filter(|d| d.severity == super::Severity::Error).count()
    }
}

/// At the first slash that is not in a variable.
fn split_user(tail: Part<'_>) -> (Part<'_>, Option<Part<'_>>) {
    let slash = tail
        .text
        .match_indices('/')
        .map(|(at, _)| at)
        .find(|&at| !variables(tail.text).any(|variable| (variable.start..variable.end).contains(&at)));
    match slash.and_then(|at| Some((tail.text.get(..at)?, tail.text.get(at + 1..)?))) {
        Some((id, user)) => {
            (Part { text: id, start: tail.start }, Some(Part { text: user, start: tail.end() - user.len() }))
        }
        None => (tail, None),
    }
}

struct IdProblem {
    message: String,
    /// Better than where ids are shown.
    help: Option<String>,
}

/// Why a text without wildcards is not a resource id.
fn id_problem(id: &str) -> Option<IdProblem> {
    let problem = |message: String| Some(IdProblem { message, help: None });
    if id.is_empty() {
        return problem("the resource id is missing".to_owned());
    }
    let prefix = ["db-", "cluster-", "prx-"].into_iter().find(|prefix| id.starts_with(prefix));
    let Some((prefix, tail)) = prefix.and_then(|prefix| Some((prefix, id.strip_prefix(prefix)?))) else {
        return problem(format!(
            "`{id}` looks like an identifier where the resource id is meant, which begins with `db-` or `cluster-`"
        ));
    };
    let alphanumeric = !tail.is_empty() && tail.bytes().all(|b| b.is_ascii_alphanumeric());
    // Ids of proxies come in two forms.
    if prefix == "prx-" && alphanumeric {
        return None;
    }
    if tail == "ABCDEFGHIJKL01234" {
        return problem(format!("`{id}` is the placeholder of AWS's examples, not a resource id"));
    }
    let found = match tail.chars().count() {
        ID_LENGTH if alphanumeric => {
            let upper = tail.to_ascii_uppercase();
            return (tail != upper).then(|| IdProblem {
                message: format!("`{id}` is not a resource id: those are in capitals"),
                help: Some(format!("write `{prefix}{upper}`")),
            });
        }
        ID_LENGTH => "something else".to_owned(),
        length => length.to_string(),
    };
    problem(format!(
        "`{id}` is not a resource id: behind `{prefix}` come {ID_LENGTH} capital letters and digits, not {found}"
    ))
}

/// `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`.
fn is_region(text: &str) -> bool {
    if text.contains(['*', '?']) {
        return text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-*?".contains(&b));
    }
    let parts: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    words.len() >= 2
        && words.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

fn is_account(text: &str) -> bool {
    let fixed = text.bytes().filter(|&b| b != b'*').count();
    text.bytes().all(|b| b.is_ascii_digit() || b"*?".contains(&b))
        && if text.contains('*') { fixed <= 12 } else { fixed == 12 }
}

/// What a character of a pattern or of a login can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Exactly(char),
    Capital,
    Alphanumeric,
    Any,
}

impl Class {
    fn has(self, c: char) -> bool {
        match self {
            Self::Exactly(own) => own == c,
            Self::Capital => c.is_ascii_uppercase() || c.is_ascii_digit(),
            Self::Alphanumeric => c.is_ascii_alphanumeric(),
            Self::Any => true,
        }
    }
}

/// What the pattern takes next.
#[derive(Debug, Clone, Copy)]
enum Token {
    One(char),
    AnyOne,
    AnyRun,
}

/// Whether the pattern, from `dbuser:` on, matches the resource of any login that there could be.
fn can_be_a_login(source: &str, version: Version) -> bool {
    let tokens = tokens(source, version);
    let capitals = [(Class::Capital, false); ID_LENGTH];
    let proxy = [(Class::Alphanumeric, true)];
    [("dbuser:db-", capitals.as_slice()), ("dbuser:cluster-", &capitals), ("dbuser:prx-", &proxy)].iter().any(
        |(prefix, id)| {
            let mut shape: Vec<(Class, bool)> = prefix.chars().map(|c| (Class::Exactly(c), false)).collect();
            shape.extend(id.iter());
            shape.extend([(Class::Exactly('/'), false), (Class::Any, true)]);
            meet(&tokens, &shape)
        },
    )
}

fn tokens(source: &str, version: Version) -> Vec<Token> {
    let mut tokens = Vec::new();
    let plain = |text: &str, tokens: &mut Vec<Token>| {
        tokens.extend(text.chars().map(|c| match c {
            '*' => Token::AnyRun,
            '?' => Token::AnyOne,
            c => Token::One(c),
        }));
    };
    let mut at = 0;
    for variable in variables(source).filter(|_| version == Version::V2012) {
        plain(source.get(at..variable.start).unwrap_or_default(), &mut tokens);
        tokens.push(match variable.form {
            Form::Character(character) => character.chars().next().map_or(Token::AnyRun, Token::One),
            Form::Variable(_) | Form::Bad(_) => Token::AnyRun,
        });
        at = variable.end;
    }
    plain(source.get(at..).unwrap_or_default(), &mut tokens);
    tokens
}

/// Whether some text has the shape and is matched by the tokens. Of each place in the shape is kept whether it can be
/// reached with the tokens so far; a place that is marked `true` may be repeated.
fn meet(tokens: &[Token], shape: &[(Class, bool)]) -> bool {
    let mut reached = vec![false; shape.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for token in tokens {
        let mut next = vec![false; shape.len() + 1];
        let mut running = false;
        for (index, slot) in next.iter_mut().enumerate() {
            let here = reached.get(index).copied().unwrap_or(false);
            let before = index.checked_sub(1);
            let class = before.and_then(|i| shape.get(i));
            let from_before = before.and_then(|i| reached.get(i)).copied().unwrap_or(false);
            *slot = match token {
                Token::AnyRun => {
                    running |= here;
                    running
                }
                Token::AnyOne => from_before || (here && class.is_some_and(|(_, repeats)| *repeats)),
                Token::One(c) => {
                    class.is_some_and(|(class, repeats)| class.has(*c) && (from_before || (here && *repeats)))
                }
            };
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DB: &str = "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    #[test]
    fn patterns_that_some_login_matches() {
        for good in [
            "*",
            "dbuser:*",
            "dbuser:*/jane",
            "dbuser:db-*/jane",
            "dbuser:db-?*/*",
            "d*/jane",
            "*/jane",
            "dbuser:${aws:PrincipalTag/db}/x",
            "dbuser:prx-0123456789abcdef0/jane",
            "dbuser:cluster-ABCDEFGHIJKLMNOPQRSTUVWXY?/j",
            "dbuser:*-ABC*",
            "dbuser:db-${a:b}",
            "dbuser:??-*/x/y",
            "*jane",
        ] {
            assert!(can_be_a_login(good, Version::V2012), "{good}");
        }
        for bad in [
            "",
            "dbuser:",
            "dbuser:mydb*/jane",
            "dbuser:db-abc*/jane",
            "dbuser:db-A/jane",
            "db:*",
            "dbuser/*",
            "dbuser:${*}/x",
        ] {
            assert!(!can_be_a_login(bad, Version::V2012), "{bad}");
        }
        assert!(can_be_a_login(&format!("dbuser:{DB}/${{aws:username}}"), Version::V2008));
        assert!(!can_be_a_login("dbuser:${aws:username}/x", Version::V2008));
    }

    #[test]
    fn regions_and_accounts_by_their_shape() {
        for good in
            ["us-east-1", "us-gov-west-1", "eusc-de-east-1", "ap-southeast-7", "*", "eu-*", "us-????-1"]
        {
            assert!(is_region(good), "{good}");
        }
        for bad in ["us-east", "US-EAST-1", "useast1", "us-east-1a", "us--1", "1", "US-*", "us_east_1"] {
            assert!(!is_region(bad), "{bad}");
        }
        for good in ["123456789012", "*", "1234*", "????????????"] {
            assert!(is_account(good), "{good}");
        }
        for bad in ["1234567890", "1234567890123", "12345678901a", "???", "1234567890123*"] {
            assert!(!is_account(bad), "{bad}");
        }
    }
}
