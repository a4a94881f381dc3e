//! "Did you mean": the known name that is written most like a given one.

/// The candidate with the least typing errors, if they are few enough for it to be what was meant. Case does not count.
pub(super) fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    // One error in three characters; a longer name than any real one is not compared at all.
    let allowed = (name.len() / 3).max(1);
    if name.len() > 128 {
        return None;
    }
    candidates
        .map(|candidate| (distance(&name, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        .filter(|(errors, _)| *errors <= allowed)
        .min_by_key(|(errors, _)| *errors)
        .map(|(_, candidate)| candidate)
}

/// Characters to insert, delete, replace, or swap with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, &to) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX - 1);
            let mut best =
                (at(&row, j) + usize::from(from != to)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&to) && b.get(j - 1) == Some(&from);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(a: &str, b: &str) -> usize {
        distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
    }

    #[test]
    fn typing_errors_are_counted() {
        assert_eq!(errors("", ""), 0);
        assert_eq!(errors("", "abc"), 3);
        assert_eq!(errors("connect", "conect"), 1);
        assert_eq!(errors("connect", "connetc"), 1);
        assert_eq!(errors("kitten", "sitting"), 3);
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let keys = ["aws:username", "aws:userid", "aws:SourceIp"];
        assert_eq!(nearest("aws:UserNmae", keys.into_iter()), Some("aws:username"));
        assert_eq!(nearest("aws:sourceip", keys.into_iter()), Some("aws:SourceIp"));
        assert_eq!(nearest("ec2:Region", keys.into_iter()), None);
    }
}
