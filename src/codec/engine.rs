//! The CPU engines: one kernel, compiled for several instruction sets.
//!
//! A vector's lanes are blocks, 16 side by side, so each output of each block is its own chain of fused
//! multiply-adds in the fixed order of [`crate::network`], and every instruction set gives the same bits.

use crate::network::Layer;

/// Blocks that run side by side.
pub const LANES: usize = 16;

/// One number of each of 16 blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub struct Lanes(pub [f32; LANES]);

impl Lanes {
    /// All zero.
    pub const ZERO: Self = Self([0.0; LANES]);
}

/// An instruction set to run the network with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Whatever the compiler's base target has; there `fma` may be a slow call, with the same result.
    Scalar,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Engine {
    /// The engines that this machine can run, slowest first.
    pub fn available() -> Vec<Self> {
        let mut engines = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                engines.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512f") {
                engines.push(Self::Avx512);
            }
        }
        engines
    }

    /// The fastest engine that this machine can run.
    pub fn best() -> Self {
        *Self::available().last().expect("the scalar engine is always there")
    }

    pub(crate) fn layer(self, layer: &Layer, input: &[Lanes]) -> Vec<Lanes> {
        let mut out = vec![Lanes::ZERO; layer.gathers.len() * layer.cout];
        match self {
            Self::Scalar => run(layer, input, &mut out),
            // SAFETY: `available` is the only source of these values outside tests, and it asked the processor.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { run_avx2(layer, input, &mut out) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { run_avx512(layer, input, &mut out) },
        }
        out
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2(layer: &Layer, input: &[Lanes], out: &mut [Lanes]) {
    run(layer, input, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn run_avx512(layer: &Layer, input: &[Lanes], out: &mut [Lanes]) {
    run(layer, input, out);
}

/// Output channels that stay in registers at a time. It changes no output's own chain; 4 measured fastest with
/// AVX2 and, by far, with AVX-512 (at 8 the compiler leaves the accumulators in memory).
const CHUNK: usize = 4;

#[inline(always)]
fn run(layer: &Layer, input: &[Lanes], out: &mut [Lanes]) {
    for (site, pairs) in layer.gathers.iter().enumerate() {
        let out = &mut out[site * layer.cout..(site + 1) * layer.cout];
        let whole = layer.cout / CHUNK * CHUNK;
        for c in (0..whole).step_by(CHUNK) {
            chunk::<CHUNK>(layer, pairs, input, c, &mut out[c..c + CHUNK]);
        }
        for c in whole..layer.cout {
            chunk::<1>(layer, pairs, input, c, &mut out[c..c + 1]);
        }
    }
}

#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "with iterators the AVX-512 code is half as fast: 40 against 73 GFLOP/s"
)]
fn chunk<const C: usize>(
    layer: &Layer,
    pairs: &[(u32, u32)],
    input: &[Lanes],
    first: usize,
    out: &mut [Lanes],
) {
    let mut acc: [[f32; LANES]; C] = std::array::from_fn(|c| [layer.bias[first + c]; LANES]);
    for &(site, tap) in pairs {
        let sources = &input[site as usize * layer.cin..][..layer.cin];
        let weights = &layer.weight[tap as usize * layer.cin * layer.cout..][..layer.cin * layer.cout];
        for (x, row) in sources.iter().zip(weights.chunks_exact(layer.cout)) {
            let w: &[f32; C] = row[first..first + C].try_into().expect("a chunk of channels");
            for c in 0..C {
                for l in 0..LANES {
                    acc[c][l] = x.0[l].mul_add(w[c], acc[c][l]);
                }
            }
        }
    }
    for (o, a) in out.iter_mut().zip(acc) {
        // `max` of IEEE: a NaN cannot occur, for weights and inputs are finite; −0 becomes 0 in every engine.
        o.0 = if layer.relu { a.map(|v| if v > 0.0 { v } else { 0.0 }) } else { a };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Models, network::Network};

    fn bits(lanes: Vec<Lanes>) -> Vec<[u32; LANES]> {
        lanes.into_iter().map(|l| l.0.map(f32::to_bits)).collect()
    }

    #[test]
    fn every_engine_gives_the_same_bits() {
        for model in Models::built_in().iter() {
            let (encoder, decoder) = (Network::encoder(model).unwrap(), Network::decoder(model));
            let input: Vec<Lanes> = (0..512)
                .map(|i| Lanes(std::array::from_fn(|l| ((i * 37 + l * 101) as f32 * 0.013).sin() * 2.0)))
                .collect();
            let latents = encoder.run(Engine::Scalar, &input);
            let values = decoder.run(Engine::Scalar, &latents);
            for engine in Engine::available() {
                assert_eq!(bits(encoder.run(engine, &input)), bits(latents.clone()), "{engine:?} encoder");
                assert_eq!(bits(decoder.run(engine, &latents)), bits(values.clone()), "{engine:?} decoder");
            }
        }
    }
}
