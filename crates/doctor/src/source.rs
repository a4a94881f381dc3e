//! The caller's side of a token: which credentials there are and from where, the clock, the region, the token's size.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature;
use client::api::Clocks;
use client::{CredentialsError, Host, RegionChoiceError};
use iam::Region;

use crate::finding::{Finding, Step};
use crate::show::{moment, seconds};
use crate::{Engine, Environment};

/// The clock of AWS's servers may be this far from a signature's, in seconds; a token's is held to as much.
const SKEW_FAILS: u64 = 5 * 60;

/// A clock that is kept right is not this far off.
const SKEW_WARNS: u64 = 60;

/// The password that PostgreSQL 13 and older take of a client, in bytes.
const POSTGRES_13: usize = 995;

/// The password that pgbouncer before 1.19 takes.
const PGBOUNCER: usize = 2047;

/// Tells of the credentials.
pub(crate) fn explain_credentials(
    found: Result<&Credentials, &CredentialsError>,
    profile: Option<&str>,
    environment: &Environment<'_>,
    now: SystemTime,
) -> Finding {
    let step = Step::Credentials;
    let credentials = match found {
        Ok(credentials) => credentials,
        Err(error) => return none(error, profile, environment),
    };
    let id = credentials.access_key_id();
    let from = origin(credentials, profile, environment);
    let kind = if credentials.session_token().is_some() { "temporary, " } else { "" };
    let until = match credentials.expiry() {
        Some(end) => format!("until {}", moment(end.into())),
        None if credentials.session_token().is_some() => "until when is not said".to_owned(),
        None => "without an end".to_owned(),
    };
    let seen = format!("`{id}` from {from}, {kind}{until}");
    if id.starts_with("ASIA") && credentials.session_token().is_none() {
        return Finding::failed(step, format!("{seen}: a temporary key without its session token"))
            .expected(
                "AWS_SESSION_TOKEN (`aws_session_token` in a profile) beside a key that begins with ASIA",
            )
            .mend("set all three values of the session");
    }
    if is_from_environment(credentials)
        && let Some(named) = environment("AWS_PROFILE").filter(|named| !named.is_empty())
    {
        return Finding::warning(step, seen)
            .expected(format!("the credentials of profile `{named}`, which AWS_PROFILE names"))
            .mend("keys in the environment go before AWS_PROFILE: if they are not meant, ask for the profile with --profile")
            .run("or take them away", "unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN");
    }
    let left = credentials.expiry().map(|end| end.duration_since(now).unwrap_or_default().as_secs());
    if let Some(left) = left.filter(|left| *left < 15 * 60) {
        return Finding::warning(step, format!("{seen}: {} from now", seconds(left)))
            .expected("credentials that last longer than a token, 15 minutes")
            .mend("a token ends when they do: get new ones");
    }
    Finding::ok(step, seen)
}

fn none(error: &CredentialsError, profile: Option<&str>, environment: &Environment<'_>) -> Finding {
    let step = Step::Credentials;
    let set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
    // The message of the chain, and what its cause says: which profile is missing stands there.
    let text = causes(error);
    let finding = Finding::failed(step, text).expected("AWS credentials");
    if matches!(error, CredentialsError::Expired) {
        return finding
            .run("sign in again (profiles with SSO)", "aws sso login")
            .mend("or get a new session, and set its three values");
    }
    let profile =
        profile.map(str::to_owned).or_else(|| environment("AWS_PROFILE")).filter(|name| !name.is_empty());
    if set("AWS_ACCESS_KEY_ID") != set("AWS_SECRET_ACCESS_KEY") {
        return finding.mend("only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set: set both");
    }
    // The message itself has the advice for all cases.
    let cause = std::error::Error::source(error).map(causes).unwrap_or_default();
    if cause.to_ascii_lowercase().contains("sso") {
        return finding.run("sign in", "aws sso login");
    }
    if let Some(profile) = profile {
        let finding = finding.run("the profiles that there are", "aws configure list-profiles");
        let files = ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"].map(environment);
        let files: Vec<String> = files.into_iter().flatten().collect();
        let finding = if files.is_empty() {
            finding
        } else {
            finding.mend(format!("they are read from {}, as the environment says", files.join(" and ")))
        };
        return finding.run(
            format!("give profile `{profile}` keys"),
            format!("aws configure --profile {}", crate::show::word(&profile)),
        );
    }
    let looked = "looked for in the environment, in the profile `default`, as a web identity, as a container's role and as an instance's";
    let finding = finding.mend(looked.to_owned());
    let finding = if set("AWS_EC2_METADATA_DISABLED") {
        finding.mend("AWS_EC2_METADATA_DISABLED keeps from asking for an instance's role")
    } else {
        finding
    };
    finding
        .run("name a profile", "export AWS_PROFILE=NAME")
        .run("or give the default profile keys", "aws configure")
}

/// An error with its causes, each once.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

fn features(credentials: &Credentials) -> &[AwsCredentialFeature] {
    credentials.get_property::<Vec<AwsCredentialFeature>>().map_or(&[], Vec::as_slice)
}

fn is_from_environment(credentials: &Credentials) -> bool {
    features(credentials).contains(&AwsCredentialFeature::CredentialsEnvVars)
}

/// Where credentials come from, as those who provide them say.
fn origin(credentials: &Credentials, profile: Option<&str>, environment: &Environment<'_>) -> String {
    use AwsCredentialFeature as Feature;
    let features = features(credentials);
    let has = |feature: Feature| features.contains(&feature);
    let profile = || {
        let named = profile.map(str::to_owned).or_else(|| environment("AWS_PROFILE"));
        format!("profile `{}`", named.filter(|name| !name.is_empty()).as_deref().unwrap_or("default"))
    };
    let source = if has(Feature::CredentialsEnvVars) {
        "the environment (AWS_ACCESS_KEY_ID)".to_owned()
    } else if has(Feature::CredentialsSso) {
        format!("AWS SSO, by {}", profile())
    } else if has(Feature::CredentialsProcess) {
        format!("the process of {}", profile())
    } else if has(Feature::CredentialsProfileStsWebIdToken) {
        "a web identity (AWS_WEB_IDENTITY_TOKEN_FILE, or a profile's)".to_owned()
    } else if has(Feature::CredentialsHttp) {
        "the container's role".to_owned()
    } else if has(Feature::CredentialsImds) {
        "the instance's role (IMDS)".to_owned()
    } else if has(Feature::CredentialsProfile) {
        profile()
    } else {
        "the chain of the AWS SDK".to_owned()
    };
    if has(Feature::CredentialsStsAssumeRole) { format!("{source}, by assuming a role") } else { source }
}

/// Tells of the clock.
pub(crate) fn explain_clock(clocks: &Clocks) -> Finding {
    let (ahead, skew) = match clocks.local.duration_since(clocks.server) {
        Ok(ahead) => (true, ahead.as_secs()),
        Err(behind) => (false, behind.duration().as_secs()),
    };
    let way = if ahead { "ahead of" } else { "behind" };
    let seen = if skew <= 1 {
        format!("that of {}", clocks.url)
    } else {
        format!("{} {way} that of {}", seconds(skew), clocks.url)
    };
    let off = if skew >= SKEW_FAILS {
        Finding::failed(Step::Clock, format!("this machine's clock is {seen}"))
    } else if skew >= SKEW_WARNS {
        Finding::warning(Step::Clock, format!("this machine's clock is {seen}"))
    } else {
        return Finding::ok(Step::Clock, seen);
    };
    off.expected("clocks that agree: a token is valid for 15 minutes from the time in it, and refused if that lies ahead")
        .run("have the clock set from the network", "timedatectl set-ntp true")
        .run("or, with chrony, now", "chronyc makestep")
}

/// Tells of the region.
pub(crate) fn explain_region(
    host: &Host,
    asked: Option<&Region>,
    chosen: &Result<Region, RegionChoiceError>,
) -> Finding {
    match chosen {
        Ok(region) => {
            let by = if host.rds().is_some_and(|rds| rds.region.is_some()) {
                "as the host name says"
            } else if asked.is_some() {
                "as --region says"
            } else {
                "as the environment or the profile says"
            };
            Finding::ok(Step::Region, format!("{region}, {by}"))
        }
        Err(error) => {
            let finding = Finding::failed(Step::Region, error.to_string())
                .expected("the region of the database, which the token must name");
            match error {
                RegionChoiceError::Contradiction { named, .. } => {
                    finding.run("leave --region out, or give the host's", format!("--region {named}"))
                }
                RegionChoiceError::Global { .. } => finding.run(
                    "look up where the writer is",
                    "aws rds describe-global-clusters --query 'GlobalClusters[].GlobalClusterMembers[?IsWriter].DBClusterArn'",
                ),
                _ => finding.run("say it", "export AWS_REGION=us-east-1   # the database's"),
            }
        }
    }
}

/// Tells of a token by its size; it is never shown.
pub(crate) fn explain_token(
    size: usize,
    engine: Option<Engine>,
    version: Option<&str>,
    amazon: bool,
) -> Finding {
    let seen = format!("{size} characters, valid for 15 minutes");
    if engine != Some(Engine::Postgres) || size <= POSTGRES_13 {
        return Finding::ok(Step::Token, seen);
    }
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    if !amazon && major.is_some_and(|major| major <= 13) {
        return Finding::warning(Step::Token, seen)
            .expected(format!("at most {POSTGRES_13} characters: PostgreSQL 13 cuts longer passwords"))
            .mend("log in with a user's key, whose token is short, or upgrade the server");
    }
    let limit = if size > PGBOUNCER {
        format!("; PostgreSQL 13 cuts it at {POSTGRES_13}, pgbouncer before 1.19 at {PGBOUNCER}")
    } else {
        format!("; PostgreSQL 13 cuts it at {POSTGRES_13}")
    };
    Finding::ok(Step::Token, seen + &limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;
    use std::time::Duration;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn credentials(
        id: &str,
        session: Option<&str>,
        end: Option<u64>,
        features: &[AwsCredentialFeature],
    ) -> Credentials {
        let end = end.map(|end| SystemTime::UNIX_EPOCH + Duration::from_secs(end));
        let session = session.map(str::to_owned);
        let mut credentials = Credentials::new(id, "SECRET", session, end, "test");
        *credentials.get_property_mut_or_default::<Vec<AwsCredentialFeature>>() = features.to_vec();
        credentials
    }

    fn told(credentials: &Credentials, profile: Option<&str>) -> Finding {
        let finding = explain_credentials(Ok(credentials), profile, &nothing, SystemTime::UNIX_EPOCH);
        let text = serde_json::to_string(&finding).unwrap();
        assert!(!text.contains("SECRET") && !text.contains("S3SSI0N"), "{text}");
        finding
    }

    #[test]
    fn credentials_and_where_they_are_from() {
        use AwsCredentialFeature::*;
        let of =
            |features: &[AwsCredentialFeature]| told(&credentials("AKIA1", None, None, features), None).seen;
        assert_eq!(
            of(&[CredentialsEnvVars]),
            "`AKIA1` from the environment (AWS_ACCESS_KEY_ID), without an end"
        );
        assert!(of(&[CredentialsProfile]).contains("from profile `default`"));
        assert!(of(&[CredentialsSso, CredentialsProfile]).contains("AWS SSO, by profile"));
        assert!(of(&[CredentialsProcess]).contains("the process of"));
        assert!(of(&[CredentialsImds]).contains("IMDS"));
        assert!(of(&[CredentialsHttp]).contains("container"));
        assert!(
            of(&[CredentialsProfile, CredentialsStsAssumeRole])
                .ends_with("by assuming a role, without an end")
        );

        let session = told(&credentials("ASIA1", Some("S3SSI0N"), Some(3600), &[]), Some("x"));
        assert!(session.seen.contains("temporary, until 1970-01-01 01:00:00 UTC"), "{session:?}");
        assert_eq!(session.status, Status::Ok);
        assert_eq!(told(&credentials("ASIA1", Some("S3SSI0N"), Some(60), &[]), None).status, Status::Warning);
        assert_eq!(told(&credentials("ASIA1", None, None, &[]), None).status, Status::Failed);
        let both = |name: &str| (name == "AWS_PROFILE").then(|| "work".to_owned());
        let environment = credentials("AKIA1", None, None, &[CredentialsEnvVars]);
        let shadowed = explain_credentials(Ok(&environment), None, &both, SystemTime::UNIX_EPOCH);
        assert!(shadowed.expected.as_ref().unwrap().contains("profile `work`"), "{shadowed:?}");
    }

    #[test]
    fn no_credentials() {
        use aws_credential_types::provider::error::CredentialsError as Cause;
        let none = |profile: Option<&str>, set: &'static [(&str, &str)]| {
            let environment = move |name: &str| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            let source = Cause::not_loaded("no providers in chain provided credentials");
            let error = CredentialsError::NotFound { profile: profile.map(str::to_owned), source };
            let finding = explain_credentials(Err(&error), profile, &environment, SystemTime::UNIX_EPOCH);
            assert_eq!(finding.status, Status::Failed);
            serde_json::to_string(&finding).unwrap()
        };
        assert!(none(None, &[]).contains("aws configure"));
        assert!(none(Some("x"), &[]).contains("list-profiles"));
        assert!(none(None, &[("AWS_PROFILE", "y"), ("AWS_CONFIG_FILE", "/c")]).contains("read from /c"));
        assert!(none(None, &[("AWS_ACCESS_KEY_ID", "AKIA1")]).contains("only one of"));
        let expired =
            explain_credentials(Err(&CredentialsError::Expired), None, &nothing, SystemTime::UNIX_EPOCH);
        assert_eq!(expired.mend[0].command.as_deref(), Some("aws sso login"));
    }

    #[test]
    fn clocks() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let told = |server: u64, local: u64| {
            explain_clock(&Clocks { url: "http://h/".to_owned(), server: at(server), local: at(local) })
        };
        assert_eq!(told(1000, 1059).status, Status::Ok);
        let finding = told(1000, 1060);
        assert_eq!(finding.status, Status::Warning);
        assert!(finding.seen.contains("60 s ahead of"), "{finding:?}");
        let finding = told(1600, 1000);
        assert_eq!(finding.status, Status::Failed);
        assert!(finding.seen.contains("10 min behind"), "{finding:?}");
    }

    #[test]
    fn tokens_by_their_size() {
        let told = |size, engine, version, amazon| explain_token(size, Some(engine), version, amazon);
        assert_eq!(told(400, Engine::Postgres, Some("13.4"), false).status, Status::Ok);
        assert_eq!(told(1500, Engine::Postgres, Some("13.4"), false).status, Status::Warning);
        assert_eq!(told(1500, Engine::Postgres, Some("13.4"), true).status, Status::Ok);
        assert!(told(3000, Engine::Postgres, None, false).seen.contains("pgbouncer"));
        assert!(!told(3000, Engine::MySql, None, false).seen.contains("pgbouncer"));
    }
}
