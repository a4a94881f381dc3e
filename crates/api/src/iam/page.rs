//! Pages of lists: `MaxItems` and `Marker` in, `IsTruncated` and `Marker` out.
//!
//! A marker is the key of the last item that was shown, so that what is added or deleted between two pages shifts none.

use crate::query::{ApiError, Params, Writer};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Which part of a list is asked for.
pub(super) struct Page {
    most: usize,
    after: Option<String>,
}

/// A part of a list.
pub(super) struct Part<T> {
    /// The items.
    pub(super) items: Vec<T>,
    marker: Option<String>,
}

impl Page {
    /// Reads `MaxItems` and `Marker`.
    pub(super) fn read(params: &mut Params) -> Result<Self, ApiError> {
        let most =
            params.integer("MaxItems", 1..=1000)?.map_or(100, |most| usize::try_from(most).unwrap_or(1));
        let after = match params.optional("Marker") {
            None => None,
            Some(marker) => {
                let key =
                    URL_SAFE_NO_PAD.decode(&marker).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                Some(key.ok_or_else(invalid_marker)?)
            }
        };
        Ok(Self { most, after })
    }

    /// Cuts the page out of all items, which are brought into the order of their keys.
    pub(super) fn cut<T>(self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Part<T> {
        items.sort_by_cached_key(&key);
        if let Some(after) = &self.after {
            let seen = items.partition_point(|item| key(item) <= *after);
            items.drain(..seen);
        }
        let truncated = items.len() > self.most;
        items.truncate(self.most);
        let marker = items.last().filter(|_| truncated).map(|last| URL_SAFE_NO_PAD.encode(key(last)));
        Part { items, marker }
    }

    /// Cuts the page out of `total` things that are known by their numbers, from 0; it has no more than `most`.
    pub(super) fn cut_numbers(&self, total: usize, most: usize) -> Result<Part<usize>, ApiError> {
        let start = match &self.after {
            None => 0,
            Some(last) => {
                let next = last.parse::<usize>().ok().and_then(|last| last.checked_add(1));
                next.filter(|next| *next < total).ok_or_else(invalid_marker)?
            }
        };
        let end = start.saturating_add(self.most.min(most)).min(total);
        let last = end.checked_sub(1).filter(|_| end < total);
        let marker = last.map(|last| URL_SAFE_NO_PAD.encode(last.to_string()));
        Ok(Part { items: (start..end).collect(), marker })
    }
}

fn invalid_marker() -> ApiError {
    ApiError::validation("Invalid Marker.")
}

impl<T> Part<T> {
    /// Writes `IsTruncated` and `Marker`.
    pub(super) fn write(&self, w: &mut Writer) {
        w.flag("IsTruncated", self.marker.is_some());
        w.opt("Marker", self.marker.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Service;

    fn page(form: &str) -> Result<Page, ApiError> {
        Page::read(&mut Params::from_form(Service::Iam, form).unwrap())
    }

    #[test]
    fn pages_follow_each_other_without_a_gap() {
        let all: Vec<String> = (0..25).map(|n| format!("k{n:02}")).collect();
        let (mut seen, mut marker) = (Vec::new(), String::new());
        loop {
            let part = page(&format!("MaxItems=10{marker}")).unwrap().cut(all.clone(), Clone::clone);
            seen.extend(part.items);
            match part.marker {
                Some(next) => marker = format!("&Marker={next}"),
                None => break,
            }
        }
        assert_eq!(seen, all);

        let (mut seen, mut marker) = (Vec::new(), String::new());
        loop {
            let part = page(&format!("MaxItems=10{marker}")).unwrap().cut_numbers(25, 7).unwrap();
            assert!(part.items.len() <= 7);
            seen.extend(part.items);
            match part.marker {
                Some(next) => marker = format!("&Marker={next}"),
                None => break,
            }
        }
        assert_eq!(seen, (0..25).collect::<Vec<_>>());
        for wrong in ["25", "x", "18446744073709551615"] {
            let marker = URL_SAFE_NO_PAD.encode(wrong);
            assert!(page(&format!("Marker={marker}")).unwrap().cut_numbers(25, 7).is_err(), "{wrong}");
        }
        assert!(page("Marker=%25").is_err() && page("MaxItems=0").is_err() && page("MaxItems=1001").is_err());
    }
}
