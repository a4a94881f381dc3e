//! Parameters that several operations have, with the texts that IAM gives for wrong ones.

use crate::query::{ApiError, Params};
use iam::{Arn, NameError, Path};
use std::str::FromStr;

/// A name that must be there.
pub(super) fn name<T: FromStr<Err = NameError>>(params: &mut Params, parameter: &str) -> Result<T, ApiError> {
    let value = params.required(parameter)?;
    value.parse().map_err(|error| match error {
        NameError::Length { most, .. } if value.len() > most => {
            params.invalid(parameter, &value, &format!("must have length less than or equal to {most}"))
        }
        NameError::Length { least, .. } => {
            params.invalid(parameter, &value, &format!("must have length greater than or equal to {least}"))
        }
        NameError::Pattern { .. } => ApiError::validation(format!(
            "The specified value for {} is invalid. It must contain only alphanumeric characters and/or the following: \
             +=,.@_-",
            member(parameter)
        )),
    })
}

/// A name that may be missing.
pub(super) fn optional_name<T: FromStr<Err = NameError>>(
    params: &mut Params,
    parameter: &str,
) -> Result<Option<T>, ApiError> {
    params.contains(parameter).then(|| name(params, parameter)).transpose()
}

/// A path; missing, it is given as none.
pub(super) fn path(params: &mut Params, parameter: &str) -> Result<Option<Path>, ApiError> {
    params.contains(parameter).then(|| name_of_path(params, parameter)).transpose()
}

fn name_of_path(params: &mut Params, parameter: &str) -> Result<Path, ApiError> {
    let value = params.required(parameter)?;
    value.parse().map_err(|error| match error {
        NameError::Length { .. } => params.invalid(parameter, &value, "must have length less than or equal to 512"),
        NameError::Pattern { .. } => ApiError::validation(format!(
            "The specified value for {} is invalid. It must begin and end with / and contain only alphanumeric \
             characters and/or / characters.",
            member(parameter)
        )),
    })
}

/// The prefix that listed paths must have; missing, every path has it.
pub(super) fn path_prefix(params: &mut Params) -> Result<String, ApiError> {
    let Some(prefix) = params.optional("PathPrefix") else { return Ok("/".to_owned()) };
    let visible = prefix.bytes().all(|byte| (0x21..=0x7f).contains(&byte));
    if prefix.starts_with('/') && visible && prefix.len() <= 512 {
        Ok(prefix)
    } else {
        Err(ApiError::validation(
            "The specified value for pathPrefix is invalid. It must begin with / and contain only alphanumeric \
             characters and/or / characters.",
        ))
    }
}

/// The ARN of a managed policy, of this account or of AWS's own.
pub(super) fn policy_arn(params: &mut Params) -> Result<Arn, ApiError> {
    arn_of_policy(params, "PolicyArn")
}

/// The same, in another parameter.
pub(super) fn arn_of_policy(params: &mut Params, parameter: &str) -> Result<Arn, ApiError> {
    let value = params.required(parameter)?;
    if value.len() < 20 {
        return Err(params.invalid(parameter, &value, "must have length greater than or equal to 20"));
    }
    if value.len() > 2048 {
        return Err(params.invalid(parameter, &value, "must have length less than or equal to 2048"));
    }
    let arn: Arn =
        value.parse().map_err(|error: iam::ArnError| ApiError::invalid_input(error.to_string()))?;
    if arn.service() != "iam" || !arn.region().is_empty() || !arn.resource().starts_with("policy/") {
        return Err(ApiError::invalid_input(format!("ARN {arn} is not valid.")));
    }
    Ok(arn)
}

/// What a role or a policy is for: at most 1,000 characters, no control characters besides tabs and line ends.
pub(super) fn description(params: &mut Params) -> Result<Option<String>, ApiError> {
    let Some(text) = params.optional("Description") else { return Ok(None) };
    if text.chars().count() > 1000 {
        return Err(params.invalid("Description", &text, "must have length less than or equal to 1000"));
    }
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{7e}' | '\u{a1}'..='\u{ff}');
    if !text.chars().all(allowed) {
        let pattern =
            r"must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*";
        return Err(params.invalid("Description", &text, pattern));
    }
    Ok(Some(text))
}

fn member(parameter: &str) -> String {
    let mut characters = parameter.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}
