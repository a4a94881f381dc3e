//! Answers in XML, as the Query protocol has them.

use super::ApiError;
use crate::Service;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use std::fmt::Display;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

/// Writes the members of an answer.
///
/// Writing goes to memory and cannot fail in the middle; were it to, the answer would be an internal failure and not half
/// a document.
pub struct Writer {
    inner: quick_xml::Writer<Vec<u8>>,
    service: Service,
    failed: Option<String>,
}

impl Writer {
    fn new(service: Service) -> Self {
        Self { inner: quick_xml::Writer::new(Vec::with_capacity(1024)), service, failed: None }
    }

    fn event(&mut self, event: Event<'_>) {
        if let Err(error) = self.inner.write_event(event) {
            self.failed.get_or_insert_with(|| error.to_string());
        }
    }

    /// `<name>value</name>`
    pub fn text(&mut self, name: &str, value: &str) {
        self.event(Event::Start(BytesStart::new(name)));
        self.event(Event::Text(BytesText::from_escaped(escape(value))));
        self.event(Event::End(BytesEnd::new(name)));
    }

    /// `<name>value</name>`, or nothing at all.
    pub fn opt<T: Display>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.text(name, &value.to_string());
        }
    }

    /// `<name>true</name>`
    pub fn flag(&mut self, name: &str, value: bool) {
        self.text(name, if value { "true" } else { "false" });
    }

    /// `<name>1</name>`
    pub fn number(&mut self, name: &str, value: impl Into<i64>) {
        self.text(name, &value.into().to_string());
    }

    /// `<name>2026-01-01T00:00:00Z</name>`; RDS shows milliseconds.
    pub fn timestamp(&mut self, name: &str, value: OffsetDateTime) {
        let utc = value.to_offset(UtcOffset::UTC);
        let text = match self.service {
            Service::Rds => utc.format(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            )),
            Service::Iam | Service::Sts => {
                utc.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"))
            }
        };
        match text {
            Ok(text) => self.text(name, &text),
            Err(error) => {
                self.failed.get_or_insert_with(|| error.to_string());
            }
        }
    }

    /// `<name>...</name>` around what `inside` writes.
    pub fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.event(Event::Start(BytesStart::new(name)));
        inside(self);
        self.event(Event::End(BytesEnd::new(name)));
    }

    /// `<name><member>...</member>...</name>`, one for each item; an empty list is `<name></name>`.
    pub fn list<I: IntoIterator>(
        &mut self,
        name: &str,
        member: &str,
        items: I,
        mut inside: impl FnMut(&mut Self, I::Item),
    ) {
        self.element(name, |w| {
            for item in items {
                w.element(member, |w| inside(w, item));
            }
        });
    }

    /// `<name><member>text</member>...</name>`, one for each text.
    pub fn texts<T: AsRef<str>>(&mut self, name: &str, member: &str, items: impl IntoIterator<Item = T>) {
        self.element(name, |w| {
            for item in items {
                w.text(member, item.as_ref());
            }
        });
    }

    fn root(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        self.event(Event::Start(
            BytesStart::new(name).with_attributes([("xmlns", self.service.namespace())]),
        ));
        inside(self);
        self.event(Event::End(BytesEnd::new(name)));
    }

    fn finish(self) -> Result<Vec<u8>, String> {
        match self.failed {
            None => Ok(self.inner.into_inner()),
            Some(error) => Err(error),
        }
    }
}

/// Escapes a text for XML 1.0. What XML cannot hold at all becomes U+FFFD; a carriage return is written as a reference,
/// which parsers do not turn into a line feed.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\r' => escaped.push_str("&#13;"),
            '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'.. => escaped.push(character),
            _ => escaped.push('\u{fffd}'),
        }
    }
    escaped
}

/// The answer of a call that succeeded: `<OpResponse><OpResult>` around what `result` writes, and the metadata.
pub fn respond(
    operation: &str,
    service: Service,
    request_id: Uuid,
    result: impl FnOnce(&mut Writer),
) -> Response {
    answer(operation, service, request_id, |w| w.element(&format!("{operation}Result"), result))
}

/// The answer of a call that succeeded and has no output.
pub fn respond_empty(operation: &str, service: Service, request_id: Uuid) -> Response {
    answer(operation, service, request_id, |_| {})
}

fn answer(operation: &str, service: Service, request_id: Uuid, result: impl FnOnce(&mut Writer)) -> Response {
    let mut writer = Writer::new(service);
    writer.root(&format!("{operation}Response"), |w| {
        result(w);
        w.element("ResponseMetadata", |w| w.text("RequestId", &request_id.to_string()));
    });
    match writer.finish() {
        Ok(body) => response(StatusCode::OK, request_id, body),
        Err(error) => {
            respond_error(&ApiError::internal("an answer cannot be written", &error), service, request_id)
        }
    }
}

/// The answer of a call that was refused or failed.
pub fn respond_error(error: &ApiError, service: Service, request_id: Uuid) -> Response {
    let mut writer = Writer::new(service);
    writer.root("ErrorResponse", |w| {
        w.element("Error", |w| {
            w.text("Type", if error.sender { "Sender" } else { "Receiver" });
            w.text("Code", &error.code);
            w.text("Message", &error.message);
        });
        w.text("RequestId", &request_id.to_string());
    });
    // The status alone still says that it failed.
    response(error.status, request_id, writer.finish().unwrap_or_default())
}

fn response(status: StatusCode, request_id: Uuid, body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(id) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert(HeaderName::from_static("x-amzn-requestid"), id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn written(service: Service, inside: impl FnOnce(&mut Writer)) -> String {
        let mut writer = Writer::new(service);
        inside(&mut writer);
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    #[test]
    fn members_lists_and_times() {
        let at = datetime!(2026-01-01 01:00:00.25 +1);
        assert_eq!(written(Service::Iam, |w| w.timestamp("T", at)), "<T>2026-01-01T00:00:00Z</T>");
        assert_eq!(written(Service::Rds, |w| w.timestamp("T", at)), "<T>2026-01-01T00:00:00.250Z</T>");
        assert_eq!(
            written(Service::Rds, |w| {
                w.list("TagList", "Tag", [("k", 1)], |w, (key, value)| {
                    w.text("Key", key);
                    w.number("Value", value);
                });
                w.texts("L", "member", ["a"]);
                w.opt("N", None::<&str>);
                w.flag("F", false);
            }),
            "<TagList><Tag><Key>k</Key><Value>1</Value></Tag></TagList><L><member>a</member></L><F>false</F>"
        );
    }

    #[test]
    fn no_text_breaks_the_document() {
        assert_eq!(
            written(Service::Iam, |w| w.text("T", "<a href=\"x\">&\r\n\0\u{b}\u{fffe}é😀")),
            "<T>&lt;a href=&quot;x&quot;&gt;&amp;&#13;\n\u{fffd}\u{fffd}\u{fffd}é😀</T>"
        );
    }
}
