//! The name in a bind: `cn=<user>,dc=<resource id>,dc=countersign`.
//!
//! PostgreSQL makes it by pasting `ldapprefix`, the user name and `ldapsuffix` together, and escapes nothing.
//! So it is not read as a distinguished name but taken apart as it was made: the prefix from the front, the
//! suffix from the end, and what is left is the user name, whatever it contains. A client that names itself
//! `x,dc=db-OTHER,dc=countersign` asks as just that user of its own database, because the last two components
//! are always the server's own.

const PREFIX: &[u8] = b"cn=";
const COMPONENT: &[u8] = b",dc=";
const ROOT: &[u8] = b",dc=countersign";

/// Who asks to be let in, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BindName<'a> {
    /// The database user, as the client wrote it.
    pub(super) user: &'a [u8],
    /// Resource id of the database, from the server's `ldapsuffix`.
    pub(super) resource: &'a str,
}

impl<'a> BindName<'a> {
    /// Takes a bind's name apart; `None` if it was not made as Countersign tells the server to.
    pub(super) fn parse(name: &'a [u8]) -> Option<Self> {
        let inner = name.strip_prefix(PREFIX)?.strip_suffix(ROOT)?;
        let at = inner.windows(COMPONENT.len()).rposition(|window| window == COMPONENT)?;
        let (user, component) = inner.split_at_checked(at)?;
        let resource = std::str::from_utf8(component.strip_prefix(COMPONENT)?).ok()?;
        (!user.is_empty() && !resource.is_empty()).then_some(Self { user, resource })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_made_by_the_servers_line_is_not_a_name() {
        for name in [
            "",
            "cn=",
            "cn=jane",
            "jane,dc=db-ABC,dc=countersign",
            "cn=jane,dc=countersign",
            "cn=,dc=db-ABC,dc=countersign",
            "cn=jane,dc=,dc=countersign",
            "cn=jane,dc=db-ABC,dc=example",
            "uid=jane,dc=db-ABC,dc=countersign",
        ] {
            assert_eq!(BindName::parse(name.as_bytes()), None, "{name}");
        }
    }

    proptest! {
        /// The law that keeps databases apart: no user name changes which database is asked for.
        #[test]
        fn a_user_name_stays_a_user_name(
            user in prop_oneof![".{1,63}", "[cnd=,a]{1,30}(,dc=db-OTHER,dc=countersign){0,2}", Just("cn=".to_owned())],
            resource in "(db|cluster)-[A-Z0-9]{1,26}",
        ) {
            let name = format!("cn={user},dc={resource},dc=countersign");
            let expected = BindName { user: user.as_bytes(), resource: &resource };
            prop_assert_eq!(BindName::parse(name.as_bytes()), Some(expected));
        }
    }
}
