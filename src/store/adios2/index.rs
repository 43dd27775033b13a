//! BP5's list of steps, `md.idx`.
//!
//! A head, then records, each a letter (`s` for a step), the number of bytes behind it, and these
//! bytes.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

/// The file that holds it.
pub(super) const INDEX: &str = "md.idx";
/// The file that holds the metadata of steps, one behind another.
pub(super) const METADATA: &str = "md.0";
/// The file that holds what metadata look like.
pub(super) const FORMATS: &str = "mmd.0";
const HEAD: usize = 64;

/// The letter of a step's record.
const STEP: u8 = b's';

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
        Some(last) => records(index).filter(|(kind, _)| *kind == STEP).nth(last).map(|(_, end)| end),
    }
}

/// Bytes of metadata of the steps of a list. None where one does not begin where the one before
/// ends: ADIOS2 reads them as if it did, and then waits for ever or crashes.
pub(super) fn metadata(index: &[u8]) -> Option<u64> {
    let mut end = 0u64;
    let mut start = HEAD;
    for (kind, behind) in records(index) {
        let body = index.get(start.checked_add(9)?..behind)?;
        start = behind;
        if kind == STEP {
            let number = |at: usize| Some(u64::from_le_bytes(*body.get(at..)?.first_chunk()?));
            let (at, size) = (number(0)?, number(8)?);
            end = (at == end).then(|| end.checked_add(size))??;
        }
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of steps whose metadata are there.
    fn index(steps: &[[u64; 2]]) -> Vec<u8> {
        let record = |(kind, numbers): (u8, &[u64])| {
            let body = numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
            [&[kind], &(body.len() as u64).to_le_bytes()[..], &body].concat()
        };
        let writers = (b'w', &[1, 1, 1, 0][..]);
        let steps = steps.iter().map(|place| (STEP, &place[..]));
        [vec![0; HEAD]]
            .into_iter()
            .chain(std::iter::once(writers).chain(steps).map(record))
            .flatten()
            .collect()
    }

    #[test]
    fn metadata_lie_one_behind_another() {
        assert_eq!(metadata(&index(&[])), Some(0));
        assert_eq!(metadata(&index(&[[0, 10], [10, 5]])), Some(15));
        assert_eq!(metadata(&index(&[[0, 10], [12, 5]])), None);
        assert_eq!(metadata(&index(&[[0, 10], [10, u64::MAX]])), None);
        let whole = index(&[[0, 10], [10, 5]]);
        // What a kill has left of a record does not count.
        assert_eq!(metadata(&whole[..whole.len() - 1]), Some(10));
        assert_eq!(length(&whole, 2), Some(whole.len()));
    }
}
