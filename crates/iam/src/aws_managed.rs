//! AWS's own managed policies, as far as the services that are served here need them.
//!
//! Names, ARNs, ids and dates are AWS's. Where AWS's document goes on about other services, the document here is the part
//! about RDS, IAM and STS.

use time::OffsetDateTime;
use time::macros::datetime;

/// A managed policy of AWS's.
#[derive(Debug)]
pub struct AwsManaged {
    /// The name.
    pub name: &'static str,
    /// The path in the ARN.
    pub path: &'static str,
    /// `arn:aws:iam::aws:policy/...`
    pub arn: &'static str,
    /// `ANPA...`
    pub id: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// The document of its one version, `v1`.
    pub document: &'static str,
    /// When AWS made it.
    pub created: OffsetDateTime,
}

/// The policies, in the order of their names.
pub fn aws_managed() -> &'static [AwsManaged] {
    POLICIES
}

const POLICIES: &[AwsManaged] = &[
    AwsManaged {
        name: "AdministratorAccess",
        path: "/",
        arn: "arn:aws:iam::aws:policy/AdministratorAccess",
        id: "ANPAIWMBCKSKIEE64ZLYK",
        description: "Provides full access to AWS services and resources.",
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"}
    ]
}"#,
        created: datetime!(2015-02-06 18:39:46 UTC),
    },
    AwsManaged {
        name: "AmazonRDSFullAccess",
        path: "/",
        arn: "arn:aws:iam::aws:policy/AmazonRDSFullAccess",
        id: "ANPAI3R4QMOG6Q5A4VWVG",
        description: "Provides full access to Amazon RDS.",
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["rds:*"], "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": "iam:CreateServiceLinkedRole",
            "Resource": "*",
            "Condition": {
                "StringLike": {
                    "iam:AWSServiceName": ["rds.amazonaws.com", "rds.application-autoscaling.amazonaws.com"]
                }
            }
        }
    ]
}"#,
        created: datetime!(2015-02-06 18:40:52 UTC),
    },
    AwsManaged {
        name: "AmazonRDSReadOnlyAccess",
        path: "/",
        arn: "arn:aws:iam::aws:policy/AmazonRDSReadOnlyAccess",
        id: "ANPAJKTTTYV2IIHKLZ346",
        description: "Provides read only access to Amazon RDS.",
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["rds:Describe*", "rds:ListTagsForResource"], "Resource": "*"}
    ]
}"#,
        created: datetime!(2015-02-06 18:40:53 UTC),
    },
    AwsManaged {
        name: "IAMFullAccess",
        path: "/",
        arn: "arn:aws:iam::aws:policy/IAMFullAccess",
        id: "ANPAI7XKCFMBPM3QQRRVQ",
        description: "Provides full access to IAM.",
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["iam:*"], "Resource": "*"}
    ]
}"#,
        created: datetime!(2015-02-06 18:40:38 UTC),
    },
    AwsManaged {
        name: "IAMReadOnlyAccess",
        path: "/",
        arn: "arn:aws:iam::aws:policy/IAMReadOnlyAccess",
        id: "ANPAJKSO7NDY4T57MWDSQ",
        description: "Provides read only access to IAM.",
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "iam:GenerateCredentialReport",
                "iam:GenerateServiceLastAccessedDetails",
                "iam:Get*",
                "iam:List*",
                "iam:SimulateCustomPolicy",
                "iam:SimulatePrincipalPolicy"
            ],
            "Resource": "*"
        }
    ]
}"#,
        created: datetime!(2015-02-06 18:40:39 UTC),
    },
    AwsManaged {
        name: "PowerUserAccess",
        path: "/",
        arn: "arn:aws:iam::aws:policy/PowerUserAccess",
        id: "ANPAJYRXTHIB4FOVS3ZXS",
        description: "Provides full access to AWS services and resources, but does not allow management of Users and groups.",
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "NotAction": ["iam:*", "organizations:*", "account:*"], "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["iam:CreateServiceLinkedRole", "iam:DeleteServiceLinkedRole", "iam:ListRoles"],
            "Resource": "*"
        }
    ]
}"#,
        created: datetime!(2015-02-06 18:39:47 UTC),
    },
    AwsManaged {
        name: "ReadOnlyAccess",
        path: "/",
        arn: "arn:aws:iam::aws:policy/ReadOnlyAccess",
        id: "ANPAILL3HVNFSB6DCOWYQ",
        description: "Provides read-only access to AWS services and resources.",
        document: r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "iam:Generate*",
                "iam:Get*",
                "iam:List*",
                "iam:Simulate*",
                "rds:Describe*",
                "rds:Download*",
                "rds:List*",
                "sts:GetAccessKeyInfo",
                "sts:GetCallerIdentity",
                "sts:GetSessionToken"
            ],
            "Resource": "*"
        }
    ]
}"#,
        created: datetime!(2015-02-06 18:39:48 UTC),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arn, UniqueId};
    use policy::{Kind, Outcome, Policy, Request, Resource};

    #[test]
    fn every_one_is_what_it_says() {
        assert!(aws_managed().is_sorted_by_key(|policy| policy.name));
        for policy in aws_managed() {
            assert!(Policy::parse(policy.document, Kind::Managed).is_ok(), "{}", policy.name);
            assert_eq!(policy.arn, format!("arn:aws:iam::aws:policy{}{}", policy.path, policy.name));
            assert!(policy.arn.parse::<Arn>().is_ok());
            assert!(policy.id.starts_with("ANPA") && policy.id.parse::<UniqueId>().is_ok(), "{}", policy.id);
        }
    }

    #[test]
    fn administering_rds_is_not_logging_in() {
        let allows = |name: &str, action: &str| {
            let found = aws_managed().iter().find(|policy| policy.name == name).unwrap();
            let document = Policy::parse(found.document, Kind::Managed).unwrap();
            let resource = Resource::parse("arn:aws:rds-db:us-east-1:123456789012:dbuser:db-A/jane").unwrap();
            matches!(
                document.evaluate(&Request::new(action, resource, &policy::NoContext)),
                Outcome::Allow(_)
            )
        };
        assert!(allows("AdministratorAccess", "rds-db:connect"));
        assert!(!allows("AmazonRDSFullAccess", "rds-db:connect"));
        assert!(!allows("ReadOnlyAccess", "rds-db:connect"));
        assert!(allows("PowerUserAccess", "rds-db:connect") && !allows("PowerUserAccess", "iam:CreateUser"));
    }
}
