//! The AWS Query protocol: a form goes, XML comes.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sigv4::encode::percent_encode;
use time::PrimitiveDateTime;
use time::macros::format_description;

/// The media type of a form.
pub(super) const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// The body of a request.
pub(super) fn form(operation: &str, version: &str, parameters: &[(&str, &str)]) -> String {
    let mut form = format!("Action={operation}&Version={version}");
    for (name, value) in parameters {
        form.push_str(&format!("&{name}={}", percent_encode(value.as_bytes())));
    }
    form
}

/// Why an answer has no result.
#[derive(Debug)]
pub(super) enum Unreadable {
    Refusal { code: String, message: String },
    Foreign(String),
}

#[derive(Deserialize)]
struct ErrorResponse {
    #[serde(rename = "Error")]
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(rename = "Code")]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
}

/// Reads an answer: `T` is what stands inside the root, `<OperationResult>` and all.
pub(super) fn read<T: DeserializeOwned>(operation: &str, status: u16, body: &[u8]) -> Result<T, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|_| Unreadable::Foreign("it is not UTF-8".to_owned()))?;
    let root = root(text).ok_or_else(|| Unreadable::Foreign("it is not XML".to_owned()))?;
    let reason = |error: quick_xml::DeError| Unreadable::Foreign(error.to_string());
    if root == "ErrorResponse" {
        let ErrorResponse { error } = quick_xml::de::from_str(text).map_err(reason)?;
        return Err(Unreadable::Refusal { code: error.code, message: error.message });
    }
    if status != 200 || root.strip_suffix("Response") != Some(operation) {
        return Err(Unreadable::Foreign(format!("its root is `{root}`")));
    }
    quick_xml::de::from_str(text).map_err(reason)
}

/// The name of the root element.
fn root(text: &str) -> Option<String> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(text);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) | Event::Empty(start) => {
                return Some(start.local_name().as_ref().to_owned());
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// The moment of a `Date` header in the form that servers must send, `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn http_date(text: &str) -> Option<SystemTime> {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let seconds = PrimitiveDateTime::parse(text.trim(), form).ok()?.assume_utc().unix_timestamp();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Anything {}

    #[test]
    fn forms_are_encoded() {
        assert_eq!(
            form("GetCallerIdentity", "2011-06-15", &[("A.member.1", "arn:aws:iam::1:user/a b+c")]),
            "Action=GetCallerIdentity&Version=2011-06-15&A.member.1=arn%3Aaws%3Aiam%3A%3A1%3Auser%2Fa%20b%2Bc"
        );
    }

    #[test]
    fn refusals_are_told_from_what_answers_otherwise() {
        let body = br#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
            <Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>It is &lt;over&gt;</Message></Error>
            <RequestId>1</RequestId></ErrorResponse>"#;
        match read::<Anything>("GetCallerIdentity", 403, body).unwrap_err() {
            Unreadable::Refusal { code, message } => {
                assert_eq!((code.as_str(), message.as_str()), ("ExpiredToken", "It is <over>"));
            }
            other => panic!("{other:?}"),
        }
        for (status, body) in [
            (200, &b"<html><body>hello</body></html>"[..]),
            (502, b"Bad Gateway"),
            (200, b""),
            (200, b"\xff\xfe"),
            (200, b"<OtherResponse/>"),
            (500, b"<GetCallerIdentityResponse/>"),
            (200, b"<ErrorResponse><Error/></ErrorResponse>"),
        ] {
            let error = read::<Anything>("GetCallerIdentity", status, body).unwrap_err();
            assert!(matches!(error, Unreadable::Foreign(_)), "{error:?}");
        }
        read::<Anything>("GetCallerIdentity", 200, b"<GetCallerIdentityResponse/>").unwrap();
    }

    #[test]
    fn dates_of_servers() {
        let at = http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 784_111_777);
        assert_eq!(http_date("yesterday"), None);
    }
}
