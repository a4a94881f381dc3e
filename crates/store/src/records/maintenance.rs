//! Maintenance windows: when changes that were not asked for at once are carried out.

use super::{Cluster, Instance, Settings};
use std::fmt;
use std::str::FromStr;
use time::OffsetDateTime;

/// The minutes of a week.
const WEEK: u16 = 7 * DAY;
const DAY: u16 = 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The weekly maintenance window, in UTC: `ddd:hh24:mi-ddd:hh24:mi`, at least 30 minutes and less than a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaintenanceWindow {
    /// Minutes from Monday midnight.
    start: u16,
    /// Minutes.
    length: u16,
}

/// Why a text is no maintenance window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Not of the form.
    #[error("expected `ddd:hh24:mi-ddd:hh24:mi` in UTC, such as `sun:05:00-sun:05:30`")]
    Form,
    /// Too short, or a day or more.
    #[error("a maintenance window is at least 30 minutes and less than 24 hours")]
    Length,
}

impl MaintenanceWindow {
    /// The name under which an instance or a cluster keeps its window among its settings.
    pub const SETTING: &'static str = "PreferredMaintenanceWindow";

    /// Whether the window is open at the time.
    pub fn contains(self, at: OffsetDateTime) -> bool {
        (minute_of(at) + WEEK - self.start) % WEEK < self.length
    }

    /// When it opens next; the time itself while it is open.
    pub fn next(self, at: OffsetDateTime) -> OffsetDateTime {
        let away = if self.contains(at) { 0 } else { (self.start + WEEK - minute_of(at)) % WEEK };
        let opens = at + time::Duration::minutes(away.into());
        if away == 0 { at } else { opens - time::Duration::seconds(opens.second().into()) }
    }

    /// Whether the daily window of `length` minutes from `start`, in minutes from midnight, is ever open while this one is.
    pub fn meets_daily(self, start: u16, length: u16) -> bool {
        let (own, other) = (self.start % DAY, start % DAY);
        (other + DAY - own) % DAY < self.length || (own + DAY - other) % DAY < length
    }

    fn of(settings: &Settings) -> Option<Self> {
        settings.get(Self::SETTING)?.as_str()?.parse().ok()
    }
}

impl FromStr for MaintenanceWindow {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let (start, end) = text.split_once('-').ok_or(WindowError::Form)?;
        let (start, end) = (minute_of_week(start)?, minute_of_week(end)?);
        let length = (end + WEEK - start) % WEEK;
        if (30..DAY).contains(&length) { Ok(Self { start, length }) } else { Err(WindowError::Length) }
    }
}

/// The minutes from Monday midnight, UTC.
fn minute_of(at: OffsetDateTime) -> u16 {
    let at = at.to_offset(time::UtcOffset::UTC);
    let day = u16::from(at.weekday().number_days_from_monday());
    day * DAY + u16::from(at.hour()) * 60 + u16::from(at.minute())
}

fn minute_of_week(text: &str) -> Result<u16, WindowError> {
    let (day, time) = text.split_once(':').ok_or(WindowError::Form)?;
    let day = DAYS.iter().position(|known| known.eq_ignore_ascii_case(day)).ok_or(WindowError::Form)?;
    let day = u16::try_from(day).map_err(|_| WindowError::Form)?;
    Ok(day * DAY + minute_of_day(time).ok_or(WindowError::Form)?)
}

/// The minutes from midnight of `hh24:mi`.
pub fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |digits: &str| {
        (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())
    };
    let (hour, minute): (u16, u16) = (two(hour)??, two(minute)??);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

impl fmt::Display for MaintenanceWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let point = |minute: u16| {
            let day = DAYS.get(usize::from(minute / DAY)).copied().unwrap_or_default();
            format!("{day}:{:02}:{:02}", minute % DAY / 60, minute % 60)
        };
        write!(f, "{}-{}", point(self.start), point((self.start + self.length) % WEEK))
    }
}

impl Instance {
    /// Its maintenance window.
    pub fn maintenance_window(&self) -> Option<MaintenanceWindow> {
        MaintenanceWindow::of(&self.settings)
    }

    /// Whether anything waits for the maintenance window.
    pub fn has_pending(&self) -> bool {
        self.pending_iam_auth.is_some() || self.pending_ca.is_some()
    }

    /// Makes what is pending wanted, for the reconciler to carry out; says whether there was anything.
    pub fn apply_pending(&mut self) -> bool {
        let pending = self.has_pending();
        self.iam_auth = self.pending_iam_auth.take().unwrap_or(self.iam_auth);
        if let Some(ca) = self.pending_ca.take() {
            self.ca = ca;
        }
        self.generation += u64::from(pending);
        pending
    }
}

impl Cluster {
    /// Its maintenance window.
    pub fn maintenance_window(&self) -> Option<MaintenanceWindow> {
        MaintenanceWindow::of(&self.settings)
    }

    /// Whether anything waits for the maintenance window.
    pub fn has_pending(&self) -> bool {
        self.pending_iam_auth.is_some()
    }

    /// Makes what is pending wanted, for the reconciler to carry out; says whether there was anything.
    pub fn apply_pending(&mut self) -> bool {
        let pending = self.has_pending();
        self.iam_auth = self.pending_iam_auth.take().unwrap_or(self.iam_auth);
        self.generation += u64::from(pending);
        pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn window(text: &str) -> MaintenanceWindow {
        text.parse().unwrap()
    }

    #[test]
    fn windows_are_weekly_and_may_cross_midnight_on_sunday() {
        let late = window("Sun:23:45-mon:00:30");
        assert_eq!(late.to_string(), "sun:23:45-mon:00:30");
        assert!(late.contains(datetime!(2026-11-22 23:45 UTC)), "a Sunday");
        assert!(late.contains(datetime!(2026-11-23 01:29 +1)));
        assert!(!late.contains(datetime!(2026-11-23 00:30 UTC)));
        assert!(!late.contains(datetime!(2026-11-23 23:50 UTC)));
        assert_eq!(late.next(datetime!(2026-11-23 00:30:10 UTC)), datetime!(2026-11-29 23:45 UTC));
        assert_eq!(late.next(datetime!(2026-11-23 00:29:10 UTC)), datetime!(2026-11-23 00:29:10 UTC));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "sun:05:00",
            "sun:5:00-sun:05:30",
            "sun:24:00-mon:00:30",
            "son:05:00-sun:05:30",
            "05:00-05:30",
        ] {
            assert_eq!(bad.parse::<MaintenanceWindow>(), Err(WindowError::Form), "{bad}");
        }
        for bad in ["sun:05:00-sun:05:29", "sun:05:00-sun:05:00", "sun:05:00-mon:05:00"] {
            assert_eq!(bad.parse::<MaintenanceWindow>(), Err(WindowError::Length), "{bad}");
        }
    }

    #[test]
    fn a_daily_window_that_overlaps_is_noticed() {
        assert!(window("sun:05:00-sun:05:30").meets_daily(5 * 60 + 29, 30));
        assert!(window("sun:00:00-sun:00:30").meets_daily(23 * 60 + 45, 30));
        assert!(!window("sun:05:00-sun:05:30").meets_daily(5 * 60 + 30, 30));
        assert!(!window("sun:05:00-sun:05:30").meets_daily(4 * 60 + 30, 30));
    }
}
