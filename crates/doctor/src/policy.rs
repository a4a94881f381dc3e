//! Who the caller is, and what its policies say of the login.

use client::api::{Api, ApiError, Decision, Found, Identity, Simulation};
use iam::Region;
use serde_json::json;

use crate::finding::{Finding, Step};
use crate::show::word;

/// What a login asks for.
const ACTION: &str = "rds-db:connect";

/// Tells whose credentials these are.
pub(crate) fn explain_caller(caller: Result<&Identity, &ApiError>) -> Finding {
    let step = Step::Caller;
    let error = match caller {
        Ok(identity) => return Finding::ok(step, identity.arn.to_string()),
        Err(error) => error,
    };
    let failed = || {
        Finding::failed(step, error.to_string()).expected("credentials that AWS, or the Countersign, takes")
    };
    match error.code() {
        Some("ExpiredToken" | "ExpiredTokenException") => failed()
            .run("the session is over: sign in again (profiles with SSO)", "aws sso login")
            .mend("or get a new session, and set its three values"),
        Some("InvalidClientTokenId" | "UnrecognizedClientException") => failed()
            .mend("the key does not exist or is inactive, or is another partition's or another Countersign's: look at AWS_ENDPOINT_URL, and at the keys of the user")
            .run("the user's keys", "aws iam list-access-keys --user-name USER"),
        Some("SignatureDoesNotMatch") if error.to_string().contains("Signature expired") || error.to_string().contains("not yet current") => {
            failed().run("set this machine's clock", "timedatectl set-ntp true")
        }
        Some("SignatureDoesNotMatch") => failed().run(
            "the secret access key does not belong to the key id: set both anew",
            "aws configure",
        ),
        _ => Finding::skipped(step, error.to_string()),
    }
}

/// The database user, as policies name it.
pub(crate) fn resource(identity: &Identity, region: &Region, found: &Found, user: &str) -> String {
    let partition = identity.arn.partition();
    format!("arn:{partition}:rds-db:{region}:{}:dbuser:{}/{user}", identity.account, found.resource_id)
}

/// Asks the simulator, and tells what it says.
pub(crate) async fn examine(api: &Api, identity: &Identity, found: &Found, user: &str) -> Finding {
    let resource = resource(identity, api.region(), found, user);
    let Some(principal) = identity.principal() else {
        return Finding::skipped(
            Step::Policy,
            format!("`{}` is no user or role, whose policies can be asked for", identity.arn),
        );
    };
    // A session does not tell its role's path. Whoever may not ask for it gets by without, for most roles have none.
    let principal = match identity.role() {
        Some(role) => api.role_arn(role).await.unwrap_or(principal),
        None => principal,
    };
    match api.simulate(&principal, ACTION, &resource).await {
        Ok(simulation) => explain(identity, &principal, found, user, &resource, &simulation),
        Err(error) if error.is_denied() => Finding::skipped(
            Step::Policy,
            format!("these credentials may not ask (iam:SimulatePrincipalPolicy): {error}"),
        ),
        Err(error) => Finding::skipped(Step::Policy, error.to_string()),
    }
}

fn explain(
    identity: &Identity,
    principal: &str,
    found: &Found,
    user: &str,
    resource: &str,
    simulation: &Simulation,
) -> Finding {
    let step = Step::Policy;
    let matched: Vec<&str> =
        simulation.matched.iter().map(|statement| statement.source_policy_id.as_str()).collect();
    let matched =
        if matched.is_empty() { "no statement".to_owned() } else { format!("`{}`", matched.join("`, `")) };
    let missing = if simulation.missing_context.is_empty() {
        String::new()
    } else {
        format!("; not known to the simulator: {}", simulation.missing_context.join(", "))
    };
    let expected = format!("that `{principal}` may {ACTION} on `{resource}`");
    match simulation.decision {
        Decision::Allowed => {
            let session = if identity.role().is_some() { "; a policy of the session itself was not asked" } else { "" };
            Finding::ok(step, format!("allowed by {matched}{missing}{session}"))
        }
        Decision::ExplicitDeny => Finding::failed(step, format!("denied by {matched}{missing}"))
            .expected(expected)
            .mend("a Deny goes before every Allow: take the statement away, or except this login from it by a condition"),
        Decision::ImplicitDeny if simulation.allowed_by_boundary == Some(false) => {
            Finding::failed(step, format!("the permissions boundary does not allow it{missing}"))
                .expected(expected)
                .mend(format!("add a statement to the boundary: {}", document(resource)))
        }
        Decision::ImplicitDeny if simulation.allowed_by_organizations == Some(false) => {
            Finding::failed(step, format!("a service control policy does not allow it{missing}"))
                .expected(expected)
                .mend("have whoever administers the organization allow rds-db:connect")
        }
        Decision::ImplicitDeny => {
            let seen = if missing.is_empty() {
                format!("{matched} allows it")
            } else {
                format!("{matched} allows it without its conditions{missing}")
            };
            let finding = Finding::failed(step, seen).expected(expected);
            let policy = format!("--policy-name rds-db-connect --policy-document {}", word(&document(resource)));
            let finding = match (identity.user(), identity.role()) {
                (Some(name), _) => finding
                    .run("allow it", format!("aws iam put-user-policy --user-name {} {policy}", word(name))),
                (_, Some(role)) if role.starts_with("AWSReservedSSO_") => finding.mend(format!(
                    "add to the permission set in IAM Identity Center: {}",
                    document(resource)
                )),
                (_, Some(role)) => finding
                    .run("allow it", format!("aws iam put-role-policy --role-name {} {policy}", word(role))),
                _ => finding.mend(format!("allow it by a policy: {}", document(resource))),
            };
            finding.run(
                "or write the policy to a file, to attach it yourself",
                format!(
                    "countersign policy generate --resource-id {} --region {} --account-id {} --user {}",
                    found.resource_id,
                    resource.split(':').nth(3).unwrap_or_default(),
                    identity.account,
                    word(user)
                ),
            )
        }
    }
}

/// The policy that allows just this login. What would be a wildcard in a name stands for itself.
fn document(resource: &str) -> String {
    let (arn, user) = resource.rsplit_once('/').unwrap_or((resource, ""));
    let mut literal = String::new();
    for c in user.chars() {
        match c {
            '*' | '?' | '$' => literal.push_str(&format!("${{{c}}}")),
            c => literal.push(c),
        }
    }
    json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ACTION, "Resource": format!("{arn}/{literal}")}],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;
    use crate::testing::found;
    use client::api::Matched;

    fn identity(arn: &str) -> Identity {
        Identity { arn: arn.parse().unwrap(), account: "123456789012".to_owned() }
    }

    fn simulation(decision: Decision, matched: &[&str]) -> Simulation {
        let matched = matched
            .iter()
            .map(|id| Matched { source_policy_id: (*id).to_owned(), source_policy_type: None })
            .collect();
        Simulation {
            decision,
            matched,
            missing_context: Vec::new(),
            allowed_by_boundary: None,
            allowed_by_organizations: None,
        }
    }

    fn told(arn: &str, simulation: &Simulation) -> Finding {
        let identity = identity(arn);
        let resource = resource(&identity, &"us-east-1".parse().unwrap(), &found(), "app");
        explain(&identity, &identity.principal().unwrap(), &found(), "app", &resource, simulation)
    }

    const USER: &str = "arn:aws:iam::123456789012:user/team/jane";
    const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/App/i-1";

    #[test]
    fn the_commands_that_allow_it() {
        let none = simulation(Decision::ImplicitDeny, &[]);
        let finding = told(USER, &none);
        assert_eq!((finding.status, finding.seen.as_str()), (Status::Failed, "no statement allows it"));
        assert_eq!(
            finding.mend[0].command.as_deref(),
            Some(
                "aws iam put-user-policy --user-name jane --policy-name rds-db-connect --policy-document \
                 '{\"Statement\":[{\"Action\":\"rds-db:connect\",\"Effect\":\"Allow\",\"Resource\":\
                 \"arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/app\"}],\"Version\":\"2012-10-17\"}'"
            )
        );
        assert_eq!(
            finding.mend[1].command.as_deref(),
            Some(
                "countersign policy generate --resource-id db-ABCDEFGHIJKLMNOPQRSTUVWXYZ --region us-east-1 --account-id \
                 123456789012 --user app"
            )
        );
        assert!(
            told(ROLE, &none).mend[0].command.as_ref().unwrap().contains("put-role-policy --role-name App")
        );
        let sso = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Dev_0123456789abcdef/jane";
        assert!(told(sso, &none).mend[0].what.contains("permission set"));
    }

    #[test]
    fn what_the_simulator_says() {
        assert_eq!(told(USER, &simulation(Decision::Allowed, &["p"])).seen, "allowed by `p`");
        assert!(told(ROLE, &simulation(Decision::Allowed, &["p"])).seen.contains("session"));
        let denied = told(USER, &simulation(Decision::ExplicitDeny, &["a", "b"]));
        assert_eq!(denied.seen, "denied by `a`, `b`");
        let boundary =
            Simulation { allowed_by_boundary: Some(false), ..simulation(Decision::ImplicitDeny, &[]) };
        assert!(told(USER, &boundary).seen.contains("boundary"));
        let scp =
            Simulation { allowed_by_organizations: Some(false), ..simulation(Decision::ImplicitDeny, &[]) };
        assert!(told(USER, &scp).seen.contains("service control policy"));
        let unknown = Simulation {
            missing_context: vec!["aws:SourceIp".to_owned()],
            ..simulation(Decision::ImplicitDeny, &[])
        };
        assert!(told(USER, &unknown).seen.contains("aws:SourceIp"));
    }

    #[test]
    fn callers() {
        let refused = |code: &str, message: &str| {
            let error = ApiError::Refused {
                operation: "GetCallerIdentity",
                code: code.to_owned(),
                message: message.to_owned(),
            };
            explain_caller(Err(&error))
        };
        assert_eq!(refused("ExpiredToken", "x").mend[0].command.as_deref(), Some("aws sso login"));
        assert!(refused("InvalidClientTokenId", "x").mend[0].what.contains("inactive"));
        assert_eq!(refused("SignatureDoesNotMatch", "x").mend[0].command.as_deref(), Some("aws configure"));
        let late = refused("SignatureDoesNotMatch", "Signature expired: x is now earlier than y");
        assert!(late.mend[0].command.as_ref().unwrap().contains("timedatectl"));
        assert_eq!(refused("InternalFailure", "x").status, Status::Skipped);
        assert_eq!(explain_caller(Ok(&identity(USER))).seen, USER);
    }

    #[test]
    fn a_wildcard_in_a_name_stands_for_itself() {
        assert!(document("arn:aws:rds-db:r:1:dbuser:db-X/a*?$").contains("/a${*}${?}${$}"));
    }
}
