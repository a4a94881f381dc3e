//! Signed API requests: the `Authorization` header form and the presigned query form.
//!
//! Says whose key signed a request and whether it did. Must not decide whether the key exists, is active or
//! may do what is asked. Parse, [`SignedRequest::check_time`], then [`SignedRequest::verify`].

use std::{borrow::Cow, fmt};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use self::{
    error::{Incomplete, RequestError},
    sign::{Signer, presign, sign},
};
pub use crate::canonical::{Normalize, PathEncoding};
use crate::{
    Credential, CredentialError, KeyCache, Scope, SecretKey, SigningKey, Timestamp,
    canonical::{write_header_value, write_path, write_query},
    encode::{self, Sink, form_decode, hex},
};

mod error;
mod sign;

/// The one algorithm. Asymmetric and unsigned variants are refused, not negotiated.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// How far the clocks of the two sides may be apart for the header form, in seconds.
pub const CLOCK_SKEW: i64 = 15 * 60;

/// The longest validity of a presigned request, in seconds: seven days.
pub const LONGEST_VALIDITY: u32 = 604_800;

/// A request as it came over the wire, borrowed.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST`, ...
    pub method: &'a str,
    /// The path of the URL, not decoded.
    pub path: &'a str,
    /// The query of the URL, not decoded, without its `?`.
    pub query: &'a str,
    /// All headers in the order they came; names in any case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body.
    pub body: Body<'a>,
}

/// A request body, or what is left of it once it has been streamed past.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    /// The bytes.
    Bytes(&'a [u8]),
    /// Their SHA-256.
    Sha256([u8; 32]),
}

/// Where services differ in what they sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether the path is resolved.
    pub normalize: Normalize,
    /// How often the path is encoded.
    pub path_encoding: PathEncoding,
    /// Whether the body may be left out of the signature: `UNSIGNED-PAYLOAD`, and any presigned request.
    pub unsigned_payload: bool,
    /// Whether the session token may be added after signing. It is not protected then.
    pub unsigned_security_token: bool,
}

impl Rules {
    /// The rules of RDS, IAM, STS and nearly every other service.
    pub const DEFAULT: Self = Self {
        normalize: Normalize::Yes,
        path_encoding: PathEncoding::Double,
        unsigned_payload: false,
        unsigned_security_token: false,
    };

    /// The rules of S3.
    pub const S3: Self = Self {
        normalize: Normalize::No,
        path_encoding: PathEncoding::Single,
        unsigned_payload: true,
        unsigned_security_token: false,
    };
}

impl Default for Rules {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Where a signature came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In the `Authorization` header.
    Header,
    /// In the query, valid for so many seconds.
    Presigned {
        /// `X-Amz-Expires`, 1 to 604800; 900 when it is missing.
        expires: u32,
    },
}

/// A request with a well-formed signature. Nothing is proven before [`SignedRequest::verify`] has said so.
#[derive(Clone)]
pub struct SignedRequest<'a> {
    request: Request<'a>,
    form: Form,
    access_key_id: Box<str>,
    date: Box<str>,
    region: Box<str>,
    service: Box<str>,
    /// Lower-case names joined by `;`, sorted, each once.
    signed_headers: Cow<'a, str>,
    signature: [u8; 32],
    timestamp: Timestamp,
    security_token: Option<Cow<'a, str>>,
}

impl<'a> SignedRequest<'a> {
    /// Finds the signature of `request` and checks its form.
    ///
    /// # Errors
    /// [`RequestError::MissingAuthenticationToken`] without any signature, else what is wrong with it.
    pub fn parse(request: &Request<'a>) -> Result<Self, RequestError> {
        let header = request.header("authorization")?;
        let presigned = request.parameter("X-Amz-Algorithm")?.is_some()
            || request.parameter("X-Amz-Signature")?.is_some()
            || request.parameter("X-Amz-Credential")?.is_some();
        let signed = match (header, presigned) {
            (None, false) => return Err(RequestError::MissingAuthenticationToken),
            (Some(_), true) => return Err(Incomplete::TwoSignatures.into()),
            (Some(header), false) => Self::from_header(request, header)?,
            (None, true) => Self::from_query(request)?,
        };
        signed.check_scope()?;
        signed.check_signed_headers()?;
        Ok(signed)
    }

    /// The access key that the request says it was signed with.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// Access key, day, region and service.
    #[must_use]
    pub fn credential(&self) -> Credential<'_> {
        let Self { access_key_id, date, region, service, .. } = self;
        Credential { access_key_id, scope: Scope { date, region, service } }
    }

    /// The names of the signed headers, lower-case and sorted.
    pub fn signed_headers(&self) -> impl Iterator<Item = &str> {
        self.signed_headers.split(';')
    }

    /// When the request says it was signed.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The session token, with temporary credentials.
    #[must_use]
    pub fn security_token(&self) -> Option<&str> {
        self.security_token.as_deref()
    }

    /// Where the signature came in.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Checks the request's time against the clock reading `now`: [`CLOCK_SKEW`] either way, but a presigned
    /// request lasts as long as it says.
    ///
    /// # Errors
    /// [`RequestError::Expired`] or [`RequestError::NotYetCurrent`], with AWS's texts.
    pub fn check_time(&self, now: Timestamp) -> Result<(), RequestError> {
        let signed = self.timestamp;
        let allowed = match self.form {
            Form::Header => CLOCK_SKEW,
            Form::Presigned { expires } => i64::from(expires),
        };
        if signed < now.saturating_add(-allowed) {
            Err(RequestError::Expired { signed, now, allowed })
        } else if signed > now.saturating_add(CLOCK_SKEW) {
            Err(RequestError::NotYetCurrent { signed, now })
        } else {
            Ok(())
        }
    }

    /// Checks that the scope is for `service`. AWS says so only after the signature has been found good.
    ///
    /// # Errors
    /// [`RequestError::WrongService`].
    pub fn check_service(&self, service: &str) -> Result<(), RequestError> {
        if self.credential().scope.service == service {
            Ok(())
        } else {
            Err(RequestError::WrongService { expected: service.to_owned() })
        }
    }

    /// Checks the signature against a secret, with the signing key out of the credential's memo.
    ///
    /// # Errors
    /// [`RequestError::SignatureDoesNotMatch`], [`RequestError::ContentSha256Mismatch`] or
    /// [`RequestError::UnsignedHeader`].
    pub fn verify(&self, secret: &SecretKey, cache: &KeyCache, rules: &Rules) -> Result<(), RequestError> {
        let scope = self.credential().scope;
        cache.get_or_derive(secret, scope.date, scope.region, scope.service, |key| {
            self.verify_with_key(key, rules)
        })
    }

    /// The same with a signing key derived for the request's scope.
    ///
    /// # Errors
    /// As [`SignedRequest::verify`].
    pub fn verify_with_key(&self, key: &SigningKey, rules: &Rules) -> Result<(), RequestError> {
        if !rules.unsigned_security_token && self.security_token.is_some() && !self.token_is_signed() {
            return Err(RequestError::UnsignedHeader("x-amz-security-token"));
        }
        let payload = self.payload_hash(rules)?;
        let expected = self.calculate(key, rules, &payload, true);
        if bool::from(expected.ct_eq(&self.signature)) {
            return Ok(());
        }
        // The query form does not list what it signs: without the session token is the second reading.
        if rules.unsigned_security_token && self.form != Form::Header && self.security_token.is_some() {
            let expected = self.calculate(key, rules, &payload, false);
            if bool::from(expected.ct_eq(&self.signature)) {
                return Ok(());
            }
        }
        Err(RequestError::SignatureDoesNotMatch)
    }

    /// The canonical request, for a person to compare with the client's.
    ///
    /// # Errors
    /// [`RequestError::ContentSha256Mismatch`].
    pub fn canonical_request(&self, rules: &Rules) -> Result<String, RequestError> {
        let payload = self.payload_hash(rules)?;
        let mut out = Vec::new();
        self.write_canonical(rules, &payload, true, &mut out);
        Ok(encode::into_text(out))
    }

    fn from_header(request: &Request<'a>, header: &'a [u8]) -> Result<Self, RequestError> {
        let header = std::str::from_utf8(header).map_err(|_| Incomplete::NotText)?.trim();
        let (algorithm, fields) = header.split_once(char::is_whitespace).unwrap_or((header, ""));
        if !algorithm.starts_with("AWS4-") {
            return Err(RequestError::MissingAuthenticationToken);
        }
        if algorithm != ALGORITHM {
            return Err(Incomplete::Algorithm(algorithm.to_owned()).into());
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for field in fields.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').ok_or(Incomplete::NotKeyValue)?;
            let slot = match name.trim_end() {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => continue,
            };
            if slot.replace(value.trim_start()).is_some() {
                return Err(Incomplete::Repeated(name.to_owned()).into());
            }
        }
        let date = match request.header("x-amz-date")? {
            Some(date) => Some(date),
            None => request.header("date")?,
        };
        let missing: Vec<&str> = [
            ("Credential", credential.is_none()),
            ("Signature", signature.is_none()),
            ("SignedHeaders", signed_headers.is_none()),
            ("Date", date.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect();
        let (Some(credential), Some(signed_headers), Some(signature), Some(date)) =
            (credential, signed_headers, signature, date)
        else {
            return Err(Incomplete::Header { missing: missing.join(" ") }.into());
        };
        let date = std::str::from_utf8(date).map_err(|_| Incomplete::NotText)?;
        let security_token = match request.header("x-amz-security-token")? {
            Some(token) => {
                Some(Cow::Borrowed(std::str::from_utf8(token).map_err(|_| Incomplete::NotText)?.trim()))
            }
            None => None,
        };
        let Credential { access_key_id, scope } = parse_credential(credential)?;
        Ok(Self {
            request: *request,
            form: Form::Header,
            access_key_id: access_key_id.into(),
            date: scope.date.into(),
            region: scope.region.into(),
            service: scope.service.into(),
            signed_headers: Cow::Borrowed(signed_headers),
            signature: encode::unhex(signature).ok_or(RequestError::SignatureDoesNotMatch)?,
            timestamp: parse_date(date)?,
            security_token,
        })
    }

    fn from_query(request: &Request<'a>) -> Result<Self, RequestError> {
        const REQUIRED: [&str; 5] =
            ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"];
        let mut missing = Vec::new();
        let mut required = |name| -> Result<Cow<'a, str>, RequestError> {
            let value = request.parameter(name)?;
            if value.is_none() {
                missing.push(name);
            }
            Ok(value.unwrap_or_default())
        };
        let [algorithm, credential, signature, signed_headers, date] = REQUIRED.map(&mut required);
        let (algorithm, credential, signature, signed_headers, date) =
            (algorithm?, credential?, signature?, signed_headers?, date?);
        if !missing.is_empty() {
            return Err(Incomplete::Query { missing: missing.join(" ") }.into());
        }
        if algorithm != ALGORITHM {
            return Err(Incomplete::Algorithm(algorithm.into_owned()).into());
        }
        let expires = match request.parameter("X-Amz-Expires")? {
            None => 900,
            Some(text) => Some(text)
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .filter(|seconds| (1..=LONGEST_VALIDITY).contains(seconds))
                .ok_or(Incomplete::Expires)?,
        };
        let Credential { access_key_id, scope } = parse_credential(&credential)?;
        Ok(Self {
            request: *request,
            form: Form::Presigned { expires },
            access_key_id: access_key_id.into(),
            date: scope.date.into(),
            region: scope.region.into(),
            service: scope.service.into(),
            signed_headers,
            signature: encode::unhex(&signature).ok_or(RequestError::SignatureDoesNotMatch)?,
            timestamp: Timestamp::parse_amz(&date).map_err(|_| Incomplete::Date(date.into_owned()))?,
            security_token: request.parameter("X-Amz-Security-Token")?,
        })
    }

    fn check_scope(&self) -> Result<(), RequestError> {
        let scope = self.credential().scope.date;
        if self.timestamp.date_stamp().as_str() == scope {
            Ok(())
        } else {
            Err(RequestError::ScopeDateMismatch { scope: scope.to_owned(), date: self.timestamp })
        }
    }

    /// Names must be sorted and unique: the list is signed as it stands, so a looser one would let two
    /// requests share a signature.
    fn check_signed_headers(&self) -> Result<(), RequestError> {
        let token = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
        };
        let well_formed = self.signed_headers().all(|name| !name.is_empty() && name.bytes().all(token));
        if !well_formed || !self.signed_headers().is_sorted_by(|one, next| one < next) {
            return Err(Incomplete::SignedHeaders.into());
        }
        if !self.is_signed("host") {
            return Err(Incomplete::HostNotSigned.into());
        }
        match self.signed_headers().find(|name| !self.request.has_header(name)) {
            Some(name) => Err(RequestError::SignedHeaderMissing(name.to_owned())),
            None => Ok(()),
        }
    }

    fn is_signed(&self, header: &str) -> bool {
        self.signed_headers().any(|name| name == header)
    }

    fn token_is_signed(&self) -> bool {
        self.form != Form::Header || self.is_signed("x-amz-security-token")
    }

    /// The last line of the canonical request: what the body's hash is, or that it is left open.
    fn payload_hash(&self, rules: &Rules) -> Result<Vec<u8>, RequestError> {
        const UNSIGNED: &[u8] = b"UNSIGNED-PAYLOAD";
        let actual = hex(&match self.request.body {
            Body::Bytes(bytes) => Sha256::digest(bytes).into(),
            Body::Sha256(digest) => digest,
        });
        let declared = self.request.header("x-amz-content-sha256")?.map(<[u8]>::trim_ascii);
        match declared {
            Some(declared) if self.is_signed("x-amz-content-sha256") => {
                if declared == actual || (rules.unsigned_payload && declared == UNSIGNED) {
                    Ok(declared.to_vec())
                } else {
                    Err(RequestError::ContentSha256Mismatch)
                }
            }
            _ if rules.unsigned_payload && self.form != Form::Header => Ok(UNSIGNED.to_vec()),
            _ => Ok(actual.to_vec()),
        }
    }

    fn calculate(&self, key: &SigningKey, rules: &Rules, payload: &[u8], with_token: bool) -> [u8; 32] {
        let mut canonical = Sha256::new();
        self.write_canonical(rules, payload, with_token, &mut canonical);
        sign::signature(key, self.timestamp, self.credential().scope, &canonical.finalize().into())
    }

    fn write_canonical(&self, rules: &Rules, payload: &[u8], with_token: bool, sink: &mut impl Sink) {
        let presigned = self.form != Form::Header;
        let left_out = |name: &[u8]| {
            presigned && (name == b"X-Amz-Signature" || (!with_token && name == b"X-Amz-Security-Token"))
        };
        self.request.write_canonical(rules, left_out, &self.signed_headers, payload, sink);
    }
}

/// Shows whose request it is; the signature and the session token stay out of logs.
impl fmt::Debug for SignedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequest")
            .field("form", &self.form)
            .field("credential", &self.credential())
            .field("signed_headers", &self.signed_headers)
            .field("timestamp", &self.timestamp.amz_date())
            .finish_non_exhaustive()
    }
}

impl<'a> Request<'a> {
    fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name))
    }

    /// A header that must not be repeated, since the two sides could pick different ones.
    fn header(&self, name: &str) -> Result<Option<&'a [u8]>, RequestError> {
        let mut found = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (found, None) => Ok(found.map(|(_, value)| *value)),
            (_, Some(_)) => Err(Incomplete::Repeated(name.to_owned()).into()),
        }
    }

    /// A query parameter that must not be repeated, decoded.
    fn parameter(&self, name: &str) -> Result<Option<Cow<'a, str>>, RequestError> {
        let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut found = pairs.filter(|(key, _)| *form_decode(key) == *name.as_bytes());
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some((_, value)), None) => match form_decode(value) {
                Cow::Borrowed(_) => Ok(Some(Cow::Borrowed(value))),
                Cow::Owned(bytes) => String::from_utf8(bytes)
                    .map(|text| Some(Cow::Owned(text)))
                    .map_err(|_| Incomplete::NotText.into()),
            },
            (Some(_), Some(_)) => Err(Incomplete::Repeated(name.to_owned()).into()),
        }
    }

    fn write_canonical(
        &self,
        rules: &Rules,
        left_out: impl Fn(&[u8]) -> bool,
        signed_headers: &str,
        payload: &[u8],
        sink: &mut impl Sink,
    ) {
        sink.put(self.method.as_bytes());
        sink.put(b"\n");
        write_path(self.path, rules.normalize, rules.path_encoding, sink);
        sink.put(b"\n");
        write_query(self.query, left_out, sink);
        sink.put(b"\n");
        for name in signed_headers.split(';') {
            sink.put(name.as_bytes());
            let same_name = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
            for (index, (_, value)) in same_name.enumerate() {
                sink.put(if index == 0 { b":" } else { b"," });
                write_header_value(value, sink);
            }
            sink.put(b"\n");
        }
        sink.put(b"\n");
        sink.put(signed_headers.as_bytes());
        sink.put(b"\n");
        sink.put(payload);
    }
}

fn parse_credential(text: &str) -> Result<Credential<'_>, Incomplete> {
    Credential::parse(text).map_err(|error| match error {
        CredentialError::Terminator => Incomplete::Terminator,
        CredentialError::Elements | CredentialError::Characters => Incomplete::Credential(text.to_owned()),
    })
}

fn parse_date(text: &str) -> Result<Timestamp, RequestError> {
    let text = text.trim();
    Timestamp::parse_amz(text)
        .or_else(|_| Timestamp::parse_http(text))
        .map_err(|_| Incomplete::Date(text.to_owned()).into())
}
