//! Moments for people: UTC, to the millisecond, in the order in which they sort.

/// Milliseconds since 1970 as `2026-11-24 20:54:11.123Z`.
pub(super) fn show(wall_ms: u64) -> String {
    let (year, month, day) = date_of(wall_ms / 86_400_000);
    let (seconds, ms) = (wall_ms / 1000 % 86_400, wall_ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// The date of a day counted from 1970-01-01, in the calendar as it repeats every 400 years
/// (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>). Years begin in March
/// there, so that the day that is only sometimes is the last.
fn date_of(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_as_calendars_do() {
        for (ms, shown) in [
            (0, "1970-01-01 00:00:00.000Z"),
            (951_782_399_999, "2000-02-28 23:59:59.999Z"),
            (951_782_400_000, "2000-02-29 00:00:00.000Z"),
            (1_795_553_651_123, "2026-11-24 20:54:11.123Z"),
            (4_107_542_400_000, "2100-03-01 00:00:00.000Z"),
        ] {
            assert_eq!(show(ms), shown);
        }
    }
}
