//! Asking the running server about a token, and showing what it says.

use crate::client;
use crate::config::DataDir;
use crate::control::token::{PATH, TokenAnswer, TokenQuestion};
use crate::token::describe::printable;
use anyhow::Context;
use bytes::Bytes;
use hyper::Method;
use sigv4::rds_token::Token;
use std::io::Write;
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Asks and shows; 1 where the token is refused.
pub(super) fn run(
    data_dir: &DataDir,
    token: &str,
    user: Option<&str>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    // What is no token is no question.
    Token::parse(token)?;
    let question = TokenQuestion { token: Zeroizing::new(token.to_owned()), user: user.map(str::to_owned) };
    let body = Bytes::from_owner(Zeroizing::new(serde_json::to_vec(&question)?));
    let answer = client::ask_control(&data_dir.path()?, Method::POST, PATH, body)?;
    let answer: TokenAnswer =
        serde_json::from_slice(&answer).context("the server's answer cannot be read")?;
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &answer)?;
        writeln!(out)?;
    } else {
        out.write_all(text(&answer).as_bytes())?;
    }
    Ok(if answer.verdict.reason.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(answer: &TokenAnswer) -> String {
    let database = answer.database.as_ref().map_or_else(
        || "none".to_owned(),
        |database| {
            let kind = database.kind.as_str();
            format!("{kind} {} in {}, {}", database.identifier, database.region, database.resource_id)
        },
    );
    let principal = answer.principal.as_deref().unwrap_or("not proven");
    let mut text = format!("{}\n\n", answer.verdict.sentence());
    for (label, value) in [
        ("principal", principal),
        ("access key", &answer.access_key_id),
        ("database", &database),
        ("endpoint", &answer.endpoint),
        ("user", &answer.user),
        ("time", &answer.time),
    ] {
        text.push_str(&format!("{label:<12}{}\n", printable(value)));
    }
    for note in &answer.notes {
        text.push_str(&format!("{:<12}{note}\n", "note"));
    }
    text
}
