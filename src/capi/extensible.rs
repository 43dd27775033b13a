//! Structs that grow. A program and the library may be built from different versions of swae.h, of
//! which the later one has more members at the end of a struct; the program says how large its own
//! is. Both go by the members that both know. Those that the program does not know are zero, which
//! is the default. Those that the library does not know must be zero, because it would ignore them.

use crate::status::{Failure, argument, swae_status};
use std::mem::MaybeUninit;

/// A struct of swae.h that grows at its end.
///
/// # Safety
/// It is `repr(C)`, has no padding, which a later member might take, and zeros are a value of it.
pub(crate) unsafe trait Extensible: Copy {
    const NAME: &'static str;
    /// Its bytes in version 1 of the interface, the least that a program passes.
    const FIRST_SIZE: usize;
}

/// More than any struct will ever have; a larger size was never set.
const MAX_SIZE: usize = 4096;

/// What this library knows of a struct.
#[repr(C)]
#[derive(Clone, Copy)]
struct Known<T> {
    members: T,
    /// A member that a later version adds, in the library of the tests.
    #[cfg(feature = "grown")]
    next: u64,
}

impl<T: Extensible> Known<T> {
    const SIZE: usize = size_of::<Self>();

    fn of(members: T) -> Self {
        Self {
            members,
            #[cfg(feature = "grown")]
            next: 42,
        }
    }

    /// The members, if a later one says nothing impossible.
    fn checked(self) -> Result<T, Failure> {
        #[cfg(feature = "grown")]
        if self.next > 7 {
            return Err(argument(format!("{}.next is {}, expected at most 7", T::NAME, self.next)));
        }
        Ok(self.members)
    }
}

/// A struct that the program fills in.
///
/// # Errors
/// Where it is NULL, where its size is impossible, or where it sets a member that this library does
/// not know.
///
/// # Safety
/// `at` is NULL or points to a struct that begins with its size.
pub(crate) unsafe fn read<T: Extensible>(at: *const T) -> Result<T, Failure> {
    // SAFETY: the caller's contract, twice.
    unsafe { read_sized(at, size(at)?) }
}

/// The size that a struct begins with.
///
/// # Errors
/// Where the struct is NULL, or its size impossible.
///
/// # Safety
/// That of [`read`].
pub(crate) unsafe fn size<T: Extensible>(at: *const T) -> Result<usize, Failure> {
    if at.is_null() {
        return Err(argument(format!("{} is NULL", T::NAME)));
    }
    // SAFETY: the caller's contract.
    let size = unsafe { at.cast::<usize>().read_unaligned() };
    check_size::<T>(size, &format!("{}.size", T::NAME))?;
    Ok(size)
}

/// Checks a size that the program passes, and that it calls `what`.
pub(crate) fn check_size<T: Extensible>(size: usize, what: &str) -> Result<(), Failure> {
    // The size of a struct with pointers is a multiple of 8.
    if (T::FIRST_SIZE..=MAX_SIZE).contains(&size) && size.is_multiple_of(8) {
        return Ok(());
    }
    let (name, known) = (T::NAME, Known::<T>::SIZE);
    Err(argument(format!("{what} is {size}; set it to sizeof({name}), here {known}")))
}

/// A struct of a checked size.
///
/// # Errors
/// Where it sets a member that this library does not know.
///
/// # Safety
/// `at` points to so many bytes.
pub(crate) unsafe fn read_sized<T: Extensible>(at: *const T, size: usize) -> Result<T, Failure> {
    let (from, known) = (at.cast::<u8>(), Known::<T>::SIZE);
    let mut copy = MaybeUninit::<Known<T>>::zeroed();
    // SAFETY: the caller's contract, and neither side is left.
    unsafe { copy.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(from, size.min(known)) };
    let is_set = |i: usize| {
        // SAFETY: it is below `size`.
        unsafe { *from.add(i) != 0 }
    };
    if (known..size).any(is_set) {
        let text = format!(
            "{} sets a member that this library, version {}, does not know; leave it 0, or use a later library",
            T::NAME,
            env!("CARGO_PKG_VERSION")
        );
        return Err(Failure(swae_status::SWAE_ERROR_UNSUPPORTED, text));
    }
    // SAFETY: zeros are a value, and so is what the program has set, by the trait's contract.
    unsafe { copy.assume_init() }.checked()
}

/// Fills in a struct of a checked size for the program; members that this library does not know
/// become zero.
///
/// # Safety
/// `at` points to so many bytes, which can be written.
pub(crate) unsafe fn write_sized<T: Extensible>(at: *mut T, size: usize, members: T) {
    let (to, known) = (at.cast::<u8>(), Known::<T>::SIZE);
    let all = Known::of(members);
    // SAFETY: the caller's contract, and neither side is left.
    unsafe {
        to.copy_from_nonoverlapping((&raw const all).cast::<u8>(), size.min(known));
        to.add(size.min(known)).write_bytes(0, size.saturating_sub(known));
    }
}
