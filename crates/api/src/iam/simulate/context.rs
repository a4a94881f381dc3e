//! What conditions and variables see in a simulation: what the caller says is so, then what is known of who would call.

use crate::call::Call;
use crate::query::{ApiError, Params};
use iam::{Principal, PrincipalKind, RequestContext};
use policy::{
    Context, Entries, Global, Key, Kind, NoContext, Policy, Request, Resource, Truth, Value, Values,
};
use sigv4::Timestamp;

/// A context key that is given, with values that operators for its type can compare.
pub(super) struct ContextEntry {
    name: String,
    values: Vec<String>,
}

/// A type of values: its name, an operator that compares them, a value, and how an error calls one.
struct Type {
    name: &'static str,
    operator: &'static str,
    sample: &'static str,
    expected: &'static str,
}

const TYPES: [Type; 6] = [
    Type { name: "string", operator: "StringEquals", sample: "a", expected: "text" },
    Type { name: "numeric", operator: "NumericEquals", sample: "0", expected: "a number, such as 12.5" },
    Type { name: "boolean", operator: "Bool", sample: "true", expected: "true or false" },
    Type {
        name: "ip",
        operator: "IpAddress",
        sample: "0.0.0.0/0",
        expected: "an IP address, such as 192.0.2.1 or 2001:db8::1",
    },
    Type { name: "binary", operator: "BinaryEquals", sample: "AA==", expected: "base64" },
    Type {
        name: "date",
        operator: "DateEquals",
        sample: "2026-01-31T00:00:00Z",
        expected: "a date, such as 2026-01-31T00:00:00Z, or seconds since 1970",
    },
];

const ENUM: &str = "must satisfy enum value set: [string, stringList, numeric, numericList, boolean, booleanList, ip, \
                    ipList, binary, binaryList, date, dateList]";

/// The most context keys of a simulation: each condition looks for its key among them. AWS names no bound; no document has
/// as many.
const MOST: usize = 500;

/// Takes the context keys.
pub(super) fn take(params: &mut Params) -> Result<Vec<ContextEntry>, ApiError> {
    let mut entries: Vec<ContextEntry> = Vec::new();
    let given = params.structures("ContextEntries", "member")?;
    if given.len() > MOST {
        return Err(ApiError::invalid_input(format!(
            "A simulation has at most {MOST} context keys, there are {}.",
            given.len()
        )));
    }
    for mut given in given {
        let name = given.required("ContextKeyName")?;
        if name.chars().count() < 5 {
            return Err(given.invalid(
                "ContextKeyName",
                &name,
                "must have length greater than or equal to 5",
            ));
        }
        if name.chars().count() > 256 {
            return Err(given.invalid("ContextKeyName", &name, "must have length less than or equal to 256"));
        }
        if entries.iter().any(|known| known.name.eq_ignore_ascii_case(&name)) {
            return Err(ApiError::invalid_input(format!("The context key {name} is given more than once.")));
        }
        let spelled = given.required("ContextKeyType")?;
        let (single, many) = match spelled.strip_suffix("List") {
            Some(single) => (single, true),
            None => (spelled.as_str(), false),
        };
        let kind = TYPES.iter().find(|known| known.name == single);
        let kind = kind.ok_or_else(|| given.invalid("ContextKeyType", &spelled, ENUM))?;
        let values = given.list("ContextKeyValues", "member")?;
        given.finish()?;
        if !many && values.len() != 1 {
            let count = values.len();
            return Err(ApiError::invalid_input(format!(
                "Invalid context key {name}: the type {spelled} takes one value, there are {count}. For many there is \
                 {spelled}List."
            )));
        }
        if let Some(wrong) = kind.first_wrong(&values) {
            let (wrong, expected) = (super::shown(wrong), kind.expected);
            return Err(ApiError::invalid_input(format!(
                "Invalid value {wrong} of context key {name}: the type {spelled} takes {expected}."
            )));
        }
        entries.push(ContextEntry { name, values });
    }
    Ok(entries)
}

impl Type {
    /// The first of the values that an operator for the type cannot compare. It is a condition that is asked, so that what
    /// is taken here and what is understood there is the same.
    fn first_wrong<'v>(&self, values: &'v [String]) -> Option<&'v str> {
        let Self { operator, sample, .. } = self;
        let document = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Deny","Action":"*","Resource":"*","Condition":{{"{operator}":{{"{KEY}":"{sample}"}}}}}}}}"#
        );
        let policy = Policy::parse(&document, Kind::Inline).ok();
        let comparable = |text: &str| {
            let mut context = Entries::default();
            context.set(KEY, vec![Value::Text(text)]);
            let reports =
                policy.as_ref().map(|policy| policy.explain(&Request::new("", Resource::any(), &context)));
            let test = reports.iter().flatten().flat_map(|report| &report.conditions).next();
            test.is_some_and(|test| test.truth != Truth::Error)
        };
        values.iter().map(String::as_str).find(|value| !comparable(value))
    }
}

/// The key that values are tried with.
const KEY: &str = "aws:value";

/// The entries as conditions read them.
pub(super) fn entries(given: &[ContextEntry]) -> Entries<'_> {
    let mut entries = Entries::default();
    for ContextEntry { name, values } in given {
        entries.set(name.as_str(), values.iter().map(|value| Value::Text(value)).collect());
    }
    entries
}

/// What is known without being told: the time, and of who calls what does not hang on how.
pub(super) struct Known<'a> {
    caller: Option<RequestContext<'a>>,
    now: Timestamp,
}

impl<'a> Known<'a> {
    /// What is known of a call by `caller` about `resource`.
    pub(super) fn new(
        call: &'a Call<'_>,
        caller: Option<&'a Principal<'a>>,
        resource: &Resource<'a>,
    ) -> Self {
        let now = Timestamp::from_unix(call.now.unix_timestamp());
        let region = if resource.region.is_empty() { call.region.as_str() } else { resource.region };
        let caller = caller.map(|principal| RequestContext {
            principal,
            now,
            region,
            secure_transport: false,
            source_ip: None,
            resource_tags: None,
            more: &NoContext,
        });
        Self { caller, now }
    }
}

impl Context for Known<'_> {
    fn values<'c>(&'c self, key: Key<'_>) -> Values<'c> {
        let Some(caller) = &self.caller else {
            return match key.global() {
                Some(Global::CurrentTime) => Values::One(Value::Time(self.now.unix())),
                Some(Global::EpochTime) => Values::One(Value::Number(self.now.unix())),
                _ => Values::Missing,
            };
        };
        match (key.global(), caller.principal.kind) {
            // Nobody has said how the call comes, or in which session of the role.
            (Some(Global::SecureTransport), _)
            | (Some(Global::UserId), PrincipalKind::RoleSession { .. }) => Values::Missing,
            _ => caller.values(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_of_a_type_where_its_operator_can_compare_it() {
        let cases: [(&str, &[&str], &[&str]); 6] = [
            ("string", &["", "a\"b", "*"], &[]),
            ("numeric", &["0", "-1.5", "1e3"], &["", "one", "1,5"]),
            ("boolean", &["true", "False"], &["", "yes", "1"]),
            ("ip", &["192.0.2.1", "2001:db8::1"], &["", "192.0.2", "192.0.2.0/24"]),
            ("binary", &["QmFzZTY0", "AA=="], &["a", "é"]),
            ("date", &["2026-01-31T00:00:00Z", "2026-01-31", "1767225600"], &["", "tomorrow", "2026-13-01"]),
        ];
        for (name, right, wrong) in cases {
            let kind = TYPES.iter().find(|known| known.name == name).unwrap();
            for value in right {
                assert_eq!(kind.first_wrong(&[(*value).to_owned()]), None, "{name} {value}");
            }
            for value in wrong {
                assert_eq!(kind.first_wrong(&[(*value).to_owned()]), Some(*value), "{name} {value}");
            }
        }
    }
}
