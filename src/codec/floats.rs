//! The floating-point environment. A program may have set another rounding mode, traps, or zero in
//! place of denormal numbers, in any of its threads. Bounds and canonical decoding hold in IEEE
//! 754's default environment alone, so every call runs in it, and gives the program its own back:
//! its modes, and the flags as they were.
//!
//! On x86-64 that is MXCSR: no code of ours uses the x87 unit, whose modes stay untouched. On
//! aarch64 it is FPCR and FPSR. On other processors the caller's environment stays in force.

/// Runs `body` in the default environment: rounding to nearest, no traps, denormal numbers kept.
/// It costs a few nanoseconds, and less where the environment is the default one already.
///
/// Other libraries that `body` calls run in the default environment too.
pub fn with_default_floats<R>(body: impl FnOnce() -> R) -> R {
    let _restored = Restored::from_default();
    isolated(body)
}

/// Never inlined: the compiler, which knows of no environment, must not move arithmetic out of
/// `body` to where the environment is the caller's.
#[inline(never)]
fn isolated<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// Gives the environment back that there was, also where `body` panics.
struct Restored(State);

impl Restored {
    fn from_default() -> Self {
        let before = State::read();
        if !before.is_default() {
            State::DEFAULT.write();
        }
        Self(before)
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        if State::read() != self.0 {
            self.0.write();
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, PartialEq)]
struct State(u32);

#[cfg(target_arch = "x86_64")]
impl State {
    /// All exceptions masked, rounding to nearest, no flag.
    const DEFAULT: Self = Self(0x1f80);
    const FLAGS: u32 = 0x3f;

    fn is_default(self) -> bool {
        self.0 & !Self::FLAGS == Self::DEFAULT.0
    }

    fn read() -> Self {
        let mut mxcsr = 0u32;
        // SAFETY: it writes 4 bytes to where `mxcsr` is.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack, preserves_flags));
        }
        Self(mxcsr)
    }

    fn write(self) {
        // SAFETY: it reads 4 bytes, which are the default or were read from the register.
        unsafe {
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const self.0, options(nostack, preserves_flags));
        }
    }
}

#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy, PartialEq)]
struct State {
    control: u64,
    flags: u64,
}

#[cfg(target_arch = "aarch64")]
impl State {
    const DEFAULT: Self = Self { control: 0, flags: 0 };

    fn is_default(self) -> bool {
        self.control == 0
    }

    fn read() -> Self {
        let (control, flags);
        // SAFETY: any program may read these registers.
        unsafe {
            std::arch::asm!("mrs {}, fpcr", "mrs {}, fpsr", out(reg) control, out(reg) flags, options(nostack));
        }
        Self { control, flags }
    }

    fn write(self) {
        // SAFETY: any program may write these registers; the values are the default or were read.
        unsafe {
            std::arch::asm!("msr fpcr, {}", "msr fpsr, {}", in(reg) self.control, in(reg) self.flags, options(nostack));
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[derive(Clone, Copy, PartialEq)]
struct State;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
impl State {
    const DEFAULT: Self = Self;

    fn is_default(self) -> bool {
        true
    }

    fn read() -> Self {
        Self
    }

    fn write(self) {}
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use std::hint::black_box;

    fn third() -> f64 {
        black_box(1.0) / black_box(3.0)
    }

    #[test]
    fn arithmetic_is_the_default_one_inside_and_the_callers_outside() {
        let (nearest, before) = (third(), State::read());
        // Upwards, denormal numbers as zero on both sides; one flag.
        let own = State(0x1f80 | 0x4000 | 0x8040 | 0x10);
        own.write();
        let (inside, outside) = (with_default_floats(|| (third(), State::read().is_default())), third());
        let after = State::read();
        before.write();
        assert_eq!(inside, (nearest, true));
        assert_ne!(outside, nearest);
        // The division outside has set the flag of inexact results, nothing else.
        assert_eq!(after.0, own.0 | 0x20);
    }

    #[test]
    fn flags_that_are_raised_inside_do_not_reach_the_caller() {
        let before = State::read();
        State::DEFAULT.write();
        let raised = with_default_floats(|| {
            black_box(black_box(0.0f64) / black_box(0.0));
            with_default_floats(|| black_box(black_box(1e300f64) * black_box(1e300)));
            State::read().0 & State::FLAGS
        });
        let after = State::read();
        before.write();
        assert_eq!((raised, after.0), (1, State::DEFAULT.0));
    }

    #[test]
    fn a_panic_gives_the_callers_environment_back() {
        let before = State::read();
        let own = State(0x1f80 | 0x2000);
        own.write();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        let caught = std::panic::catch_unwind(|| with_default_floats(|| panic!("meant")));
        std::panic::set_hook(hook);
        let after = State::read();
        before.write();
        assert!(caught.is_err());
        assert_eq!(after.0 & !State::FLAGS, own.0);
    }
}
