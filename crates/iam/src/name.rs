//! Names of users, groups, roles, policies and sessions, and paths: checked once, at the edge.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is no name. Displays as what was expected; the field's name is for the caller to add.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too long, or empty where it may not be.
    #[error("must have length between {least} and {most}")]
    Length {
        /// The fewest characters allowed.
        least: usize,
        /// The most characters allowed.
        most: usize,
    },
    /// A character outside `[\w+=,.@-]`.
    #[error("must satisfy regular expression pattern: {pattern}")]
    Pattern {
        /// The pattern as IAM's service model gives it.
        pattern: &'static str,
    },
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $least:expr, $most:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name in lower case: IAM's names are unique without regard to case.
            pub fn folded(&self) -> String {
                self.0.to_ascii_lowercase()
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                if !($least..=$most).contains(&text.len()) {
                    return Err(NameError::Length { least: $least, most: $most });
                }
                if !text.bytes().all(is_name_byte) {
                    return Err(NameError::Pattern { pattern: r"[\w+=,.@-]+" });
                }
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// The name of an IAM user, 1 to 64 characters.
    UserName, 1, 64
);
name!(
    /// The name of an IAM group, 1 to 128 characters.
    GroupName, 1, 128
);
name!(
    /// The name of an IAM role, 1 to 64 characters.
    RoleName, 1, 64
);
name!(
    /// The name of a managed or inline policy, 1 to 128 characters.
    PolicyName, 1, 128
);
name!(
    /// The name of a role session, 2 to 64 characters.
    SessionName, 2, 64
);

/// The path of an IAM entity: `/`, or segments between slashes such as `/division/team/`; at most 512 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path(Arc<str>);

impl Path {
    /// The path, with the slash at both ends.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Path {
    fn default() -> Self {
        Self("/".into())
    }
}

impl FromStr for Path {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if !(1..=512).contains(&text.len()) {
            return Err(NameError::Length { least: 1, most: 512 });
        }
        let inside = text.bytes().all(|b| (0x21..=0x7e).contains(&b));
        if inside && text.starts_with('/') && text.ends_with('/') {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Pattern { pattern: r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)" })
        }
    }
}

impl TryFrom<String> for Path {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Path> for String {
    fn from(path: Path) -> Self {
        path.0.as_ref().to_owned()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_iams_alphabet_and_lengths() {
        assert!("jane.doe+test=1,@x-_".parse::<UserName>().is_ok());
        assert!("a".repeat(64).parse::<UserName>().is_ok());
        assert!("a".repeat(65).parse::<UserName>().is_err());
        for bad in ["", "a b", "a/b", "é", "a:b", "a*"] {
            assert!(bad.parse::<UserName>().is_err(), "{bad}");
        }
        assert!("a".parse::<SessionName>().is_err());
    }

    #[test]
    fn paths_begin_and_end_with_a_slash() {
        for good in ["/", "/a/", "/a/b/"] {
            assert!(good.parse::<Path>().is_ok(), "{good}");
        }
        for bad in ["", "a", "/a", "a/", "/a b/"] {
            assert!(bad.parse::<Path>().is_err(), "{bad}");
        }
    }
}
