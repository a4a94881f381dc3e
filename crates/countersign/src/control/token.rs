//! Whether a token lets its user in, and why not: the decision of the doors, without the login. It is in no metric and in no
//! audit record, for nobody logs in.

use super::Control;
use super::database::{self, DatabaseAnswer};
use super::explain::Verdict;
use super::refusal::Refusal;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use iam::{Authorization, ConnectRequest, Decision, Reason, may_connect};
use sigv4::Timestamp;
use sigv4::rds_token::Token;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Where it is asked, with a [`TokenQuestion`] as JSON.
pub(crate) const PATH: &str = "/token";

/// A token, and who logs in with it.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct TokenQuestion {
    pub(crate) token: Zeroizing<String>,
    /// The token's own user where it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
}

/// What a door would say, and why.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct TokenAnswer {
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    /// The ARN of the principal, where the signature proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) principal: Option<String>,
    /// The access key that the token names.
    pub(crate) access_key_id: String,
    /// The database that the token is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<DatabaseAnswer>,
    /// `host:port` of the token.
    pub(crate) endpoint: String,
    /// The database user who would log in.
    pub(crate) user: String,
    /// The server's clock.
    pub(crate) time: String,
    /// The revision of the snapshot that it was decided from.
    pub(crate) revision: u64,
    /// Sentences about what is otherwise at a login.
    pub(crate) notes: Vec<String>,
}

pub(super) async fn show(
    State(control): State<Arc<Control>>,
    question: Bytes,
) -> Result<Json<TokenAnswer>, Refusal> {
    // The parser's error would repeat what it read.
    let question: TokenQuestion = serde_json::from_slice(&question)
        .map_err(|_| Refusal::wrong("the question is not `token` and `user` as JSON"))?;
    control.verify(&question).await.map(Json)
}

impl Control {
    async fn verify(&self, question: &TokenQuestion) -> Result<TokenAnswer, Refusal> {
        let token = Token::parse(&question.token).map_err(|error| Refusal::wrong(error.to_string()))?;
        let user = question.user.clone().unwrap_or_else(|| token.user().into_owned());
        let endpoint = format!("{}:{}", token.host(), token.port());
        let databases = database::all(&self.records, self.account).await?;
        let snapshot = self.published.current();
        let answers = |database: &&DatabaseAnswer| {
            let known = snapshot.database(&database.resource_id);
            known.is_some_and(|known| known.answers_at(token.host(), token.port()))
        };
        let database = databases.iter().find(answers);
        let now = Timestamp::from_unix((self.clock)().unix_timestamp());
        let (verdict, principal) = match database {
            None => {
                let detail = format!("no database here answers at `{endpoint}`; {}", self.endpoints().await?);
                (Verdict { detail, ..Verdict::refused(Reason::WrongEndpoint) }, None)
            }
            Some(database) => {
                let request = ConnectRequest {
                    database: &database.resource_id,
                    user: &user,
                    token: &question.token,
                    source_ip: None,
                };
                verdict(&may_connect(&snapshot, now, &request))
            }
        };
        let mut notes = Vec::new();
        if self.source_ip {
            notes.push(
                "at a login policies see the client's address as `aws:SourceIp`, here they do not".to_owned(),
            );
        }
        Ok(TokenAnswer {
            verdict,
            principal,
            access_key_id: token.access_key_id().to_owned(),
            database: database.cloned(),
            endpoint,
            user,
            time: now.iso8601().as_str().to_owned(),
            revision: snapshot.revision(),
            notes,
        })
    }

    /// The end of a sentence: where there are databases.
    async fn endpoints(&self) -> Result<String, Refusal> {
        const SHOWN: usize = 8;
        let status = self.status().await?;
        let known: Vec<String> = status.databases.iter().map(|d| format!("`{}`", d.endpoint)).collect();
        let more = known.len().saturating_sub(SHOWN);
        Ok(match (known.is_empty(), more) {
            (true, _) => "there are no databases".to_owned(),
            (false, 0) => format!("there are {}", known.join(", ")),
            (false, more) => {
                let shown: Vec<String> = known.into_iter().take(SHOWN).collect();
                format!("there are {} and {more} more", shown.join(", "))
            }
        })
    }
}

fn verdict(decision: &Decision<'_>) -> (Verdict, Option<String>) {
    match decision {
        Decision::Allowed(allowed) => {
            (Verdict::of(&Authorization::Allowed(allowed.decided_by)), Some(allowed.principal.to_owned()))
        }
        Decision::Refused(refused) => {
            let verdict = match refused.denial {
                Some(denial) => Verdict::of(&Authorization::Denied(denial)),
                None => Verdict::refused(refused.reason),
            };
            (verdict, refused.principal.map(str::to_owned))
        }
    }
}
