//! What conditions see of a call besides its caller and its time: what the operation is about and asks for ([`About`]), and
//! how the request came ([`Wire`]).
//!
//! A handler says what it knows under the names that are built here; nothing that a request says about itself becomes a key
//! of its own choosing.

use http::{HeaderMap, HeaderName, header};
use policy::{Context, Entries, Global, Key, Value, Values};
use std::net::IpAddr;
use store::records::Tags;

/// What an operation is about, and what it asks for.
#[derive(Clone, Default)]
pub struct About<'a> {
    resource: Option<Seen>,
    requested: Option<Seen>,
    keys: Entries<'a>,
}

/// Tags, and what the service calls them besides what all services do: `iam:ResourceTag`.
#[derive(Clone)]
struct Seen {
    tags: iam::Tags,
    name: &'static str,
}

impl Seen {
    fn new(tags: &Tags, name: &'static str) -> Self {
        Self { tags: tags.iter().collect(), name }
    }
}

impl<'a> About<'a> {
    /// An operation of which nothing is known but its name.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The same, on a resource with tags: `aws:ResourceTag/...`, and the service's own name for it.
    #[must_use]
    pub fn on(mut self, tags: &Tags, name: &'static str) -> Self {
        self.resource = Some(Seen::new(tags, name));
        self
    }

    /// The same, asking for tags: `aws:RequestTag/...`, the service's own name for it, and `aws:TagKeys`.
    #[must_use]
    pub fn requesting(mut self, tags: &'a Tags, name: &'static str) -> Self {
        self.requested = Some(Seen::new(tags, name));
        self.naming_tags(tags.keys())
    }

    /// The same, naming tags: `aws:TagKeys`.
    #[must_use]
    pub fn naming_tags(self, keys: impl IntoIterator<Item = &'a String>) -> Self {
        self.with_all(Global::TagKeys.name(), keys)
    }

    /// The same, with a key that has a value.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: Value<'a>) -> Self {
        self.keys.set(key, vec![value]);
        self
    }

    /// The same, with a key that has a text, where there is one.
    #[must_use]
    pub fn with_text(self, key: &'static str, text: Option<&'a str>) -> Self {
        match text {
            Some(text) => self.with(key, Value::Text(text)),
            None => self,
        }
    }

    /// The same, with a key that has many texts.
    #[must_use]
    pub fn with_all(mut self, key: &'static str, texts: impl IntoIterator<Item = &'a String>) -> Self {
        self.keys.set(key, texts.into_iter().map(|text| Value::Text(text)).collect());
        self
    }

    /// The tags of the resource.
    pub(crate) fn resource_tags(&self) -> Option<&iam::Tags> {
        self.resource.as_ref().map(|seen| &seen.tags)
    }
}

impl Context for About<'_> {
    fn values<'c>(&'c self, key: Key<'_>) -> Values<'c> {
        if let Some((name, tag)) = key.name().split_once('/') {
            let all_services = key.global() == Some(Global::RequestTag);
            for (seen, also) in [(&self.requested, all_services), (&self.resource, false)] {
                if let Some(seen) = seen
                    && (also || name.eq_ignore_ascii_case(seen.name))
                {
                    return Values::optional(seen.tags.get(tag).map(Value::Text));
                }
            }
        }
        self.keys.values(key)
    }
}

/// How a request came.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// The address at the other end of the connection; none where it is not known. What a header says of addresses is what
    /// anybody can write, and is not looked at.
    pub peer: Option<IpAddr>,
    user_agent: Option<String>,
    referer: Option<String>,
}

impl Wire {
    /// What the connection and the headers say.
    pub fn new(peer: Option<IpAddr>, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok()).map(str::to_owned)
        };
        Self {
            peer: peer.map(|peer| peer.to_canonical()),
            user_agent: text(header::USER_AGENT),
            referer: text(header::REFERER),
        }
    }
}

impl Context for Wire {
    fn values<'c>(&'c self, key: Key<'_>) -> Values<'c> {
        if key.is("aws:UserAgent") {
            Values::optional(self.user_agent.as_deref().map(Value::Text))
        } else if key.is("aws:Referer") {
            Values::optional(self.referer.as_deref().map(Value::Text))
        } else if key.is("aws:ViaAWSService") || key.is("aws:PrincipalIsAWSService") {
            // No service calls for anybody here.
            Values::One(Value::Flag(false))
        } else {
            Values::Missing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn tags(of: &[(&str, &str)]) -> Tags {
        of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn shown(context: &dyn Context, key: &str) -> Vec<String> {
        match context.values(Key::new(key)) {
            Values::Missing => Vec::new(),
            Values::One(value) => vec![value.to_string()],
            Values::Many(values) => values.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn tags_have_the_names_of_all_services_and_of_the_one() {
        let (resource, requested) =
            (tags(&[("env", "prod")]), tags(&[("Env", "dev"), ("env", "test"), ("a/b", "c")]));
        let about = About::nothing()
            .on(&resource, "rds:db-tag")
            .requesting(&requested, "rds:req-tag")
            .with("rds:StorageSize", Value::Number(20));
        for (key, values) in [
            ("aws:RequestTag/env", vec!["test"]),
            ("aws:requesttag/ENV", vec!["dev"]),
            ("RDS:Req-Tag/Env", vec!["dev"]),
            ("aws:RequestTag/a/b", vec!["c"]),
            ("rds:db-tag/env", vec!["prod"]),
            ("rds:db-tag/none", vec![]),
            ("rds:cluster-tag/env", vec![]),
            ("aws:TagKeys", vec!["Env", "a/b", "env"]),
            ("rds:storagesize", vec!["20"]),
            ("rds:DatabaseEngine", vec![]),
        ] {
            assert_eq!(shown(&about, key), values, "{key}");
        }
        let asked = about.resource_tags().unwrap();
        assert_eq!((asked.get("ENV"), About::nothing().resource_tags().is_none()), (Some("prod"), true));
    }

    #[test]
    fn the_wire_says_what_the_connection_says() {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static("agent/1"));
        headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        let wire = Wire::new(Some("::ffff:198.51.100.7".parse().unwrap()), &headers);
        assert_eq!(wire.peer, Some("198.51.100.7".parse().unwrap()));
        for (key, values) in [
            ("AWS:useragent", vec!["agent/1"]),
            ("aws:Referer", vec![]),
            ("aws:ViaAWSService", vec!["false"]),
            ("aws:PrincipalIsAWSService", vec!["false"]),
            ("aws:SourceIp", vec![]),
        ] {
            assert_eq!(shown(&wire, key), values, "{key}");
        }
        assert_eq!(Wire::new(None, &headers).peer, None);
    }
}
