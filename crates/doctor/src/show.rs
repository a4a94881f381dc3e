//! Times and texts as a person reads them, and as a shell takes them.

use time::OffsetDateTime;
use time::macros::format_description;

/// A moment, to the second, in UTC.
pub(crate) fn moment(at: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    at.to_offset(time::UtcOffset::UTC).format(form).unwrap_or_else(|_| at.to_string())
}

/// A text as one word of a shell.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A name in PostgreSQL's SQL.
pub(crate) fn postgres_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string in SQL.
pub(crate) fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

/// A number of seconds.
pub(crate) fn seconds(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_names() {
        assert_eq!(word("arn:aws:iam::1:user/x"), "arn:aws:iam::1:user/x");
        assert_eq!(word("it's; rm -rf"), r"'it'\''s; rm -rf'");
        assert_eq!(postgres_name("a\"b"), "\"a\"\"b\"");
        assert_eq!(text_literal("o'x\\"), r"'o''x\\'");
        assert_eq!(
            (seconds(61), seconds(700), seconds(7200)),
            ("61 s".into(), "11 min".into(), "2 h".into())
        );
        assert_eq!(moment(OffsetDateTime::UNIX_EPOCH), "1970-01-01 00:00:00 UTC");
    }
}
