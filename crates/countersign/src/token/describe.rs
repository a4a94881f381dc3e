//! What a token says about itself. Its signature and session token are not shown: with them it is as good as a password.

use sigv4::Timestamp;
use sigv4::rds_token::{CLOCK_SKEW, Token, TokenError};

/// What a token says, for people and as JSON. The JSON is a stable form: members are added, none is renamed.
#[derive(Debug, serde::Serialize)]
pub(super) struct Description {
    user: String,
    host: String,
    port: u16,
    region: String,
    access_key_id: String,
    /// Whether it was made with temporary credentials, which may end before it does.
    temporary: bool,
    issued_at: String,
    valid_until: String,
    /// `valid`, `expired` or `not-yet-valid`, by this machine's clock.
    state: &'static str,
    /// Until its end; negative since then.
    seconds_left: i64,
    /// In bytes.
    size: usize,
    notes: Vec<String>,
}

/// The longest password that something takes, in bytes, and what it is.
const LIMITS: [(usize, &str); 4] = [
    (
        79,
        "the password prompt of `mysql` takes 79 bytes: give the token in an option file, or use `countersign connect`",
    ),
    (995, "PostgreSQL 13 takes a password of 995 bytes, later ones of 65,530"),
    (2047, "pgbouncer before 1.19 cuts a password at 2,047 bytes"),
    (
        3999,
        "the password prompt of `psql` takes less than 4,000 bytes: give the token in PGPASSWORD or a password file",
    ),
];

impl Description {
    /// Of a token, at the time.
    pub(super) fn of(text: &str, now: Timestamp) -> Result<Self, TokenError> {
        let token = Token::parse(text)?;
        let left = token.expires_at().unix() - now.unix();
        let state = match token.check_time(now) {
            Ok(()) => "valid",
            Err(TokenError::NotYetValid) => "not-yet-valid",
            Err(_) => "expired",
        };
        let mut notes = Vec::new();
        let temporary = token.security_token_encoded().is_some();
        if temporary {
            notes.push("it ends with its temporary credentials where these end before it".to_owned());
        }
        if token.access_key_id().starts_with("ASIA") && !temporary {
            notes.push(
                "an access key that begins with ASIA is temporary, and there is no session token: it is refused"
                    .to_owned(),
            );
        }
        if state == "not-yet-valid" {
            notes.push(format!(
                "it is dated more than {CLOCK_SKEW} seconds ahead: check the clocks of this machine and of the one that made it"
            ));
        }
        notes.extend(
            LIMITS.iter().filter(|(limit, _)| text.len() > *limit).map(|(_, note)| (*note).to_owned()),
        );
        Ok(Self {
            user: token.user().into_owned(),
            host: token.host().to_owned(),
            port: token.port(),
            region: token.region().to_owned(),
            access_key_id: token.access_key_id().to_owned(),
            temporary,
            issued_at: token.issued_at().iso8601().as_str().to_owned(),
            valid_until: token.expires_at().iso8601().as_str().to_owned(),
            state,
            seconds_left: left,
            size: text.len(),
            notes,
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let kind = if self.temporary { "temporary, with a session token" } else { "long-term" };
        let until = match self.state {
            "valid" => format!("for another {}", span(self.seconds_left)),
            "expired" => format!("expired {} ago", span(-self.seconds_left)),
            _ => "not valid yet".to_owned(),
        };
        let mut text = String::new();
        for (label, value) in [
            ("user", printable(&self.user)),
            ("database", format!("{}:{}", self.host, self.port)),
            ("region", self.region.clone()),
            ("access key", format!("{} ({kind})", self.access_key_id)),
            ("issued", self.issued_at.clone()),
            ("valid until", format!("{}, {until}", self.valid_until)),
            ("size", format!("{} bytes", self.size)),
        ] {
            text.push_str(&format!("{label:<13}{}\n", printable(&value)));
        }
        for note in &self.notes {
            text.push_str(&format!("{:<13}{note}\n", "note"));
        }
        text
    }
}

/// Text from elsewhere on a terminal: what would steer it is escaped.
pub(super) fn printable(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, c| {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
        shown
    })
}

/// `14 min 59 s`
fn span(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigv4::SecretKey;
    use sigv4::rds_token::{TokenRequest, sign};

    fn token(session: Option<&str>, user: &str) -> String {
        sign(&TokenRequest {
            host: "mydb.example.com",
            port: 5432,
            user,
            region: "eu-west-1",
            access_key_id: "ASIAIOSFODNN7EXAMPLE",
            secret: &SecretKey::from("secret-key"),
            session_token: session,
            issued_at: Timestamp::from_unix(1_767_225_600),
            expires: 900,
        })
        .unwrap()
    }

    #[test]
    fn it_is_told_with_its_time_and_without_its_secrets() {
        let text = token(Some("SESSION+TOKEN/"), "jane\u{1b}[2J@x");
        let signature = text.rsplit_once('=').unwrap().1;
        let at = |after: i64| Description::of(&text, Timestamp::from_unix(1_767_225_600 + after)).unwrap();
        for (after, said) in [
            (-301, "2026-01-01T00:15:00Z, not valid yet"),
            (-300, "for another 20 min 0 s"),
            (0, "for another 15 min 0 s"),
            (900, "for another 0 s"),
            (901, "expired 1 s ago"),
            (900 + 7200, "expired 2 h 0 min ago"),
            (900 + 90_000, "expired 1 d 1 h ago"),
        ] {
            let shown = at(after).text();
            assert!(shown.contains(said), "{after}: {shown}");
            let json = serde_json::to_string(&at(after)).unwrap();
            for text in [&shown, &json] {
                assert!(!text.contains(signature) && !text.contains("SESSION"), "{text}");
            }
        }
        let shown = at(0).text();
        for line in [
            "user         jane\\u{1b}[2J@x\n",
            "database     mydb.example.com:5432\n",
            "region       eu-west-1\n",
            "access key   ASIAIOSFODNN7EXAMPLE (temporary, with a session token)\n",
            "issued       2026-01-01T00:00:00Z\n",
        ] {
            assert!(shown.contains(line), "{shown}");
        }
    }

    #[test]
    fn what_it_is_too_long_for_is_told() {
        let now = Timestamp::from_unix(1_767_225_600);
        let notes =
            |length: usize| Description::of(&token(Some(&"x".repeat(length)), "u"), now).unwrap().text();
        let with = |text: &str| ["PostgreSQL 13", "pgbouncer", "of `psql`"].map(|what| text.contains(what));
        assert_eq!(with(&notes(100)), [false, false, false]);
        assert_eq!(with(&notes(900)), [true, false, false]);
        assert_eq!(with(&notes(1800)), [true, true, false]);
        assert_eq!(with(&notes(4000)), [true, true, true]);
        assert!(Description::of(&token(None, "u"), now).unwrap().text().contains("it is refused"));
        assert_eq!(Description::of("secret", now).unwrap_err(), TokenError::NotAToken);
    }
}
