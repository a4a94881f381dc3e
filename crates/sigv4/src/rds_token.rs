//! The database token: a presigned `connect` request without its scheme, as
//! `aws rds generate-db-auth-token` and the AWS SDKs print it. Made here, taken apart here, checked here.
//!
//! Checking is the hot path of a login: borrowed text in, a verdict out. It must not allocate, block, read a
//! clock, or tell a stranger by its duration whether an access key exists. Which database, which user and
//! which region a token may be for is the caller's to compare; so are key status and policy.

use std::{borrow::Cow, fmt, ops::Range};

use hmac::Mac;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    Credential, Decoy, KeyCache, Scope, SecretKey, SigningKey, Timestamp,
    encode::{self, Keep, Plus, Scan, Sink, decoded, encode_into, gather, hex, lowercase_into},
};

/// The service in a token's scope.
pub const SERVICE: &str = "rds-db";

/// The longest token that is looked at, in bytes.
pub const LONGEST: usize = 64 * 1024;

/// The longest validity a token may ask for, in seconds.
pub const LONGEST_VALIDITY: u32 = 900;

/// How far ahead of ours the signer's clock may be, in seconds.
pub const CLOCK_SKEW: i64 = 300;

/// The port of a token that prints none: some SDKs drop the port of the `https` they signed for.
pub const DEFAULT_PORT: u16 = 443;

/// A well-formed token, borrowed from its text. Nothing is proven before [`Token::verify`] has said so.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    host: &'a str,
    /// `:5432`, or nothing where none is printed.
    port_text: &'a str,
    port: u16,
    values: Values<'a>,
    user: &'a str,
    credential: Credential<'a>,
    issued_at: Timestamp,
    expires: u32,
    signature: [u8; 32],
}

/// The parameters that a token has, in canonical order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parameter {
    /// `Action`: always `connect`.
    Action,
    /// `DBUser`: the database user.
    DbUser,
    /// `X-Amz-Algorithm`: always `AWS4-HMAC-SHA256`.
    Algorithm,
    /// `X-Amz-Credential`: access key id and scope.
    Credential,
    /// `X-Amz-Date`: when it was signed.
    Date,
    /// `X-Amz-Expires`: for how many seconds it is valid.
    Expires,
    /// `X-Amz-Security-Token`: the session token of temporary credentials.
    SecurityToken,
    /// `X-Amz-SignedHeaders`: always `host`.
    SignedHeaders,
    /// `X-Amz-Signature`.
    Signature,
}

/// Why a token is refused. A closed list: also the label in logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// Nothing of a token in it; most often a password.
    #[error("not a token: expected the output of `aws rds generate-db-auth-token`")]
    NotAToken,
    /// It begins as a token and ends too early.
    #[error("the token is cut short: raise the length limit of whatever passed it on")]
    Truncated,
    /// Over 64 KiB.
    #[error("the token is longer than 64 KiB")]
    TooLong,
    /// What stands before the `?` is no host with a port.
    #[error("the token does not begin with `host:port`")]
    MalformedHost,
    /// A parameter appears twice.
    #[error("the token has a parameter twice")]
    DuplicateParameter,
    /// A parameter that tokens do not have.
    #[error("the token has a parameter that tokens do not have")]
    UnknownParameter,
    /// A parameter is missing or empty.
    #[error("the token has no `{}`", .0.name())]
    MissingParameter(Parameter),
    /// A `%` without two hexadecimal digits, or a user name that is not UTF-8.
    #[error("the token is not percent-encoded UTF-8")]
    MalformedEncoding,
    /// Another algorithm.
    #[error("the token's algorithm is not `AWS4-HMAC-SHA256`")]
    Algorithm,
    /// Other headers are signed than `host` alone.
    #[error("the token's signed headers are not `host`")]
    SignedHeaders,
    /// The credential is not `key/date/region/service/aws4_request`.
    #[error("the token's credential is not `key/date/region/rds-db/aws4_request`")]
    MalformedCredential,
    /// The scope is for another service.
    #[error("the token is not for the service `rds-db`")]
    WrongService,
    /// The scope's day is not the day of `X-Amz-Date`.
    #[error("the token's scope is for another day than its date")]
    ScopeDateMismatch,
    /// Another action.
    #[error("the token's action is not `connect`")]
    WrongAction,
    /// The signature is not 64 hexadecimal digits.
    #[error("the token's signature is not 64 hexadecimal digits")]
    MalformedSignature,
    /// `X-Amz-Date` is not a time.
    #[error("the token's date is not of the form `20260101T000000Z`")]
    MalformedDate,
    /// `X-Amz-Expires` is not a number.
    #[error("the token's `X-Amz-Expires` is not a number of seconds")]
    MalformedExpires,
    /// `X-Amz-Expires` is not within 1 to 900.
    #[error("the token asks for a validity outside 1 to 900 seconds")]
    ExpiresOutOfRange,
    /// Its time is over.
    #[error("the token has expired: make a new one for each connection")]
    Expired,
    /// Its time has not come.
    #[error("the token is dated ahead: check the clock of the machine that made it")]
    NotYetValid,
    /// No allowed reading of the token gives its signature.
    #[error("the token's signature does not match")]
    SignatureMismatch,
}

/// What kind of refusal a [`TokenError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenErrorClass {
    /// Not a token at all.
    NotAToken,
    /// A token that breaks a rule of form.
    Malformed,
    /// A presigned request, but not one for connecting to a database.
    WrongPurpose,
    /// Outside its time.
    Time,
    /// Not signed by that access key.
    Signature,
}

/// What [`sign`] needs.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'a> {
    /// The endpoint as the user typed it; an IPv6 address in brackets.
    pub host: &'a str,
    /// The endpoint's port.
    pub port: u16,
    /// The database user.
    pub user: &'a str,
    /// The database's region.
    pub region: &'a str,
    /// The access key id.
    pub access_key_id: &'a str,
    /// The secret access key.
    pub secret: &'a SecretKey,
    /// The session token, with temporary credentials.
    pub session_token: Option<&'a str>,
    /// The present time.
    pub issued_at: Timestamp,
    /// Validity in seconds, 1 to 900.
    pub expires: u32,
}

impl<'a> Token<'a> {
    /// Takes a token apart and checks all that needs neither a clock nor a key.
    ///
    /// # Errors
    /// A rule of form that the text breaks.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > LONGEST {
            return Err(TokenError::TooLong);
        }
        let (left, query) = encode::split_once(text, b'?').ok_or(TokenError::NotAToken)?;
        let values = Values::parse(query)?;
        let left = left.strip_prefix("https://").unwrap_or(left);
        let authority = left.strip_suffix('/').unwrap_or(left);
        let (host, port_text, port) = split_authority(authority).ok_or(TokenError::MalformedHost)?;

        let signature = values.signature()?;
        values.exactly(Parameter::Algorithm, "AWS4-HMAC-SHA256", TokenError::Algorithm)?;
        values.exactly(Parameter::SignedHeaders, "host", TokenError::SignedHeaders)?;
        values.exactly(Parameter::Action, "connect", TokenError::WrongAction)?;
        let credential = Credential::parse_encoded(values.require(Parameter::Credential)?)
            .map_err(|_| TokenError::MalformedCredential)?;
        if credential.scope.service != SERVICE {
            return Err(TokenError::WrongService);
        }
        let date = values.require(Parameter::Date)?;
        let issued_at = Timestamp::parse_amz(date).map_err(|_| TokenError::MalformedDate)?;
        if !date.starts_with(credential.scope.date) {
            return Err(TokenError::ScopeDateMismatch);
        }
        let expires = parse_expires(values.require(Parameter::Expires)?)?;
        let user = values.require(Parameter::DbUser)?;
        let escaped = user.bytes().any(|byte| byte == b'%');
        if escaped && (encode::scan(user).is_none() || !is_utf8(user)) {
            return Err(TokenError::MalformedEncoding);
        }
        Ok(Self { host, port_text, port, values, user, credential, issued_at, expires, signature })
    }

    /// The host as printed; an IPv6 address in its brackets.
    #[must_use]
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The port as printed, [`DEFAULT_PORT`] where none is.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the token names this endpoint. Host names are compared without regard to case.
    #[must_use]
    pub fn is_for_endpoint(&self, host: &str, port: u16) -> bool {
        self.port == port && self.host.eq_ignore_ascii_case(host)
    }

    /// The access key that the token says it was signed with.
    #[must_use]
    pub fn access_key_id(&self) -> &'a str {
        self.credential.access_key_id
    }

    /// Day, region and service.
    #[must_use]
    pub fn scope(&self) -> Scope<'a> {
        self.credential.scope
    }

    /// The scope's region.
    #[must_use]
    pub fn region(&self) -> &'a str {
        self.credential.scope.region
    }

    /// The database user as the token spells it, percent-encoded.
    #[must_use]
    pub fn user_encoded(&self) -> &'a str {
        self.user
    }

    /// The database user.
    #[must_use]
    pub fn user(&self) -> Cow<'a, str> {
        match encode::percent_decode(self.user) {
            Cow::Borrowed(_) => Cow::Borrowed(self.user),
            Cow::Owned(bytes) => Cow::Owned(encode::into_text(bytes)),
        }
    }

    /// Whether the token is for exactly this database user, case included.
    #[must_use]
    pub fn user_eq(&self, user: &str) -> bool {
        decoded(self.user, Plus::Literal).eq(user.bytes())
    }

    /// `X-Amz-Date`.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// `X-Amz-Expires`: seconds, 1 to 900.
    #[must_use]
    pub fn expires(&self) -> u32 {
        self.expires
    }

    /// The last second at which the token is valid.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.issued_at.saturating_add(i64::from(self.expires))
    }

    /// The session token as the token spells it, percent-encoded; `None` for a long-term key.
    #[must_use]
    pub fn security_token_encoded(&self) -> Option<&'a str> {
        self.values.get(Parameter::SecurityToken)
    }

    /// Whether the token carries this session token. Takes the same time wherever the two differ.
    #[must_use]
    pub fn security_token_eq(&self, expected: &[u8]) -> bool {
        self.security_token_encoded().is_some_and(|encoded| decodes_to(encoded, expected).unwrap_or(false))
    }

    /// Checks the token's time against the clock reading `now`: valid from [`CLOCK_SKEW`] before its date to
    /// the end of its validity, both included.
    ///
    /// # Errors
    /// [`TokenError::NotYetValid`] or [`TokenError::Expired`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), TokenError> {
        if now < self.issued_at.saturating_add(-CLOCK_SKEW) {
            Err(TokenError::NotYetValid)
        } else if now > self.expires_at() {
            Err(TokenError::Expired)
        } else {
            Ok(())
        }
    }

    /// Checks the signature against a secret, with the signing key out of the credential's memo.
    ///
    /// SDKs disagree on how the signed host is spelled, so each of a small set is tried: as printed,
    /// lower-cased, both with and without `:443`, and `spellings`, the registered `host:port` texts of the
    /// database's endpoints. Check day and region first, see [`KeyCache::get_or_derive`].
    ///
    /// # Errors
    /// [`TokenError::SignatureMismatch`].
    pub fn verify<S: AsRef<str>>(
        &self,
        secret: &SecretKey,
        cache: &KeyCache,
        spellings: &[S],
    ) -> Result<(), TokenError> {
        let Scope { date, region, service } = self.credential.scope;
        cache.get_or_derive(secret, date, region, service, |key| self.verify_with_key(key, spellings))
    }

    /// The same with a signing key derived for the token's scope.
    ///
    /// # Errors
    /// [`TokenError::SignatureMismatch`].
    pub fn verify_with_key<S: AsRef<str>>(
        &self,
        key: &SigningKey,
        spellings: &[S],
    ) -> Result<(), TokenError> {
        let matches = |reading| {
            let request = self.begin_canonical_request(reading);
            let signed_as = |host| {
                let difference = differences(&self.signature_over(key, &request, host), &self.signature);
                bool::from(difference.ct_eq(&0))
            };
            // Leaving at the first match tells only that the token is good; a bad one tries them all.
            signed_as(self.printed_host()) || self.other_hosts(spellings).any(signed_as)
        };
        // Nearly every token is printed as it was signed. Whoever holds the key has then signed these very
        // bytes, and no control character is among them that could make two lines out of one.
        if encode::is_graphic(self.values.query) && matches(Reading::AsPrinted) {
            return Ok(());
        }
        let spelled = self.values.scan().ok_or(TokenError::MalformedEncoding)?;
        if !spelled.canonical && matches(Reading::Encoded(Plus::Literal)) {
            return Ok(());
        }
        if spelled.plus && matches(Reading::Encoded(Plus::Space)) {
            return Ok(());
        }
        Err(TokenError::SignatureMismatch)
    }

    /// What to call for an unknown access key in place of [`Token::verify`]: the same work, always refused.
    #[must_use]
    pub fn verify_decoy<S: AsRef<str>>(&self, decoy: &Decoy, spellings: &[S]) -> TokenError {
        // The decoy's secret is public, so a match means nothing.
        match self.verify(&decoy.secret, &decoy.cache, spellings) {
            Ok(()) => TokenError::SignatureMismatch,
            Err(error) => error,
        }
    }

    /// The signature over `request`, completed with this spelling of the host.
    fn signature_over(&self, key: &SigningKey, request: &Sha256, host: SignedHost<'_>) -> [u8; 32] {
        let mut request = request.clone();
        gather(&mut request, |text| {
            host.write(text);
            // No further header, the list of signed ones, and the hash of an empty body.
            text.put(b"\n\nhost\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        });
        let digest = hex(&request.finalize().into());

        let Scope { date, region, service } = self.credential.scope;
        let mut keyed = key.keyed();
        gather(&mut keyed, |text| {
            text.put(b"AWS4-HMAC-SHA256\n");
            text.put(self.values.get(Parameter::Date).unwrap_or_default().as_bytes());
            for (before, piece) in [("\n", date), ("/", region), ("/", service)] {
                text.put(before.as_bytes());
                text.put(piece.as_bytes());
            }
            text.put(b"/aws4_request\n");
            text.put(&digest);
        });
        keyed.finalize().into_bytes().into()
    }

    /// The canonical request up to the host.
    fn begin_canonical_request(&self, reading: Reading) -> Sha256 {
        let mut hash = Sha256::new();
        gather(&mut hash, |text| {
            text.put(b"GET\n/\n");
            match reading {
                Reading::AsPrinted => self.write_printed_query(text),
                Reading::Encoded(plus) => self.write_encoded_query(plus, text),
            }
            text.put(b"\nhost:");
        });
        hash
    }

    /// The parameters as they stand, in canonical order. What is in that order already goes in as one piece:
    /// with most SDKs that is all of it.
    fn write_printed_query(&self, sink: &mut impl Sink) {
        let query = self.values.query.as_bytes();
        let mut piece = 0..0;
        for (_, span) in self.values.signed() {
            if piece.end != 0 && piece.end + 1 == span.start {
                piece.end = span.end;
                continue;
            }
            if piece.end != 0 {
                sink.put(query.get(piece).unwrap_or_default());
                sink.put(b"&");
            }
            piece = span;
        }
        sink.put(query.get(piece).unwrap_or_default());
    }

    /// The canonical query as the specification builds it: decoded and encoded again.
    fn write_encoded_query(&self, plus: Plus, sink: &mut impl Sink) {
        for (parameter, _) in self.values.signed() {
            if parameter != Parameter::Action {
                sink.put(b"&");
            }
            sink.put(parameter.name().as_bytes());
            sink.put(b"=");
            let value = self.values.get(parameter).unwrap_or_default();
            encode_into(decoded(value, plus), Keep::Unreserved, sink);
        }
    }

    fn printed_host(&self) -> SignedHost<'_> {
        SignedHost { host: self.host, lower: false, port: self.port_text }
    }

    /// Every spelling to be tried but the printed one.
    fn other_hosts<'b, S: AsRef<str>>(&'b self, spellings: &'b [S]) -> impl Iterator<Item = SignedHost<'b>> {
        let printed = self.printed_host();
        let other_port = match (self.port, self.port_text) {
            (443, "") => Some(SignedHost { port: ":443", ..printed }),
            (443, _) => Some(SignedHost { port: "", ..printed }),
            _ => None,
        };
        let cased = self.host.bytes().any(|byte| byte.is_ascii_uppercase());
        let lowered = |host: SignedHost<'b>| cased.then_some(SignedHost { lower: true, ..host });
        let others = [lowered(printed), other_port, other_port.and_then(lowered)];
        let registered = spellings.iter().flat_map(|spelling| {
            let spelling = spelling.as_ref();
            [Some(spelling), spelling.strip_suffix(":443")].into_iter().flatten()
        });
        let registered = registered
            .filter(move |spelling| {
                !printed.reads(spelling) && !others.iter().flatten().any(|host| host.reads(spelling))
            })
            .map(|host| SignedHost { host, lower: false, port: "" });
        others.into_iter().flatten().chain(registered)
    }
}

/// Shows what names the token, and nothing that would let a reader of the log use it.
impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user())
            .field("credential", &self.credential)
            .field("issued_at", &self.issued_at.amz_date())
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Makes a token as botocore and the AWS CLI do: the same text for the same input.
///
/// # Errors
/// The rule that the token would break: a host, user, region or access key id that cannot be written in one,
/// or a validity outside 1 to 900 seconds.
pub fn sign(request: &TokenRequest<'_>) -> Result<String, TokenError> {
    let TokenRequest { host, port, region, access_key_id, issued_at, expires, .. } = *request;
    let date = issued_at.date_stamp();
    let credential = format!("{access_key_id}/{date}/{region}/{SERVICE}/aws4_request");
    let mut text = format!(
        "{host}:{port}/?Action=connect&DBUser={user}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}\
         &X-Amz-Date={issued_at}&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host",
        user = encode::percent_encode(request.user.as_bytes()),
        credential = encode::percent_encode(credential.as_bytes()),
    );
    if let Some(session_token) = request.session_token {
        text.push_str("&X-Amz-Security-Token=");
        text.push_str(&encode::percent_encode(session_token.as_bytes()));
    }
    text.push_str("&X-Amz-Signature=");

    // Signed by the code that verifies, over the finished text with a signature still to come.
    let unsigned = format!("{text}{}", "0".repeat(64));
    let token = Token::parse(&unsigned)?;
    let key = SigningKey::derive(request.secret, date.as_str(), region, SERVICE);
    let port = if port == 443 { "" } else { token.port_text };
    let signed_host = SignedHost { host, lower: true, port };
    let signature =
        token.signature_over(&key, &token.begin_canonical_request(Reading::AsPrinted), signed_host);
    text.extend(hex(&signature).map(char::from));
    Ok(text)
}

impl Parameter {
    const ALL: [Self; 9] = [
        Self::Action,
        Self::DbUser,
        Self::Algorithm,
        Self::Credential,
        Self::Date,
        Self::Expires,
        Self::SecurityToken,
        Self::SignedHeaders,
        Self::Signature,
    ];

    /// The name in the query.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Action => "Action",
            Self::DbUser => "DBUser",
            Self::Algorithm => "X-Amz-Algorithm",
            Self::Credential => "X-Amz-Credential",
            Self::Date => "X-Amz-Date",
            Self::Expires => "X-Amz-Expires",
            Self::SecurityToken => "X-Amz-Security-Token",
            Self::SignedHeaders => "X-Amz-SignedHeaders",
            Self::Signature => "X-Amz-Signature",
        }
    }

    /// This parameter, if its name and `=` stand at the beginning of `query`. Inlined, so that each comparison
    /// is with a text known to the compiler.
    #[inline(always)]
    fn if_leading(self, query: &[u8]) -> Option<Self> {
        let rest = query.strip_prefix(self.name().as_bytes())?;
        (rest.first() == Some(&b'=')).then_some(self)
    }

    /// The parameter whose name and `=` stand at the beginning of `query`.
    ///
    /// The letters in which the names differ pick the one to compare with.
    fn leading(query: &[u8]) -> Option<Self> {
        match query {
            [b'A', ..] => Self::Action.if_leading(query),
            [b'D', ..] => Self::DbUser.if_leading(query),
            [b'X', b'-', b'A', b'm', b'z', b'-', name @ ..] => match name {
                [b'A', ..] => Self::Algorithm.if_leading(query),
                [b'C', ..] => Self::Credential.if_leading(query),
                [b'D', ..] => Self::Date.if_leading(query),
                [b'E', ..] => Self::Expires.if_leading(query),
                [b'S', b'e', ..] => Self::SecurityToken.if_leading(query),
                [b'S', _, _, _, b'e', ..] => Self::SignedHeaders.if_leading(query),
                [b'S', ..] => Self::Signature.if_leading(query),
                _ => None,
            },
            _ => None,
        }
    }
}

impl TokenError {
    /// A stable word for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAToken => "not-a-token",
            Self::Truncated => "truncated",
            Self::TooLong => "too-long",
            Self::MalformedHost => "malformed-host",
            Self::DuplicateParameter => "duplicate-parameter",
            Self::UnknownParameter => "unknown-parameter",
            Self::MissingParameter(_) => "missing-parameter",
            Self::MalformedEncoding => "malformed-encoding",
            Self::Algorithm => "algorithm",
            Self::SignedHeaders => "signed-headers",
            Self::MalformedCredential => "malformed-credential",
            Self::WrongService => "wrong-service",
            Self::ScopeDateMismatch => "scope-date-mismatch",
            Self::WrongAction => "wrong-action",
            Self::MalformedSignature => "malformed-signature",
            Self::MalformedDate => "malformed-date",
            Self::MalformedExpires => "malformed-expires",
            Self::ExpiresOutOfRange => "expires-out-of-range",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::SignatureMismatch => "signature-mismatch",
        }
    }

    /// What kind of refusal it is.
    #[must_use]
    pub const fn class(self) -> TokenErrorClass {
        match self {
            Self::NotAToken => TokenErrorClass::NotAToken,
            Self::Truncated
            | Self::TooLong
            | Self::MalformedHost
            | Self::DuplicateParameter
            | Self::UnknownParameter
            | Self::MissingParameter(_)
            | Self::MalformedEncoding
            | Self::MalformedCredential
            | Self::ScopeDateMismatch
            | Self::MalformedSignature
            | Self::MalformedDate
            | Self::MalformedExpires => TokenErrorClass::Malformed,
            Self::Algorithm | Self::SignedHeaders | Self::WrongService | Self::WrongAction => {
                TokenErrorClass::WrongPurpose
            }
            Self::ExpiresOutOfRange | Self::Expired | Self::NotYetValid => TokenErrorClass::Time,
            Self::SignatureMismatch => TokenErrorClass::Signature,
        }
    }
}

/// The parameters of a token, each at most once, in canonical order whatever the order of the text.
#[derive(Clone, Copy)]
struct Values<'a> {
    query: &'a str,
    /// Where each parameter lies.
    spans: [Span; Parameter::ALL.len()],
}

/// Where in the query a parameter lies, name included. One that is missing ends at 0, where none can end. Half
/// the size of a range: tokens are handed on by copying them.
#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl<'a> Values<'a> {
    fn parse(query: &'a str) -> Result<Self, TokenError> {
        let mut values = Self { query, spans: [Span::default(); Parameter::ALL.len()] };
        let mut start = 0;
        loop {
            let rest = query.as_bytes().get(start..).unwrap_or_default();
            let Some(parameter) = Parameter::leading(rest) else { return Err(values.stray(start)) };
            let end = memchr::memchr(b'&', rest).map_or(query.len(), |length| start + length);
            let Some(span) = values.spans.get_mut(parameter as usize).filter(|span| span.end == 0) else {
                return Err(TokenError::DuplicateParameter);
            };
            *span = Span { start: start as u32, end: end as u32 };
            if end == query.len() {
                return Ok(values);
            }
            start = end + 1;
        }
    }

    /// What a piece that is no parameter means: another text altogether, the end of a cut token, or an intruder.
    #[cold]
    fn stray(&self, start: usize) -> TokenError {
        let rest = self.query.get(start..).unwrap_or_default();
        if self.spans.iter().all(|span| span.end == 0) && !self.query.contains("X-Amz-") {
            TokenError::NotAToken
        } else if Parameter::ALL.iter().any(|parameter| parameter.name().starts_with(rest)) {
            TokenError::Truncated
        } else {
            TokenError::UnknownParameter
        }
    }

    fn span(&self, parameter: Parameter) -> Option<Range<usize>> {
        let span = self.spans.get(parameter as usize).filter(|span| span.end != 0)?;
        Some(span.start as usize..span.end as usize)
    }

    /// The value of a parameter, as it is spelled.
    #[inline]
    fn get(&self, parameter: Parameter) -> Option<&'a str> {
        let Range { start, end } = self.span(parameter)?;
        self.query.get(start + parameter.name().len() + 1..end)
    }

    #[inline]
    fn require(&self, parameter: Parameter) -> Result<&'a str, TokenError> {
        self.get(parameter).filter(|text| !text.is_empty()).ok_or(TokenError::MissingParameter(parameter))
    }

    #[inline]
    fn exactly(&self, parameter: Parameter, expected: &str, otherwise: TokenError) -> Result<(), TokenError> {
        if self.require(parameter)? == expected { Ok(()) } else { Err(otherwise) }
    }

    /// The signature comes last in most tokens, so a cut one lacks some or all of it.
    fn signature(&self) -> Result<[u8; 32], TokenError> {
        let text = self.get(Parameter::Signature).ok_or(TokenError::Truncated)?;
        encode::unhex(text).ok_or_else(|| {
            let short = text.len() < 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let last = self.span(Parameter::Signature).is_some_and(|span| span.end == self.query.len());
            if short && last { TokenError::Truncated } else { TokenError::MalformedSignature }
        })
    }

    /// Everything that is signed, in canonical order, and where it lies.
    fn signed(&self) -> impl Iterator<Item = (Parameter, Range<usize>)> {
        Parameter::ALL
            .into_iter()
            .filter(|parameter| *parameter != Parameter::Signature)
            .filter_map(|parameter| Some((parameter, self.span(parameter)?)))
    }

    /// How the signed values are spelled, all together; `None` where a `%` begins no escape.
    fn scan(&self) -> Option<Scan> {
        self.signed().try_fold(Scan { canonical: true, plus: false }, |all, (parameter, _)| {
            let one = encode::scan(self.get(parameter)?)?;
            Some(Scan { canonical: all.canonical && one.canonical, plus: all.plus || one.plus })
        })
    }
}

/// Which text of the query was signed.
#[derive(Clone, Copy)]
enum Reading {
    AsPrinted,
    Encoded(Plus),
}

/// One spelling of the signed `host` header: a host, perhaps to be lower-cased, and what stands after it.
#[derive(Clone, Copy)]
struct SignedHost<'a> {
    host: &'a str,
    lower: bool,
    port: &'a str,
}

impl SignedHost<'_> {
    fn write(self, sink: &mut impl Sink) {
        if self.lower {
            lowercase_into(self.host, sink);
        } else {
            sink.put(self.host.as_bytes());
        }
        sink.put(self.port.as_bytes());
    }

    fn reads(self, text: &str) -> bool {
        text.strip_suffix(self.port).is_some_and(|host| {
            if self.lower {
                host.eq_ignore_ascii_case(self.host) && !host.bytes().any(|byte| byte.is_ascii_uppercase())
            } else {
                host == self.host
            }
        })
    }
}

/// Splits `host[:port]`. The characters are those of names and addresses: none that could end the line
/// `host:...` of the canonical request.
fn split_authority(authority: &str) -> Option<(&str, &str, u16)> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port_text) = authority.split_at_checked(end)?;
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let address = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let good = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => !inner.is_empty() && inner.bytes().all(address),
        None => !host.is_empty() && host.bytes().all(name),
    };
    let port = match port_text.strip_prefix(':') {
        None => DEFAULT_PORT,
        Some(digits) if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            return None;
        }
        Some(digits) => digits.parse().ok()?,
    };
    (good && host.len() <= 255 && (port_text.is_empty() || port_text.starts_with(':')))
        .then_some((host, port_text, port))
}

fn parse_expires(text: &str) -> Result<u32, TokenError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TokenError::MalformedExpires);
    }
    text.parse()
        .ok()
        .filter(|seconds| (1..=LONGEST_VALIDITY).contains(seconds))
        .ok_or(TokenError::ExpiresOutOfRange)
}

/// Whether percent-encoded `text` stands for UTF-8, without writing the bytes down.
fn is_utf8(text: &str) -> bool {
    let mut bytes = decoded(text, Plus::Literal);
    while let Some(first) = bytes.next() {
        let width = match first {
            0..=0x7f => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return false,
        };
        let mut character = [first, 0, 0, 0];
        for slot in character.iter_mut().take(width).skip(1) {
            let Some(byte) = bytes.next() else { return false };
            *slot = byte;
        }
        if character.get(..width).is_none_or(|bytes| std::str::from_utf8(bytes).is_err()) {
            return false;
        }
    }
    true
}

/// Whether percent-encoded `text` stands for `expected`, in a time that depends on the lengths and on `text`
/// alone; `None` when the lengths differ or an escape is none.
fn decodes_to(text: &str, expected: &[u8]) -> Option<bool> {
    let (mut text, mut expected) = (text.as_bytes(), expected);
    let mut difference = 0;
    while let Some(plain) = memchr::memchr(b'%', text) {
        let (plain, rest) = text.split_at_checked(plain)?;
        let (head, tail) = expected.split_at_checked(plain.len())?;
        difference |= differences(plain, head);
        let ([_, high, low], rest) = rest.split_first_chunk()?;
        let (byte, tail) = tail.split_first()?;
        difference |= byte ^ encode::from_hex_pair([*high, *low])?;
        (text, expected) = (rest, tail);
    }
    if text.len() != expected.len() {
        return None;
    }
    difference |= differences(text, expected);
    Some(difference.ct_eq(&0).into())
}

fn differences(one: &[u8], other: &[u8]) -> u8 {
    one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b))
}
