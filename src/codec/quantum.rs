//! Quantisation steps: the quantum, twice the bound, times a power of √2.

/// 2^(quarters/4), the same on every machine.
pub(crate) fn quarter_octaves(quarters: i32) -> f64 {
    const PARTS: [f64; 4] = [1.0, 1.189_207_115_002_721, std::f64::consts::SQRT_2, 1.681_792_830_507_429];
    // The exponents of normal numbers.
    let exponent = (quarters >> 2).saturating_add(1023).clamp(1, 2046);
    f64::from_bits((exponent as u64) << 52) * PARTS[(quarters & 3) as usize]
}

/// 2^(step exponent/2).
pub(crate) fn half_octaves(step_exponent: i32) -> f64 {
    quarter_octaves(step_exponent.saturating_mul(2))
}

/// The value that a correction of so many quanta makes of another.
#[inline(always)]
pub(crate) fn corrected(value: f64, quanta: i32, quantum: f64) -> f64 {
    f64::from(quanta).mul_add(quantum, value)
}
