//! What a policy can ask of a request besides its action and resource: context keys and their values.
//!
//! Whoever asks for a decision says what each key is worth; nothing here knows where a value comes from.

use crate::date::Instant;
use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;

/// What a request tells about itself, key by key.
///
/// A condition and a policy variable ask by the name that the policy has, so names are compared without case.
pub trait Context {
    /// The values of a key; [`Values::Missing`] where the request has none.
    fn values<'c>(&'c self, key: Key<'_>) -> Values<'c>;
}

/// A request that tells nothing about itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoContext;

impl Context for NoContext {
    fn values<'c>(&'c self, _: Key<'_>) -> Values<'c> {
        Values::Missing
    }
}

/// Context keys that were listed one by one, none of them twice.
#[derive(Debug, Clone, Default)]
pub struct Entries<'a>(Vec<(Cow<'a, str>, Vec<Value<'a>>)>);

impl<'a> Entries<'a> {
    /// Puts a key in the place of the one with its name, if there is one.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, values: Vec<Value<'a>>) {
        let name = name.into();
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        self.0.push((name, values));
    }
}

impl Context for Entries<'_> {
    fn values<'c>(&'c self, key: Key<'_>) -> Values<'c> {
        let found = self.0.iter().find(|(name, _)| key.is(name));
        found.map_or(Values::Missing, |(_, values)| Values::Many(values))
    }
}

/// One context in front of another: what the first has goes for both.
#[derive(Clone, Copy)]
pub struct Overlay<'a> {
    /// Asked first.
    pub first: &'a dyn Context,
    /// Asked where the first does not have the key.
    pub then: &'a dyn Context,
}

impl Context for Overlay<'_> {
    fn values<'c>(&'c self, key: Key<'_>) -> Values<'c> {
        match self.first.values(key) {
            Values::Missing => self.then.values(key),
            found => found,
        }
    }
}

/// The values that a request has for a key.
#[derive(Debug, Clone, Copy)]
pub enum Values<'c> {
    /// The request does not have the key.
    Missing,
    /// A key with one value.
    One(Value<'c>),
    /// A key with many values, such as `aws:TagKeys`; none is the same as missing.
    Many(&'c [Value<'c>]),
}

impl<'c> Values<'c> {
    /// One value, or none.
    pub fn optional(value: Option<Value<'c>>) -> Self {
        value.map_or(Self::Missing, Self::One)
    }

    /// Whether the request does not have the key.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing | Self::Many([]))
    }

    pub(crate) fn as_slice(&self) -> &[Value<'c>] {
        match self {
            Self::Missing => &[],
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// A value of a context key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'c> {
    /// A text; read as what an operator compares.
    Text(&'c str),
    /// A whole number, such as `aws:EpochTime`: read as an epoch where an operator compares dates.
    Number(i64),
    /// A point in time, in seconds since 1970: `2026-01-31T00:00:00Z` as text.
    Time(i64),
    /// `true` or `false`.
    Flag(bool),
    /// An address.
    Address(IpAddr),
}

impl<'c> Value<'c> {
    /// The value as text, written to `room` where it is not text already.
    pub(crate) fn text<'r>(&self, room: &'r mut Room) -> &'r str
    where
        'c: 'r,
    {
        match *self {
            Self::Text(text) => text,
            Self::Flag(flag) => {
                if flag {
                    "true"
                } else {
                    "false"
                }
            }
            Self::Number(number) => room.write(format_args!("{number}")),
            Self::Time(seconds) => room.write(format_args!("{}", Instant::from_unix(seconds))),
            Self::Address(address) => room.write(format_args!("{address}")),
        }
    }
}

impl std::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text(&mut Room::default()))
    }
}

/// Room for a number, a time or an address as text.
pub(crate) struct Room {
    bytes: [u8; 48],
    len: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { bytes: [0; 48], len: 0 }
    }
}

impl Room {
    fn write(&mut self, text: std::fmt::Arguments<'_>) -> &str {
        self.len = 0;
        // The longest of them, an IPv6 address, has 45 bytes; what did not fit would be cut and match nothing.
        let _whole = self.write_fmt(text).is_ok();
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl Write for Room {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// The name of a context key, with what is known about it.
#[derive(Debug, Clone, Copy)]
pub struct Key<'k> {
    name: &'k str,
    global: Option<Global>,
    tag: Option<&'k str>,
}

impl<'k> Key<'k> {
    /// A key from its name, in any case.
    pub fn new(name: &'k str) -> Self {
        let tag = name.split_once('/').map(|(_, tag)| tag);
        Self { name, global: Global::named(name), tag }
    }

    /// The same, with what is known of it already.
    pub(crate) fn known(name: &'k str, global: Option<Global>, tag: Option<&'k str>) -> Self {
        Self { name, global, tag }
    }

    /// The name as the policy has it.
    pub fn name(&self) -> &'k str {
        self.name
    }

    /// Which of AWS's global keys it is.
    pub fn global(&self) -> Option<Global> {
        self.global
    }

    /// What follows the first slash: the `team` of `aws:PrincipalTag/team`.
    pub fn tag(&self) -> Option<&'k str> {
        self.tag
    }

    /// Whether it has the name, whatever the case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

macro_rules! globals {
    ($($variant:ident = $name:literal,)*) => {
        /// The global condition keys that are derived from the request here, by AWS's names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "AWS's names")]
        pub enum Global { $($variant),* }

        impl Global {
            /// The name; of keys of tags what stands before the tag, with the slash.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            const ALL: &[Self] = &[$(Self::$variant),*];
        }
    };
}

globals! {
    Username = "aws:username",
    UserId = "aws:userid",
    PrincipalArn = "aws:PrincipalArn",
    PrincipalAccount = "aws:PrincipalAccount",
    PrincipalType = "aws:PrincipalType",
    PrincipalTag = "aws:PrincipalTag/",
    ResourceTag = "aws:ResourceTag/",
    RequestTag = "aws:RequestTag/",
    TagKeys = "aws:TagKeys",
    CurrentTime = "aws:CurrentTime",
    EpochTime = "aws:EpochTime",
    SecureTransport = "aws:SecureTransport",
    TokenIssueTime = "aws:TokenIssueTime",
    MultiFactorAuthPresent = "aws:MultiFactorAuthPresent",
    RequestedRegion = "aws:RequestedRegion",
    SourceIp = "aws:SourceIp",
}

impl Global {
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|global| {
            let known = global.name();
            match known.ends_with('/') {
                true => {
                    name.len() > known.len()
                        && name.get(..known.len()).is_some_and(|n| n.eq_ignore_ascii_case(known))
                }
                false => name.eq_ignore_ascii_case(known),
            }
        })
    }

    /// Whether it says who asks, when, where from and how: such a key is never what a request says it is.
    pub fn is_derived(self) -> bool {
        !matches!(self, Self::RequestTag | Self::TagKeys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_known_in_any_case() {
        assert_eq!(Key::new("AWS:UserName").global(), Some(Global::Username));
        let tag = Key::new("aws:principaltag/Team/a");
        assert_eq!((tag.global(), tag.tag()), (Some(Global::PrincipalTag), Some("Team/a")));
        for unknown in ["aws:PrincipalTag", "aws:PrincipalTag/", "aws:other", "username", "é:aws"] {
            assert_eq!(Key::new(unknown).global(), None, "{unknown}");
        }
    }

    #[test]
    fn values_as_text() {
        let longest = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
        for (value, text) in [
            (Value::Text("é"), "é"),
            (Value::Number(i64::MIN), "-9223372036854775808"),
            (Value::Time(1_767_225_600), "2026-01-01T00:00:00Z"),
            (Value::Time(-1), "1969-12-31T23:59:59Z"),
            (Value::Flag(true), "true"),
            (Value::Address(longest), "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!(value.to_string(), text);
        }
        assert!(Values::Many(&[]).is_missing() && Values::Missing.is_missing());
    }
}
