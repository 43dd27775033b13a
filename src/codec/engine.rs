//! The CPU engines: one kernel, compiled for several instruction sets.
//!
//! A vector's lanes are blocks, 16 side by side, so each output of each block is its own chain of
//! fused multiply-adds in the fixed order of [`crate::network`], and every instruction set gives
//! the same bits.

#![allow(clippy::arithmetic_side_effects, reason = "indices in the layers of a model that was checked")]

use crate::computed::Computed;
use crate::error::{Error, Result};
use crate::model::Activation;
use crate::network::Layer;
use std::ffi::OsString;

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

/// Which of the kernel's compilations runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstructionSet {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// An engine that this machine can run. There is no other way to one than through [`Engine::best`]
/// and its kin, which ask the processor: safe code cannot run instructions that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine(InstructionSet);

impl Engine {
    /// Whatever the compiler's base target has; there `fma` may be a slow call, with the same
    /// result.
    pub const SCALAR: Self = Self(InstructionSet::Scalar);

    /// The names of all engines of this architecture, slowest first, whether this machine can run
    /// them or not: `avx2` needs AVX2 and FMA, `avx512` AVX-512 F, DQ, BW and VL.
    pub const NAMES: &[&str] =
        if cfg!(target_arch = "x86_64") { &["scalar", "avx2", "avx512"] } else { &["scalar"] };

    /// The engines that this machine can run, slowest first.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "there is no other"))]
        let mut engines = vec![Self::SCALAR];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                engines.push(Self(InstructionSet::Avx2));
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
            {
                engines.push(Self(InstructionSet::Avx512));
            }
        }
        engines
    }

    /// The engine that everything runs on: the fastest one, or the one that the environment
    /// variable `SWAE_ENGINE` names. All give the same bytes.
    ///
    /// # Errors
    /// Those of [`Engine::by_name`], where `SWAE_ENGINE` is neither unset nor empty.
    pub fn best() -> Result<Self> {
        static ASKED: Computed<Option<OsString>> =
            Computed::new(|| std::env::var_os("SWAE_ENGINE").filter(|name| !name.is_empty()));
        match &*ASKED {
            Some(name) => Self::by_name(&name.to_string_lossy()),
            None => Ok(Self::available().pop().unwrap_or(Self::SCALAR)),
        }
    }

    /// The engine of one of [`Engine::NAMES`].
    ///
    /// # Errors
    /// [`Error::Config`] where there is no such engine, [`Error::Device`] where this machine cannot
    /// run it.
    pub fn by_name(name: &str) -> Result<Self> {
        let names = || Self::NAMES.join(", ");
        if !Self::NAMES.contains(&name) {
            return Err(Error::Config(format!(
                "SWAE_ENGINE: no engine is named '{name}'; there are {}",
                names()
            )));
        }
        let found = Self::available().into_iter().find(|engine| engine.name() == name);
        found.ok_or_else(|| {
            Error::Device(format!("SWAE_ENGINE: this machine's processor cannot run the engine '{name}'"))
        })
    }

    /// The name that `SWAE_ENGINE` takes.
    pub fn name(self) -> &'static str {
        match self.0 {
            InstructionSet::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => "avx512",
        }
    }

    /// Which engines this machine can run, and which it cannot, in words: what tests of every engine
    /// print, so that one that was not tried is seen.
    pub fn availability() -> String {
        let mine: Vec<_> = Self::available().into_iter().map(Self::name).collect();
        let missing: Vec<_> = Self::NAMES.iter().filter(|name| !mine.contains(name)).copied().collect();
        let missing = if missing.is_empty() { "none".into() } else { missing.join(", ") };
        format!("engines that this machine runs: {}; that it cannot run: {missing}", mine.join(", "))
    }

    /// What the processor was found to have.
    #[inline(always)]
    pub(crate) fn instructions(self) -> InstructionSet {
        self.0
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
            match engine.instructions() {
                $crate::engine::InstructionSet::Scalar => body$(::<$t>)?($($arg),*),
                // SAFETY: `Engine::available` alone makes such an engine, where the processor has AVX2 and FMA.
                #[cfg(target_arch = "x86_64")]
                $crate::engine::InstructionSet::Avx2 => unsafe { avx2$(::<$t>)?($($arg),*) },
                // SAFETY: as above, where it has AVX-512 F, DQ, BW and VL.
                #[cfg(target_arch = "x86_64")]
                $crate::engine::InstructionSet::Avx512 => unsafe { avx512$(::<$t>)?($($arg),*) },
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

/// All engines that this machine has, for a test: which those are appears among the output of the
/// tests even where they pass.
#[cfg(test)]
pub(crate) fn every_engine() -> Vec<Engine> {
    use std::io::Write;
    // `eprintln` would be kept from view.
    writeln!(std::io::stderr(), "{}", Engine::availability()).expect("standard error is open");
    Engine::available()
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
        let (built_in, engines) = (Models::built_in(), every_engine());
        for model in built_in.iter().filter(|m| m.encoder.is_none()) {
            let network = || Network::decoder(model).first_outputs(114);
            let input: Vec<Lanes> = (0..model.metadata.architecture.latent)
                .map(|i| Lanes(std::array::from_fn(|l| ((i * 53 + l * 71) as f32 * 0.017).sin() * 4.0)))
                .collect();
            let scalar = network().run(Engine::SCALAR, &input);
            assert_eq!(scalar.len(), 114);
            assert_eq!(
                bits(scalar.clone()),
                bits(Network::decoder(model).run(Engine::SCALAR, &input)[..114].to_vec())
            );
            for &engine in &engines {
                assert_eq!(bits(network().run(engine, &input)), bits(scalar.clone()), "{engine:?}");
            }
        }
        for model in built_in.autoencoders().map(|m| &**m).chain(&others) {
            let (encoder, decoder) = (Network::encoder(model).unwrap(), Network::decoder(model));
            let input: Vec<Lanes> = (0..512)
                .map(|i| Lanes(std::array::from_fn(|l| ((i * 37 + l * 101) as f32 * 0.013).sin() * 2.0)))
                .collect();
            let latents = encoder.run(Engine::SCALAR, &input);
            let values = decoder.run(Engine::SCALAR, &latents);
            for &engine in &engines {
                assert_eq!(bits(encoder.run(engine, &input)), bits(latents.clone()), "{engine:?} encoder");
                assert_eq!(bits(decoder.run(engine, &latents)), bits(values.clone()), "{engine:?} decoder");
            }
        }
    }

    #[test]
    fn an_engine_that_is_missing_or_unknown_is_an_error() {
        let available = every_engine();
        for name in Engine::NAMES {
            match Engine::by_name(name) {
                Ok(engine) => assert!(available.contains(&engine) && engine.name() == *name),
                Err(e) => assert!(matches!(e, Error::Device(_)) && !Engine::availability().contains("none")),
            }
        }
        for name in ["", "AVX2", "gpu"] {
            assert!(matches!(Engine::by_name(name), Err(Error::Config(_))), "'{name}'");
        }
    }
}
