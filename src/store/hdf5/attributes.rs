//! Attributes of groups and datasets: one value, three, or a text.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use hdf5::types::{FixedUnicode, VarLenUnicode};
use hdf5::{H5Type, Location};
use std::str::FromStr;

/// The text, cut to `N` bytes.
pub(super) fn text<const N: usize>(s: &str) -> FixedUnicode<N> {
    let cut = (0..=s.len().min(N)).rev().find(|&n| s.is_char_boundary(n)).unwrap_or(0);
    FixedUnicode::from_str(&s[..cut]).unwrap_or_default()
}

pub(super) fn set<T: H5Type>(of: &Location, name: &str, value: &T) -> hdf5::Result<()> {
    of.new_attr::<T>().create(name)?.write_scalar(value)
}

pub(super) fn set_array<T: H5Type>(of: &Location, name: &str, values: &[T; 3]) -> hdf5::Result<()> {
    of.new_attr::<T>().shape(3).create(name)?.write(&values[..])
}

pub(super) fn get<T: H5Type>(of: &Location, name: &str) -> hdf5::Result<T> {
    of.attr(name)?.read_scalar()
}

pub(super) fn get_array<T: H5Type + Copy>(of: &Location, name: &str) -> hdf5::Result<[T; 3]> {
    let attribute = of.attr(name)?;
    // Before memory is taken for them.
    if attribute.shape() != [3] {
        return Err(format!("attribute {name} has not 3 values").into());
    }
    let values = attribute.read_raw::<T>()?;
    values.try_into().map_err(|_| format!("attribute {name} has not 3 values").into())
}

/// A text of fixed length, or of variable length as other writers have it.
pub(super) fn get_text(of: &Location, name: &str) -> hdf5::Result<String> {
    let attribute = of.attr(name)?;
    let short = attribute.read_scalar::<FixedUnicode<64>>().map(|t| t.to_string());
    short.or_else(|_| attribute.read_scalar::<VarLenUnicode>().map(|t| t.to_string()))
}
