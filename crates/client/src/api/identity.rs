//! IAM and STS: who the caller is, and whether its policies let it log in.

use iam::Arn;
use serde::Deserialize;

use super::{Api, ApiError, Service};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user's, or of a session `arn:aws:sts::123456789012:assumed-role/Role/session`.
    pub arn: Arn,
    /// The twelve digits.
    pub account: String,
}

impl Identity {
    /// Whose policies count: the user, or the role of a session. A role's path is not part of its sessions' names; it is
    /// looked up where it matters. The account's root and federated users have no policies of their own to ask for.
    pub fn principal(&self) -> Option<String> {
        let resource = self.arn.resource();
        match (self.arn.service(), resource.split('/').collect::<Vec<_>>().as_slice()) {
            ("iam", ["user" | "role", _, ..]) => Some(self.arn.to_string()),
            ("sts", ["assumed-role", role, _]) => {
                Some(format!("arn:{}:iam::{}:role/{role}", self.arn.partition(), self.arn.account()))
            }
            _ => None,
        }
    }

    /// The name of the role whose session this is.
    pub fn role(&self) -> Option<&str> {
        self.arn.resource().strip_prefix("assumed-role/")?.split('/').next()
    }

    /// The name of the user that this is.
    pub fn user(&self) -> Option<&str> {
        self.arn.resource().strip_prefix("user/")?.rsplit('/').next()
    }
}

/// What the policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it, none denies it, nothing limits it.
    Allowed,
    /// A statement denies it.
    ExplicitDeny,
    /// None allows it, or something limits it.
    ImplicitDeny,
}

/// A statement that had a say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Matched {
    /// The policy, as IAM names it here: for an inline policy `user_jane_inline`.
    pub source_policy_id: String,
    /// Such as `IAM Policy` or `Permissions Boundary`; not always said.
    #[serde(default)]
    pub source_policy_type: Option<String>,
}

/// What a simulation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// The decision.
    pub decision: Decision,
    /// The statements that made it so; none where nothing matched.
    pub matched: Vec<Matched>,
    /// Context keys that policies ask for and the simulator did not know.
    pub missing_context: Vec<String>,
    /// What the permissions boundary says; none where there is none.
    pub allowed_by_boundary: Option<bool>,
    /// What service control policies say; none where there are none.
    pub allowed_by_organizations: Option<bool>,
}

#[derive(Deserialize)]
struct CallerIdentityResponse {
    #[serde(rename = "GetCallerIdentityResult")]
    result: CallerIdentity,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CallerIdentity {
    arn: Arn,
    account: String,
}

#[derive(Deserialize)]
struct RoleResponse {
    #[serde(rename = "GetRoleResult")]
    result: RoleResult,
}

#[derive(Deserialize)]
struct RoleResult {
    #[serde(rename = "Role")]
    role: Role,
}

#[derive(Deserialize)]
struct Role {
    #[serde(rename = "Arn")]
    arn: String,
}

#[derive(Deserialize)]
struct SimulationResponse {
    #[serde(rename = "SimulatePrincipalPolicyResult")]
    result: Results,
}

#[derive(Deserialize)]
struct Results {
    #[serde(rename = "EvaluationResults", default)]
    results: Members<Evaluation>,
}

#[derive(Deserialize)]
struct Members<T> {
    #[serde(default = "Vec::new")]
    member: Vec<T>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self { member: Vec::new() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Evaluation {
    eval_decision: String,
    #[serde(default)]
    matched_statements: Members<Matched>,
    #[serde(default)]
    missing_context_values: Members<String>,
    #[serde(default)]
    permissions_boundary_decision_detail: Option<Boundary>,
    #[serde(default)]
    organizations_decision_detail: Option<Organizations>,
}

#[derive(Deserialize)]
struct Boundary {
    #[serde(rename = "AllowedByPermissionsBoundary")]
    allowed: Option<bool>,
}

#[derive(Deserialize)]
struct Organizations {
    #[serde(rename = "AllowedByOrganizations")]
    allowed: Option<bool>,
}

impl Api {
    /// Whose credentials these are: `sts:GetCallerIdentity`, which nobody can be kept from.
    ///
    /// # Errors
    /// [`ApiError`]; `InvalidClientTokenId` for a key that there is not.
    pub async fn caller(&self) -> Result<Identity, ApiError> {
        let CallerIdentityResponse { result } = self.call(Service::Sts, "GetCallerIdentity", &[]).await?;
        Ok(Identity { arn: result.arn, account: result.account })
    }

    /// The name of a role with its path: `iam:GetRole`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn role_arn(&self, name: &str) -> Result<String, ApiError> {
        let RoleResponse { result } = self.call(Service::Iam, "GetRole", &[("RoleName", name)]).await?;
        Ok(result.role.arn)
    }

    /// What the policies of `principal`, a user or role, say of `action` on `resource`: `iam:SimulatePrincipalPolicy`.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn simulate(
        &self,
        principal: &str,
        action: &str,
        resource: &str,
    ) -> Result<Simulation, ApiError> {
        let operation = "SimulatePrincipalPolicy";
        let parameters = [
            ("PolicySourceArn", principal),
            ("ActionNames.member.1", action),
            ("ResourceArns.member.1", resource),
        ];
        let SimulationResponse { result } = self.call(Service::Iam, operation, &parameters).await?;
        result.results.member.into_iter().next().and_then(Evaluation::read).ok_or_else(|| ApiError::Foreign {
            url: self.endpoint(Service::Iam).map(|endpoint| endpoint.uri().to_string()).unwrap_or_default(),
            operation,
            status: 200,
            reason: "it has no decision".to_owned(),
        })
    }
}

impl Evaluation {
    fn read(self) -> Option<Simulation> {
        let decision = match self.eval_decision.as_str() {
            "allowed" => Decision::Allowed,
            "explicitDeny" => Decision::ExplicitDeny,
            "implicitDeny" => Decision::ImplicitDeny,
            _ => return None,
        };
        Some(Simulation {
            decision,
            matched: self.matched_statements.member,
            missing_context: self.missing_context_values.member,
            allowed_by_boundary: self.permissions_boundary_decision_detail.and_then(|detail| detail.allowed),
            allowed_by_organizations: self.organizations_decision_detail.and_then(|detail| detail.allowed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::read;

    fn identity(arn: &str) -> Identity {
        Identity { arn: arn.parse().unwrap(), account: "123456789012".to_owned() }
    }

    #[test]
    fn whose_policies_count() {
        for (arn, principal) in [
            ("arn:aws:iam::123456789012:user/team/jane", Some("arn:aws:iam::123456789012:user/team/jane")),
            (
                "arn:aws-cn:sts::123456789012:assumed-role/App/i-0abc",
                Some("arn:aws-cn:iam::123456789012:role/App"),
            ),
            ("arn:aws:iam::123456789012:root", None),
            ("arn:aws:sts::123456789012:federated-user/bob", None),
        ] {
            assert_eq!(identity(arn).principal().as_deref(), principal, "{arn}");
        }
        assert_eq!(identity("arn:aws:sts::123456789012:assumed-role/App/i-0abc").role(), Some("App"));
        assert_eq!(identity("arn:aws:iam::123456789012:user/team/jane").user(), Some("jane"));
    }

    #[test]
    fn the_callers_identity_is_read() {
        let body = br#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>arn:aws:sts::123456789012:assumed-role/App/session</Arn>
    <UserId>AROA123456789EXAMPLE:session</UserId>
    <Account>123456789012</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata><RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>"#;
        let CallerIdentityResponse { result } = read("GetCallerIdentity", 200, body).unwrap();
        assert_eq!(result.account, "123456789012");
        assert_eq!(result.arn.resource(), "assumed-role/App/session");
    }

    #[test]
    fn simulations_are_read() {
        let body = |inner: &str| {
            format!(
                r#"<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">
  <SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults><member>
    <EvalActionName>rds-db:connect</EvalActionName><EvalResourceName>*</EvalResourceName>
    {inner}
  </member></EvaluationResults></SimulatePrincipalPolicyResult>
  <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>"#
            )
        };
        let simulation = |inner: &str| {
            let SimulationResponse { result } =
                read("SimulatePrincipalPolicy", 200, body(inner).as_bytes()).unwrap();
            result.results.member.into_iter().next().unwrap().read()
        };
        let denied = simulation(
            "<EvalDecision>explicitDeny</EvalDecision><MatchedStatements><member>
               <SourcePolicyId>user_jane_deny</SourcePolicyId><SourcePolicyType>IAM Policy</SourcePolicyType>
               <StartPosition><Line>1</Line><Column>3</Column></StartPosition></member>
               <member><SourcePolicyId>other</SourcePolicyId></member></MatchedStatements>
             <MissingContextValues/>
             <OrganizationsDecisionDetail><AllowedByOrganizations>true</AllowedByOrganizations></OrganizationsDecisionDetail>",
        )
        .unwrap();
        assert_eq!(denied.decision, Decision::ExplicitDeny);
        assert_eq!(denied.matched.len(), 2);
        assert_eq!(denied.matched[0].source_policy_id, "user_jane_deny");
        assert_eq!(denied.allowed_by_organizations, Some(true));
        let limited = simulation(
            "<EvalDecision>implicitDeny</EvalDecision><MatchedStatements/>
             <MissingContextValues><member>aws:SourceIp</member></MissingContextValues>
             <PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>false</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>",
        )
        .unwrap();
        assert_eq!((limited.decision, limited.allowed_by_boundary), (Decision::ImplicitDeny, Some(false)));
        assert_eq!(limited.missing_context, ["aws:SourceIp"]);
        assert_eq!(simulation("<EvalDecision>perhaps</EvalDecision>"), None);
    }
}
