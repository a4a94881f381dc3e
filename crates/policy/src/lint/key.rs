//! Condition keys, as they are written in a condition and in a variable.

use super::known::{self, Key};
use crate::nearest::nearest;

/// What is wrong with a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyProblem {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// The key of that name, whatever its case; none where the service is not known here.
pub(super) fn find(name: &str) -> Result<Option<&'static Key>, KeyProblem> {
    let Some((namespace, _)) = name.split_once(':').filter(|(namespace, _)| !namespace.is_empty()) else {
        let with_prefix = format!("aws:{name}");
        let meant = suggestion(&with_prefix).map(|meant| format!("did you mean `{meant}`?"));
        return Err(KeyProblem {
            code: "unknown-key",
            message: format!("`{name}` names no service: a condition key is written `service:Key`"),
            help: meant,
        });
    };
    if !known::knows_keys_of(namespace) {
        return Ok(None);
    }
    let is = |key: &Key| match name.get(..key.name.len()) {
        Some(start) if key.is_family() => start.eq_ignore_ascii_case(key.name) && name.len() > key.name.len(),
        _ => name.eq_ignore_ascii_case(key.name) && !key.is_family(),
    };
    if let Some(key) = known::KEYS.iter().find(|key| is(key)) {
        return Ok(Some(key));
    }
    let bare = name.strip_suffix('/').unwrap_or(name);
    if let Some(family) = known::KEYS
        .iter()
        .find(|key| key.name.strip_suffix('/').is_some_and(|family| family.eq_ignore_ascii_case(bare)))
    {
        return Err(KeyProblem {
            code: "missing-tag-name",
            message: format!("`{name}` does not say which one: a name follows behind a `/`"),
            help: Some(format!("write it such as `{}team`", family.name)),
        });
    }
    let help = if namespace.eq_ignore_ascii_case("rds-db") {
        Some("`rds-db` has no keys of its own; those of every service begin with `aws:`".to_owned())
    } else {
        suggestion(name).map(|meant| format!("did you mean `{meant}`?"))
    };
    Err(KeyProblem {
        code: "unknown-key",
        message: format!("`{name}` is not a condition key, so it never has a value"),
        help,
    })
}

/// The nearest key; what follows a `/` is kept.
fn suggestion(name: &str) -> Option<String> {
    if let Some((start, tag)) = name.split_once('/') {
        let families = known::KEYS.iter().filter_map(|key| key.name.strip_suffix('/'));
        return nearest(start, families).map(|family| format!("{family}/{tag}"));
    }
    nearest(name, known::KEYS.iter().map(|key| key.name.trim_end_matches('/'))).map(|meant| {
        let family = known::KEYS.iter().any(|key| key.is_family() && key.name.trim_end_matches('/') == meant);
        if family { format!("{meant}/...") } else { meant.to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_whatever_their_case() {
        assert_eq!(find("AWS:UserName").unwrap().unwrap().name, "aws:username");
        assert_eq!(find("aws:principaltag/Team").unwrap().unwrap().name, "aws:PrincipalTag/");
        assert_eq!(find("rds:db-tag/a/b").unwrap().unwrap().name, "rds:db-tag/");
        assert!(find("ec2:Region").unwrap().is_none());
        assert!(find("accounts.google.com:aud").unwrap().is_none());
    }

    #[test]
    fn the_nearest_key_is_suggested() {
        let help = |name| find(name).unwrap_err().help.unwrap_or_default();
        assert_eq!(help("aws:usrname"), "did you mean `aws:username`?");
        assert_eq!(help("username"), "did you mean `aws:username`?");
        assert_eq!(help("aws:PrincipalTags/team"), "did you mean `aws:PrincipalTag/team`?");
        assert_eq!(help("aws:PrincipleTag"), "did you mean `aws:PrincipalTag/...`?");
        assert_eq!(help("aws:username/x"), "");
        for name in ["aws:PrincipalTag", "aws:PrincipalTag/", "AWS:requesttag"] {
            assert_eq!(find(name).unwrap_err().code, "missing-tag-name", "{name}");
        }
        for name in ["", ":", "aws:", "rds-db:DatabaseName", "aws:é/", "/"] {
            assert_eq!(find(name).unwrap_err().code, "unknown-key", "{name}");
        }
    }
}
