//! The grammar of condition operators: `[ForAllValues:|ForAnyValue:]Test[IfExists]`.
//!
//! Only names are known here; `validate` uses them for the rules of the document.

/// A condition operator of the policy language, as parsed from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    /// How a key with many values is tested; `None` for keys with one value.
    pub quantifier: Option<Quantifier>,
    /// The comparison.
    pub test: Test,
    /// True on a missing key.
    pub if_exists: bool,
}

/// The prefix of an operator on a key with many values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// `ForAllValues:`
    ForAllValues,
    /// `ForAnyValue:`
    ForAnyValue,
}

macro_rules! tests {
    ($($name:ident)*) => {
        /// The comparison an operator makes; the variants are AWS's names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "AWS's names")]
        pub enum Test { $($name),* }

        impl Test {
            fn parse(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }
        }
    };
}

tests! {
    StringEquals StringNotEquals StringEqualsIgnoreCase StringNotEqualsIgnoreCase StringLike StringNotLike
    NumericEquals NumericNotEquals
    NumericLessThan NumericLessThanEquals NumericGreaterThan NumericGreaterThanEquals
    DateEquals DateNotEquals DateLessThan DateLessThanEquals DateGreaterThan DateGreaterThanEquals
    Bool BinaryEquals IpAddress NotIpAddress
    ArnEquals ArnLike ArnNotEquals ArnNotLike
    Null
}

impl Operator {
    /// `None` for a name that the policy language does not have; names are case-sensitive.
    pub fn parse(name: &str) -> Option<Self> {
        let (quantifier, rest) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(Quantifier::ForAllValues), rest),
            Some(("ForAnyValue", rest)) => (Some(Quantifier::ForAnyValue), rest),
            Some(_) => return None,
            None => (None, name),
        };
        let (rest, if_exists) = match rest.strip_suffix("IfExists") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let test = Test::parse(rest)?;
        // `Null` asks about presence itself, so neither form of "if present" has a meaning for it.
        if test == Test::Null && (if_exists || quantifier.is_some()) {
            return None;
        }
        Some(Self { quantifier, test, if_exists })
    }

    /// Whether the values are points in time.
    pub fn compares_dates(self) -> bool {
        use Test::{
            DateEquals, DateGreaterThan, DateGreaterThanEquals, DateLessThan, DateLessThanEquals,
            DateNotEquals,
        };
        matches!(
            self.test,
            DateEquals
                | DateNotEquals
                | DateLessThan
                | DateLessThanEquals
                | DateGreaterThan
                | DateGreaterThanEquals
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_prefix_test_and_suffix() {
        let any_exists = Operator::parse("ForAnyValue:StringEqualsIfExists").unwrap();
        assert_eq!(any_exists.quantifier, Some(Quantifier::ForAnyValue));
        assert_eq!((any_exists.test, any_exists.if_exists), (Test::StringEquals, true));
        for unknown in
            ["x", "stringequals", "ForAnyValue::Bool", "NullIfExists", "ForAllValues:Null", "IfExists"]
        {
            assert_eq!(Operator::parse(unknown), None, "{unknown}");
        }
    }
}
