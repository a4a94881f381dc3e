//! Known attacks on signed tokens and requests, and what answers each of them here.
//!
//! **Replay.** A token may be used again until it expires; so it is on AWS, since connection pools depend on
//! it. Its life is at most 15 minutes: a longer `X-Amz-Expires` is refused, not capped. What it can be replayed
//! against is one user of one endpoint in one region, and all three are signed. TLS keeps it from being read.
//!
//! **Clock skew.** A token may be dated up to five minutes ahead, a request up to fifteen. Nothing is added at
//! the other end: a signer whose clock is slow makes tokens that expire early. The caller passes the clock in, so
//! one reading serves all checks of a login.
//!
//! **Downgrade.** There is one algorithm. `AWS4-ECDSA-P256-SHA256`, an unsigned body and an unsigned session
//! token are refused, never negotiated; [`Rules`](crate::request::Rules) names the services that differ. A
//! request with a signature in the header and another in the query is refused, not decided by precedence.
//!
//! **Confused purpose.** A presigned request for another service, action or set of headers is no token, even
//! when it is signed well: `rds-db`, `connect` and `host` alone. A presigned `GetCallerIdentity` cannot be
//! turned into a login.
//!
//! **Two readings of one text.** A parameter, an `Authorization` field or an authentication header that comes
//! twice is refused. Names are not decoded, so `DB%55ser` is unknown. A host may have no character that could
//! end its line of the canonical request, and bytes are hashed as printed only when all of them are visible
//! ASCII. Query strings of API requests are read as forms, `+` being a space, both here and by
//! [`form_decode`](crate::encode::form_decode), which those who act on them have to use.
//!
//! **A raw `+` in a token.** The AWS SDK for Rust prints the user `a+b` raw and signs `a b`, so a token with a raw
//! `+` is tried in that reading too, and [`user_eq`](crate::rds_token::Token::user_eq) takes the printed
//! name. Who steals a token for `a b` could therefore print it as one for `a+b`: a database would need both
//! users, and the same principal be allowed both.
//!
//! **Oracle by error text.** [`TokenError`](crate::rds_token::TokenError) is for the log, the metric and the
//! administrator. The client of a database must get one sentence for all of them, or it can learn which access
//! keys exist.
//!
//! **Oracle by time.** Signatures and session tokens are compared without leaving at the first difference. A
//! wrong signature costs the same number of tries whatever the key, and
//! [`verify_decoy`](crate::rds_token::Token::verify_decoy) spends the same on a key that does not exist,
//! deriving included.
//!
//! **Exhaustion.** A token over 64 KiB is not looked at. Parsing is linear and allocates nothing. The memo of
//! signing keys is of fixed size; days and regions that no database has should be refused before it is asked.
//!
//! **Secrets in memory and logs.** Secrets and derived keys are wiped when dropped, and their `Debug` is
//! redacted; that of a token or a request has neither signature nor session token in it.
