//! Tables that are computed when they are first asked for, by whichever thread asks. No thread
//! waits for another that computes one: in a forked child that other thread would not be there, and
//! the wait would never end. Two may compute the same table; one of both stays.

use once_cell::race::OnceBox;
use std::ops::Deref;

pub(crate) struct Computed<T: 'static> {
    value: OnceBox<T>,
    compute: fn() -> T,
}

impl<T> Computed<T> {
    pub(crate) const fn new(compute: fn() -> T) -> Self {
        Self { value: OnceBox::new(), compute }
    }
}

impl<T> Deref for Computed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value.get_or_init(|| Box::new((self.compute)()))
    }
}
