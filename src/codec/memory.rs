//! Memory whose size follows from a field's: where the system does not have it, the call fails and
//! the program goes on.
//!
//! Small allocations (a block's, a table's, a string's) end the program where they fail, as any
//! Rust code does. To make that unlikely, a call that is about to make many of them asks first
//! whether there is [`room`] for all.

use crate::error::{Error, Result};
use std::hint::black_box;

/// So many values.
///
/// # Errors
/// [`Error::Memory`].
pub fn zeros<T: Clone + Default>(count: usize) -> Result<Vec<T>> {
    let mut values = with_capacity(count)?;
    values.resize(count, T::default());
    Ok(values)
}

/// An empty list for so many values.
///
/// # Errors
/// [`Error::Memory`].
pub fn with_capacity<T>(count: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    reserve(&mut values, count)?;
    Ok(values)
}

/// Makes a list large enough for so many more values.
///
/// # Errors
/// [`Error::Memory`].
pub fn reserve<T>(values: &mut Vec<T>, more: usize) -> Result<()> {
    let missing = |_| Error::Memory(more.saturating_mul(size_of::<T>()));
    values.try_reserve_exact(more).map_err(missing)
}

/// The same for a list that grows again and again: it is not copied each time.
///
/// # Errors
/// [`Error::Memory`].
pub fn reserve_growing<T>(values: &mut Vec<T>, more: usize) -> Result<()> {
    let missing = |_| Error::Memory(more.saturating_mul(size_of::<T>()));
    values.try_reserve(more).or_else(|_| values.try_reserve_exact(more)).map_err(missing)
}

/// A copy of a list.
///
/// # Errors
/// [`Error::Memory`].
pub fn copy<T: Clone>(values: &[T]) -> Result<Vec<T>> {
    collect(values.len(), values.iter().cloned())
}

/// A list of values of which there are so many.
///
/// # Errors
/// [`Error::Memory`].
pub fn collect<T>(count: usize, values: impl IntoIterator<Item = T>) -> Result<Vec<T>> {
    let mut list = with_capacity(count)?;
    list.extend(values);
    Ok(list)
}

/// Bytes beside what a call says that it needs: stacks of threads, tables, small lists.
const MARGIN: usize = 4 << 20;

/// Whether so many bytes are to be had now, in allocations of any size.
///
/// # Errors
/// [`Error::Memory`].
pub fn room(bytes: usize) -> Result<()> {
    let all = with_capacity::<u8>(bytes.saturating_add(MARGIN))?;
    // Else the compiler leaves out an allocation that nobody uses.
    black_box(all.as_ptr());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_an_error() {
        let much = isize::MAX as usize / 16;
        assert!(matches!(zeros::<f64>(much), Err(Error::Memory(bytes)) if bytes == 8 * much));
        assert!(matches!(room(much), Err(Error::Memory(_))));
        assert!(matches!(zeros::<f64>(usize::MAX), Err(Error::Memory(usize::MAX))));
        assert_eq!(zeros::<f32>(3).unwrap(), [0.0; 3]);
    }
}
