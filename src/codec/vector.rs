//! Rows of eight numbers in the registers of an engine.
//!
//! A loop over an array becomes vector code where the compiler sees fit, and that changes with what
//! stands around it. The transforms take much of the time of encoder and decoder, so they are written
//! with these.

use crate::blocks::EDGE;

/// Eight numbers along an axis of a block.
pub(crate) type Row<F> = [F; EDGE];

/// A row in registers. Every operation rounds once, whatever the registers.
///
/// That there is a row shows that the processor has its instructions.
pub(crate) trait Vector: Copy {
    type Real;
    /// The numbers of a row.
    ///
    /// # Safety
    /// The processor has the instructions of this type.
    unsafe fn load(row: &Row<Self::Real>) -> Self;
    fn store(self, row: &mut Row<Self::Real>);
    /// A row of one number, in registers as this one.
    fn all(self, value: Self::Real) -> Self;
    /// `self + other`.
    fn plus(self, other: Self) -> Self;
    /// `self − other`.
    fn minus(self, other: Self) -> Self;
    /// `self · other`.
    fn times(self, other: Self) -> Self;
    /// `self · factor + sum`, rounded once.
    fn fused(self, factor: Self, sum: Self) -> Self;
}

/// Numbers, and their rows in the registers of each engine.
pub(crate) trait VectorReal: Copy + Sized {
    type Scalar: Vector<Real = Self>;
    #[cfg(target_arch = "x86_64")]
    type Avx2: Vector<Real = Self>;
    #[cfg(target_arch = "x86_64")]
    type Avx512: Vector<Real = Self>;
}

macro_rules! scalar {
    ($real:ty) => {
        impl Vector for Row<$real> {
            type Real = $real;

            #[inline(always)]
            unsafe fn load(row: &Row<$real>) -> Self {
                *row
            }

            #[inline(always)]
            fn store(self, row: &mut Row<$real>) {
                *row = self;
            }

            #[inline(always)]
            fn all(self, value: $real) -> Self {
                [value; EDGE]
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                std::array::from_fn(|i| self[i] + other[i])
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                std::array::from_fn(|i| self[i] - other[i])
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                std::array::from_fn(|i| self[i] * other[i])
            }

            #[inline(always)]
            fn fused(self, factor: Self, sum: Self) -> Self {
                std::array::from_fn(|i| self[i].mul_add(factor[i], sum[i]))
            }
        }
    };
}
scalar!(f32);
scalar!(f64);

impl VectorReal for f32 {
    type Scalar = Row<f32>;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = x86::Singles;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = x86::Singles;
}

impl VectorReal for f64 {
    type Scalar = Row<f64>;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = x86::HalvesOfDoubles;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = x86::Doubles;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Row, Vector};
    use std::arch::x86_64::*;

    macro_rules! registers {
        ($(#[$meta:meta])* $name:ident, $register:ty, $real:ty, $($operation:ident),*) => {
            $(#[$meta])*
            #[derive(Clone, Copy)]
            pub(crate) struct $name($register);

            registers!(@ $name, $real, $($operation)*);
        };
        (@ $name:ident, $real:ty, $set:ident $load:ident $store:ident $add:ident $sub:ident $mul:ident $fma:ident) => {
            // SAFETY, of all: there is a row, so the processor has the instructions. A row in memory has as many
            // numbers as are loaded and stored, at any address.
            impl Vector for $name {
                type Real = $real;

                #[inline(always)]
                unsafe fn load(row: &Row<$real>) -> Self {
                    Self(unsafe { $load(row.as_ptr()) })
                }

                #[inline(always)]
                fn store(self, row: &mut Row<$real>) {
                    unsafe { $store(row.as_mut_ptr(), self.0) }
                }

                #[inline(always)]
                fn all(self, value: $real) -> Self {
                    Self(unsafe { $set(value) })
                }

                #[inline(always)]
                fn plus(self, other: Self) -> Self {
                    Self(unsafe { $add(self.0, other.0) })
                }

                #[inline(always)]
                fn minus(self, other: Self) -> Self {
                    Self(unsafe { $sub(self.0, other.0) })
                }

                #[inline(always)]
                fn times(self, other: Self) -> Self {
                    Self(unsafe { $mul(self.0, other.0) })
                }

                #[inline(always)]
                fn fused(self, factor: Self, sum: Self) -> Self {
                    Self(unsafe { $fma(self.0, factor.0, sum.0) })
                }
            }
        };
    }
    registers!(
        /// A row of doubles in a register of AVX-512.
        Doubles,
        __m512d,
        f64,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_add_pd,
        _mm512_sub_pd,
        _mm512_mul_pd,
        _mm512_fmadd_pd
    );
    registers!(
        /// A row of singles in a register of AVX.
        Singles,
        __m256,
        f32,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_fmadd_ps
    );

    /// A row of doubles in two registers of AVX2.
    #[derive(Clone, Copy)]
    pub(crate) struct HalvesOfDoubles(Half, Half);

    /// Four doubles.
    type Half = __m256d;

    impl HalvesOfDoubles {
        #[inline(always)]
        fn each(self, other: Self, operation: impl Fn(Half, Half) -> Half) -> Self {
            Self(operation(self.0, other.0), operation(self.1, other.1))
        }
    }

    // SAFETY, of all: as above.
    impl Vector for HalvesOfDoubles {
        type Real = f64;

        #[inline(always)]
        fn all(self, value: f64) -> Self {
            let half = unsafe { _mm256_set1_pd(value) };
            Self(half, half)
        }

        #[inline(always)]
        unsafe fn load(row: &Row<f64>) -> Self {
            unsafe { Self(_mm256_loadu_pd(row[..4].as_ptr()), _mm256_loadu_pd(row[4..].as_ptr())) }
        }

        #[inline(always)]
        fn store(self, row: &mut Row<f64>) {
            unsafe {
                _mm256_storeu_pd(row[..4].as_mut_ptr(), self.0);
                _mm256_storeu_pd(row[4..].as_mut_ptr(), self.1);
            }
        }

        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            self.each(other, |a, b| unsafe { _mm256_add_pd(a, b) })
        }

        #[inline(always)]
        fn minus(self, other: Self) -> Self {
            self.each(other, |a, b| unsafe { _mm256_sub_pd(a, b) })
        }

        #[inline(always)]
        fn times(self, other: Self) -> Self {
            self.each(other, |a, b| unsafe { _mm256_mul_pd(a, b) })
        }

        #[inline(always)]
        fn fused(self, factor: Self, sum: Self) -> Self {
            unsafe {
                Self(_mm256_fmadd_pd(self.0, factor.0, sum.0), _mm256_fmadd_pd(self.1, factor.1, sum.1))
            }
        }
    }
}

/// Compiles a kernel once for the registers `V` of each engine; it takes the engine as its first
/// argument.
macro_rules! for_vectors {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$f:ident: $bound:path, $v:ident>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name<$f: $bound>(engine: $crate::engine::Engine, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<$f: $bound, $v: $crate::vector::Vector<Real = $f>>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$f: $bound>($($arg: $ty),*) $(-> $ret)? {
                body::<$f, $f::Avx2>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            fn avx512<$f: $bound>($($arg: $ty),*) $(-> $ret)? {
                body::<$f, $f::Avx512>($($arg),*)
            }
            match engine.instructions() {
                $crate::engine::InstructionSet::Scalar => body::<$f, $f::Scalar>($($arg),*),
                // SAFETY: `Engine::available` alone makes such an engine, where the processor has AVX2 and FMA.
                #[cfg(target_arch = "x86_64")]
                $crate::engine::InstructionSet::Avx2 => unsafe { avx2::<$f>($($arg),*) },
                // SAFETY: as above, where it has AVX-512 F, DQ, BW and VL.
                #[cfg(target_arch = "x86_64")]
                $crate::engine::InstructionSet::Avx512 => unsafe { avx512::<$f>($($arg),*) },
            }
        }
    };
}
pub(crate) use for_vectors;
