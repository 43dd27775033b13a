//! Names of fields: which there are, how a level is named, and how a name is written where some of
//! its characters mean something else.
//!
//! A name is any text, as simulation codes have them: `ADMBASE::gxx`, `X(He4)`, `gxx[0]`, `E/x`.
//! Stores and the tool's files hold it escaped, and readers give it back as it was. Names without
//! such characters are the same in both forms, so files of earlier versions are read as ever.

use std::borrow::Cow;

/// Bytes of a name, at most.
const LONGEST: usize = 255;

/// Checks that a field can have this name.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > LONGEST || name.contains('\0') {
        return Err(format!("names have 1 to {LONGEST} bytes of UTF-8, and no NUL"));
    }
    Ok(())
}

/// The name of a field on a level: `name@level` above level 0. On level 0 it is the name itself,
/// but `name@0` where the name could be read as another one's on a level.
pub fn with_level(name: &str, level: u32) -> String {
    let is_plain = level == 0 && split_level(name).0 == name;
    if is_plain { name.into() } else { format!("{name}@{level}") }
}

/// Name and level of a field, from what [`with_level`] has made of them.
pub fn split_level(name: &str) -> (&str, u32) {
    let split = name.rsplit_once('@').and_then(|(base, digits)| {
        let level: u32 = digits.parse().ok()?;
        // Only what `with_level` writes: neither '+1' nor '01'.
        (level.to_string() == digits).then_some((base, level))
    });
    split.unwrap_or((name, 0))
}

/// The name as stores and files hold it: `%2F` and the like stand for '/', '%', control characters
/// and a '.' in front. So it is one part of a path, whatever a file says.
pub fn escaped(name: &str) -> Cow<'_, str> {
    let means_else =
        |(at, c): (usize, char)| matches!(c, '/' | '%') || c.is_ascii_control() || (at == 0 && c == '.');
    if !name.char_indices().any(means_else) {
        return Cow::Borrowed(name);
    }
    let write =
        |at: (usize, char)| if means_else(at) { format!("%{:02X}", u32::from(at.1)) } else { at.1.into() };
    Cow::Owned(name.char_indices().map(write).collect())
}

/// The name of an escaped one. A '%' that stands for nothing is itself.
pub(crate) fn unescaped(text: &str) -> String {
    let mut parts = text.split('%');
    let mut name = String::from(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(u8::is_ascii) {
            Some(byte) => name.extend([char::from(byte).to_string().as_str(), &part[2..]]),
            None => name.extend(["%", part]),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 16] = [
        "chi",
        "ADMBASE::gxx",
        "X(He4)",
        "gxx[0]",
        "E/x",
        "..",
        "../../x",
        ".hidden",
        "/",
        "50%",
        "%2F",
        "a\tb",
        "ψ₄ ℓ=2",
        "a@1",
        "a@1@0",
        "a@01",
    ];

    #[test]
    fn every_name_comes_back_from_its_escaped_form_which_is_one_part_of_a_path() {
        for name in NAMES {
            let escaped = escaped(name);
            assert!(!escaped.contains('/') && !escaped.starts_with('.'), "{escaped}");
            assert_eq!(unescaped(&escaped), name);
            check_name(name).unwrap();
        }
        // Names of other programs and of earlier versions.
        for text in ["chi", "At_xx.old+1", "100%", "%", "%zz", "%é", "%+1", "%FF"] {
            assert_eq!(unescaped(text), text);
        }
        assert!(
            check_name("").is_err() && check_name("a\0b").is_err() && check_name(&"é".repeat(128)).is_err()
        );
    }

    #[test]
    fn a_name_and_a_level_are_told_apart() {
        assert_eq!(with_level("chi", 0), "chi");
        assert_eq!(with_level("chi", 2), "chi@2");
        assert_eq!(with_level("a@1", 0), "a@1@0");
        let mut all: Vec<_> =
            NAMES.iter().flat_map(|name| (0..3).map(|level| with_level(name, level))).collect();
        for (i, stored) in all.iter().enumerate() {
            assert_eq!(split_level(stored), (NAMES[i / 3], i as u32 % 3));
        }
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 3 * NAMES.len());
    }
}
