//! The query of a request over the control socket: written by the commands, read by the server.

use super::refusal::Refusal;
use axum::extract::RawQuery;
use sigv4::encode::{percent_decode, percent_encode};

/// Names and values in their order; a name may come more than once.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Adds a value.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// A path with the query behind it.
    pub(crate) fn behind(&self, path: &str) -> String {
        let encoded =
            |(name, value): &(String, String)| format!("{name}={}", percent_encode(value.as_bytes()));
        format!("{path}?{}", self.0.iter().map(encoded).collect::<Vec<_>>().join("&"))
    }

    pub(super) fn read(RawQuery(query): RawQuery) -> Result<Self, Refusal> {
        let query = query.unwrap_or_default();
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            Some((name.to_owned(), String::from_utf8(percent_decode(value).into_owned()).ok()?))
        };
        let pairs = query.split('&').filter(|text| !text.is_empty()).map(pair).collect::<Option<_>>();
        pairs.map(Self).ok_or_else(|| Refusal::wrong("the query is not `name=value` in UTF-8"))
    }

    pub(super) fn all<'q>(&'q self, name: &str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::wrong(format!("`{name}` is missing in the query")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut query = Query::default();
        query.push("context", "aws:PrincipalTag/a=é&b +%");
        query.push("context", "");
        let path = query.behind("/explain");
        let written = path.strip_prefix("/explain?").unwrap().to_owned();
        let Ok(read) = Query::read(RawQuery(Some(written))) else { panic!("{path}") };
        assert_eq!(read.all("context").collect::<Vec<_>>(), ["aws:PrincipalTag/a=é&b +%", ""]);
        assert!(read.need("user").is_err() && Query::read(RawQuery(Some("x=%ff".to_owned()))).is_err());
    }
}
