//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding, by which a client proves a local password.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// What PostgreSQL takes by default, and what its clients expect.
const ITERATIONS: u32 = 4096;

/// What a password is checked against: not the password, and of no use to log in with.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Verifier {
    salt: [u8; 16],
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

impl Verifier {
    /// Of a password and a salt, which is random and the same for all connections with that password. Costs thousands of hashes: once
    /// per password, not once per connection. `None` if the password is empty.
    ///
    /// The password is brought into the form of SASLprep (RFC 4013), as clients do; one that this forbids, or that is not UTF-8,
    /// is used as it is, as clients do too.
    #[must_use]
    pub fn new(password: &[u8], salt: [u8; 16]) -> Option<Self> {
        if password.is_empty() {
            return None;
        }
        let prepared = std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
        let prepared =
            Zeroizing::new(prepared.map_or_else(|| password.to_vec(), |text| text.into_owned().into_bytes()));
        let salted = salted_password(&prepared, &salt, ITERATIONS);
        let client_key = Zeroizing::new(hmac(&*salted, &[b"Client Key"]));
        let stored_key = Sha256::digest(client_key.as_slice()).into();
        Some(Self { salt, stored_key, server_key: hmac(&*salted, &[b"Server Key"]) })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// Why a client's part of the exchange is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// Not the message that is due.
    #[error("malformed SCRAM message")]
    Malformed,
    /// A mechanism that was not offered.
    #[error("client selected an invalid SASL authentication mechanism")]
    Mechanism,
    /// Channel binding, which was not offered.
    #[error("client requires SCRAM channel binding, but it is not supported")]
    ChannelBinding,
    /// An identity to act as, besides the user.
    #[error("client uses authorization identity, but it is not supported")]
    AuthorizationIdentity,
    /// An extension that must not be ignored.
    #[error("client requires an unsupported SCRAM extension")]
    Extension,
    /// The client's second message is not of this exchange.
    #[error("SCRAM nonce or channel binding does not match")]
    Mismatch,
    /// The proof does not fit the password.
    #[error("the password is wrong")]
    Proof,
}

/// An exchange whose first message has been answered.
pub(super) struct Exchange {
    verifier: Verifier,
    /// The channel binding that the second message must repeat, base64.
    binding: &'static str,
    /// Both sides' nonces.
    nonce: String,
    /// The two messages so far, each with a comma behind.
    transcript: String,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

impl Exchange {
    /// Takes the client's first message, and gives the answer. `nonce` is ours: printable, without a comma.
    pub(super) fn begin(verifier: Verifier, nonce: &str, first: &[u8]) -> Result<(Self, String), ScramError> {
        let first = std::str::from_utf8(first).map_err(|_| ScramError::Malformed)?;
        let (flag, rest) = first.split_once(',').ok_or(ScramError::Malformed)?;
        let binding = match flag {
            // "n,," and "y,,": the client has no channel binding, or thinks that we have none.
            "n" => "biws",
            "y" => "eSws",
            _ if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(ScramError::Malformed),
        };
        let (identity, bare) = rest.split_once(',').ok_or(ScramError::Malformed)?;
        if !identity.is_empty() {
            return Err(ScramError::AuthorizationIdentity);
        }
        let mut attributes = bare.split(',');
        // The name is that of the start-up message; what is here is ignored, as it is in PostgreSQL.
        match attributes.next() {
            Some(name) if name.starts_with("n=") => {}
            Some(extension) if extension.starts_with("m=") => return Err(ScramError::Extension),
            _ => return Err(ScramError::Malformed),
        }
        let theirs = attributes.next().and_then(|it| it.strip_prefix("r=")).ok_or(ScramError::Malformed)?;
        if theirs.is_empty() || !theirs.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ScramError::Malformed);
        }
        optional(attributes)?;
        let nonce = format!("{theirs}{nonce}");
        let answer = format!("r={nonce},s={},i={ITERATIONS}", STANDARD.encode(verifier.salt));
        let transcript = format!("{bare},{answer},");
        Ok((Self { verifier, binding, nonce, transcript }, answer))
    }

    /// Takes the client's second message, and gives the answer to a proof that fits.
    pub(super) fn finish(self, last: &[u8]) -> Result<String, ScramError> {
        let last = std::str::from_utf8(last).map_err(|_| ScramError::Malformed)?;
        let (unproven, proof) = last.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut attributes = unproven.split(',');
        let binding = attributes.next().and_then(|it| it.strip_prefix("c=")).ok_or(ScramError::Malformed)?;
        let nonce = attributes.next().and_then(|it| it.strip_prefix("r=")).ok_or(ScramError::Malformed)?;
        optional(attributes)?;
        if binding != self.binding || nonce != self.nonce {
            return Err(ScramError::Mismatch);
        }
        let proof = STANDARD.decode(proof).map_err(|_| ScramError::Malformed)?;
        let mut client_key = Zeroizing::new(<[u8; 32]>::try_from(proof).map_err(|_| ScramError::Malformed)?);
        let spoken: [&[u8]; 2] = [self.transcript.as_bytes(), unproven.as_bytes()];
        for (byte, mask) in client_key.iter_mut().zip(hmac(&self.verifier.stored_key, &spoken)) {
            *byte ^= mask;
        }
        if bool::from(Sha256::digest(client_key.as_slice()).ct_eq(&self.verifier.stored_key)) {
            Ok(format!("v={}", STANDARD.encode(hmac(&self.verifier.server_key, &spoken))))
        } else {
            Err(ScramError::Proof)
        }
    }
}

/// Extensions that may be ignored: a letter and a value each.
fn optional<'a>(attributes: impl Iterator<Item = &'a str>) -> Result<(), ScramError> {
    for attribute in attributes {
        match attribute.as_bytes() {
            [b'm', b'=', ..] => return Err(ScramError::Extension),
            [letter, b'=', ..] if letter.is_ascii_alphabetic() => {}
            _ => return Err(ScramError::Malformed),
        }
    }
    Ok(())
}

/// PBKDF2 with HMAC-SHA-256, one block (RFC 5802 calls it Hi).
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<[u8; 32]> {
    let keyed = keyed(password);
    let round = |message: &[&[u8]]| -> [u8; 32] {
        let mut mac = keyed.clone();
        message.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let mut last = Zeroizing::new(round(&[salt, &1_u32.to_be_bytes()]));
    let mut sum = last.clone();
    for _ in 1..iterations {
        *last = round(&[last.as_slice()]);
        for (byte, mask) in sum.iter_mut().zip(last.iter()) {
            *byte ^= mask;
        }
    }
    sum
}

fn hmac(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    message.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const OURS: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const UNPROVEN: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn verifier(password: &str) -> Verifier {
        Verifier::new(password.as_bytes(), STANDARD.decode(SALT).unwrap().try_into().unwrap()).unwrap()
    }

    fn begin(first: &str) -> Result<(Exchange, String), ScramError> {
        Exchange::begin(verifier("pencil"), OURS, first.as_bytes())
    }

    fn finish(last: &str) -> Result<String, ScramError> {
        begin(FIRST).unwrap().0.finish(last.as_bytes())
    }

    /// RFC 7677, section 3.
    #[test]
    fn example_of_the_rfc() {
        let (exchange, answer) = begin(FIRST).unwrap();
        assert_eq!(
            answer,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = format!("{UNPROVEN},p={PROOF}");
        assert_eq!(
            exchange.finish(last.as_bytes()).unwrap(),
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }

    #[test]
    fn another_password_does_not_fit() {
        let (exchange, _) = Exchange::begin(verifier("pencil2"), OURS, FIRST.as_bytes()).unwrap();
        let last = format!("{UNPROVEN},p={PROOF}");
        assert_eq!(exchange.finish(last.as_bytes()), Err(ScramError::Proof));
    }

    #[test]
    fn first_messages_that_are_refused() {
        for (first, error) in [
            ("", ScramError::Malformed),
            ("n", ScramError::Malformed),
            ("n,", ScramError::Malformed),
            ("n,,", ScramError::Malformed),
            ("x,,n=,r=a", ScramError::Malformed),
            ("p=tls-server-end-point,,n=,r=a", ScramError::ChannelBinding),
            ("n,a=root,n=,r=a", ScramError::AuthorizationIdentity),
            ("n,,m=x,n=,r=a", ScramError::Extension),
            ("n,,n=,r=a,m=x", ScramError::Extension),
            ("n,,n=", ScramError::Malformed),
            ("n,,r=a,n=", ScramError::Malformed),
            ("n,,n=,r=", ScramError::Malformed),
            ("n,,n=,r=a b", ScramError::Malformed),
            ("n,,n=,r=a\0", ScramError::Malformed),
            ("n,,n=,r=é", ScramError::Malformed),
            ("n,,n=,r=a,", ScramError::Malformed),
        ] {
            assert_eq!(begin(first).map(|(_, answer)| answer), Err(error), "{first}");
        }
        assert!(begin("n,,n=,r=a,x=y").is_ok());
        assert!(begin("y,,n=*,r=a").is_ok());
    }

    #[test]
    fn last_messages_that_are_refused() {
        let nonce = UNPROVEN.strip_prefix("c=biws,").unwrap();
        for (last, error) in [
            (String::new(), ScramError::Malformed),
            (UNPROVEN.to_owned(), ScramError::Malformed),
            (format!("{UNPROVEN},p="), ScramError::Malformed),
            (format!("{UNPROVEN},p=AAAA"), ScramError::Malformed),
            (format!("{UNPROVEN},p={PROOF}x"), ScramError::Malformed),
            (format!("{UNPROVEN},p={PROOF},x=y"), ScramError::Malformed),
            (format!("{nonce},p={PROOF}"), ScramError::Malformed),
            (format!("{UNPROVEN},m=x,p={PROOF}"), ScramError::Extension),
            // Not the channel binding of the first message.
            (format!("c=eSws,{nonce},p={PROOF}"), ScramError::Mismatch),
            (format!("c=biws,{nonce}x,p={PROOF}"), ScramError::Mismatch),
            (format!("c=biws,r=rOprNGfwEbeRWgbNEkqO,p={PROOF}"), ScramError::Mismatch),
            // What is proven is the whole message.
            (format!("{UNPROVEN},x=y,p={PROOF}"), ScramError::Proof),
        ] {
            assert_eq!(finish(&last), Err(error), "{last}");
        }
    }

    #[test]
    fn passwords_are_prepared() {
        // RFC 4013, section 3: a soft hyphen goes, a ligature comes apart.
        assert_eq!(verifier("I\u{ad}X").stored_key, verifier("IX").stored_key);
        assert_eq!(verifier("\u{2168}").stored_key, verifier("IX").stored_key);
        // Forbidden: used as it is.
        assert_ne!(verifier("a\u{7}").stored_key, verifier("a").stored_key);
        assert!(Verifier::new(b"", [0; 16]).is_none());
        assert!(Verifier::new(b"\xff\xfe", [0; 16]).is_some());
    }

    #[test]
    fn debug_has_no_keys() {
        assert_eq!(format!("{:?}", verifier("pencil")), "Verifier { .. }");
    }
}
