//! BP5's list of steps, `md.idx`.
//!
//! A head, then records, each a letter (`s` for a step), the number of bytes behind it, and these
//! bytes.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

/// The file that holds it.
pub(super) const INDEX: &str = "md.idx";
/// The file that holds what metadata look like.
pub(super) const FORMATS: &str = "mmd.0";
const HEAD: usize = 64;

/// The letter of each whole record, and where it ends.
pub(super) fn records(index: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    let mut at = HEAD;
    std::iter::from_fn(move || {
        let kind = *index.get(at)?;
        let length = u64::from_le_bytes(*index.get(at.checked_add(1)?..)?.first_chunk()?);
        at = at.checked_add(9)?.checked_add(usize::try_from(length).ok()?)?;
        (at <= index.len()).then_some((kind, at))
    })
}

/// Bytes of the list up to the end of so many steps.
pub(super) fn length(index: &[u8], steps: usize) -> Option<usize> {
    match steps.checked_sub(1) {
        None => Some(HEAD),
        Some(last) => records(index).filter(|(kind, _)| *kind == b's').nth(last).map(|(_, end)| end),
    }
}
