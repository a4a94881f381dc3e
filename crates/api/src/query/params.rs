//! A request's parameters: decoded once, taken one by one, and none left over.
//!
//! A parameter that no operation asked for is an error that names it: a misspelt or unsupported one is never skipped.

use super::ApiError;
use crate::Service;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The most characters of a wrong value that an error says back.
const LONGEST_ECHO: usize = 512;

/// The parameters of a call, or of one structure within it. Taking one removes it; [`finish`](Self::finish) refuses what
/// is left.
#[derive(Debug)]
#[must_use = "parameters that nobody asked for are refused by `finish`"]
pub struct Params {
    service: Service,
    /// What stands before every name here, with its full stop: empty for a call's own.
    prefix: String,
    values: BTreeMap<String, String>,
}

/// Decodes a form or a query: `+` is a space, escapes are UTF-8, and no name comes twice.
pub(crate) fn decode(forms: &[&str]) -> Result<BTreeMap<String, String>, ApiError> {
    let mut values = BTreeMap::new();
    for pair in forms.iter().flat_map(|form| form.split('&')).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode_part(name)?, decode_part(value)?);
        if values.contains_key(&name) {
            return Err(ApiError::malformed_query(format!("The parameter {name} is given more than once")));
        }
        values.insert(name, value);
    }
    Ok(values)
}

fn decode_part(text: &str) -> Result<String, ApiError> {
    let malformed = || ApiError::malformed_query("The query string contains a syntax error");
    let escapes_hold = text.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes();
        matches!((digits.next(), digits.next()), (Some(a), Some(b)) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
    });
    if !escapes_hold {
        return Err(malformed());
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(|decoded| decoded.into_owned()).map_err(|_| malformed())
}

impl Params {
    /// Parameters by name, already decoded.
    pub fn new(service: Service, values: BTreeMap<String, String>) -> Self {
        Self { service, prefix: String::new(), values }
    }

    /// Parameters from a form: `Action=...&Version=...`.
    pub fn from_form(service: Service, form: &str) -> Result<Self, ApiError> {
        Ok(Self::new(service, decode(&[form])?))
    }

    /// A value that must be there and not blank.
    pub fn required(&mut self, name: &str) -> Result<String, ApiError> {
        match self.values.remove(name) {
            Some(value) if !value.is_empty() => Ok(value),
            Some(blank) => Err(match self.service {
                Service::Rds => ApiError::invalid_parameter_value(format!(
                    "The parameter {}{name} must be provided and must not be blank.",
                    self.prefix
                )),
                Service::Iam | Service::Sts => {
                    self.invalid(name, &blank, "must have length greater than or equal to 1")
                }
            }),
            None => Err(match self.service {
                Service::Rds => ApiError::missing(&[&self.prefix, name].concat()),
                Service::Iam | Service::Sts => ApiError::validation(format!(
                    "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
                    self.member(name)
                )),
            }),
        }
    }

    /// Whether a value is there, blank or not.
    pub fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A value that may be missing; a blank one is there.
    pub fn optional(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.values.remove(name) {
            None => Ok(None),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(value) => Err(self.invalid(name, &value, "must be true or false")),
        }
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.values.remove(name) else { return Ok(None) };
        match value.parse::<i64>() {
            Err(_) => Err(self.invalid(name, &value, "must be a whole number")),
            Ok(number) if number < *range.start() => Err(self.invalid(
                name,
                &value,
                &format!("must have value greater than or equal to {}", range.start()),
            )),
            Ok(number) if number > *range.end() => Err(self.invalid(
                name,
                &value,
                &format!("must have value less than or equal to {}", range.end()),
            )),
            Ok(number) => Ok(Some(number)),
        }
    }

    /// A value that must be there, read as `T`. The error of `T` says what was expected, as `must have ...`.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<T, ApiError> {
        let value = self.required(name)?;
        value.parse().map_err(|error: T::Err| self.invalid(name, &value, &error.to_string()))
    }

    /// A value that may be missing, read as `T`.
    pub fn parsed_optional<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>, ApiError> {
        self.values.contains_key(name).then(|| self.parsed(name)).transpose()
    }

    /// The values of `name.<member>.1`, `name.<member>.2`, ... in their order; also `name.member.1`. None is an empty list,
    /// and so is a blank `name`, which is how clients spell an empty one.
    pub fn list(&mut self, name: &str, member: &str) -> Result<Vec<String>, ApiError> {
        let mut list = Vec::new();
        for (index, mut item) in self.items(name, member)? {
            match item.remove("") {
                Some(value) if item.is_empty() => list.push(value),
                _ => return Err(self.malformed_list(&format!("{name}.{member}.{index}"))),
            }
        }
        Ok(list)
    }

    /// The structures `name.<member>.1.Key`, ... in their order, each to be taken apart and finished by itself; also
    /// `name.member.1.Key`.
    pub fn structures(&mut self, name: &str, member: &str) -> Result<Vec<Params>, ApiError> {
        let mut list = Vec::new();
        for (index, values) in self.items(name, member)? {
            if values.contains_key("") {
                return Err(self.malformed_list(&format!("{name}.{member}.{index}")));
            }
            let prefix = format!("{}{name}.{member}.{index}.", self.prefix);
            list.push(Params { service: self.service, prefix, values });
        }
        Ok(list)
    }

    /// The structure `name.Key`, to be taken apart and finished by itself.
    pub fn structure(&mut self, name: &str) -> Option<Params> {
        let start = format!("{name}.");
        let values: BTreeMap<_, _> = self
            .values
            .extract_if(start.clone().., |key, _| key.starts_with(&start))
            .map(|(key, value)| (key.get(start.len()..).unwrap_or_default().to_owned(), value))
            .collect();
        let prefix = format!("{}{start}", self.prefix);
        (!values.is_empty()).then_some(Params { service: self.service, prefix, values })
    }

    fn items(
        &mut self,
        name: &str,
        member: &str,
    ) -> Result<BTreeMap<u32, BTreeMap<String, String>>, ApiError> {
        if self.values.get(name).is_some_and(String::is_empty) {
            self.values.remove(name);
        }
        let mut items: BTreeMap<u32, BTreeMap<String, String>> = BTreeMap::new();
        for spelling in if member == "member" { vec![member] } else { vec![member, "member"] } {
            let start = format!("{name}.{spelling}.");
            let found: Vec<_> =
                self.values.extract_if(start.clone().., |key, _| key.starts_with(&start)).collect();
            for (key, value) in found {
                let tail = key.get(start.len()..).unwrap_or_default();
                let (index, rest) = tail.split_once('.').unwrap_or((tail, ""));
                let digits = !index.starts_with('0') && index.bytes().all(|byte| byte.is_ascii_digit());
                let Some(index) = index.parse().ok().filter(|_| digits) else {
                    return Err(self.malformed_list(&key));
                };
                if items.entry(index).or_default().insert(rest.to_owned(), value).is_some() {
                    return Err(self.malformed_list(&key));
                }
            }
        }
        Ok(items)
    }

    fn malformed_list(&self, name: &str) -> ApiError {
        ApiError::malformed_query(format!("The parameter {}{name} is no member of a list", self.prefix))
    }

    /// Refuses a parameter that AWS has and that is not served here, by its name, with what leaving it out would mean.
    pub fn refuse(&self, name: &str, reason: &str) -> Result<(), ApiError> {
        let start = format!("{name}.");
        if self.values.keys().any(|key| key == name || key.starts_with(&start)) {
            return Err(self.unsupported(name, reason));
        }
        Ok(())
    }

    /// The error for a value that AWS takes for a parameter and that is not served here.
    pub fn unsupported(&self, name: &str, reason: &str) -> ApiError {
        let message = format!("The parameter {}{name} is not supported: {reason}", self.prefix);
        ApiError::new("UnsupportedParameter", message)
    }

    /// Ends the taking: a parameter that is left was never asked for, and is refused by its name.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(name) => Err(ApiError::new(
                "UnknownParameter",
                format!("The parameter {}{name} is not recognized by this operation", self.prefix),
            )),
        }
    }

    /// The error for a value that breaks a constraint, such as `must have length less than or equal to 64`, in the
    /// service's words.
    pub fn invalid(&self, name: &str, value: &str, constraint: &str) -> ApiError {
        let shown: String = value.chars().take(LONGEST_ECHO).collect();
        match self.service {
            Service::Rds => ApiError::invalid_parameter_value(format!(
                "Invalid value for parameter {}{name}: {constraint}",
                self.prefix
            )),
            Service::Iam | Service::Sts => ApiError::validation(format!(
                "1 validation error detected: Value '{shown}' at '{}' failed to satisfy constraint: Member {constraint}",
                self.member(name)
            )),
        }
    }

    /// The name as the messages of IAM and STS spell it: `userName`, `tags.1.member.key`.
    fn member(&self, name: &str) -> String {
        let full = [&self.prefix, name].concat();
        let mut spelled: Vec<String> = full.split('.').map(lower_first).collect();
        // `tags.member.1.key` on the wire is `tags.1.member.key` in a message.
        for index in 1..spelled.len() {
            let (left, right) = spelled.split_at_mut(index);
            if let (Some(a), Some(b)) = (left.last_mut(), right.first_mut())
                && a == "member"
                && b.bytes().all(|byte| byte.is_ascii_digit())
            {
                std::mem::swap(a, b);
            }
        }
        spelled.join(".")
    }
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rds(form: &str) -> Params {
        Params::from_form(Service::Rds, form).unwrap()
    }

    fn iam(form: &str) -> Params {
        Params::from_form(Service::Iam, form).unwrap()
    }

    #[test]
    fn forms_are_decoded_once_and_strictly() {
        let mut params = iam("A=a+b%2Bc%25&B=&C=%C3%A9&");
        assert_eq!(params.required("A").unwrap(), "a b+c%");
        assert_eq!(params.optional("B").as_deref(), Some(""));
        assert_eq!(params.required("C").unwrap(), "é");
        params.finish().unwrap();
        for bad in ["A=%", "A=%4", "A=%zz", "A=%ff", "%=1"] {
            assert_eq!(
                Params::from_form(Service::Iam, bad).unwrap_err().code,
                "MalformedQueryString",
                "{bad}"
            );
        }
        let error = Params::from_form(Service::Iam, "A=1&%41=1").unwrap_err();
        assert_eq!(error.message, "The parameter A is given more than once");
    }

    #[test]
    fn what_nobody_asked_for_is_named() {
        let mut params = rds("A=1&Tags.Tag.1.Key=k&Tags.Tag.1.Valeu=v");
        assert_eq!(params.required("A").unwrap(), "1");
        let mut tag = params.structures("Tags", "Tag").unwrap().pop().unwrap();
        assert_eq!(tag.required("Key").unwrap(), "k");
        assert_eq!(
            tag.finish().unwrap_err().message,
            "The parameter Tags.Tag.1.Valeu is not recognized by this operation"
        );
        assert_eq!(rds("B=1").finish().unwrap_err().code, "UnknownParameter");
        assert_eq!(rds("B.member.1=1").refuse("B", "why").unwrap_err().code, "UnsupportedParameter");
        params.finish().unwrap();
    }

    #[test]
    fn missing_and_blank_in_each_services_words() {
        let missing = iam("").required("UserName").unwrap_err();
        assert_eq!(missing.code, "ValidationError");
        assert!(missing.message.contains("Value null at 'userName'"), "{missing}");
        let blank = iam("UserName=").required("UserName").unwrap_err();
        assert!(blank.message.ends_with("Member must have length greater than or equal to 1"), "{blank}");
        assert_eq!(
            rds("").required("Engine").unwrap_err().message,
            "The request must contain the parameter Engine"
        );
        assert_eq!(rds("Engine=").required("Engine").unwrap_err().code, "InvalidParameterValue");
        let mut tags = iam("Tags.member.2.Key=").structures("Tags", "member").unwrap();
        let blank = tags[0].required("Key").unwrap_err();
        assert!(blank.message.contains("at 'tags.2.member.key'"), "{blank}");
    }

    #[test]
    fn numbers_flags_and_parsed_values() {
        let mut params = iam("N=7&F=true&G=maybe&R=us-east-1");
        assert_eq!(params.integer("N", 1..=10).unwrap(), Some(7));
        assert_eq!(params.integer("N", 1..=10).unwrap(), None);
        assert_eq!(params.flag("F").unwrap(), Some(true));
        assert!(params.flag("G").is_err());
        assert_eq!(params.parsed::<iam::Region>("R").unwrap().as_str(), "us-east-1");
        let low = iam("N=0").integer("N", 1..=10).unwrap_err();
        assert!(low.message.ends_with("Member must have value greater than or equal to 1"), "{low}");
        assert!(iam("N=99999999999999999999").integer("N", 1..=10).is_err());
    }

    #[test]
    fn lists_in_both_spellings_and_in_their_order() {
        let mut params = rds("V.VpcSecurityGroupId.10=j&V.VpcSecurityGroupId.2=b&E.member.1=x&Z=");
        assert_eq!(params.list("V", "VpcSecurityGroupId").unwrap(), ["b", "j"]);
        assert_eq!(params.list("E", "Whatever").unwrap(), ["x"]);
        assert!(params.list("Z", "member").unwrap().is_empty());
        params.finish().unwrap();
        for bad in ["V.member.x=1", "V.member.01=1", "V.member.=1", "V.member.1.a=1", "V.A.1=1&V.member.1=1"]
        {
            assert!(rds(bad).list("V", "A").is_err(), "{bad}");
        }
    }
}
