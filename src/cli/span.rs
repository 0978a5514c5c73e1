//! Lengths of time as people write them: `500ms`, `10s`, `1m`, `2h`.

use std::time::Duration;

/// Parses a length of time. A unit is required: a bare number would be taken for whatever the
/// reader is used to.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wants = || format!("`{text}` is no length of time: write it like 500ms, 10s, 1m or 2h");
    let unit_at = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(unit_at.unwrap_or(text.len()));
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" if number == "0" => 1,
        _ => return Err(wants()),
    };
    let number: u64 = number.parse().map_err(|_| wants())?;
    let ms = number.checked_mul(unit_ms).ok_or_else(wants)?;
    Ok(Duration::from_millis(ms))
}

/// Whole milliseconds, as the contract has them.
pub(super) fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// For people: the two largest units that matter.
pub(super) fn show(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_need_a_unit() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("1m", 60_000),
            ("0", 0),
            ("2h", 7_200_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "10",
            "",
            "s",
            "1.5s",
            "-1s",
            "1d",
            "99999999999999999999s",
            "9999999999999999999m",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_of_time_are_shown_short() {
        let shown = [7, 1_250, 61_000, 3_660_000].map(show);
        assert_eq!(shown, ["7ms", "1.2s", "1m01s", "1h01m"]);
    }
}
