//! "Did you mean": the known name that is written most like a given one.

/// The candidate with the least typing errors, if they are few enough for it to be what was meant. Case does not count.
pub(crate) fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let name = name.to_lowercase();
    // One error in three characters; a longer name than any real one is not compared at all.
    let length = name.chars().count();
    if length > 128 {
        return None;
    }
    let allowed = (length / 3).max(1);
    candidates
        .map(|candidate| (strsim::osa_distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|(errors, _)| *errors <= allowed)
        .min_by_key(|(errors, _)| *errors)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_suggested() {
        let keys = ["aws:username", "aws:userid", "aws:SourceIp"];
        assert_eq!(nearest("aws:UserNmae", keys.into_iter()), Some("aws:username"));
        assert_eq!(nearest("aws:sourceip", keys.into_iter()), Some("aws:SourceIp"));
        assert_eq!(nearest("ec2:Region", keys.into_iter()), None);
    }
}
