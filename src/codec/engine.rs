//! The CPU engines: one kernel, compiled for several instruction sets.
//!
//! A vector's lanes are blocks, 16 side by side, so each output of each block is its own chain of
//! fused multiply-adds in the fixed order of [`crate::network`], and every instruction set gives
//! the same bits.

use crate::computed::Computed;
use crate::model::Activation;
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
    /// Whatever the compiler's base target has; there `fma` may be a slow call, with the same
    /// result.
    Scalar,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, DQ, BW and VL.
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
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
            {
                engines.push(Self::Avx512);
            }
        }
        engines
    }

    /// The engine that everything runs on: the fastest one, or the one that the environment
    /// variable `SWAE_ENGINE` names (`scalar`, `avx2`, `avx512`) where this machine can run it. All
    /// give the same bytes.
    pub fn best() -> Self {
        static BEST: Computed<Engine> = Computed::new(|| {
            let available = Engine::available();
            let asked = std::env::var("SWAE_ENGINE").unwrap_or_default();
            let named = available.iter().find(|e| e.name() == asked);
            *named.or(available.last()).expect("the scalar engine is always there")
        });
        *BEST
    }

    /// The name that `SWAE_ENGINE` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }

    pub(crate) fn layer(self, layer: &Layer, input: &[Lanes]) -> Vec<Lanes> {
        let mut out = vec![Lanes::ZERO; layer.gathers.len() * layer.cout];
        run(self, layer, input, &mut out);
        // Not where the sums are: with more than one `max` there the compiler keeps fewer of them
        // in registers (15 % slower).
        if layer.activation == Some(Activation::HardSwish) {
            hard_swish(self, &mut out);
        }
        out
    }
}

/// Compiles a function once for each engine, and puts the engine to run it with in front of its
/// arguments.
macro_rules! for_engines {
    ($(#[$meta:meta])* $vis:vis fn $name:ident$(<$t:ident: $bound:path>)?($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, clippy::needless_range_loop, reason = "indexed loops become the best vector code")]
        $vis fn $name$(<$t: $bound>)?(engine: $crate::engine::Engine, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body$(<$t: $bound>)?($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2$(<$t: $bound>)?($($arg: $ty),*) $(-> $ret)? {
                body$(::<$t>)?($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
            fn avx512$(<$t: $bound>)?($($arg: $ty),*) $(-> $ret)? {
                body$(::<$t>)?($($arg),*)
            }
            match engine {
                $crate::engine::Engine::Scalar => body$(::<$t>)?($($arg),*),
                // SAFETY: `Engine::available` is the only source of these values, and it asked the processor.
                #[cfg(target_arch = "x86_64")]
                $crate::engine::Engine::Avx2 => unsafe { avx2$(::<$t>)?($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::engine::Engine::Avx512 => unsafe { avx512$(::<$t>)?($($arg),*) },
            }
        }
    };
}
pub(crate) use for_engines;

/// Output channels that stay in registers at a time. It changes no output's own chain. 8 measured
/// fastest (`swae-train bench`): 92 % of the most that AVX-512 can do, 50 % with AVX2; 4 reaches 63
/// and 26 %, and at 16 the compiler leaves the accumulators in memory, at a fiftieth of the speed.
const CHUNK: usize = 8;

for_engines! {
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
}

for_engines! {
fn hard_swish(out: &mut [Lanes]) {
    for lanes in out {
        for v in &mut lanes.0 {
            let gate = *v + 3.0;
            let gate = if gate > 0.0 { gate } else { 0.0 };
            let gate = if gate < 6.0 { gate } else { 6.0 };
            *v = *v * gate / 6.0;
        }
    }
}
}

#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "with iterators the AVX-512 code was half as fast")]
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
    let relu = layer.activation == Some(Activation::Relu);
    for (o, a) in out.iter_mut().zip(acc) {
        // `max` of IEEE: a NaN cannot occur, for weights and inputs are finite; −0 becomes 0 in
        // every engine.
        o.0 = if relu { a.map(|v| if v > 0.0 { v } else { 0.0 }) } else { a };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::model::{Architecture, LayerSpec, Metadata, Parameters};
    use crate::models::Models;
    use crate::network::Network;

    fn bits(lanes: Vec<Lanes>) -> Vec<[u32; LANES]> {
        lanes.into_iter().map(|l| l.0.map(f32::to_bits)).collect()
    }

    #[test]
    fn every_engine_gives_the_same_bits() {
        let others = Models::built_in().by_name("gr-16").unwrap();
        let others = [
            Architecture { activation: Activation::HardSwish, ..Architecture::default() },
            Architecture { dense: true, channels: vec![24, 40], ..Architecture::default() },
        ]
        .map(|architecture| {
            // Some numbers or other of a trained model, as many as the layers need.
            let source: Vec<f32> = others.decoder.iter().flat_map(|p| p.weight.clone()).collect();
            let take = |n: usize| source.iter().cycle().skip(n % 97).take(n).copied().collect::<Vec<_>>();
            let layer = |l: &LayerSpec| Parameters {
                weight: take(l.weight_shape().iter().product()),
                bias: take(l.cout),
            };
            let [encoder, decoder] =
                [architecture.encoder(), architecture.decoder()].map(|side| side.iter().map(layer).collect());
            Model::new(Metadata::new("other", architecture, Default::default()), Some(encoder), decoder)
                .unwrap()
        });
        let built_in = Models::built_in();
        for model in built_in.iter().filter(|m| m.encoder.is_none()) {
            let network = || Network::decoder(model).first_outputs(114);
            let input: Vec<Lanes> = (0..model.metadata.architecture.latent)
                .map(|i| Lanes(std::array::from_fn(|l| ((i * 53 + l * 71) as f32 * 0.017).sin() * 4.0)))
                .collect();
            let scalar = network().run(Engine::Scalar, &input);
            assert_eq!(scalar.len(), 114);
            assert_eq!(
                bits(scalar.clone()),
                bits(Network::decoder(model).run(Engine::Scalar, &input)[..114].to_vec())
            );
            for engine in Engine::available() {
                assert_eq!(bits(network().run(engine, &input)), bits(scalar.clone()), "{engine:?}");
            }
        }
        for model in built_in.autoencoders().map(|m| &**m).chain(&others) {
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
