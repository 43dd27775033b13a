//! A field where the simulation keeps it: memory, a shape, strides, ghost zones. Nothing is copied.

#![allow(clippy::arithmetic_side_effects, reason = "sums that were checked, or are wider than their terms")]

use crate::element::Element;
use crate::error::{Error, Result};
use std::ops::Range;

/// Which axis runs fastest in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// The first axis, x: Fortran's `a(nx, ny, nz)`, or C's `a[i + nx*(j + ny*k)]`.
    #[default]
    Fortran,
    /// The last axis, z: C's `a[nx][ny][nz]`.
    C,
}

/// A box of a field in the caller's memory.
///
/// `count` is `[nx, ny, nz]`, `stride` the distance in values between neighbours along x, y, z.
///
/// ```
/// use swae_codec::FieldView;
/// use swae_codec::view::Order;
///
/// // An array of 10³ values with a ghost zone of 1 on each side: the view is the 8³ values inside.
/// let data = vec![0.0f64; 10 * 10 * 10];
/// let view = FieldView::inside_ghosts(&data, [8; 3], [1; 3], [1; 3], Order::Fortran)?;
/// assert_eq!(view.count(), [8, 8, 8]);
/// # Ok::<(), swae_codec::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct FieldView<'a, T> {
    data: &'a [T],
    first: usize,
    count: [usize; 3],
    stride: [isize; 3],
}

impl<'a, T: Element> FieldView<'a, T> {
    /// A view with free strides; `first` is the index in `data` of the box's first value.
    ///
    /// # Errors
    /// [`Error::Shape`] where the view would reach outside `data`.
    pub fn new(data: &'a [T], first: usize, count: [usize; 3], stride: [isize; 3]) -> Result<Self> {
        check_shape(count)?;
        if !count.contains(&0) {
            let reach = reach(first, count, stride)?;
            if reach.end > data.len() {
                return Err(Error::Shape(format!(
                    "a box of {count:?} values with strides {stride:?} reaches value {}, but the memory has {}",
                    reach.end - 1,
                    data.len()
                )));
            }
        }
        Ok(Self { data, first, count, stride })
    }

    /// A contiguous array of `count` plus ghost zones (`lo` before and `hi` behind along each
    /// axis); the view is the inside.
    ///
    /// # Errors
    /// [`Error::Shape`] where `data` is too short.
    pub fn inside_ghosts(
        data: &'a [T],
        count: [usize; 3],
        lo: [usize; 3],
        hi: [usize; 3],
        order: Order,
    ) -> Result<Self> {
        let (first, stride) = contiguous(count, lo, hi, order)?;
        Self::new(data, first, count, stride)
    }

    /// A contiguous array with x fastest.
    ///
    /// # Errors
    /// [`Error::Shape`] where `data` is too short.
    pub fn dense(data: &'a [T], count: [usize; 3]) -> Result<Self> {
        Self::inside_ghosts(data, count, [0; 3], [0; 3], Order::Fortran)
    }

    /// The view of an `[z, y, x]` array, whichever of its axes runs fastest in memory.
    ///
    /// # Errors
    /// [`Error::Shape`] where the array's values do not fill one slice, or an axis runs backwards.
    pub fn of_array(array: &'a ndarray::Array3<T>) -> Result<Self> {
        let (nz, ny, nx) = array.dim();
        if let Some(data) = array.as_slice() {
            return Self::dense(data, [nx, ny, nz]);
        }
        let [z, y, x] = *array.strides() else { unreachable!("three axes have three strides") };
        match array.as_slice_memory_order() {
            Some(data) if x > 0 && y > 0 && z > 0 => Self::new(data, 0, [nx, ny, nz], [x, y, z]),
            _ => Err(Error::Shape("the array is not contiguous".into())),
        }
    }

    /// `[nx, ny, nz]`.
    pub fn count(&self) -> [usize; 3] {
        self.count
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.count.iter().product()
    }

    /// A part of it.
    ///
    /// # Panics
    /// Where the part leaves the box.
    pub fn part(&self, start: [usize; 3], count: [usize; 3]) -> Self {
        assert!((0..3).all(|a| start[a] + count[a] <= self.count[a]), "the part lies in the box");
        let shift: isize = (0..3).map(|a| start[a] as isize * self.stride[a]).sum();
        Self { first: (self.first as isize + shift) as usize, count, ..*self }
    }

    /// Whether it holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at `[x, y, z]`.
    #[inline]
    pub fn get(&self, at: [usize; 3]) -> T {
        debug_assert!((0..3).all(|a| at[a] < self.count[a]));
        let mut i = self.first as isize;
        for (p, s) in at.iter().zip(self.stride) {
            i += *p as isize * s;
        }
        self.data[i as usize]
    }

    /// `n` values along x from `at` on, where they lie side by side in memory.
    #[inline]
    pub fn row(&self, at: [usize; 3], n: usize) -> Option<&[T]> {
        if n == 0 {
            // A box without values may have no memory.
            return Some(&[]);
        }
        let [x, y, z] = at.map(|p| p as isize);
        let first = self.first as isize + x * self.stride[0] + y * self.stride[1] + z * self.stride[2];
        (self.stride[0] == 1).then(|| &self.data[first as usize..first as usize + n])
    }

    /// The memory from a point on, and how far it is there to the next row along y and along z, where
    /// rows along x lie side by side and neither way leads back.
    #[inline]
    pub(crate) fn rows(&self, at: [usize; 3]) -> Option<(&'a [T], [usize; 2])> {
        let [1, y, z] = self.stride else { return None };
        let to_next = [usize::try_from(y).ok()?, usize::try_from(z).ok()?];
        let first = self.first + at[0] + at[1] * to_next[0] + at[2] * to_next[1];
        Some((self.data.get(first..)?, to_next))
    }

    /// Calls a function with the values of each row along x.
    pub(crate) fn for_rows(&self, mut f: impl FnMut(&[T])) {
        let [nx, ny, nz] = self.count;
        // Not to walk along an axis of any length for no value at all.
        if self.is_empty() {
            return;
        }
        for z in 0..nz {
            for y in 0..ny {
                match self.row([0, y, z], nx) {
                    Some(row) => f(row),
                    None => f(&(0..nx).map(|x| self.get([x, y, z])).collect::<Vec<_>>()),
                }
            }
        }
    }

    /// All values, x fastest.
    pub fn values(&self) -> impl Iterator<Item = T> + '_ {
        let [nx, ny, nz] = self.count;
        (0..nz)
            .flat_map(move |z| (0..ny).flat_map(move |y| (0..nx).map(move |x| [x, y, z])))
            .map(|at| self.get(at))
    }
}

/// Whether a box of this shape can exist: its size in bytes fits the address space, and would even
/// if axes without values had one.
///
/// # Errors
/// [`Error::Shape`] where it does not.
pub fn check_shape(count: [usize; 3]) -> Result<()> {
    count
        .iter()
        .try_fold(8usize, |n, &c| n.checked_mul(c.max(1)))
        .filter(|&bytes| isize::try_from(bytes).is_ok())
        .map(drop)
        .ok_or_else(|| Error::Shape(format!("a box of {count:?} values does not fit any memory")))
}

/// First index and strides of the inside of a contiguous array with ghost zones.
///
/// # Errors
/// [`Error::Shape`] where the array would not fit the address space.
pub fn contiguous(
    count: [usize; 3],
    lo: [usize; 3],
    hi: [usize; 3],
    order: Order,
) -> Result<(usize, [isize; 3])> {
    let mut full = [0; 3];
    for a in 0..3 {
        full[a] = count[a]
            .checked_add(lo[a])
            .and_then(|n| n.checked_add(hi[a]))
            .ok_or_else(|| Error::Shape(format!("ghost zones {lo:?} and {hi:?} are too wide")))?;
    }
    check_shape(full)?;
    let axes = if order == Order::Fortran { [0, 1, 2] } else { [2, 1, 0] };
    let (mut stride, mut step, mut first) = ([0; 3], 1, 0);
    for a in axes {
        stride[a] = step as isize;
        first += lo[a] * step;
        step *= full[a];
    }
    Ok((first, stride))
}

/// The range of indices that a box touches.
///
/// # Errors
/// [`Error::Shape`] where it begins before index 0 or ends outside the address space.
pub fn reach(first: usize, count: [usize; 3], stride: [isize; 3]) -> Result<Range<usize>> {
    let (mut lo, mut hi) = (first as i128, first as i128);
    for a in 0..3 {
        let span = (count[a].max(1) - 1) as i128 * stride[a] as i128;
        if span < 0 { lo += span } else { hi += span }
    }
    match (usize::try_from(lo), usize::try_from(hi + 1)) {
        (Ok(lo), Ok(hi)) if isize::try_from(hi).is_ok() => Ok(lo..hi),
        _ => Err(Error::Shape(format!("strides {stride:?} lead outside the memory"))),
    }
}
