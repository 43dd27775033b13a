//! Throughput of the codec's engine on a model, beside libtorch's forward pass of the same network
//! in the same process: one thread each.

use crate::network::Swae;
use anyhow::{Context, Result};
use std::hint::black_box;
use std::time::Instant;
use swae_codec::Model;
use swae_codec::benchmark::multiply_adds_per_second;
use swae_codec::blocks::VALUES;
use swae_codec::engine::{Engine, LANES, Lanes};
use swae_codec::network::Network;
use tch::{Device, Kind, Tensor};

/// One direction of a model.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Speed {
    /// `encode` or `decode`.
    pub direction: &'static str,
    /// Fused multiply-adds that a block takes.
    pub multiply_adds: usize,
    /// Blocks a second with our engine.
    pub engine_blocks_s: f64,
    /// … with libtorch, in batches of the size that suits it best.
    pub libtorch_blocks_s: f64,
    /// That size.
    pub libtorch_batch: usize,
    /// Our fused multiply-adds a second over the most that this engine's instructions can do.
    pub peak_fraction: f64,
}

/// Seconds that a call takes: the best of many over at least half a second.
fn seconds(mut call: impl FnMut()) -> f64 {
    call();
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    while begin.elapsed().as_secs_f64() < 0.5 {
        let one = Instant::now();
        call();
        best = best.min(one.elapsed().as_secs_f64());
    }
    best
}

/// Measures both directions of a model.
///
/// # Errors
/// Where the model has no encoder.
pub fn speeds(model: &Model) -> Result<[Speed; 2]> {
    tch::set_num_threads(1);
    let engine = Engine::best()?;
    let peak = multiply_adds_per_second(engine);
    let reference = Swae::of_model(model).context("the model has no encoder")?;
    let encoder = Network::encoder(model)?;
    let decoder = Network::decoder(model);
    let latent = model.metadata.architecture.latent;
    let measure = |direction, network: &Network, inputs: usize, forward: &dyn Fn(&Tensor)| {
        let batches: Vec<Vec<Lanes>> = (0..16)
            .map(|b| (0..inputs).map(|i| Lanes([((b * 31 + i * 7) as f32 * 0.1).sin(); LANES])).collect())
            .collect();
        let time = seconds(|| batches.iter().for_each(|x| drop(black_box(network.run(engine, x)))));
        let engine_blocks_s = (batches.len() * LANES) as f64 / time;
        let batch = |n: usize| {
            let input = Tensor::randn([n as i64, inputs as i64], (Kind::Float, Device::Cpu));
            (n as f64 / seconds(|| forward(&input)), n)
        };
        let batches = [16, 64, 256, 1024].map(batch);
        let (libtorch_blocks_s, libtorch_batch) =
            batches.into_iter().fold((0.0, 0), |a, b| if b.0 > a.0 { b } else { a });
        Speed {
            direction,
            multiply_adds: network.multiply_adds(),
            engine_blocks_s,
            libtorch_blocks_s,
            libtorch_batch,
            peak_fraction: engine_blocks_s * network.multiply_adds() as f64 / peak,
        }
    };
    let encode = |x: &Tensor| drop(reference.encode(&x.view([-1, 1, 8, 8, 8])));
    let decode = |z: &Tensor| drop(reference.decode(z));
    Ok(tch::no_grad(|| {
        [measure("encode", &encoder, VALUES, &encode), measure("decode", &decoder, latent, &decode)]
    }))
}
