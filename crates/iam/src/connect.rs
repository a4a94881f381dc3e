//! May this token log in as this user at this database, now? The question that every door asks.
//!
//! Pure: a snapshot, a clock reading and a request go in, a decision comes out; no I/O, no lock, and no allocation on the
//! way to an answer.

use crate::credential::Credential;
use crate::decision::{Allowed, Decision, Reason, Refused};
use crate::{
    AccessKeyId, Authorization, Database, Endpoint, Explanation, Principal, RequestContext, Snapshot,
};
use policy::{Context, NoContext};
use sigv4::rds_token::{Token, TokenError};
use sigv4::{Decoy, Timestamp};
use std::net::IpAddr;

/// The action that a policy must allow.
pub const CONNECT_ACTION: &str = "rds-db:connect";

/// A login, as a door reports it.
#[derive(Clone, Copy)]
pub struct ConnectRequest<'a> {
    /// The resource id of the database that asks: `db-...` or `cluster-...`.
    pub database: &'a str,
    /// The user that the client wants to be, exactly as the server has it.
    pub user: &'a str,
    /// What the client sent as the password.
    pub token: &'a str,
    /// The client's address, where policies are to see it as `aws:SourceIp`. On AWS they do not.
    pub source_ip: Option<IpAddr>,
}

/// Decides a login by the rules of "What a server accepts": the token is well-formed, for this database, region and user,
/// in its time, signed by an active key whose principal may `rds-db:connect`.
pub fn may_connect<'s>(snapshot: &'s Snapshot, now: Timestamp, request: &ConnectRequest<'_>) -> Decision<'s> {
    let mut refused = Refused {
        reason: Reason::UnknownDatabase,
        principal: None,
        key: None,
        denial: None,
        revision: snapshot.revision(),
    };
    match decide(snapshot, now, request, &mut refused) {
        Ok(allowed) => Decision::Allowed(allowed),
        Err(reason) => Decision::Refused(Refused { reason, ..refused }),
    }
}

fn decide<'s>(
    snapshot: &'s Snapshot,
    now: Timestamp,
    request: &ConnectRequest<'_>,
    refused: &mut Refused<'s>,
) -> Result<Allowed<'s>, Reason> {
    let database = snapshot.database(request.database).ok_or(Reason::UnknownDatabase)?;
    if !database.iam_enabled {
        return Err(Reason::IamDisabled);
    }
    let token = Token::parse(request.token).map_err(Reason::Token)?;
    let id = token.access_key_id().parse::<AccessKeyId>().ok();
    refused.key = id;
    let endpoint = meant_for(&token, database, request.user)?;
    token.check_time(now).map_err(Reason::Token)?;

    let credential = id.and_then(|id| snapshot.credential(&id));
    let credential = authentic(&token, endpoint, credential, snapshot.decoy())?;
    let principal = snapshot.principal(credential).ok_or(Reason::PrincipalGone)?;
    refused.principal = Some(principal.arn.as_str());
    still_valid(&token, credential, now)?;

    match may(snapshot, database, &principal, request.user, now, request.source_ip)? {
        Authorization::Allowed(decided_by) => Ok(Allowed {
            principal: principal.arn.as_str(),
            key: credential.id,
            decided_by,
            revision: snapshot.revision(),
        }),
        Authorization::Denied(denial) => {
            refused.denial = Some(denial);
            Err(denial.into())
        }
    }
}

/// Whether policies let the principal log in as the user.
fn may<'s>(
    snapshot: &'s Snapshot,
    database: &Database,
    principal: &Principal<'s>,
    user: &str,
    now: Timestamp,
    source_ip: Option<IpAddr>,
) -> Result<Authorization<'s>, Reason> {
    let context = login_context(database, principal, now, source_ip);
    let mut buffer = [0; NAME_BUFFER];
    Ok(snapshot.authorize(principal, &asked(database, user, &context, &mut buffer)?))
}

/// What policies say to a login of the principal as the user, in a context such as [`login_context`], and why.
pub fn explain_connect<'s>(
    snapshot: &'s Snapshot,
    database: &Database,
    principal: &Principal<'s>,
    user: &str,
    context: &dyn Context,
) -> Result<Explanation<'s>, Reason> {
    let mut buffer = [0; NAME_BUFFER];
    Ok(snapshot.explain(principal, &asked(database, user, context, &mut buffer)?))
}

/// What a login asks of policies.
fn asked<'a>(
    database: &'a Database,
    user: &str,
    context: &'a dyn Context,
    buffer: &'a mut [u8; NAME_BUFFER],
) -> Result<policy::Request<'a>, Reason> {
    let resource = policy::Resource {
        partition: database.partition,
        service: "rds-db",
        region: database.region.as_str(),
        account: database.account.as_str(),
        resource: joined(buffer, &database.dbuser_prefix, user).ok_or(Reason::WrongUser)?,
    };
    Ok(policy::Request::new(CONNECT_ACTION, resource, context))
}

/// The context of a login: what conditions and policy variables see of it.
pub fn login_context<'a>(
    database: &'a Database,
    principal: &'a Principal<'a>,
    now: Timestamp,
    source_ip: Option<IpAddr>,
) -> RequestContext<'a> {
    RequestContext {
        principal,
        now,
        region: database.region.as_str(),
        // A server asks about a token only where it came over TLS.
        secure_transport: true,
        source_ip,
        resource_tags: Some(&database.tags),
        more: &NoContext,
    }
}

/// What was signed is an endpoint of this database, its region, and the user that logs in. What the client dialled does
/// not matter.
fn meant_for<'d>(token: &Token<'_>, database: &'d Database, user: &str) -> Result<&'d Endpoint, Reason> {
    let endpoint = database.endpoint(token.host(), token.port()).ok_or(Reason::WrongEndpoint)?;
    if token.region() != database.region.as_str() {
        return Err(Reason::WrongRegion);
    }
    if !token.user_eq(user) {
        return Err(Reason::WrongUser);
    }
    Ok(endpoint)
}

/// The signature, before anything is said about the key: an unknown key costs what a known one costs.
fn authentic<'s>(
    token: &Token<'_>,
    endpoint: &Endpoint,
    credential: Option<&'s Credential>,
    decoy: &Decoy,
) -> Result<&'s Credential, Reason> {
    let registered = [&endpoint.signed];
    let Some(credential) = credential else {
        // The same work, and always an error.
        return Err(match token.verify_decoy(decoy, &registered) {
            TokenError::SignatureMismatch => Reason::UnknownAccessKey,
            other => Reason::Token(other),
        });
    };
    token.verify(&credential.secret, &credential.keys, &registered).map_err(Reason::Token)?;
    Ok(credential)
}

fn still_valid(token: &Token<'_>, credential: &Credential, now: Timestamp) -> Result<(), Reason> {
    if !credential.active {
        return Err(Reason::InactiveAccessKey);
    }
    match (&credential.session, token.security_token_encoded().is_some()) {
        (None, false) => Ok(()),
        (None, true) | (Some(_), false) => Err(Reason::SecurityToken),
        (Some(session), true) if !token.security_token_eq(session.token.as_bytes()) => {
            Err(Reason::SecurityToken)
        }
        (Some(session), true) if now >= session.expires => Err(Reason::SessionExpired),
        (Some(_), true) => Ok(()),
    }
}

/// PostgreSQL's user names have at most 63 bytes, MySQL's at most 32 characters.
const NAME_BUFFER: usize = 512;

fn joined<'b>(buffer: &'b mut [u8; NAME_BUFFER], prefix: &str, user: &str) -> Option<&'b str> {
    let length = prefix.len() + user.len();
    let (head, tail) = buffer.get_mut(..length)?.split_at_mut(prefix.len());
    head.copy_from_slice(prefix.as_bytes());
    tail.copy_from_slice(user.as_bytes());
    std::str::from_utf8(buffer.get(..length)?).ok()
}
