//! Boxes of a field as the caller describes them, and the views over the caller's memory that they
//! become.

use crate::extensible::{self, Extensible};
use crate::status::{Failure, argument};
use std::ffi::{CStr, c_char, c_void};
use swae_codec::view::{Order, contiguous, reach};
use swae_codec::{Dtype, Element, FieldView};
use swae_insitu::Grid;

/// @brief Types of values.
#[repr(C)]
pub enum swae_dtype {
    /// IEEE binary32: C's float, Fortran's real32.
    SWAE_FLOAT32 = 0,
    /// IEEE binary64: C's double, Fortran's real64.
    SWAE_FLOAT64 = 1,
}

/// @brief Which axis is contiguous in memory.
#[repr(C)]
pub enum swae_order {
    /// x: Fortran's a(nx, ny, nz), C's a[i + nx*(j + ny*k)].
    SWAE_ORDER_FORTRAN = 0,
    /// z: C's `double a[nx][ny][nz]`.
    SWAE_ORDER_C = 1,
}

/// @brief One rank's box of a field.
///
/// Every triple is x, y, z; zero means the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct swae_field {
    /// sizeof(swae_field).
    pub size: usize,
    /// Name of the field: 1 to 255 bytes of UTF-8, any characters. Files hold it escaped where they
    /// must, and readers give it back as it is.
    pub name: *const c_char,
    /// A swae_dtype.
    pub dtype: i32,
    /// A swae_order; used where all strides are 0.
    pub order: i32,
    /// First value of the memory, ghost zones included. Read during the call only.
    pub data: *const c_void,
    /// Points of the whole grid.
    pub shape: [usize; 3],
    /// First point of this box in the grid.
    pub start: [usize; 3],
    /// Points of this box, without ghost zones. A box without points is allowed.
    pub count: [usize; 3],
    /// Ghost points in memory below the box along each axis.
    pub ghost_lo: [usize; 3],
    /// Ghost points in memory above the box along each axis.
    pub ghost_hi: [usize; 3],
    /// Distance in memory between neighbouring points, in values; all 0 for a contiguous array. One
    /// that is 0 beside others that are not is an error, unless the box is one point wide there.
    pub stride: [isize; 3],
    /// Coordinates of grid point 0.
    pub origin: [f64; 3],
    /// Distance between grid points; all 0 for 1.
    pub spacing: [f64; 3],
    /// Refinement level; the grid is this level's. In the file the field of a level above 0 is
    /// called name@level; a name that ends like that itself is called name@0 on level 0.
    pub level: i32,
    /// Not 0: boxes need not cover the grid; readers give NaN where there is none. Above level 0
    /// they never need to.
    pub partial: i32,
}

/// @brief One box of a swae_boxes; members as in swae_field.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct swae_box {
    /// First point of the box in the grid.
    pub start: [usize; 3],
    /// Points of the box, without ghost zones.
    pub count: [usize; 3],
    /// Ghost points in memory below the box along each axis.
    pub ghost_lo: [usize; 3],
    /// Ghost points in memory above the box along each axis.
    pub ghost_hi: [usize; 3],
    /// Distance in memory between neighbouring points, in values; all 0 for a contiguous array.
    pub stride: [isize; 3],
}

/// @brief A rank's boxes on one refinement level, described once for all fields on them; members as
/// in swae_field.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct swae_boxes {
    /// sizeof(swae_boxes).
    pub size: usize,
    /// Array of box_count boxes, box_size bytes each.
    pub boxes: *const swae_box,
    /// Number of boxes.
    pub box_count: usize,
    /// sizeof(swae_box).
    pub box_size: usize,
    /// Points of the whole grid.
    pub shape: [usize; 3],
    /// Coordinates of grid point 0.
    pub origin: [f64; 3],
    /// Distance between grid points; all 0 for 1.
    pub spacing: [f64; 3],
    /// Refinement level.
    pub level: i32,
    /// Not 0: boxes need not cover the grid.
    pub partial: i32,
    /// A swae_order; used where all strides of a box are 0.
    pub order: i32,
    /// Not used; 0.
    pub reserved: i32,
}

// SAFETY: `repr(C)`, without padding; zeros are a value.
unsafe impl Extensible for swae_field {
    const NAME: &'static str = "swae_field";
    const FIRST_SIZE: usize = 232;
}

// SAFETY: as above.
unsafe impl Extensible for swae_box {
    const NAME: &'static str = "swae_box";
    const FIRST_SIZE: usize = 120;
}

// SAFETY: as above.
unsafe impl Extensible for swae_boxes {
    const NAME: &'static str = "swae_boxes";
    const FIRST_SIZE: usize = 120;
}

/// The field name that a caller passed.
///
/// # Safety
/// `name` is NULL or a string.
pub(crate) unsafe fn name<'a>(name: *const c_char) -> Result<&'a str, Failure> {
    if name.is_null() {
        return Err(argument("the field's name is NULL"));
    }
    // SAFETY: the caller passes a string that ends with NUL.
    let name = unsafe { CStr::from_ptr(name) };
    name.to_str().map_err(|_| argument(format!("field name {name:?} is not UTF-8")))
}

pub(crate) fn dtype(number: i32) -> Result<Dtype, Failure> {
    match number {
        0 => Ok(Dtype::F32),
        1 => Ok(Dtype::F64),
        other => Err(argument(format!("dtype {other} is none of swae_dtype"))),
    }
}

fn grid(
    level: i32,
    partial: i32,
    shape: [usize; 3],
    origin: [f64; 3],
    spacing: [f64; 3],
) -> Result<Grid, Failure> {
    let level = u32::try_from(level).map_err(|_| argument(format!("level is {level}")))?;
    let spacing = if spacing == [0.0; 3] { [1.0; 3] } else { spacing };
    Ok(Grid { level, partial: partial != 0, shape, origin, spacing })
}

impl swae_boxes {
    pub(crate) fn grid(&self) -> Result<Grid, Failure> {
        grid(self.level, self.partial, self.shape, self.origin, self.spacing)
    }

    /// The boxes.
    ///
    /// # Safety
    /// `boxes` points to `box_count` structs, `box_size` bytes apart.
    pub(crate) unsafe fn boxes(&self) -> Result<Vec<swae_box>, Failure> {
        if self.reserved != 0 {
            return Err(argument(format!("swae_boxes.reserved is {}, expected 0", self.reserved)));
        }
        if self.box_count > 0 && self.boxes.is_null() {
            return Err(argument("swae_boxes.boxes is NULL"));
        }
        if self.box_count > 0 {
            extensible::check_size::<swae_box>(self.box_size, "swae_boxes.box_size")?;
        }
        let read = |i: usize| {
            // SAFETY: the caller's contract.
            unsafe { extensible::read_sized(self.boxes.byte_add(i * self.box_size), self.box_size) }
        };
        (0..self.box_count).map(read).collect()
    }
}

impl swae_field {
    pub(crate) fn grid(&self) -> Result<Grid, Failure> {
        grid(self.level, self.partial, self.shape, self.origin, self.spacing)
    }

    /// The box without the field.
    pub(crate) fn as_box(&self) -> swae_box {
        let Self { start, count, ghost_lo, ghost_hi, stride, .. } = *self;
        swae_box { start, count, ghost_lo, ghost_hi, stride }
    }
}

/// Where a box's values lie relative to the pointer, in values.
struct Memory {
    /// The lowest one that a negative stride reaches, 0 or less.
    below: isize,
    /// From there, the first value of the box, and the end of all that are reached.
    first: usize,
    end: usize,
    stride: [isize; 3],
}

impl swae_box {
    fn memory(&self, order: i32) -> Result<Memory, String> {
        let order = match order {
            0 => Order::Fortran,
            1 => Order::C,
            other => return Err(format!("order {other} is none of swae_order")),
        };
        let (first, stride, below) = if self.stride == [0; 3] {
            let memory = contiguous(self.count, self.ghost_lo, self.ghost_hi, order);
            let (first, stride) = memory.map_err(|e| e.to_string())?;
            (first, stride, 0)
        } else {
            let mut first = 0i128;
            let mut below = 0i128;
            if let Some(a) = (0..3).find(|&a| self.stride[a] == 0 && self.count[a] > 1) {
                let text = "give one for each axis, or leave all 0 for a contiguous array";
                return Err(format!("the stride along {} is 0; {text}", ["x", "y", "z"][a]));
            }
            for a in 0..3 {
                let stride = self.stride[a] as i128;
                first += self.ghost_lo[a] as i128 * stride;
                below += ((self.ghost_lo[a] as i128 + self.count[a] as i128 - 1) * stride).min(0);
            }
            let at = usize::try_from(first - below).ok();
            match (at, isize::try_from(below).ok()) {
                (Some(at), Some(below)) => (at, self.stride, below),
                _ => return Err(format!("strides {:?} reach outside the memory", self.stride)),
            }
        };
        let end = reach(first, self.count, stride).map_err(|e| e.to_string())?.end;
        Ok(Memory { below, first, end, stride })
    }

    fn check<T>(data: *const c_void) -> Result<(), String> {
        if data.is_null() {
            return Err("data is NULL".into());
        }
        if !data.cast::<T>().is_aligned() {
            return Err(format!("data is not aligned to {} bytes", align_of::<T>()));
        }
        Ok(())
    }

    /// The box as a view.
    ///
    /// # Safety
    /// `data` holds the values that count, ghost zones and strides reach, of type `T`.
    pub(crate) unsafe fn view<'a, T: Element>(
        &self,
        order: i32,
        data: *const c_void,
    ) -> Result<FieldView<'a, T>, String> {
        if self.count.contains(&0) {
            return FieldView::new(&[], 0, self.count, [1; 3]).map_err(|e| e.to_string());
        }
        let Memory { below, first, end, stride } = self.memory(order)?;
        Self::check::<T>(data)?;
        // SAFETY: the caller's contract covers every index from `below` to `end`.
        let data = unsafe { std::slice::from_raw_parts(data.cast::<T>().offset(below), end) };
        FieldView::new(data, first, self.count, stride).map_err(|e| e.to_string())
    }

    /// Writes values, x fastest, into the box.
    ///
    /// # Safety
    /// As [`swae_box::view`], and no other thread uses the memory meanwhile.
    pub(crate) unsafe fn fill<T: Element>(
        &self,
        order: i32,
        data: *mut c_void,
        values: impl Iterator<Item = T>,
    ) -> Result<(), String> {
        if self.count.contains(&0) {
            return Ok(());
        }
        let Memory { below, first, stride, .. } = self.memory(order)?;
        Self::check::<T>(data)?;
        let [nx, ny, _] = self.count;
        for (i, value) in values.take(self.count.iter().product()).enumerate() {
            let at = [i % nx, i / nx % ny, i / (nx * ny)];
            let steps: isize = (0..3).map(|a| at[a] as isize * stride[a]).sum();
            // SAFETY: `reach` has found every point of the box inside; the memory is the caller's
            // contract.
            unsafe { data.cast::<T>().offset(below + first as isize + steps).write(value) };
        }
        Ok(())
    }
}
