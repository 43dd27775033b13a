//! A box of a field as the caller describes it.

use crate::status::{Failure, argument};
use std::ffi::{CStr, c_char, c_void};
use swae_codec::{FieldView, Order, Value, contiguous, reach};
use swae_insitu::Placement;

/// Types of values.
#[repr(C)]
pub enum swae_dtype {
    /// IEEE binary32: C's float, Fortran's real32.
    SWAE_FLOAT32 = 0,
    /// IEEE binary64: C's double, Fortran's real64.
    SWAE_FLOAT64 = 1,
}

/// Which axis runs fastest in memory.
#[repr(C)]
pub enum swae_order {
    /// x: Fortran's a(nx, ny, nz), C's a[i + nx*(j + ny*k)].
    SWAE_ORDER_FORTRAN = 0,
    /// z: C's `double a[nx][ny][nz]`.
    SWAE_ORDER_C = 1,
}

/// One rank's box of a field. Every triple is x, y, z; zero means the default.
///
/// `data` points at the first value of the memory, ghost zones included.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct swae_field {
    /// sizeof(swae_field), so that the struct can grow.
    pub size: usize,
    /// Name of the field: letters, digits, '_', '-', '+', '.'.
    pub name: *const c_char,
    /// A swae_dtype.
    pub dtype: i32,
    /// A swae_order; it counts where the strides are left 0.
    pub order: i32,
    /// The values. They are read during the call only.
    pub data: *const c_void,
    /// Points of the whole grid.
    pub shape: [usize; 3],
    /// First point of this box in the grid.
    pub start: [usize; 3],
    /// Points of this box, without ghost zones. A box without points is allowed.
    pub count: [usize; 3],
    /// Ghost points in memory before the box along each axis.
    pub ghost_lo: [usize; 3],
    /// Ghost points in memory behind the box along each axis.
    pub ghost_hi: [usize; 3],
    /// Distance in values between neighbours; all 0 for a contiguous array.
    pub stride: [isize; 3],
    /// Coordinates of the grid's point 0.
    pub origin: [f64; 3],
    /// Distance between points; all 0 for 1.
    pub spacing: [f64; 3],
}

impl swae_field {
    pub(crate) fn name(&self) -> Result<&str, Failure> {
        if self.size < size_of::<Self>() {
            return Err(argument(format!(
                "swae_field.size is {}, expected sizeof(swae_field) = {}",
                self.size,
                size_of::<Self>()
            )));
        }
        if self.name.is_null() {
            return Err(argument("swae_field.name is NULL"));
        }
        // SAFETY: the caller passes a string that ends with NUL.
        let name = unsafe { CStr::from_ptr(self.name) };
        name.to_str().map_err(|_| argument(format!("field name {name:?} is not UTF-8")))
    }

    pub(crate) fn placement(&self) -> Placement {
        let spacing = if self.spacing == [0.0; 3] { [1.0; 3] } else { self.spacing };
        Placement { shape: self.shape, start: self.start, origin: self.origin, spacing }
    }

    /// The view of the box.
    ///
    /// # Safety
    /// `data` holds the values that shape, ghost zones and strides lead to, of type `T`.
    pub(crate) unsafe fn view<T: Value>(&self) -> Result<FieldView<'_, T>, Failure> {
        let wrong = |text: &dyn std::fmt::Display| {
            argument(format!("field '{}': {text}", self.name().unwrap_or("?")))
        };
        let order = match self.order {
            0 => Order::Fortran,
            1 => Order::C,
            other => return Err(wrong(&format!("order {other} is none of swae_order"))),
        };
        if self.count.contains(&0) {
            return FieldView::new(&[], 0, self.count, [1; 3]).map_err(|e| wrong(&e));
        }
        if self.data.is_null() {
            return Err(wrong(&"data is NULL"));
        }
        if !self.data.cast::<T>().is_aligned() {
            return Err(wrong(&format!("data is not aligned to {} bytes", align_of::<T>())));
        }
        // Indices count from `below`, the lowest value that a negative stride leads to.
        let (first, stride, below) = if self.stride == [0; 3] {
            let (first, stride) =
                contiguous(self.count, self.ghost_lo, self.ghost_hi, order).map_err(|e| wrong(&e))?;
            (first, stride, 0)
        } else {
            let mut first = 0i128;
            let mut below = 0i128;
            for a in 0..3 {
                let stride = self.stride[a] as i128;
                first += self.ghost_lo[a] as i128 * stride;
                below += ((self.ghost_lo[a] as i128 + self.count[a] as i128 - 1) * stride).min(0);
            }
            let at = usize::try_from(first - below).ok();
            match (at, isize::try_from(below).ok()) {
                (Some(at), Some(below)) => (at, self.stride, below),
                _ => return Err(wrong(&format!("strides {:?} lead outside the memory", self.stride))),
            }
        };
        let end = reach(first, self.count, stride).map_err(|e| wrong(&e))?.end;
        // SAFETY: the caller's promise covers every index from `below` to `end`.
        let data = unsafe { std::slice::from_raw_parts(self.data.cast::<T>().offset(below), end) };
        FieldView::new(data, first, self.count, stride).map_err(|e| wrong(&e))
    }
}
