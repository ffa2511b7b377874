//! Reads HTTP dates in their three forms (RFC 9110 5.6.7), as seconds since 1970. Case does not matter (RFC 9111 4.2);
//! everything else does: a date that is not written as it must be is none, and what rests on it is not believed.
//! They are written by `write_http_date` of `http1/encode.rs`.

/// Seconds since 1970 of a date; one before that counts as 1970. `now_s` settles the century of two-digit years.
#[must_use]
pub fn parse_http_date(text: &[u8], now_s: u64) -> Option<u64> {
    let mut reader = Reader { rest: text };
    let moment = match text.get(3)? {
        b',' => reader.imf_fixdate(),
        b' ' => reader.asctime(),
        _ => reader.rfc850(now_s),
    }?;
    if reader.rest.is_empty() { moment.seconds() } else { None }
}

const DAYS: [&[u8]; 7] = [b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday", b"Sunday"];
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

#[derive(Clone, Copy)]
struct Moment {
    year: u64,
    /// From 0.
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl Moment {
    fn seconds(self) -> Option<u64> {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days = match self.month {
            1 if leap => 29,
            1 => 28,
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        if self.day == 0 || self.day > days {
            return None;
        }
        if self.year < 1970 {
            return Some(0);
        }
        // Years begin in March, so that the leap day is their last.
        let (year, month) = if self.month < 2 { (self.year - 1, self.month + 10) } else { (self.year, self.month - 2) };
        let day_of_year = (153 * month + 2) / 5 + self.day - 1;
        let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
        Some(days * 86_400 + self.second_of_day)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    fn imf_fixdate(&mut self) -> Option<Moment> {
        self.one_of(DAYS.iter().map(|day| &day[..3]))?;
        self.text(b", ")?;
        let day = self.number(2)?;
        self.text(b" ")?;
        let month = self.month()?;
        self.text(b" ")?;
        let year = self.number(4)?;
        self.text(b" ")?;
        let second_of_day = self.time()?;
        self.text(b" GMT")?;
        Some(Moment { year, month, day, second_of_day })
    }

    /// `Sunday, 06-Nov-94 08:49:37 GMT`
    fn rfc850(&mut self, now_s: u64) -> Option<Moment> {
        self.one_of(DAYS.iter().copied())?;
        self.text(b", ")?;
        let day = self.number(2)?;
        self.text(b"-")?;
        let month = self.month()?;
        self.text(b"-")?;
        let year = self.number(2)?;
        self.text(b" ")?;
        let second_of_day = self.time()?;
        self.text(b" GMT")?;
        // Of the years with these digits the last that is not more than 50 years in the future.
        let latest = 1970 + now_s / 31_556_952 + 50;
        let year = latest - (latest - year) % 100;
        Some(Moment { year, month, day, second_of_day })
    }

    /// `Sun Nov  6 08:49:37 1994`
    fn asctime(&mut self) -> Option<Moment> {
        self.one_of(DAYS.iter().map(|day| &day[..3]))?;
        self.text(b" ")?;
        let month = self.month()?;
        self.text(b" ")?;
        let day = if self.text(b" ").is_some() { self.number(1)? } else { self.number(2)? };
        self.text(b" ")?;
        let second_of_day = self.time()?;
        self.text(b" ")?;
        let year = self.number(4)?;
        Some(Moment { year, month, day, second_of_day })
    }

    /// `hh:mm:ss`; a leap second is taken for the one after.
    fn time(&mut self) -> Option<u64> {
        let hour = self.number(2)?;
        self.text(b":")?;
        let minute = self.number(2)?;
        self.text(b":")?;
        let second = self.number(2)?;
        (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3_600 + minute * 60 + second)
    }

    fn month(&mut self) -> Option<u64> {
        self.one_of(MONTHS.chunks(3)).map(|place| place as u64)
    }

    /// Takes the one of `words` that stands here; says which.
    fn one_of<'w>(&mut self, mut words: impl Iterator<Item = &'w [u8]>) -> Option<usize> {
        let place = words.position(|word| self.text(word).is_some())?;
        Some(place)
    }

    fn text(&mut self, wanted: &[u8]) -> Option<()> {
        let (found, rest) = self.rest.split_at_checked(wanted.len())?;
        if !found.eq_ignore_ascii_case(wanted) {
            return None;
        }
        self.rest = rest;
        Some(())
    }

    fn number(&mut self, digits: usize) -> Option<u64> {
        let (found, rest) = self.rest.split_at_checked(digits)?;
        if !found.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.rest = rest;
        Some(found.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::encode::write_http_date;

    /// 20 November 2026.
    const NOW_S: u64 = 1_795_132_800;

    fn parse(text: &str) -> Option<u64> {
        parse_http_date(text.as_bytes(), NOW_S)
    }

    #[test]
    fn the_three_forms_of_one_moment_are_the_same() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "sun, 06 nov 1994 08:49:37 gmt",
            "SUN NOV  6 08:49:37 1994",
        ] {
            assert_eq!(parse(text), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for day in (0..40_000).step_by(13) {
            let seconds = day * 86_400 + day * 7 % 86_400;
            let mut out = [0; 29];
            write_http_date(&mut out, seconds);
            assert_eq!(parse_http_date(&out, NOW_S), Some(seconds), "{}", out.escape_ascii());
        }
    }

    #[test]
    fn two_digit_years_are_at_most_fifty_years_ahead() {
        let year = |text: &str| 1970 + parse(text).expect("a date") / 31_556_952;
        assert_eq!(year("Monday, 02-Mar-76 00:00:00 GMT"), 2076);
        assert_eq!(year("Monday, 02-Mar-77 00:00:00 GMT"), 1977);
        assert_eq!(year("Monday, 02-Mar-26 00:00:00 GMT"), 2026);
    }

    #[test]
    fn ends_of_months_and_odd_moments() {
        assert_eq!(parse("Tue, 29 Feb 2000 00:00:00 GMT"), Some(951_782_400));
        assert_eq!(parse("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(parse("Sun, 06 Nov 1904 08:49:37 GMT"), Some(0));
        assert_eq!(parse("Sat, 31 Dec 2016 23:59:60 GMT"), parse("Sun, 01 Jan 2017 00:00:00 GMT"));
        for text in ["Wed, 29 Feb 2001 00:00:00 GMT", "Wed, 31 Apr 2001 00:00:00 GMT", "Wed, 00 Apr 2001 00:00:00 GMT"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "now",
            "Sun",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT+1",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06  Nov 1994 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Xxx, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nox 1994 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun Nov 06 08:49:37 94",
            "Sun Nov 6 08:49:37 1994",
            "Sun, 06 Nov +994 08:49:37 GMT",
            " Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
