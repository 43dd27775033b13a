//! The types of numbers that fields are made of. A leaf of the crate.

/// The type of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Dtype {
    /// IEEE binary32.
    F32 = 0,
    /// IEEE binary64.
    F64 = 1,
}

impl Dtype {
    /// Bytes per value.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F64 => 8,
        }
    }

    /// Bits of a value's mantissa, without the leading one.
    pub const fn mantissa_bits(self) -> u32 {
        match self {
            Dtype::F32 => 23,
            Dtype::F64 => 52,
        }
    }

    /// The name as NumPy has it: `float32`, `float64`.
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
        }
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Dtype::F32, Dtype::F64].into_iter().find(|d| d.name() == name)
    }
}

/// The type of a field's elements: `f32` or `f64`, and no other.
pub trait Element:
    sealed::Sealed + Copy + Send + Sync + PartialEq + std::fmt::Debug + Default + 'static
{
    /// Its type tag.
    const DTYPE: Dtype;
    /// The value in double precision (exact).
    fn to_f64(self) -> f64;
    /// The nearest value of this type.
    fn from_f64(v: f64) -> Self;
    /// Appends the little-endian bytes.
    fn write_le(self, out: &mut Vec<u8>);
    /// Reads little-endian bytes; `bytes` has exactly [`Dtype::size`] of them.
    fn read_le(bytes: &[u8]) -> Self;
    /// `scale · y + offset`, fused, in this type: the last step of the canonical decoder.
    fn denormalise(offset: Self, scale: f32, y: f32) -> Self;
    /// The IEEE bits.
    fn bits(self) -> u64;
    /// The value of these IEEE bits; those beyond the type's size are ignored.
    fn of_bits(bits: u64) -> Self;
    /// Whether it is NaN, infinite, denormal or −0: what a bounded stream always gives back to the
    /// bit.
    fn is_special(self) -> bool;
    /// Whether both have the same bits (so −0 differs from 0, and a NaN equals itself).
    fn same_bits(self, other: Self) -> bool {
        self.bits() == other.bits()
    }
}

macro_rules! element {
    ($t:ty, $dtype:expr) => {
        impl sealed::Sealed for $t {}

        impl Element for $t {
            const DTYPE: Dtype = $dtype;
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn from_f64(v: f64) -> Self {
                v as $t
            }
            fn write_le(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn read_le(bytes: &[u8]) -> Self {
                <$t>::from_le_bytes(bytes.try_into().expect("the caller passes one value's bytes"))
            }
            fn denormalise(offset: Self, scale: f32, y: f32) -> Self {
                <$t>::from(scale).mul_add(<$t>::from(y), offset)
            }
            #[inline(always)]
            fn bits(self) -> u64 {
                u64::from(self.to_bits())
            }
            fn of_bits(bits: u64) -> Self {
                <$t>::from_bits(bits as _)
            }
            #[inline(always)]
            fn is_special(self) -> bool {
                !self.is_normal() && self.to_bits() != 0
            }
        }
    };
}
element!(f32, Dtype::F32);
element!(f64, Dtype::F64);

mod sealed {
    /// Streams know two types; another would need a new format.
    pub trait Sealed {}
}
