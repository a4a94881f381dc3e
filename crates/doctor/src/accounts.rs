//! The database's own side: whether the user exists there, logs in with tokens, and may connect. Asked by somebody who may
//! look, over the same verified TLS as every login.

pub(crate) mod mysql;
pub(crate) mod postgres;

use client::{Bundle, Host};
use zeroize::Zeroizing;

use crate::finding::{Finding, Step};

/// Who asks about whom, and where.
pub(crate) struct Asked<'a> {
    pub(crate) host: &'a Host,
    pub(crate) bundle: &'a Bundle,
    pub(crate) admin: &'a str,
    pub(crate) password: &'a Zeroizing<String>,
    /// Whether the password is a token.
    pub(crate) by_token: bool,
    pub(crate) user: &'a str,
    pub(crate) database: Option<&'a str>,
}

/// All that an administrator's login tells, not told.
pub(crate) fn skipped(why: &str) -> Vec<Finding> {
    [Step::Admin, Step::Account, Step::TokenUser, Step::RequireTls, Step::Privilege]
        .map(|step| Finding::skipped(step, why))
        .into()
}

/// The administrator could not log in, or not ask.
pub(crate) fn refused(user: &str, why: &str) -> Vec<Finding> {
    let mut all = skipped("the administrator's login did not come to it (finding `admin`)");
    if let Some(first) = all.first_mut() {
        *first = Finding::failed(Step::Admin, format!("`{user}`: {why}"))
            .expected("somebody who may look at accounts, such as the master user")
            .mend("give the password with --admin-password-file, PGPASSWORD or MYSQL_PWD; without one, a token is made");
    }
    all
}
