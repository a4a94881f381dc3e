//! RDS's ARNs: of each kind of resource, made and read.

use crate::call::Call;
use crate::query::ApiError;
use iam::Arn;

/// The kinds of resource, by the word in their ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Instance,
    Cluster,
    SubnetGroup,
    ParameterGroup,
    ClusterParameterGroup,
    OptionGroup,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Instance,
        Self::Cluster,
        Self::SubnetGroup,
        Self::ParameterGroup,
        Self::ClusterParameterGroup,
        Self::OptionGroup,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Instance => "db",
            Self::Cluster => "cluster",
            Self::SubnetGroup => "subgrp",
            Self::ParameterGroup => "pg",
            Self::ClusterParameterGroup => "cluster-pg",
            Self::OptionGroup => "og",
        }
    }

    /// The ARN of the resource with the name, in the call's region; `*` for all of the kind.
    pub(super) fn arn(self, call: &Call<'_>, name: &str) -> String {
        let (region, account) = (&call.region, &call.services.account);
        format!("arn:{}:rds:{region}:{account}:{}:{name}", region.partition(), self.word())
    }

    /// The key that the record of the resource with the name is kept under.
    pub(super) fn key(self, call: &Call<'_>, name: &str) -> String {
        let kind = match self {
            Self::ParameterGroup => "instance/",
            Self::ClusterParameterGroup => "cluster/",
            Self::Instance | Self::Cluster | Self::SubnetGroup | Self::OptionGroup => "",
        };
        format!("{}/{kind}{name}", call.region)
    }

    /// The name that a caller gave as such or as an ARN, in lower case.
    pub(super) fn name(self, call: &Call<'_>, given: &str) -> Result<String, ApiError> {
        if !given.starts_with("arn:") {
            return Ok(given.to_ascii_lowercase());
        }
        match read(call, given)? {
            (kind, name) if kind == self => Ok(name),
            _ => Err(ApiError::invalid_parameter_value(format!(
                "Invalid resource name: {given}: expected an ARN such as {}",
                self.arn(call, "name")
            ))),
        }
    }
}

/// The kind and the name of the resource with the ARN, which must be of the call's region and account.
pub(super) fn read(call: &Call<'_>, arn: &str) -> Result<(Kind, String), ApiError> {
    let invalid = || ApiError::invalid_parameter_value(format!("Invalid resource name: {arn}"));
    let parsed: Arn = arn.parse().map_err(|_| invalid())?;
    let here = parsed.partition() == call.region.partition()
        && parsed.service() == "rds"
        && parsed.region() == call.region.as_str()
        && parsed.account() == call.services.account.as_str();
    if !here {
        return Err(ApiError::invalid_parameter_value(
            "The specified resource name does not match an RDS resource in this region.",
        ));
    }
    let (word, name) = parsed.resource().split_once(':').ok_or_else(invalid)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(invalid)?;
    if name.is_empty() { Err(invalid()) } else { Ok((kind, name.to_ascii_lowercase())) }
}
