//! Numbers with their units, short enough for tables.

/// A time of `ns` nanoseconds in the unit that suits it.
#[must_use]
pub fn time(ns: u64) -> String {
    let ns = ns as f64;
    let (value, unit) = match ns {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "us"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    format!("{} {unit}", short(value))
}

/// Three significant digits, no exponent.
#[must_use]
pub fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || value == 0.0 {
        grouped(value.round())
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else if size >= 0.01 {
        format!("{value:.3}")
    } else {
        format!("{value:.5}")
    }
}

/// With a space between groups of three digits, from five digits on.
#[must_use]
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && digits.len() > 4 && (digits.len() - n).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    if value < 0.0 { format!("-{out}") } else { out }
}

/// Bytes, by powers of 1024.
#[must_use]
pub fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        n if n < 1024.0 => format!("{n:.0} B"),
        n if n < 1048576.0 => format!("{} KiB", short(n / 1024.0)),
        n if n < 1073741824.0 => format!("{} MiB", short(n / 1048576.0)),
        n => format!("{} GiB", short(n / 1073741824.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(time(999), "999 ns");
        assert_eq!(time(1_234), "1.23 us");
        assert_eq!(time(98_765_432), "98.8 ms");
        assert_eq!(time(60_000_000_000), "60.0 s");
        assert_eq!(short(116_000.4), "116 000");
        assert_eq!(short(0.36), "0.360");
        assert_eq!(grouped(1234.0), "1234");
        assert_eq!(grouped(-1_234_567.0), "-1 234 567");
        assert_eq!(bytes(1 << 30), "1.00 GiB");
    }
}
