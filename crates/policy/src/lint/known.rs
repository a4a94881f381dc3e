//! What AWS documents about the services a policy here is about: their actions, and the condition keys with the type of
//! their values. Facts only; the lists of actions are text files beside this, one name a line.
//!
//! Sources: the operations of botocore's service models, and the Service Authorization Reference for the actions that
//! are permissions without an operation, for the keys and for their types.

/// A service whose actions are all known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    /// `rds-db`
    pub(super) name: &'static str,
    actions: &'static str,
}

impl Service {
    /// The names of its actions, without the service.
    pub(super) fn actions(self) -> impl Iterator<Item = &'static str> {
        self.actions.lines()
    }
}

const SERVICES: [Service; 4] = [
    Service { name: "rds-db", actions: include_str!("known/rds-db.txt") },
    Service { name: "rds", actions: include_str!("known/rds.txt") },
    Service { name: "iam", actions: include_str!("known/iam.txt") },
    Service { name: "sts", actions: include_str!("known/sts.txt") },
];

/// The service of a prefix, whatever its case.
pub(super) fn service(prefix: &str) -> Option<Service> {
    SERVICES.into_iter().find(|service| service.name.eq_ignore_ascii_case(prefix))
}

/// What the values of a condition key are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Text.
    Text,
    /// Text that somebody chose, a number or a date as well: tags.
    Free,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// A point in time.
    Date,
    /// A point in time in seconds: dates and numbers alike.
    Epoch,
    /// An IP address.
    Address,
    /// An ARN.
    Arn,
}

impl Type {
    /// With its article, to end a sentence.
    pub(super) fn phrase(self) -> &'static str {
        match self {
            Self::Text | Self::Free => "text",
            Self::Number => "a number",
            Self::Bool => "`true` or `false`",
            Self::Date | Self::Epoch => "a point in time",
            Self::Address => "an IP address",
            Self::Arn => "an ARN",
        }
    }

    /// The operators made for it.
    pub(super) fn operators(self) -> &'static str {
        match self {
            Self::Text | Self::Free => "`StringEquals` or `StringLike`",
            Self::Number => "`NumericEquals`, `NumericLessThan` and the like",
            Self::Bool => "`Bool`",
            Self::Date => "`DateLessThan`, `DateGreaterThan` and the like",
            Self::Epoch => "`DateLessThan`, `NumericLessThan` and the like",
            Self::Address => "`IpAddress` or `NotIpAddress`",
            Self::Arn => "`ArnEquals` or `ArnLike`",
        }
    }
}

/// Whether `rds-db:connect` gives a key a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtConnect {
    /// It may.
    Given,
    /// Only where the operator switched it on.
    Optional,
    /// It may on AWS, but not here.
    NotHere,
    /// Never, neither on AWS nor here.
    Never,
}

impl AtConnect {
    /// That the key has no value at a login, and what follows.
    pub(super) fn sentence(self, key: &str, follows: &str) -> String {
        match self {
            Self::Given | Self::Never => {
                format!("`{key}` never has a value at `rds-db:connect`, so {follows}")
            }
            Self::NotHere => {
                format!("Countersign gives `{key}` no value at `rds-db:connect`, so {follows} there")
            }
            Self::Optional => format!(
                "`{key}` has a value at `rds-db:connect` only on a server with `source-ip` switched on; \
                 otherwise {follows}"
            ),
        }
    }
}

/// A condition key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// As documented; where it ends in `/`, a tag's name or the like follows.
    pub(super) name: &'static str,
    pub(super) values: Type,
    /// A request may have many values of it.
    pub(super) many: bool,
    pub(super) at_connect: AtConnect,
}

impl Key {
    /// Whether a name is to follow.
    pub(super) fn is_family(&self) -> bool {
        self.name.ends_with('/')
    }
}

const fn one(name: &'static str, values: Type) -> Key {
    Key { name, values, many: false, at_connect: AtConnect::Given }
}

const fn many(name: &'static str, values: Type) -> Key {
    Key { name, values, many: true, at_connect: AtConnect::Given }
}

const fn not_here(key: Key) -> Key {
    Key { at_connect: AtConnect::NotHere, ..key }
}

const fn never(key: Key) -> Key {
    Key { at_connect: AtConnect::Never, ..key }
}

/// The namespaces of which every key is in [`KEYS`].
const NAMESPACES: [&str; 5] = ["aws", "rds-db", "rds", "iam", "sts"];

/// Whether the keys of this namespace are known.
pub(super) fn knows_keys_of(namespace: &str) -> bool {
    NAMESPACES.iter().any(|known| known.eq_ignore_ascii_case(namespace))
}

/// Keys that every request has.
pub(super) const ALWAYS_GIVEN: [&str; 8] = [
    "aws:CurrentTime",
    "aws:EpochTime",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalType",
    "aws:RequestedRegion",
    "aws:SecureTransport",
    "aws:userid",
];

/// Every key there is. A client signs a token by itself and dials the database server directly, so a login knows
/// nothing of a network of AWS's, of a service in between, or of tags to be set.
pub(super) const KEYS: &[Key] = &[
    // the principal
    one("aws:PrincipalArn", Type::Arn),
    one("aws:PrincipalAccount", Type::Text),
    not_here(one("aws:PrincipalOrgID", Type::Text)),
    not_here(many("aws:PrincipalOrgPaths", Type::Text)),
    one("aws:PrincipalTag/", Type::Free),
    not_here(one("aws:PrincipalIsAWSService", Type::Bool)),
    not_here(one("aws:PrincipalServiceName", Type::Text)),
    not_here(many("aws:PrincipalServiceNamesList", Type::Text)),
    one("aws:PrincipalType", Type::Text),
    one("aws:userid", Type::Text),
    one("aws:username", Type::Text),
    // the session
    not_here(one("aws:AssumedRoot", Type::Free)),
    not_here(one("aws:FederatedProvider", Type::Text)),
    one("aws:TokenIssueTime", Type::Date),
    not_here(one("aws:SignInSessionArn", Type::Arn)),
    not_here(one("aws:MultiFactorAuthAge", Type::Number)),
    one("aws:MultiFactorAuthPresent", Type::Bool),
    not_here(one("aws:ChatbotSourceArn", Type::Arn)),
    not_here(one("aws:Ec2InstanceSourceVpc", Type::Text)),
    not_here(one("aws:Ec2InstanceSourcePrivateIPv4", Type::Address)),
    not_here(one("aws:SourceIdentity", Type::Text)),
    // the network
    Key { at_connect: AtConnect::Optional, ..one("aws:SourceIp", Type::Address) },
    never(one("aws:SourceVpc", Type::Text)),
    never(one("aws:SourceVpcArn", Type::Arn)),
    never(one("aws:SourceVpce", Type::Text)),
    never(one("aws:VpceAccount", Type::Text)),
    never(one("aws:VpceOrgID", Type::Text)),
    never(many("aws:VpceOrgPaths", Type::Text)),
    never(one("aws:VpcSourceIp", Type::Address)),
    // the resource
    not_here(one("aws:ResourceAccount", Type::Text)),
    not_here(one("aws:ResourceOrgID", Type::Text)),
    not_here(many("aws:ResourceOrgPaths", Type::Text)),
    one("aws:ResourceTag/", Type::Free),
    // the request
    never(many("aws:CalledVia", Type::Text)),
    never(one("aws:CalledViaFirst", Type::Text)),
    never(one("aws:CalledViaLast", Type::Text)),
    never(one("aws:CalledViaAWSMCP", Type::Text)),
    not_here(one("aws:ViaAWSService", Type::Bool)),
    not_here(one("aws:ViaAWSMCPService", Type::Bool)),
    not_here(one("aws:IsMcpServiceAction", Type::Bool)),
    one("aws:CurrentTime", Type::Date),
    one("aws:EpochTime", Type::Epoch),
    never(one("aws:Referer", Type::Text)),
    one("aws:RequestedRegion", Type::Text),
    never(one("aws:RequestTag/", Type::Free)),
    never(many("aws:TagKeys", Type::Text)),
    one("aws:SecureTransport", Type::Bool),
    never(one("aws:SourceAccount", Type::Text)),
    never(one("aws:SourceArn", Type::Arn)),
    never(one("aws:SourceOrgID", Type::Text)),
    never(many("aws:SourceOrgPaths", Type::Text)),
    never(one("aws:UserAgent", Type::Text)),
    // RDS
    never(one("rds:BackupTarget", Type::Text)),
    never(one("rds:CopyOptionGroup", Type::Bool)),
    never(one("rds:DatabaseClass", Type::Text)),
    never(one("rds:DatabaseEngine", Type::Text)),
    never(one("rds:DatabaseName", Type::Text)),
    never(one("rds:EndpointType", Type::Text)),
    never(one("rds:ManageMasterUserPassword", Type::Bool)),
    never(one("rds:MultiAz", Type::Bool)),
    never(one("rds:Piops", Type::Number)),
    never(one("rds:PubliclyAccessible", Type::Bool)),
    never(one("rds:StorageEncrypted", Type::Bool)),
    never(one("rds:StorageSize", Type::Number)),
    never(one("rds:TagsFromRequest", Type::Bool)),
    never(one("rds:TenantDatabaseName", Type::Text)),
    never(one("rds:Vpc", Type::Bool)),
    never(one("rds:cluster-pg-tag/", Type::Free)),
    never(one("rds:cluster-snapshot-tag/", Type::Free)),
    never(one("rds:cluster-tag/", Type::Free)),
    never(one("rds:db-tag/", Type::Free)),
    never(one("rds:es-tag/", Type::Free)),
    never(one("rds:og-tag/", Type::Free)),
    never(one("rds:pg-tag/", Type::Free)),
    never(one("rds:req-tag/", Type::Free)),
    never(one("rds:ri-tag/", Type::Free)),
    never(one("rds:secgrp-tag/", Type::Free)),
    never(one("rds:snapshot-tag/", Type::Free)),
    never(one("rds:subgrp-tag/", Type::Free)),
    // IAM
    never(one("iam:AWSServiceName", Type::Text)),
    never(many("iam:AccountPropertyNamespaces", Type::Text)),
    never(one("iam:AssociatedResourceArn", Type::Arn)),
    never(one("iam:DelegationDuration", Type::Free)),
    never(one("iam:DelegationRequestOwner", Type::Arn)),
    never(one("iam:FIDO-FIPS-140-2-certification", Type::Text)),
    never(one("iam:FIDO-FIPS-140-3-certification", Type::Text)),
    never(one("iam:FIDO-certification", Type::Text)),
    never(one("iam:NotificationChannel", Type::Text)),
    never(one("iam:OrganizationsPolicyId", Type::Text)),
    never(one("iam:PassedToService", Type::Text)),
    never(one("iam:PermissionsBoundary", Type::Arn)),
    never(one("iam:PolicyARN", Type::Arn)),
    never(one("iam:RegisterSecurityKey", Type::Text)),
    never(one("iam:ResourceTag/", Type::Free)),
    never(one("iam:RoleTemplateARN", Type::Arn)),
    never(one("iam:ServiceSpecificCredentialAgeDays", Type::Number)),
    never(one("iam:ServiceSpecificCredentialServiceName", Type::Text)),
    never(one("iam:TemplateArn", Type::Arn)),
    // STS
    never(one("sts:AWSServiceName", Type::Text)),
    never(one("sts:DurationSeconds", Type::Number)),
    never(one("sts:ExternalId", Type::Text)),
    never(many("sts:IdentityTokenAudience", Type::Text)),
    never(one("sts:RequestContext/", Type::Free)),
    never(many("sts:RequestContextProviders", Type::Arn)),
    never(one("sts:RoleAuthorizedByIdp", Type::Bool)),
    never(one("sts:RoleSessionName", Type::Text)),
    never(one("sts:SigningAlgorithm", Type::Text)),
    never(one("sts:SourceIdentity", Type::Text)),
    never(one("sts:TaskPolicyArn", Type::Arn)),
    never(many("sts:TransitiveTagKeys", Type::Text)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Global;

    #[test]
    fn lists_are_sorted_and_name_everything_once() {
        for service in SERVICES {
            let names: Vec<&str> = service.actions().collect();
            assert!(names.is_sorted() && !names.is_empty(), "{}", service.name);
            assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_alphanumeric())), "{names:?}");
        }
        for (index, key) in KEYS.iter().enumerate() {
            assert!(!KEYS[..index].iter().any(|other| other.name.eq_ignore_ascii_case(key.name)));
            assert!(key.name.split_once(':').is_some_and(|(namespace, _)| knows_keys_of(namespace)));
        }
        for key in KEYS {
            let name = if key.is_family() { format!("{}x", key.name) } else { key.name.to_owned() };
            let given = crate::Key::new(&name).global().is_some_and(Global::is_derived);
            let said = matches!(key.at_connect, AtConnect::Given | AtConnect::Optional);
            assert_eq!(said, given, "{name}");
        }
        assert!(ALWAYS_GIVEN.iter().all(|name| KEYS.iter().any(|key| key.name == *name)));
    }

    #[test]
    fn services_are_found_whatever_their_case() {
        let rds = service("RDS").unwrap();
        assert!(rds.actions().any(|action| action == "CreateDBInstance"));
        assert!(service("iam").unwrap().actions().any(|action| action == "PassRole"));
        assert!(service("s3").is_none());
    }
}
