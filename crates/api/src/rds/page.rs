//! Lists in parts: `MaxRecords` and `Marker`; and `Filters`.

use crate::query::{ApiError, Params, Writer};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::BTreeMap;

/// Which part of a list is asked for.
pub(super) struct Page {
    most: usize,
    after: Option<String>,
}

impl Page {
    /// Takes `MaxRecords` (20 to 100, and 100 if not given) and `Marker`.
    pub(super) fn take(params: &mut Params) -> Result<Self, ApiError> {
        let most = match params.integer("MaxRecords", i64::MIN..=i64::MAX)? {
            None => 100,
            Some(most) => {
                usize::try_from(most).ok().filter(|most| (20..=100).contains(most)).ok_or_else(|| {
                    ApiError::invalid_parameter_value(format!(
                        "Invalid value {most} for MaxRecords. Must be between 20 and 100"
                    ))
                })?
            }
        };
        let after = match params.optional("Marker").filter(|marker| !marker.is_empty()) {
            None => None,
            Some(marker) => {
                let bytes = URL_SAFE_NO_PAD.decode(&marker).ok();
                let key = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
                Some(key.ok_or_else(|| {
                    ApiError::invalid_parameter_value(
                        "Invalid value for Marker: expected one that this operation gave",
                    )
                })?)
            }
        };
        Ok(Self { most, after })
    }

    /// The part of the items, in the order of their keys, which are unique.
    pub(super) fn cut<T>(self, items: impl IntoIterator<Item = T>, key: impl Fn(&T) -> String) -> Part<T> {
        let mut sorted: BTreeMap<String, T> = items.into_iter().map(|item| (key(&item), item)).collect();
        if let Some(after) = self.after {
            sorted.retain(|key, _| *key > after);
        }
        let more = sorted.len() > self.most;
        let taken: Vec<(String, T)> = sorted.into_iter().take(self.most).collect();
        let last = taken.last().filter(|_| more);
        let marker = last.map(|(key, _)| URL_SAFE_NO_PAD.encode(key));
        Part { marker, items: taken.into_iter().map(|(_, item)| item).collect() }
    }
}

/// A part of a list, and where the next one starts.
pub(super) struct Part<T> {
    marker: Option<String>,
    pub(super) items: Vec<T>,
}

impl<T> Part<T> {
    /// Writes `Marker`, where there is more, and the list.
    pub(super) fn write(self, w: &mut Writer, name: &str, member: &str, inside: impl FnMut(&mut Writer, T)) {
        w.opt("Marker", self.marker);
        w.list(name, member, self.items, inside);
    }
}

/// The filters of a Describe operation: an item is shown if each filter has one of its values.
pub(super) struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// Takes `Filters`; the operation's filters are those in `known`.
    pub(super) fn take(params: &mut Params, known: &[&str]) -> Result<Self, ApiError> {
        let mut filters = Vec::new();
        for mut filter in params.structures("Filters", "Filter")? {
            let name = filter.required("Name")?;
            let values = filter.list("Values", "Value")?;
            filter.finish()?;
            if !known.contains(&name.as_str()) {
                let expected = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(ApiError::invalid_parameter_value(format!(
                    "Unrecognized filter name: {name}; the filters of this operation: {expected}"
                )));
            }
            if values.is_empty() {
                return Err(ApiError::invalid_parameter_value(format!("The filter {name} has no values")));
            }
            filters.push((name, values));
        }
        Ok(Self(filters))
    }

    /// Whether an item is asked for; `has` says whether it has the value that a filter gives.
    pub(super) fn admit(&self, has: impl Fn(&str, &str) -> bool) -> bool {
        self.0.iter().all(|(name, values)| values.iter().any(|value| has(name, value)))
    }
}

/// Whether `value` is the identifier or the ARN.
pub(super) fn names(value: &str, identifier: &str, arn: &str) -> bool {
    value.eq_ignore_ascii_case(identifier) || value == arn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Service;

    fn page(form: &str) -> Result<Page, ApiError> {
        Page::take(&mut Params::from_form(Service::Rds, form).unwrap())
    }

    #[test]
    fn parts_follow_one_another_without_gap_or_overlap() {
        let all: Vec<String> = (0..45).map(|n| format!("i{n:02}")).collect();
        let mut seen = Vec::new();
        let mut form = "MaxRecords=20".to_owned();
        loop {
            let part = page(&form).unwrap().cut(all.clone(), Clone::clone);
            seen.extend(part.items);
            match part.marker {
                Some(marker) => form = format!("MaxRecords=20&Marker={marker}"),
                None => break,
            }
        }
        assert_eq!(seen, all);
        for bad in ["MaxRecords=19", "MaxRecords=101", "Marker=*"] {
            assert_eq!(page(bad).err().unwrap().code, "InvalidParameterValue", "{bad}");
        }
    }
}
