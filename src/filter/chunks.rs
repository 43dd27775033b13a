//! What the filter knows of a dataset's chunks: the words of `cd_values` behind the user's, which
//! [`set_local`](crate::filter) writes when a dataset is made, and the filter reads.
//!
//! HDF5 calls the filter with bytes alone, and also where an optional filter has said that it does
//! not apply. So nothing is coded whose words do not say that the dataset was checked.

use crate::hdf5_host::{Dataset, Float};
use swae_codec::array::MOST_AXES;

/// First word of what the filter adds. Earlier versions began with the bytes of a value, and had
/// not checked what they were given.
const CHECKED: u32 = u32::from_be_bytes(*b"SWA2");
/// HDF5's filters that give back every byte that they were given: shuffle, deflate, fletcher32,
/// szip. Only they may stand behind this one.
const LOSSLESS: [i32; 4] = [1, 2, 3, 4];

/// Chunks of floats.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunks {
    /// Bytes of a value: 4 or 8.
    pub size: usize,
    /// Whether the values are in the other byte order than this machine's.
    pub swapped: bool,
    /// Points along each axis, the last one fastest.
    pub shape: Vec<usize>,
    /// The bits of the dataset's fill value, where it is known. HDF5 fills with it what a chunk at
    /// the edge has outside of the dataset.
    pub fill: Option<u64>,
    /// Whether the dataset was checked. Where it was not, the bytes may be anything.
    pub is_checked: bool,
}

impl Chunks {
    /// The words of a dataset that the filter leaves alone.
    pub(crate) const LEFT_ALONE: &[u32] = &[CHECKED, 0];

    /// Those of a dataset, without its fill value.
    ///
    /// # Errors
    /// Why the filter does not apply to it.
    pub(crate) fn of(dataset: &Dataset, filter: i32) -> Result<Self, String> {
        let Some(float) = dataset.float else {
            return Err("the filter takes only datasets of 32- and 64-bit IEEE floats".into());
        };
        match dataset.pipeline.split_first() {
            Some((first, behind)) if *first == filter => {
                if let Some(other) = behind.iter().find(|id| !LOSSLESS.contains(id)) {
                    return Err(format!(
                        "filter {other} stands behind it and may change what it writes; only shuffle, \
                         deflate, fletcher32 and szip may"
                    ));
                }
            }
            _ => {
                let text = "another filter comes before it, and it would take that filter's bytes for values; \
                            it must be the first";
                return Err(text.into());
            }
        }
        if dataset.chunk.is_empty() || dataset.chunk.len() > MOST_AXES {
            return Err(format!("chunks of {} axes; 1 to {MOST_AXES} are possible", dataset.chunk.len()));
        }
        Ok(Self {
            size: float.size,
            swapped: float.is_big_endian != cfg!(target_endian = "big"),
            // A chunk has less than 2³² bytes.
            shape: dataset.chunk.iter().map(|&n| n as usize).collect(),
            fill: None,
            is_checked: true,
        })
    }

    /// Whether the words say that the filter leaves the dataset alone.
    pub(crate) fn are_left_alone(words: &[u32]) -> bool {
        words == Self::LEFT_ALONE
    }

    /// The type of its values in the file.
    pub(crate) fn float(&self) -> Float {
        Float { size: self.size, is_big_endian: self.swapped != cfg!(target_endian = "big") }
    }

    pub(crate) fn to_words(&self) -> Vec<u32> {
        let Float { size, is_big_endian } = self.float();
        let mut words = vec![CHECKED, size as u32, is_big_endian.into(), self.shape.len() as u32];
        words.extend(self.shape.iter().map(|&n| n as u32));
        let fill = self.fill.unwrap_or_default();
        words.extend([self.fill.is_some().into(), fill as u32, (fill >> 32) as u32]);
        words
    }

    /// What the words behind the user's say.
    ///
    /// # Errors
    /// That the filter was not set up for these chunks.
    pub(crate) fn from_words(words: &[u32]) -> Result<Self, String> {
        let unknown = || "the filter does not know its chunks; was it set up by HDF5?".to_owned();
        let [size, order, rest @ ..] = words.strip_prefix(&[CHECKED]).unwrap_or(words) else {
            return Err(unknown());
        };
        let is_checked = words[0] == CHECKED;
        let (shape, behind) = if is_checked {
            let (axes, rest) = rest.split_first().ok_or_else(unknown)?;
            rest.split_at_checked(*axes as usize).ok_or_else(unknown)?
        } else {
            (rest, &[][..])
        };
        let fill = match *behind {
            [1, low, high, ..] => Some(u64::from(high) << 32 | u64::from(low)),
            _ => None,
        };
        if !matches!(size, 4 | 8) || *order > 1 {
            return Err(unknown());
        }
        Ok(Self {
            size: *size as usize,
            swapped: (*order == 1) != cfg!(target_endian = "big"),
            shape: shape.iter().map(|&n| n as usize).collect(),
            fill,
            is_checked,
        })
    }

    /// Bytes of a chunk; none where there are too many to count.
    pub(crate) fn bytes(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.size, |n, &axis| n.checked_mul(axis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset() -> Dataset {
        Dataset {
            float: Some(Float { size: 8, is_big_endian: false }),
            chunk: vec![4, 5, 6],
            pipeline: vec![397],
        }
    }

    #[test]
    fn words_say_what_was_checked() {
        for fill in [None, Some(0), Some(f64::NAN.to_bits())] {
            let chunks = Chunks { fill, ..Chunks::of(&dataset(), 397).unwrap() };
            assert_eq!(Chunks::from_words(&chunks.to_words()), Ok(chunks));
        }
    }

    #[test]
    fn words_of_earlier_versions_are_read_and_not_written() {
        let chunks = Chunks::from_words(&[8, 0, 4, 5, 6]).unwrap();
        assert_eq!((&chunks.shape[..], chunks.size, chunks.is_checked), (&[4, 5, 6][..], 8, false));
    }

    #[test]
    fn no_words_make_the_filter_guess() {
        for words in [&[][..], &[CHECKED], &[CHECKED, 0], &[CHECKED, 8, 0], &[CHECKED, 8, 0, 3, 4, 5], &[8]] {
            assert!(Chunks::from_words(words).is_err(), "{words:?}");
        }
        for words in [&[16, 0, 4][..], &[8, 2, 4], &[CHECKED, 2, 0, 1, 4]] {
            assert!(Chunks::from_words(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn it_is_the_first_filter_and_none_behind_it_loses_anything() {
        let with = |pipeline: &[i32]| Chunks::of(&Dataset { pipeline: pipeline.to_vec(), ..dataset() }, 397);
        for good in [&[397][..], &[397, 3], &[397, 2, 1, 3]] {
            assert!(with(good).is_ok(), "{good:?}");
        }
        for bad in [&[2, 397][..], &[3, 397], &[397, 6], &[397, 5], &[397, 397], &[397, 32013], &[]] {
            assert!(with(bad).is_err(), "{bad:?}");
        }
        assert!(Chunks::of(&Dataset { float: None, ..dataset() }, 397).is_err());
        assert!(Chunks::of(&Dataset { chunk: vec![1; 33], ..dataset() }, 397).is_err());
    }
}
