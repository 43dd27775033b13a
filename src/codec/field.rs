//! A decoded box of values, of either element type.

use crate::element::{Dtype, Element};
use crate::error::{Error, Result};
use ndarray::Array3;
use std::any::Any;

/// A decoded box, `[z, y, x]`.
///
/// ```
/// use ndarray::Array3;
/// use swae_codec::{Dtype, Field};
///
/// let field = Field::from_array(Array3::<f32>::zeros((2, 3, 4)));
/// assert_eq!((field.dtype(), field.count()), (Dtype::F32, [4, 3, 2]));
/// assert!(field.as_array::<f64>().is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// Of float32 values.
    F32(Array3<f32>),
    /// Of float64 values.
    F64(Array3<f64>),
}

impl Field {
    /// Type of the values.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
        }
    }

    /// `[nx, ny, nz]`.
    pub fn count(&self) -> [usize; 3] {
        let (nz, ny, nx) = match self {
            Self::F32(a) => a.dim(),
            Self::F64(a) => a.dim(),
        };
        [nx, ny, nz]
    }

    /// The values in double precision, `[z, y, x]`.
    pub fn to_f64(&self) -> Array3<f64> {
        match self {
            Self::F32(a) => a.mapv(f64::from),
            Self::F64(a) => a.clone(),
        }
    }

    /// An array, `[z, y, x]`, as a field.
    pub fn from_array<T: Element>(array: Array3<T>) -> Self {
        let array: Box<dyn Any> = Box::new(array);
        match array.downcast::<Array3<f32>>() {
            Ok(array) => Self::F32(*array),
            Err(array) => Self::F64(*array.downcast().expect("an element is f32 or f64")),
        }
    }

    /// The values, `[z, y, x]`, where they are of this type.
    pub fn as_array<T: Element>(&self) -> Option<&Array3<T>> {
        let array: &dyn Any = match self {
            Self::F32(array) => array,
            Self::F64(array) => array,
        };
        array.downcast_ref()
    }

    /// The values as an array of the type that the caller expects.
    ///
    /// # Errors
    /// [`Error::Stream`] where they are of the other type.
    pub(crate) fn expect_array<T: Element>(self) -> Result<Array3<T>> {
        let found = self.dtype();
        self.into_array().ok_or_else(|| wrong_type::<T>(found))
    }

    /// The same, taken out.
    pub fn into_array<T: Element>(self) -> Option<Array3<T>> {
        let array: Box<dyn Any> = match self {
            Self::F32(array) => Box::new(array),
            Self::F64(array) => Box::new(array),
        };
        array.downcast().ok().map(|array| *array)
    }
}

/// What is wrong with values of another type than `T`.
pub(crate) fn wrong_type<T: Element>(found: Dtype) -> Error {
    Error::Stream(format!("it holds {} values, not {}", found.name(), T::DTYPE.name()))
}
