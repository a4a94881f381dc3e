//! Random policies and requests for the reference and the engine, read from bytes.
//!
//! Few words in every place, so that patterns and requests meet often. Every document is one that AWS takes
//! as an inline policy (managed policies must have Version 2012-10-17). A case reads 200 to 600 bytes.

use serde_json::{Map, Value, json};

/// Choices read from bytes. When they run out every choice is 0, the plainest one.
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A number below `n`, which is at most 256.
    pub(crate) fn pick(&mut self, n: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % n
    }

    pub(crate) fn one<'t>(&mut self, words: &[&'t str]) -> &'t str {
        words[self.pick(words.len())]
    }

    /// Words one after the other, at least `min` and fewer than `end`.
    pub(crate) fn some(&mut self, words: &[&str], min: usize, end: usize) -> String {
        (0..min + self.pick(end - min)).map(|_| self.one(words)).collect()
    }
}

pub(crate) struct Case {
    pub(crate) document: Value,
    /// Action, resource and context of each.
    pub(crate) requests: Vec<(String, String, super::Context)>,
}

pub(crate) fn case(bytes: &mut Bytes<'_>) -> Case {
    let document = document(bytes);
    let requests = (0..4).map(|_| (action(bytes), resource(bytes), context(bytes))).collect();
    Case { document, requests }
}

pub(crate) fn document(bytes: &mut Bytes<'_>) -> Value {
    let version = match bytes.pick(6) {
        0..=3 => Some("2012-10-17"),
        4 => Some("2008-10-17"),
        _ => None,
    };
    let variables = version == Some("2012-10-17");
    let statements = match bytes.pick(6) {
        0 => statement(bytes, variables),
        n => (0..n).map(|_| statement(bytes, variables)).collect(),
    };
    match version {
        Some(version) => json!({"Version": version, "Statement": statements}),
        None => json!({"Statement": statements}),
    }
}

fn statement(bytes: &mut Bytes<'_>, variables: bool) -> Value {
    let effect = bytes.one(&["Allow", "Allow", "Deny"]);
    let action_element = bytes.one(&["Action", "Action", "Action", "NotAction"]);
    let actions = one_or_many(bytes, |bytes| json!(action_pattern(bytes)));
    let resource_element = bytes.one(&["Resource", "Resource", "Resource", "NotResource"]);
    let resources = one_or_many(bytes, |bytes| json!(resource_pattern(bytes, variables)));
    let mut statement = json!({"Effect": effect, action_element: actions, resource_element: resources});
    let tests = match bytes.pick(9) {
        0 | 1 => None,
        2 => Some(0),
        3..=6 => Some(1),
        7 => Some(2),
        _ => Some(4),
    };
    if let Some(tests) = tests {
        statement["Condition"] = conditions(bytes, variables, tests);
    }
    statement
}

fn one_or_many(bytes: &mut Bytes<'_>, mut value: impl FnMut(&mut Bytes<'_>) -> Value) -> Value {
    match bytes.pick(6) {
        0..=2 => value(bytes),
        n => (2..n).map(|_| value(bytes)).collect(),
    }
}

/// The last has the Kelvin sign, whose lower case is `k` in Unicode but not in ASCII: `rds-db:key` is another.
const ACTIONS: &[&str] = &[
    "rds-db:connect",
    "rds-db:Connect",
    "RDS-DB:CONNECT",
    "rds-db:con",
    "rds-db:connectcon",
    "iam:GetUser",
    "iam:connect",
    "rds-db:\u{212a}ey",
];

fn action(bytes: &mut Bytes<'_>) -> String {
    match bytes.pick(8) {
        0..=4 => ACTIONS[0].to_owned(),
        5 | 6 => bytes.one(ACTIONS).to_owned(),
        _ => format!("{}:{}", bytes.one(&["rds-db", "Rds-Db", "iam"]), bytes.some(ACTION_PARTS, 1, 4)),
    }
}

const ACTION_PARTS: &[&str] = &["con", "Con", "nect", "Get"];

fn action_pattern(bytes: &mut Bytes<'_>) -> String {
    const PATTERNS: &[&str] = &[
        "rds-db:connect",
        "rds-db:Connect",
        "*",
        "RDS-DB:con*",
        "rds-db:*",
        "rds-db:*n*t",
        "Rds-db:??????t",
        "rds-db:con?ect*",
        "iam:Get*",
        "iam:*",
        "rds-db:key",
    ];
    match bytes.pick(8) {
        0 | 1 => PATTERNS[0].to_owned(),
        2..=6 => bytes.one(PATTERNS).to_owned(),
        _ => {
            let vendor = bytes.one(&["rds-db", "RDS-DB", "iam"]);
            format!("{vendor}:{}", bytes.some(&["con", "Con", "*", "?", "nect", "Get"], 1, 4))
        }
    }
}

/// Texts with `${` that are variables in Version 2012-10-17 and nothing but text elsewhere.
const VARIABLES: &[&str] = &[
    "${aws:username}",
    "${AWS:UserName}",
    "${aws:PrincipalTag/team}",
    "${aws:principaltag/TEAM, 'jane'}",
    "${aws:PrincipalTag/my team}",
    "${aws:PrincipalTag/my team,  'a*:b'}",
    "${aws:ResourceTag/env, ''}",
    "${aws:ResourceTag/env, '${?'}",
    "${app:none}",
    "${app:none, 'red'}",
    "${app:list}",
    "${app:number}",
    "${*}",
    "${?}",
    "${$}",
    "${aws:username}/${aws:PrincipalTag/team, 'x'}",
    "${aws:PrincipalTag/team}${*}",
    "$${aws:username}",
    "${$}{aws:username}",
    "*${aws:username}*",
];

/// Texts that only Version 2008-10-17 and operators without variables take.
const NOT_VARIABLES: &[&str] = &["${", "${}", "${aws:username", "${aws:username, jane}", "$${*"];

/// Of `VARIABLES`, or where they are text, now and then one that is not well-formed.
fn variable(bytes: &mut Bytes<'_>, variables: bool) -> &'static str {
    if !variables && bytes.pick(4) == 1 { bytes.one(NOT_VARIABLES) } else { bytes.one(VARIABLES) }
}

fn resource(bytes: &mut Bytes<'_>) -> String {
    if bytes.pick(8) == 1 {
        return "*".to_owned();
    }
    let [partition, service, region, account] = match bytes.pick(8) {
        0..=4 => ["aws", "rds-db", "us", "12"],
        _ => [
            bytes.one(&["aws", "aws-cn"]),
            bytes.one(&["rds-db", "rds"]),
            bytes.one(&["us", "eu", ""]),
            bytes.one(&["12", "13", ""]),
        ],
    };
    let tail = match bytes.pick(5) {
        0..=3 => format!(
            "dbuser:{}/{}",
            bytes.one(&["db-A", "db-A", "db-A", "db-B"]),
            bytes.one(&[
                "jane",
                "jane",
                "jane",
                "jane",
                "Jane",
                "x/jane",
                "red",
                "é",
                "",
                "*",
                "a*:b",
                "jane/red",
                "${aws:username}",
                "${x}",
                "$jane",
                "1"
            ])
        ),
        _ => bytes.some(TAIL_PARTS, 0, 6),
    };
    format!("arn:{partition}:{service}:{region}:{account}:{tail}")
}

const TAIL_PARTS: &[&str] = &["dbuser:", "db-A", "/", "jane", "Jane", "é", "*", "?", ":", "$"];

fn resource_pattern(bytes: &mut Bytes<'_>, variables: bool) -> String {
    let form = bytes.pick(8);
    if form == 1 {
        return "*".to_owned();
    }
    let service = bytes.one(&["rds-db", "rds-db", "rds-db", "rds-db", "rds-db", "rds"]);
    if form == 2 {
        return format!("arn:aws:{service}{}", bytes.some(&[":us", ":*"], 0, 3));
    }
    let [partition, region, account] = match bytes.pick(8) {
        0..=3 => ["aws", "us", "12"],
        4 => ["*", "*", "*"],
        _ => [
            bytes.one(&["aws", "aws", "*", "aws-cn", "aw?"]),
            bytes.one(&["us", "*", "u*", "??", "eu", ""]),
            bytes.one(&["12", "*", "1?", "1*", "13", ""]),
        ],
    };
    let tail = match bytes.pick(8) {
        0..=2 => {
            let instance = bytes.one(&["db-A", "*", "db-*", "db-?", "db-B"]);
            format!("dbuser:{instance}/{}", variable(bytes, variables))
        }
        3 => format!("dbuser:*/{}*", variable(bytes, variables)),
        4 => "*".to_owned(),
        5 => format!("{}{}", bytes.some(TAIL_PARTS, 0, 5), bytes.one(&["", "*"])),
        _ => {
            let user = bytes
                .one(&["jane", "jane", "*", "j*", "?ane", "*/jane", "é", "?", "", "red", "*a*:*", "**e"]);
            format!("dbuser:{}/{user}", bytes.one(&["db-A", "*", "db-?"]))
        }
    };
    format!("arn:{partition}:{service}:{region}:{account}:{tail}")
}

const TEXTS: &[&str] = &[
    "jane",
    "Jane",
    "red",
    "JANE",
    "é",
    "É",
    "*",
    "a?",
    "a*:b",
    "x/jane",
    "",
    "5",
    "true",
    "us:12",
    "12:user/jane",
    "$",
    "${aws:username}",
    "${x}",
];

/// Texts of which some differ in case only, by one rule of Unicode or another.
const CASES: &[&str] = &["jane", "JANE", "é", "É", "İ", "i̇", "ΑΣ", "ας", "ασ", "ß", "SS"];

/// Those of `TEXTS` that meet most often.
const COMMON_TEXTS: &[&str] = &["jane", "Jane", "red"];

const NUMBERS: &[&str] =
    &["1", "2.5", "5", "1.0", "0", "-1", "01", "25e-1", "1e0", "0.05e+2", "-0", "999999999999999999"];

const EXTREME_NUMBERS: &[&str] = &["-999999999999999999.999999999999999999", "1e-18", "1e17"];

const NOT_NUMBERS: &[&str] =
    &["", "jane", "+1", " 1", "1.", ".5", "1e", "1e18", "1e-19", "true", "${$}", "1,5"];

/// Dates around the turn of 2017, four of them the same moment.
const DATES: &[&str] = &[
    "2017-01-01T00:00:00Z",
    "2017",
    "1483228800",
    "2017-01-01T02:00:00+02:00",
    "2016-12-31T23:59:59.999Z",
    "2017-01-01t00:00:00.5z",
    "2017-01-01T00:00:00.25+00",
    "2017-1",
    "2016-12-31T19:0-05",
    "2017-01-01T1:2",
];

const ODD_DATES: &[&str] = &[
    "1483228801",
    "02017",
    "0",
    "-5",
    "-0001-12-31",
    "01T",
    "2016-02-29",
    "12017-01-01",
    "9223372036854775807",
];

/// Only for requests: a document with one of these is refused.
const NOT_DATES: &[&str] = &[
    "",
    "2017-02-29",
    "2017-13-01",
    "tomorrow",
    "2017-01-01T24:00",
    "+5",
    "1.5",
    "2017-01-01Z",
    "99999999999999999999",
];

const BOOLEANS: &[&str] = &["true", "false", "True", "FALSE"];

const NOT_BOOLEANS: &[&str] = &["", "yes", "1", "tru", "true "];

/// The second and third differ in case only.
const BASE64: &[&str] = &["QQ==", "QUJD", "qujd", "", "aGVsbG8=", "+/+/"];

const NOT_BASE64: &[&str] =
    &["QR==", "QR==", "QQ", "QQ=", "QUJD=", "-_-_", "Q Q=", "====", "aGVsbG9=", "QQ==QQ=="];

const NETWORKS: &[&str] = &[
    "10.0.0.0/8",
    "10.1.2.3",
    "10.1.2.3/32",
    "2001:db8::/32",
    "0.0.0.0/0",
    "::/0",
    "2001:db8::1",
    "::ffff:10.1.2.3",
    "::ffff:10.0.0.0/104",
    "::ffff:10.0.0.0/96",
    "::ffff:10.0.0.0/95",
    "10.9.9.9/9",
    "10.1.2.2/31",
    "2001:DB8:0::5/127",
];

const NOT_NETWORKS: &[&str] = &[
    "",
    "10.0.0.0/33",
    "10.0.0.0/08",
    "10.0.0",
    "10.0.0.0/",
    "10.0.0.0/+8",
    "2001:db8::/129",
    "010.0.0.1",
    "10.0.0.0/8/8",
    "fe80::1%eth0",
    "jane",
];

const ADDRESSES: &[&str] =
    &["10.1.2.3", "10.200.0.1", "11.0.0.1", "2001:db8::1", "2001:DB8::4", "::1", "::ffff:10.1.2.3"];

const NOT_ADDRESSES: &[&str] = &["", "10.0.0.0/8", "10.1.2.3/32", "10.1.2", "[::1]", "jane"];

const ARNS: &[&str] = &[
    "arn:aws:iam::12:user/jane",
    "arn:aws:iam::12:role/red",
    "arn:aws:iam::12:user/a*:b",
    "arn:aws-cn:iam::13:user/jane",
    "arn:aws:iam:us:12:user/Jane",
    "arn:aws:iam::12:user/${aws:username}",
    "arn:aws:rds-db:us:12:dbuser:db-A/jane",
    "arn:aws:iam::12:",
];

const NOT_ARNS: &[&str] = &["", "*", "jane", "arn:aws:iam", "arn:aws:iam::12", "iam:aws:arn::12:user/jane"];

const KEYS: &[&str] = &[
    "aws:username",
    "aws:PrincipalTag/team",
    "app:list",
    "aws:userid",
    "aws:ResourceTag/env",
    "aws:PrincipalTag/my team",
    "aws:PrincipalArn",
    "app:number",
    "app:blob",
    "aws:CurrentTime",
    "aws:EpochTime",
    "aws:SecureTransport",
    "aws:SourceIp",
];

/// The keys that mostly have values of the operator's type.
fn usual_keys(operator: &str) -> &'static [&'static str] {
    let families: [(&str, &[&str]); 6] = [
        ("Numeric", &["app:number", "app:number", "aws:EpochTime"]),
        ("Date", &["aws:CurrentTime", "aws:EpochTime"]),
        ("Bool", &["aws:SecureTransport"]),
        ("Binary", &["app:blob"]),
        ("Ip", &["aws:SourceIp"]),
        ("Arn", &["aws:PrincipalArn"]),
    ];
    let family = families.iter().find(|(family, _)| operator.trim_start_matches("Not").starts_with(family));
    family.map_or(KEYS, |(_, keys)| keys)
}

fn key(bytes: &mut Bytes<'_>, operator: &str) -> String {
    let key = match bytes.pick(16) {
        1 => bytes.one(KEYS),
        2 => "app:none",
        _ if operator.starts_with("String") => bytes.one(&KEYS[..7]),
        _ => bytes.one(usual_keys(operator)),
    };
    some_case(bytes, key)
}

fn some_case(bytes: &mut Bytes<'_>, key: &str) -> String {
    match bytes.pick(8) {
        1 => key.to_ascii_uppercase(),
        2 => key.to_ascii_lowercase(),
        _ => key.to_owned(),
    }
}

/// A context with every key at most once, ignoring case.
pub(crate) fn context(bytes: &mut Bytes<'_>) -> super::Context {
    let mut context = Vec::new();
    for key in KEYS {
        let values = match bytes.pick(12) {
            0..=5 => 1,
            6 | 7 => 2,
            8 => 3,
            9 => 0,
            _ => continue,
        };
        let name = some_case(bytes, key);
        context.push((name, (0..values).map(|_| value(bytes, key)).collect()));
    }
    context
}

/// A value as a request has it.
fn value(bytes: &mut Bytes<'_>, key: &str) -> String {
    let (usual, unusual): (&[&str], &[&str]) = match key {
        "app:number" => (NUMBERS, NOT_NUMBERS),
        "app:blob" => (BASE64, NOT_BASE64),
        "aws:CurrentTime" | "aws:EpochTime" => (DATES, NOT_DATES),
        "aws:SecureTransport" => (BOOLEANS, NOT_BOOLEANS),
        "aws:SourceIp" => (ADDRESSES, NOT_ADDRESSES),
        "aws:PrincipalArn" => (ARNS, NOT_ARNS),
        _ => (TEXTS, CASES),
    };
    let text = match bytes.pick(12) {
        1 | 2 => bytes.one(unusual),
        3 if key == "app:number" => bytes.one(EXTREME_NUMBERS),
        3 if usual == DATES => bytes.one(ODD_DATES),
        _ if key == "aws:EpochTime" => bytes.one(&["1483228800", "1483228799", "1483228801", "2017", "5"]),
        _ if key == "aws:userid" => bytes.one(&["AIDAJANE", "AROAJANE:jane", "12", "aidajane"]),
        4..=7 if usual == TEXTS => bytes.one(COMMON_TEXTS),
        _ => bytes.one(usual),
    };
    text.to_owned()
}

pub(crate) const OPERATORS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "NotIpAddress",
    "ArnEquals",
    "ArnNotEquals",
    "ArnLike",
    "ArnNotLike",
    "Null",
];

fn conditions(bytes: &mut Bytes<'_>, variables: bool, tests: usize) -> Value {
    let mut conditions = Map::new();
    for _ in 0..tests {
        let name = bytes.one(OPERATORS);
        let prefix = bytes.one(&["", "", "ForAllValues:", "ForAnyValue:"]);
        let suffix = bytes.one(&["", "", "IfExists"]);
        let operator = if name == "Null" { name.to_owned() } else { format!("{prefix}{name}{suffix}") };
        let keys = conditions.entry(operator).or_insert_with(|| json!({}));
        for _ in 0..1 + bytes.pick(6) / 5 {
            let key = key(bytes, name);
            let values = policy_values(bytes, name, variables);
            // Two keys that differ in case only are not what this is to test.
            if let Some(keys) = keys.as_object_mut()
                && !keys.keys().any(|other| other.eq_ignore_ascii_case(&key))
            {
                keys.insert(key, values);
            }
        }
    }
    Value::Object(conditions)
}

/// One value or an array, now and then an empty one.
fn policy_values(bytes: &mut Bytes<'_>, operator: &str, variables: bool) -> Value {
    match bytes.pick(24) {
        1 => json!([]),
        _ => one_or_many(bytes, |bytes| {
            let text = policy_value(bytes, operator, variables);
            maybe_unquoted(bytes, text)
        }),
    }
}

/// Numbers and booleans may be unquoted, where that leaves their text as it is.
fn maybe_unquoted(bytes: &mut Bytes<'_>, text: String) -> Value {
    let read = serde_json::from_str::<Value>(&text).ok();
    let same = read.filter(|value| (value.is_number() || value.is_boolean()) && format!("{value}") == text);
    match same {
        Some(value) if bytes.pick(3) == 1 => value,
        _ => Value::String(text),
    }
}

fn policy_value(bytes: &mut Bytes<'_>, operator: &str, variables: bool) -> String {
    let family = operator.trim_start_matches("Not");
    if family.starts_with("String") {
        if operator.ends_with("IgnoreCase") && bytes.pick(3) == 1 {
            return bytes.one(CASES).to_owned();
        }
        return text_value(bytes, variables);
    }
    if family.starts_with("Arn") {
        return arn_value(bytes, variables);
    }
    let form = bytes.pick(16);
    if operator == "Bool" && form >= 11 {
        return bool_variable(bytes, variables);
    }
    let text = if family.starts_with("Numeric") {
        match form {
            1 | 2 => bytes.one(NOT_NUMBERS),
            3 => bytes.one(EXTREME_NUMBERS),
            // Variables have no meaning here: one more text that is not a number.
            4 if bytes.pick(4) == 1 => variable(bytes, false),
            _ => bytes.one(NUMBERS),
        }
    } else if family.starts_with("Date") {
        match form {
            1 | 2 => bytes.one(ODD_DATES),
            _ => bytes.one(DATES),
        }
    } else if family.starts_with("Ip") {
        match form {
            1 | 2 => bytes.one(NOT_NETWORKS),
            3 if bytes.pick(8) == 1 => variable(bytes, false),
            _ => bytes.one(NETWORKS),
        }
    } else if family.starts_with("Binary") {
        match form {
            1 | 2 => bytes.one(NOT_BASE64),
            3 if bytes.pick(8) == 1 => variable(bytes, false),
            _ => bytes.one(BASE64),
        }
    } else {
        // Bool and Null.
        match form {
            1 | 2 => bytes.one(NOT_BOOLEANS),
            _ => bytes.one(BOOLEANS),
        }
    };
    text.to_owned()
}

fn text_value(bytes: &mut Bytes<'_>, variables: bool) -> String {
    const PATTERNS: &[&str] = &[
        "*",
        "j*",
        "?ane",
        "*a*",
        "re?",
        "*/jane",
        "a??b",
        "?",
        "??*",
        "*a*a*a*b",
        "ar*:user/*",
        "AIDA*",
        "",
    ];
    match bytes.pick(12) {
        0..=2 => bytes.one(COMMON_TEXTS).to_owned(),
        3 | 4 => bytes.one(TEXTS).to_owned(),
        5..=6 => bytes.one(PATTERNS).to_owned(),
        7..=9 => variable(bytes, variables).to_owned(),
        10 => format!("{}{}", variable(bytes, variables), bytes.one(&["*", "?", "", "/", "red"])),
        _ => bytes.some(&["j", "*", "?", "ane", "a", ":", "/", "é", "x", "$"], 0, 5),
    }
}

fn arn_value(bytes: &mut Bytes<'_>, variables: bool) -> String {
    match bytes.pick(20) {
        1 => return bytes.one(NOT_ARNS).to_owned(),
        2 => return "*:*:*:*:*:*".to_owned(),
        // Five parts, whatever colon the value has.
        3 => return format!("arn:aws:iam::{}", variable(bytes, variables)),
        4..=6 => return bytes.one(ARNS).to_owned(),
        _ => {}
    }
    let first = bytes.one(&["arn", "arn", "arn", "arn", "*", "ar?"]);
    let partition = bytes.one(&["aws", "*", "aws", "aws*"]);
    let service = bytes.one(&["iam", "*", "iam", "i*"]);
    let region = bytes.one(&["", "*", "", "us"]);
    let account = bytes.one(&["12", "*", "1?", "12"]);
    let tail = match bytes.pick(8) {
        0 => "*".to_owned(),
        1..=3 => format!("user/{}", variable(bytes, variables)),
        4 => variable(bytes, variables).to_owned(),
        _ => bytes
            .one(&["user/jane", "user/*", "*/*e*", "user/?ane", "*:*", "role/red", "user/a*:b"])
            .to_owned(),
    };
    // A variable before the last part, whose value may hold a colon.
    if bytes.pick(8) == 1 {
        return format!("{first}:{partition}:{service}:{}:{account}:{tail}", variable(bytes, variables));
    }
    format!("{first}:{partition}:{service}:{region}:{account}:{tail}")
}

fn bool_variable(bytes: &mut Bytes<'_>, variables: bool) -> String {
    if bytes.pick(6) == 1 {
        return variable(bytes, variables).to_owned();
    }
    let text = bytes.one(&[
        "${aws:SecureTransport}",
        "${aws:securetransport, 'true'}",
        "${app:none, 'False'}",
        "${app:none}",
        "tr${app:none, 'ue'}",
        "${aws:PrincipalTag/team, 'true'}",
    ]);
    text.to_owned()
}
