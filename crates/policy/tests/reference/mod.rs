//! The reference: IAM policy documents decided slowly and literally, from the written rules alone.
//!
//! It shares no code with the crate; it reads the JSON anew for every request. A document must be a valid
//! identity policy: what a parser refuses is not looked for here.
#![allow(dead_code, reason = "each test that includes this uses a part of it")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a reference says so by panicking")]

pub(crate) mod compare;
pub(crate) mod generate;

use std::net::IpAddr;

use serde_json::Value;

/// Keys as a request has them, each with its values, all as text.
pub(crate) type Context = Vec<(String, Vec<String>)>;

/// Effect (true = Allow) and position of the statement that decides: the first applying Deny, else the first
/// applying Allow, else none.
pub(crate) fn decide(
    document: &Value,
    action: &str,
    resource: &str,
    context: &Context,
) -> Option<(bool, usize)> {
    decide_by(document, &applying(document, action, resource, context))
}

/// The same, where it is known which statements apply.
pub(crate) fn decide_by(document: &Value, applying: &[bool]) -> Option<(bool, usize)> {
    let statements = many(&document["Statement"]);
    let first = |allow| {
        (0..statements.len())
            .find(|&at| applying[at] && is_allow(statements[at]) == allow)
            .map(|at| (allow, at))
    };
    first(false).or_else(|| first(true))
}

/// Whether each statement applies, by position.
pub(crate) fn applying(document: &Value, action: &str, resource: &str, context: &Context) -> Vec<bool> {
    many(&document["Statement"])
        .into_iter()
        .map(|statement| applies(statement, has_variables(document), action, resource, context))
        .collect()
}

/// An absent Version means 2008-10-17, where `${` is only text.
pub(crate) fn has_variables(document: &Value) -> bool {
    document["Version"] == "2012-10-17"
}

fn is_allow(statement: &Value) -> bool {
    statement["Effect"] == "Allow"
}

fn applies(statement: &Value, variables: bool, action: &str, resource: &str, context: &Context) -> bool {
    action_applies(statement, action)
        && resource_applies(statement, variables, resource, context)
        && match conditions(statement, variables, context) {
            Outcome::True => true,
            Outcome::False => false,
            // What cannot be evaluated counts against the request.
            Outcome::Error => !is_allow(statement),
        }
}

fn action_applies(statement: &Value, action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    let is_in = |list: &Value| {
        texts(list).iter().any(|pattern| wildcard(&written(&pattern.to_ascii_lowercase()), &action))
    };
    match statement.get("Action") {
        Some(list) => is_in(list),
        None => !is_in(&statement["NotAction"]),
    }
}

fn resource_applies(statement: &Value, variables: bool, resource: &str, context: &Context) -> bool {
    let is_in = |list: &Value| {
        texts(list).iter().any(|pattern| resource_matches(pattern, variables, resource, context))
    };
    match statement.get("Resource") {
        Some(list) => is_in(list),
        None => {
            let list = &statement["NotResource"];
            let lacks_value = |pattern: &String| {
                resource_parts(pattern, variables, context).iter().any(|part| part.contains(&Piece::NoValue))
            };
            // A missing value never widens an Allow.
            let widened = is_allow(statement) && texts(list).iter().any(lacks_value);
            !widened && !is_in(list)
        }
    }
}

fn resource_matches(pattern: &str, variables: bool, resource: &str, context: &Context) -> bool {
    if pattern == "*" {
        return true;
    }
    let parts: Vec<&str> = resource.splitn(6, ':').collect();
    let patterns = resource_parts(pattern, variables, context);
    parts.len() == 6 && patterns.iter().zip(parts).all(|(pattern, part)| wildcard(pattern, part))
}

/// The six parts of an ARN pattern. Parts that are not there are `*`; only the sixth can have variables.
fn resource_parts(pattern: &str, variables: bool, context: &Context) -> Vec<Vec<Piece>> {
    let texts: Vec<&str> = pattern.splitn(6, ':').collect();
    let part = |at: usize| match texts.get(at) {
        None => written("*"),
        Some(text) => pieces(text, variables && at == 5, context),
    };
    (0..6).map(part).collect()
}

/// What a condition test comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    True,
    False,
    /// It cannot be evaluated.
    Error,
}

impl From<bool> for Outcome {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

fn conditions(statement: &Value, variables: bool, context: &Context) -> Outcome {
    let mut outcomes = Vec::new();
    for (operator, keys) in statement.get("Condition").and_then(Value::as_object).into_iter().flatten() {
        for (key, values) in keys.as_object().into_iter().flatten() {
            outcomes.push(test(operator, key, values, variables, context));
        }
    }
    if outcomes.contains(&Outcome::False) {
        Outcome::False
    } else if outcomes.contains(&Outcome::Error) {
        Outcome::Error
    } else {
        Outcome::True
    }
}

/// One operator on one key.
pub(crate) fn test(operator: &str, key: &str, values: &Value, variables: bool, context: &Context) -> Outcome {
    let values = texts(values);
    let request = values_of(key, context);
    if operator == "Null" {
        return null(&values, request.is_empty());
    }

    let (for_all, operator) = strip(operator, |text| text.strip_prefix("ForAllValues:"));
    let (for_any, operator) = strip(operator, |text| text.strip_prefix("ForAnyValue:"));
    let (if_exists, operator) = strip(operator, |text| text.strip_suffix("IfExists"));
    let negated = operator.contains("Not");
    let positive = operator.replace("Not", "");

    if request.is_empty() {
        return Outcome::from(if_exists || for_all || (negated && !for_any));
    }
    // Without policy values nothing matches, whatever the request has; this is not an error.
    if values.is_empty() {
        return Outcome::from(negated);
    }
    if request.len() > 1 && !for_all && !for_any {
        return Outcome::Error;
    }

    let variables = variables && ["String", "Arn", "Bool"].iter().any(|name| positive.starts_with(name));
    let policy: Vec<Vec<Piece>> = values.iter().map(|value| pieces(value, variables, context)).collect();
    let mut holds = Vec::new();
    for value in &request {
        let mut some_match = false;
        for pattern in &policy {
            // Every value of either side is in some pair, so one that is unreadable is always seen.
            match compare(&positive, pattern, value) {
                Some(matches) => some_match |= matches,
                None => return Outcome::Error,
            }
        }
        holds.push(some_match != negated);
    }
    Outcome::from(if for_any { holds.contains(&true) } else { !holds.contains(&false) })
}

fn strip<'t>(text: &'t str, without: impl Fn(&'t str) -> Option<&'t str>) -> (bool, &'t str) {
    without(text).map_or((false, text), |rest| (true, rest))
}

fn null(values: &[String], missing: bool) -> Outcome {
    let values: Option<Vec<bool>> = values.iter().map(|value| boolean(value)).collect();
    values.map_or(Outcome::Error, |values| Outcome::from(values.contains(&missing)))
}

/// Whether a policy value matches a request's value under a positive operator; none if either is unreadable.
fn compare(operator: &str, pattern: &[Piece], value: &str) -> Option<bool> {
    let text = plain(pattern);
    let text_is = |holds: &dyn Fn(&str) -> bool| text.as_deref().is_some_and(holds);
    match operator {
        "StringEquals" => Some(text_is(&|text| text == value)),
        "StringEqualsIgnoreCase" => Some(text_is(&|text| lowercase(text) == lowercase(value))),
        "StringLike" => Some(wildcard(pattern, value)),
        "ArnEquals" | "ArnLike" => arn_matches(pattern, value),
        "Bool" => {
            let value = boolean(value)?;
            match &text {
                Some(text) => Some(boolean(text)? == value),
                None => Some(false),
            }
        }
        "BinaryEquals" => {
            let text = text?;
            (is_base64(&text) && is_base64(value)).then(|| text == value)
        }
        "IpAddress" => {
            let (network, length) = network(&text?)?;
            Some(is_within(address(value)?, network, length))
        }
        _ => {
            if let Some(relation) = operator.strip_prefix("Numeric") {
                Some(compares(relation, number(value)?, number(&text?)?))
            } else if let Some(relation) = operator.strip_prefix("Date") {
                Some(compares(relation, date(value)?, date(&text?)?))
            } else {
                panic!("no such operator: {operator}")
            }
        }
    }
}

fn compares(relation: &str, request: i128, policy: i128) -> bool {
    match relation {
        "Equals" => request == policy,
        "LessThan" => request < policy,
        "LessThanEquals" => request <= policy,
        "GreaterThan" => request > policy,
        "GreaterThanEquals" => request >= policy,
        _ => panic!("no such relation: {relation}"),
    }
}

/// Character by character, so without the rules of `str::to_lowercase` that depend on the place.
fn lowercase(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// A key's values; none if it is missing.
fn values_of(key: &str, context: &Context) -> Vec<String> {
    let found = context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    found.map(|(_, values)| values.clone()).unwrap_or_default()
}

/// One value or an array.
fn many(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |list| list.iter().collect())
}

/// Numbers and booleans may be unquoted: their text is how they are written.
fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    many(value).into_iter().map(text).collect()
}

/// A piece of a pattern or policy value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// A character of the document: `*` and `?` can be wildcards, `:` can separate.
    Written(char),
    /// A character that a variable stands for: only ever itself.
    Literal(char),
    /// A variable without a value.
    NoValue,
}

fn written(text: &str) -> Vec<Piece> {
    text.chars().map(Piece::Written).collect()
}

fn pieces(text: &str, variables: bool, context: &Context) -> Vec<Piece> {
    if !variables {
        return written(text);
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let Some((body, after)) = rest[at + 2..].split_once('}') else { break };
        pieces.extend(written(&rest[..at]));
        match variable(body, context) {
            Some(value) => pieces.extend(value.chars().map(Piece::Literal)),
            None => pieces.push(Piece::NoValue),
        }
        rest = after;
    }
    pieces.extend(written(rest));
    pieces
}

/// The value of what stands between `${` and `}`.
fn variable(body: &str, context: &Context) -> Option<String> {
    if matches!(body, "*" | "?" | "$") {
        return Some(body.to_owned());
    }
    let (key, default) = match body.split_once(',') {
        Some((key, default)) => (key, Some(default.trim_matches(' ').trim_matches('\'').to_owned())),
        None => (body, None),
    };
    match values_of(key, context).as_slice() {
        [value] => Some(value.clone()),
        _ => default,
    }
}

/// The text of a value in which `*` and `?` are only characters.
fn plain(pieces: &[Piece]) -> Option<String> {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Written(c) | Piece::Literal(c) => Some(*c),
            Piece::NoValue => None,
        })
        .collect()
}

/// `*` is any run of characters, `?` one character.
#[allow(clippy::needless_range_loop, reason = "a table is plainest by its numbers")]
fn wildcard(pattern: &[Piece], subject: &str) -> bool {
    let subject: Vec<char> = subject.chars().collect();
    // reached[n]: the pieces so far can match the first n characters and no more.
    let mut reached = vec![false; subject.len() + 1];
    reached[0] = true;
    for piece in pattern {
        let mut next = vec![false; subject.len() + 1];
        for n in 0..=subject.len() {
            next[n] = match *piece {
                Piece::Written('*') => reached[n] || (n > 0 && next[n - 1]),
                Piece::Written('?') => n > 0 && reached[n - 1],
                Piece::Written(c) | Piece::Literal(c) => n > 0 && reached[n - 1] && subject[n - 1] == c,
                Piece::NoValue => false,
            };
        }
        reached = next;
    }
    reached[subject.len()]
}

/// Six parts one by one, wildcards in each.
fn arn_matches(pattern: &[Piece], value: &str) -> Option<bool> {
    let parts: Vec<&str> = value.splitn(6, ':').collect();
    let patterns: Vec<&[Piece]> = pattern.splitn(6, |piece| *piece == Piece::Written(':')).collect();
    if patterns.len() < 6 || parts.len() < 6 || parts[0] != "arn" {
        return None;
    }
    Some(patterns.into_iter().zip(parts).all(|(pattern, part)| wildcard(pattern, part)))
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Canonical base64: whole groups of four, at most two `=` and only at the end, no bits left over.
fn is_base64(text: &str) -> bool {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    let Some(values) = digits.chars().map(|c| ALPHABET.find(c)).collect::<Option<Vec<usize>>>() else {
        return false;
    };
    let last = values.last().copied().unwrap_or(0);
    text.len().is_multiple_of(4)
        && match text.len() - digits.len() {
            0 => true,
            1 => last.is_multiple_of(4),
            2 => last.is_multiple_of(16),
            _ => false,
        }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `-`? digits (`.` digits)? (`e` (`+`|`-`)? digits)?, in units of 10^-18.
fn number(text: &str) -> Option<i128> {
    let (negative, text) = strip(text, |text| text.strip_prefix('-'));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let (shrinks, shift) = match exponent.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, exponent.strip_prefix('+').unwrap_or(exponent)),
    };
    if !is_digits(whole) || !is_digits(fraction) || !is_digits(shift) {
        return None;
    }

    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // An exponent too long for this is far outside the range.
    let shift: i128 = shift.parse::<u64>().ok()?.into();
    let shift = if shrinks { -shift } else { shift };
    // How many digits stand before the point once leading zeros are gone; negative if zeros follow it.
    let leading_zeros = digits.len() - significant.len();
    let before = whole.len() as i128 - leading_zeros as i128 + shift;
    let significant = significant.trim_end_matches('0');
    let behind = significant.len() as i128 - before;
    if before > 18 || behind > 18 {
        return None;
    }
    // The last digit stands at 10^-behind.
    let magnitude = significant.parse::<i128>().ok()? * 10_i128.pow(u32::try_from(18 - behind).ok()?);
    Some(if negative { -magnitude } else { magnitude })
}

/// Years that a signed 64-bit count of milliseconds can express.
const YEARS: std::ops::RangeInclusive<i128> = -292_275_054..=292_278_993;

const SECOND: i128 = 1_000_000_000;

/// A point in time in nanoseconds since 1970.
fn date(text: &str) -> Option<i128> {
    // Four digits alone are a year, as are digits after a minus; other digits are seconds since 1970.
    if is_digits(text) && text.len() != 4 {
        return Some(i128::from(text.parse::<i64>().ok()?) * SECOND);
    }
    let text = text.to_ascii_lowercase();
    let (date, time) = text.split_once('t').unwrap_or((&text, ""));
    let (clock, zone) = match time.find(['z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    Some(86_400 * SECOND * days(date)? + time_of_day(clock)? - zone_offset(zone)?)
}

/// Days from 1970-01-01 to year[-month[-day]] of the proleptic Gregorian calendar.
fn days(date: &str) -> Option<i128> {
    let (negative, date) = strip(date, |text| text.strip_prefix('-'));
    let parts: Vec<&str> = date.split('-').collect();
    if parts.len() > 3 {
        return None;
    }
    let year = within(parts[0], 0, 1_000_000_000)?;
    let year = if negative { -year } else { year };
    let month = parts.get(1).map_or(Some(1), |month| within(month, 1, 12))?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let months_before = usize::try_from(month - 1).ok()?;
    let day = parts.get(2).map_or(Some(1), |day| within(day, 1, lengths[months_before]))?;
    let before_year =
        |y: i128| 365 * y + (y - 1).div_euclid(4) - (y - 1).div_euclid(100) + (y - 1).div_euclid(400);
    let in_year = lengths[..months_before].iter().sum::<i128>() + day - 1;
    YEARS.contains(&year).then(|| before_year(year) - before_year(1970) + in_year)
}

/// Nanoseconds of hour[:minute[:second[.fraction]]]; none written is midnight.
fn time_of_day(clock: &str) -> Option<i128> {
    if clock.is_empty() {
        return Some(0);
    }
    let parts: Vec<&str> = clock.split(':').collect();
    if parts.len() > 3 {
        return None;
    }
    let hour = within(parts[0], 0, 23)?;
    let minute = parts.get(1).map_or(Some(0), |minute| within(minute, 0, 59))?;
    let (second, fraction) = match parts.get(2) {
        Some(second) => second.split_once('.').unwrap_or((second, "0")),
        None => ("0", "0"),
    };
    if !is_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds: i128 = format!("{fraction:0<9}").parse().ok()?;
    Some((hour * 3600 + minute * 60 + within(second, 0, 59)?) * SECOND + nanoseconds)
}

/// Nanoseconds that `z`, `+hh` or `+hh:mm` is ahead of UTC; no zone is UTC.
fn zone_offset(zone: &str) -> Option<i128> {
    if zone.is_empty() || zone == "z" {
        return Some(0);
    }
    let two_digits = |text: &str, max| if text.len() == 2 { within(text, 0, max) } else { None };
    let offset = zone.strip_prefix(['+', '-'])?;
    let (hours, minutes) = offset.split_once(':').unwrap_or((offset, "00"));
    let ahead = (two_digits(hours, 23)? * 3600 + two_digits(minutes, 59)? * 60) * SECOND;
    Some(if zone.starts_with('-') { -ahead } else { ahead })
}

fn within(digits: &str, min: i128, max: i128) -> Option<i128> {
    if !is_digits(digits) {
        return None;
    }
    digits.parse().ok().filter(|n| (min..=max).contains(n))
}

/// An address of a request.
fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse::<IpAddr>().ok()?.to_canonical())
}

/// An address or network of a policy, with the length of its prefix.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => bits,
        // Plain decimal: no sign, no leading zero.
        Some(length) => (0..=bits).find(|n| n.to_string() == length)?,
    };
    // An IPv4-mapped network that leaves the mapping's 96 bits alone is one of IPv4.
    if address.is_ipv6() && address.to_canonical().is_ipv4() && length >= 96 {
        return Some((address.to_canonical(), length - 96));
    }
    Some((address, length))
}

fn is_within(address: IpAddr, network: IpAddr, length: u32) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => format!("{:032b}", address.to_bits()),
        IpAddr::V6(address) => format!("{:0128b}", address.to_bits()),
    };
    let length = length as usize;
    address.is_ipv4() == network.is_ipv4() && bits(address)[..length] == bits(network)[..length]
}

#[cfg(test)]
mod checks {
    use serde_json::{Value, json};

    use super::Outcome::{Error, False, True};
    use super::{Context, Outcome};

    const JANE: &str = "arn:aws:rds-db:us-east-1:12:dbuser:db-A/jane";

    fn context(keys: &[(&str, &[&str])]) -> Context {
        keys.iter()
            .map(|(key, values)| ((*key).to_owned(), values.iter().map(|&value| value.to_owned()).collect()))
            .collect()
    }

    /// One test in Version 2012-10-17 on the key `app:k`, which has these values.
    fn test(operator: &str, policy: &Value, request: &[&str]) -> Outcome {
        super::test(operator, "app:k", policy, true, &context(&[("app:k", request)]))
    }

    /// Effect of one statement of Version 2012-10-17, with some elements in place of the usual ones.
    fn effect(elements: &Value, action: &str, resource: &str, context: &Context) -> Option<bool> {
        let mut statement = json!({"Effect": "Allow"});
        for element in elements.as_object().into_iter().flatten() {
            statement[element.0] = element.1.clone();
        }
        for (element, not) in [("Action", "NotAction"), ("Resource", "NotResource")] {
            if elements.get(element).or(elements.get(not)).is_none() {
                statement[element] = json!("*");
            }
        }
        let document = json!({"Version": "2012-10-17", "Statement": statement});
        super::decide(&document, action, resource, context).map(|(allow, _)| allow)
    }

    fn allows(elements: &Value, resource: &str, context: &Context) -> bool {
        effect(elements, "rds-db:connect", resource, context) == Some(true)
    }

    #[test]
    fn the_first_deny_decides_then_the_first_allow() {
        let statement =
            |effect: &str, action: &str| json!({"Effect": effect, "Action": action, "Resource": "*"});
        let document = json!({"Statement": [
            statement("Allow", "iam:*"),
            statement("Allow", "rds-db:*"),
            statement("Allow", "*"),
            statement("Deny", "rds-db:con"),
            statement("Deny", "rds-db:c?n"),
        ]});
        let decide = |action: &str| super::decide(&document, action, JANE, &context(&[]));
        assert_eq!(decide("rds-db:connect"), Some((true, 1)));
        assert_eq!(decide("iam:GetUser"), Some((true, 0)));
        assert_eq!(decide("RDS-DB:CON"), Some((false, 3)));
        assert_eq!(decide("rds-db:cen"), Some((false, 4)));
        assert_eq!(decide("rds-db:coon"), Some((true, 1)));
        assert_eq!(
            super::applying(&document, "rds-db:con", JANE, &context(&[])),
            [false, true, true, true, true]
        );
        let one = json!({"Statement": statement("Deny", "rds-db:*")});
        assert_eq!(super::decide(&one, "iam:GetUser", JANE, &context(&[])), None);
        assert_eq!(super::decide(&one, "rds-db:connect", "*", &context(&[])), Some((false, 0)));
    }

    #[test]
    fn actions_match_in_any_case() {
        let none = context(&[]);
        let denies = |elements: Value, action: &str| {
            let mut elements = elements;
            elements["Effect"] = json!("Deny");
            effect(&elements, action, JANE, &none) == Some(false)
        };
        assert!(denies(json!({"Action": "rds-db:Connect"}), "rds-db:connect"));
        assert!(denies(json!({"Action": ["iam:*", "RDS-DB:c?nn*t"]}), "rds-db:connect"));
        assert!(!denies(json!({"Action": "rds-db:con"}), "rds-db:connect"));
        assert!(!denies(json!({"Action": "rds-db:key"}), "rds-db:\u{212a}ey"));
        assert!(!denies(json!({"NotAction": ["iam:*", "rds-db:CONNECT"]}), "rds-db:connect"));
        assert!(denies(json!({"NotAction": ["iam:*", "rds-db:get"]}), "rds-db:connect"));
    }

    #[test]
    fn resources_match_part_by_part() {
        let none = context(&[]);
        let matches = |pattern: &str, resource: &str| allows(&json!({"Resource": pattern}), resource, &none);
        assert!(matches("arn:aws:rds-db:*:*:dbuser:*/jane", JANE));
        assert!(matches("arn:aws:rds-db:*:*:dbuser:*/jane", "arn:aws:rds-db:us:12:dbuser:db-A/x/jane"));
        assert!(matches("arn:aws:rds-db:*:1?:*", "arn:aws:rds-db:us:12:dbuser:db-A:x/y"));
        assert!(!matches("arn:aws:rds-db:*:12:jane", "arn:aws:rds-db:us:13:12:jane"));
        assert!(!matches("arn:aws:rds-db:us-east-1:12:dbuser:db-A/Jane", JANE));
        assert!(!matches("arn:aws:rds-db:us-east-1:12:dbuser:db-a/jane", JANE));
        assert!(!matches("arn:aws:rds-db:us-east-1:12:dbuser:db-A/jan", JANE));
        // What is not written of an ARN is `*`; what is written empty is empty.
        assert!(matches("arn:aws:rds-db", JANE));
        assert!(matches("arn:aws:rds-db:us-east-1:12", JANE));
        assert!(!matches("arn:aws:rds-db:us-east-1:12:", JANE));
        assert!(!matches("arn:aws:rds-db::12:*", JANE));
        // A call without a resource.
        assert!(matches("*", "*") && matches("*", JANE));
        assert!(!matches("arn:aws:rds-db", "*"));
        assert!(allows(&json!({"NotResource": "arn:aws:rds-db"}), "*", &none));
        assert!(!allows(&json!({"NotResource": ["arn:aws:rds", "*"]}), "*", &none));
        assert!(!allows(&json!({"NotResource": ["arn:aws:rds", "arn:aws:rds-db:*:*:*"]}), JANE, &none));
    }

    #[test]
    fn wildcards_are_characters_and_runs() {
        let matches = |pattern: &str, subject: &str| super::wildcard(&super::written(pattern), subject);
        assert!(matches("", "") && matches("*", "") && matches("**", "é:/"));
        assert!(!matches("?", "") && matches("?", "é") && !matches("?", "éé"));
        assert!(matches("*a*b", "xaxab") && !matches("*a*b", "xaxaba"));
        assert!(matches("*jane", "janejane") && matches("j*e*", "janes"));
        assert!(!matches("*a*a*a*a*a*a*a*a*a*a*a*a*b", &"a".repeat(5_000)));
    }

    #[test]
    fn a_resource_with_variables() {
        let jane = context(&[("AWS:userName", &["jane"])]);
        let none = context(&[]);
        let own = json!({"Resource": "arn:aws:rds-db:*:*:dbuser:*/${aws:username}"});
        assert!(allows(&own, JANE, &jane));
        assert!(!allows(&own, "arn:aws:rds-db:us:12:dbuser:db-A/joe", &jane));
        let and_more = json!({"Resource": "arn:aws:rds-db:*:*:dbuser:*/${aws:username}*"});
        assert!(allows(&and_more, "arn:aws:rds-db:us:12:dbuser:db-A/jane2", &jane));
        assert!(!allows(&and_more, JANE, &none));
        // A key with several values or an empty list has no value; with an empty text it has one.
        assert!(!allows(&and_more, JANE, &context(&[("aws:username", &["jane", "joe"])])));
        assert!(!allows(&and_more, JANE, &context(&[("aws:username", &[])])));
        assert!(allows(&and_more, JANE, &context(&[("aws:username", &[""])])));

        // A value is never a wildcard.
        assert!(!allows(&own, JANE, &context(&[("aws:username", &["*"])])));
        assert!(allows(&own, "arn:aws:rds-db:us:12:dbuser:db-A/*", &context(&[("aws:username", &["*"])])));
        let literal = json!({"Resource": "arn:aws:rds-db:*:*:dbuser:*/${*}${?}${$}"});
        assert!(allows(&literal, "arn:aws:rds-db:us:12:dbuser:db-A/*?$", &none));
        assert!(!allows(&literal, "arn:aws:rds-db:us:12:dbuser:db-A/abc", &none));

        let default = json!({"Resource": "arn:aws:rds-db:*:*:dbuser:*/${aws:PrincipalTag/my team, 'a:*'}"});
        assert!(allows(&default, "arn:aws:rds-db:us:12:dbuser:db-A/a:*", &none));
        assert!(!allows(&default, "arn:aws:rds-db:us:12:dbuser:db-A/a:b", &none));
        assert!(allows(&default, JANE, &context(&[("aws:principaltag/MY TEAM", &["jane"])])));

        // In Version 2008-10-17 and without one, `${` is text and its `*` a wildcard.
        let old = json!({"Statement": {
            "Effect": "Allow", "Action": "*", "Resource": "arn:aws:rds-db:*:*:dbuser:db-A/${*}",
        }});
        assert_eq!(super::decide(&old, "a:b", "arn:aws:rds-db:us:12:dbuser:db-A/*", &none), None);
        assert!(
            super::decide(&old, "a:b", "arn:aws:rds-db:us:12:dbuser:db-A/${aws:username}", &jane).is_some()
        );
    }

    #[test]
    fn a_missing_value_never_widens_an_allow() {
        let none = context(&[]);
        let others = json!({"NotResource": ["arn:aws:iam", "arn:aws:rds-db:*:*:dbuser:*/${aws:username}"]});
        assert!(!allows(&others, JANE, &none));
        assert!(!allows(&others, "*", &none));
        assert!(allows(&others, JANE, &context(&[("aws:username", &["joe"])])));
        assert!(!allows(&others, JANE, &context(&[("aws:username", &["jane"])])));
        let mut denied = others;
        denied["Effect"] = json!("Deny");
        assert_eq!(effect(&denied, "a:b", JANE, &none), Some(false));
    }

    #[test]
    fn a_negated_operator_holds_if_none_matches() {
        assert_eq!(test("StringNotEquals", &json!(["a", "b"]), &["a"]), False);
        assert_eq!(test("StringNotEquals", &json!(["a", "b"]), &["c"]), True);
        assert_eq!(test("NotIpAddress", &json!(["10.0.0.0/8", "192.168.0.0/16"]), &["192.168.1.1"]), False);
        assert_eq!(test("NotIpAddress", &json!(["10.0.0.0/8", "192.168.0.0/16"]), &["11.0.0.1"]), True);
        assert_eq!(test("NumericNotEquals", &json!([1, "2.0"]), &["2"]), False);
        assert_eq!(test("ArnNotLike", &json!("arn:aws:iam::*:user/*"), &["arn:aws:iam::1:user/x"]), False);
    }

    #[test]
    fn a_missing_key_is_not_skipped() {
        for missing in [context(&[]), context(&[("app:k", &[])])] {
            let test = |operator: &str| super::test(operator, "app:k", &json!("x"), true, &missing);
            for operator in ["StringEquals", "NumericLessThan", "Bool", "IpAddress", "DateGreaterThan"] {
                assert_eq!(test(operator), False, "{operator}");
                assert_eq!(test(&format!("{operator}IfExists")), True, "{operator}");
            }
            for operator in ["StringNotLike", "NotIpAddress", "DateNotEquals", "ArnNotEquals"] {
                assert_eq!(test(operator), True, "{operator}");
                assert_eq!(test(&format!("ForAnyValue:{operator}")), False, "{operator}");
                assert_eq!(test(&format!("ForAllValues:{operator}")), True, "{operator}");
            }
            assert_eq!(test("ForAllValues:StringEquals"), True);
            assert_eq!(test("ForAnyValue:StringEquals"), False);
            assert_eq!(test("ForAnyValue:StringEqualsIfExists"), True);
        }
        let deny = json!({
            "Effect": "Deny",
            "Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        });
        assert_eq!(effect(&deny, "rds-db:connect", JANE, &context(&[])), Some(false));
    }

    #[test]
    fn set_operators() {
        assert_eq!(test("ForAllValues:StringEquals", &json!(["a", "b"]), &["a", "b"]), True);
        assert_eq!(test("ForAllValues:StringEquals", &json!(["a", "b"]), &["a", "c"]), False);
        assert_eq!(test("ForAnyValue:StringEquals", &json!(["a", "b"]), &["c", "b"]), True);
        assert_eq!(test("ForAnyValue:StringEquals", &json!(["a", "b"]), &["c", "d"]), False);
        assert_eq!(test("ForAnyValue:StringNotEquals", &json!(["a", "b"]), &["a", "b"]), False);
        assert_eq!(test("ForAnyValue:StringNotEquals", &json!(["a", "b"]), &["a", "c"]), True);
        assert_eq!(test("ForAllValues:StringNotEquals", &json!(["a", "b"]), &["a", "c"]), False);
        assert_eq!(test("ForAllValues:StringNotEqualsIfExists", &json!(["a", "b"]), &["d", "c"]), True);
        assert_eq!(test("StringEquals", &json!("a"), &["a", "a"]), Error);
        assert_eq!(test("StringNotEqualsIfExists", &json!("a"), &["b", "c"]), Error);
    }

    #[test]
    fn empty_lists_of_policy_values() {
        assert_eq!(test("StringEquals", &json!([]), &["a"]), False);
        assert_eq!(test("StringNotEquals", &json!([]), &["a"]), True);
        assert_eq!(test("NumericNotEquals", &json!([]), &["jane"]), True);
        assert_eq!(test("ForAllValues:StringLike", &json!([]), &["a"]), False);
        assert_eq!(test("ForAllValues:StringLike", &json!([]), &[]), True);
        assert_eq!(test("StringEqualsIfExists", &json!([]), &[]), True);
        assert_eq!(test("Null", &json!([]), &[]), False);
    }

    #[test]
    fn what_cannot_be_read_counts_against_the_request() {
        // Whatever the other values say.
        assert_eq!(test("NumericEquals", &json!([1, "x"]), &["1"]), Error);
        assert_eq!(test("NumericNotEquals", &json!(["x", 1]), &["1"]), Error);
        assert_eq!(test("ForAnyValue:NumericEquals", &json!(1), &["1", "x"]), Error);
        assert_eq!(test("ForAllValues:IpAddress", &json!("10.0.0.0/8"), &["11.0.0.1", "10.0.0.0/8"]), Error);
        assert_eq!(test("NumericEqualsIfExists", &json!("x"), &[]), True);

        let conditions = |condition: Value, effect: &str| json!({"Effect": effect, "Condition": condition});
        let request = context(&[("app:a", &["x"]), ("app:b", &["1"])]);
        let error = json!({"NumericLessThan": {"app:a": 5}});
        assert_eq!(effect(&conditions(error.clone(), "Allow"), "a:b", JANE, &request), None);
        assert_eq!(effect(&conditions(error, "Deny"), "a:b", JANE, &request), Some(false));
        // A test that is false settles it; one that is true does not.
        let and_false = json!({"NumericLessThan": {"app:a": 5, "app:b": 1}});
        assert_eq!(effect(&conditions(and_false, "Deny"), "a:b", JANE, &request), None);
        let and_true = json!({"NumericLessThan": {"app:a": 5}, "Bool": {"app:B": true}});
        let request = context(&[("app:a", &["x"]), ("APP:b", &["True"])]);
        assert_eq!(effect(&conditions(and_true, "Deny"), "a:b", JANE, &request), Some(false));
    }

    #[test]
    fn null_is_about_presence() {
        assert_eq!(test("Null", &json!("true"), &[]), True);
        assert_eq!(test("Null", &json!(true), &["a"]), False);
        assert_eq!(test("Null", &json!("False"), &["a", "b"]), True);
        assert_eq!(test("Null", &json!(false), &[]), False);
        assert_eq!(test("Null", &json!([true, false]), &[]), True);
        assert_eq!(test("Null", &json!(["true", "yes"]), &[]), Error);
    }

    #[test]
    fn texts_of_conditions() {
        assert_eq!(test("StringEquals", &json!("a*"), &["ab"]), False);
        assert_eq!(test("StringEquals", &json!(["a", 5]), &["5"]), True);
        assert_eq!(test("StringEquals", &json!(true), &["True"]), False);
        assert_eq!(test("StringEquals", &json!("É"), &["é"]), False);
        assert_eq!(test("StringEqualsIgnoreCase", &json!("É"), &["é"]), True);
        assert_eq!(test("StringEqualsIgnoreCase", &json!("ΑΣ"), &["ας"]), False);
        assert_eq!(test("StringNotEqualsIgnoreCase", &json!("Jane"), &["jANE"]), False);
        assert_eq!(test("StringLike", &json!("?*:/é"), &["x:/é"]), True);
        assert_eq!(test("StringLike", &json!("J*"), &["jane"]), False);
    }

    #[test]
    fn variables_in_conditions() {
        let request = context(&[("app:k", &["*"]), ("app:star", &["*"]), ("app:two", &["*", "*"])]);
        let test = |operator: &str, value: &str, variables: bool| {
            super::test(operator, "app:k", &json!([value]), variables, &request)
        };
        assert_eq!(test("StringEquals", "${app:star}", true), True);
        assert_eq!(test("StringEquals", "${APP:STAR}", false), False);
        assert_eq!(test("StringLike", "${app:star}x", true), False);
        assert_eq!(test("StringLike", "${*}", true), True);
        assert_eq!(test("StringLike", "${*}", false), False);
        // Without a value it matches nothing.
        assert_eq!(test("StringLike", "*${app:two}*", true), False);
        assert_eq!(test("StringNotLike", "*${app:none}*", true), True);
        assert_eq!(test("StringEquals", "${app:two, '*'}", true), True);
        assert_eq!(test("StringEquals", "${app:none, ''}*", true), True);
        let request = context(&[("app:k", &["jane"])]);
        let negated = json!(["${app:none}", "jane"]);
        assert_eq!(super::test("StringNotEquals", "app:k", &negated, true, &request), False);
        // Here they are text.
        assert_eq!(super::test("NumericEquals", "app:k", &json!("${app:k}"), true, &request), Error);
        assert_eq!(super::test("Null", "app:k", &json!("${app:none, 'false'}"), true, &request), Error);

        let request = context(&[("app:k", &["TRUE"]), ("app:word", &["jane"])]);
        let bool = |value: &str| super::test("Bool", "app:k", &json!([value]), true, &request);
        assert_eq!(bool("${app:k}"), True);
        assert_eq!(bool("${app:none, 'false'}"), False);
        assert_eq!(bool("${app:none}"), False);
        assert_eq!(bool("${app:word}"), Error);
    }

    #[test]
    fn arns_of_conditions() {
        for operator in ["ArnEquals", "ArnLike"] {
            let test = |policy: &str, request: &str| test(operator, &json!(policy), &[request]);
            assert_eq!(test("arn:aws:iam::*:user/*", "arn:aws:iam::12:user/x:y/z"), True);
            assert_eq!(test("arn:aws:*:user/*", "arn:aws:iam::12:user/x"), Error);
            assert_eq!(test("arn:aws:*:12:user:*", "arn:aws:iam::12:user:x"), False);
            assert_eq!(test("*:*:*:*:*:*", "arn:aws:iam::12:user/x"), True);
            assert_eq!(test("arn:aws:iam::12:user/X", "arn:aws:iam::12:user/x"), False);
            assert_eq!(test("*", "arn:aws:iam::12:user/x"), Error);
            assert_eq!(test("*:*:*:*:*:*", "xrn:aws:iam::12:user/x"), Error);
            assert_eq!(test("*:*:*:*:*:*", "arn:aws:iam::12"), Error);
        }
        // Neither the colon of a variable's name nor one of its value separates parts.
        let request = context(&[("app:k", &["arn:aws:iam::12:user/a:*"]), ("app:v", &["a:*"])]);
        let test = |policy: &str| super::test("ArnLike", "app:k", &json!([policy]), true, &request);
        assert_eq!(test("arn:aws:iam::12:user/${app:v}"), True);
        assert_eq!(test("arn:aws:iam:${app:v}:12:user/*"), False);
        assert_eq!(test("arn:aws:iam:${app:none, ''}:12:*"), True);
        assert_eq!(test("arn:aws:iam::12:${app:none}"), False);
        assert_eq!(test("arn:aws:iam:${app:none}"), Error);
        assert_eq!(super::test("ArnLike", "app:k", &json!("arn:${a:b}:*:*:*"), false, &request), False);
    }

    #[test]
    fn numbers() {
        let number = super::number;
        for (one, other) in [
            ("1", "1.0"),
            ("01", "1"),
            ("-0", "0.000"),
            ("25e-1", "2.5"),
            ("0.05e+2", "5"),
            ("1e3", "1000"),
            ("0e99999999999999999999", "0"),
            ("1e-18", "0.0000000000000000010"),
            ("999999999999999999000e-3", "999999999999999999"),
        ] {
            assert!(number(one).is_some(), "{one}");
            assert_eq!(number(one), number(other), "{one} {other}");
        }
        for bad in [
            "", "-", "+1", " 1", "1 ", "1.", ".5", "1e", "1e+", "e1", "1.e1", "1e1.5", "--1", "1,5", "0x1",
            "٣",
        ] {
            assert_eq!(number(bad), None, "{bad}");
        }
        for far in ["1e18", "1000000000000000000", "1e-19", "0.0000000000000000001", "1e99999999999999999999"]
        {
            assert_eq!(number(far), None, "{far}");
        }
        // Doubles cannot tell these apart.
        assert_eq!(test("NumericLessThan", &json!("9007199254740993"), &["9007199254740992"]), True);
        assert_eq!(test("NumericEquals", &json!("0.1"), &["0.10000000000000001"]), False);
        assert_eq!(test("NumericLessThan", &json!(2), &["10"]), False);
        assert_eq!(test("NumericLessThan", &json!(10), &["-10.5"]), True);
        assert_eq!(test("NumericGreaterThanEquals", &json!(2.5), &["2.50"]), True);
        assert_eq!(test("NumericGreaterThan", &json!([7, 3]), &["5"]), True);
        assert_eq!(test("NumericLessThanEquals", &json!("-1"), &["-1.0001"]), True);
    }

    #[test]
    fn dates() {
        let date = |text: &str| super::date(text);
        for (text, seconds) in [
            ("1970", 0),
            ("0", 0),
            ("01970", 1970),
            ("1483228800", 1_483_228_800),
            ("2017-01-01T00:00:00Z", 1_483_228_800),
            ("2017", 1_483_228_800),
            ("2017-1", 1_483_228_800),
            ("2017-01-01t02:00+02", 1_483_228_800),
            ("2016-12-31T18:30:00-05:30", 1_483_228_800),
            ("2017-01-01TZ", 1_483_228_800),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T1", 951_786_000),
            ("01T", -62_135_596_800),
            ("0000", -62_167_219_200),
            ("-1", -62_198_755_200),
        ] {
            assert_eq!(date(text), Some(seconds * super::SECOND), "{text}");
        }
        assert_eq!(date("1970-01-01T00:00:00.5Z"), Some(super::SECOND / 2));
        assert_eq!(date("1970-01-01T00:00:00.000000001"), Some(1));
        assert!(date("-292275054").is_some() && date("9223372036854775807").is_some());
        for bad in [
            "",
            "sdfdsf",
            "234-13",
            "2016-12-13t2:00:00.593194+1",
            "2016-12-13t2:00:00.1999999999+10:59",
            "9223372036854775808",
            "-292275055",
            "2017-02-29",
            "1900-02-29",
            "2017-04-31",
            "2017-00-01",
            "2017-07-01T24:00",
            "2017-07-01T1:2:3:4",
            "2017-07-01-01",
            "T",
            "+5",
            "1.5",
            "2017-07-01T+",
            "2017-07-01Tz1",
            "2017-07-01Tz01",
            "2017-07-01Z",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
        assert_eq!(
            test("DateLessThan", &json!("2017-01-01T00:00:00+01:00"), &["2016-12-31T23:30:00Z"]),
            False
        );
        assert_eq!(test("DateGreaterThan", &json!("2017"), &["1483228801"]), True);
        assert_eq!(test("DateEquals", &json!(2017), &["2017-01-01"]), True);
        assert_eq!(test("DateNotEquals", &json!("2017"), &["tomorrow"]), Error);
    }

    #[test]
    fn addresses() {
        let test = |policy: &str, request: &str| test("IpAddress", &json!(policy), &[request]);
        assert_eq!(test("10.1.2.3", "10.1.2.3"), True);
        assert_eq!(test("10.1.2.3", "10.1.2.4"), False);
        assert_eq!(test("10.1.2.2/31", "10.1.2.3"), True);
        assert_eq!(test("10.255.0.1/8", "10.1.2.3"), True);
        assert_eq!(test("0.0.0.0/0", "2001:db8::1"), False);
        assert_eq!(test("::/0", "10.1.2.3"), False);
        assert_eq!(test("2001:DB8::/32", "2001:db8:0::7"), True);
        assert_eq!(test("2001:db8::1", "2001:db8::2"), False);
        assert_eq!(test("10.0.0.0/8", "::ffff:10.1.2.3"), True);
        assert_eq!(test("::ffff:10.0.0.0/104", "10.1.2.3"), True);
        assert_eq!(test("::ffff:10.1.2.3", "10.1.2.3"), True);
        assert_eq!(test("::ffff:10.0.0.0/95", "::ffff:10.0.0.0"), False);
        for bad in ["", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/", "10.0.0", "::/129", "10.0.0.0/8/8", "a/8"]
        {
            assert_eq!(test(bad, "10.1.2.3"), Error, "{bad}");
        }
        assert_eq!(test("10.0.0.0/8", "10.1.2.3/32"), Error);
    }

    #[test]
    fn binaries_and_booleans() {
        assert_eq!(test("BinaryEquals", &json!("QUJD"), &["QUJD"]), True);
        assert_eq!(test("BinaryEquals", &json!("QUJD"), &["qujd"]), False);
        assert_eq!(test("BinaryEquals", &json!(""), &[""]), True);
        for bad in ["QQ", "QQ=", "QR==", "QUI=QUI=", "====", "-_-_", "aGVsbG9=", "Q Q="] {
            assert_eq!(test("BinaryEquals", &json!("QUJD"), &[bad]), Error, "{bad}");
            assert_eq!(test("BinaryEquals", &json!(["QUJD", bad]), &["QUJD"]), Error, "{bad}");
        }
        assert_eq!(test("Bool", &json!("TRUE"), &["true"]), True);
        assert_eq!(test("Bool", &json!(false), &["true"]), False);
        assert_eq!(test("Bool", &json!("1"), &["true"]), Error);
        assert_eq!(test("Bool", &json!(true), &["yes"]), Error);
    }
}
