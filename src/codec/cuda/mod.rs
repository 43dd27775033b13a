//! Networks on NVIDIA GPUs, with the same bits as on the cores.
//!
//! The driver's library is looked for when a GPU is asked for, so the same build runs where
//! there is none. The kernel (`network.cu`) travels as PTX, which the driver compiles; `make ptx`
//! makes it from the source.

#![allow(clippy::arithmetic_side_effects, reason = "an encoder reads the values of a field and nothing else")]

use crate::blocks::VALUES;
use crate::engine::{Engine, LANES, Lanes};
use crate::error::{Error, Result};
use crate::model::Activation;
use crate::model::Model;
use crate::network::{Layer, Network};
use crate::threads;
use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DriverError, LaunchConfig, PushKernelArg, sys,
};
use cudarc::nvrtc::Ptx;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const PTX: &str = include_str!("network.ptx");
/// Output channels of a thread, as in the kernel.
const CHANNELS: usize = 8;
/// Threads of a group.
const THREADS: usize = 128;
/// Memory that the numbers of a batch may take on the device, between two layers.
const ROOM: usize = 256 << 20;
/// Blocks of a batch, at most.
const MOST: usize = 8192;

/// How many GPUs there are.
///
/// # Errors
/// [`Error::Device`] where there is no driver, or it does not answer.
pub(crate) fn count() -> Result<usize> {
    // SAFETY: this opens the driver's library, whose start code is NVIDIA's.
    if unsafe { !sys::is_culib_present() } {
        return Err(Error::Device("there is no CUDA driver here (libcuda.so)".into()));
    }
    match CudaContext::device_count() {
        Ok(count) => Ok(count.max(0) as usize),
        // CUDA_ERROR_NO_DEVICE
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => Ok(0),
        Err(e) => Err(Error::Device(format!("the CUDA driver: {e}"))),
    }
}

/// A GPU with the encoder of a model.
#[derive(Debug)]
pub struct Gpu {
    number: usize,
    model: Arc<Model>,
    layers: Vec<OnDevice>,
    /// Blocks of a batch.
    batch: usize,
    stream: Arc<CudaStream>,
    kernel: CudaFunction,
    /// Several threads take turns, each with a batch.
    turn: Mutex<()>,
    has_failed: AtomicBool,
}

#[derive(Debug)]
struct OnDevice {
    sites: usize,
    cin: usize,
    cout: usize,
    activation: u32,
    weight: CudaSlice<f32>,
    bias: CudaSlice<f32>,
    begin: CudaSlice<u32>,
    pairs: CudaSlice<u32>,
}

type Cuda<T> = std::result::Result<T, DriverError>;

impl Gpu {
    /// What [`Device::gpu`](crate::Device::gpu) says.
    pub(crate) fn new(number: usize, model: Arc<Model>) -> Result<Self> {
        let network = Network::encoder(&model)?;
        // What a layer makes is there together with what it is made of.
        let most = network.layers.iter().map(|l| l.gathers.len() * l.cout).max().unwrap_or(0).max(VALUES);
        let open = || {
            let context = CudaContext::new(number)?;
            let kernel = context.load_module(Ptx::from_src(PTX))?.load_function("layer")?;
            let stream = context.new_stream()?;
            let layers =
                network.layers.iter().map(|layer| OnDevice::new(&stream, layer)).collect::<Cuda<_>>()?;
            let batch = (ROOM / (2 * size_of::<f32>() * most)).clamp(1, MOST);
            let has_failed = AtomicBool::new(false);
            Ok(Self { number, model, layers, batch, stream, kernel, turn: Mutex::default(), has_failed })
        };
        let gpu = open().map_err(|e| failed(number, e))?;
        gpu.verify(&network)?;
        Ok(gpu)
    }

    /// Whether it works, and encodes with this model.
    pub(crate) fn has(&self, model: &Model) -> bool {
        std::ptr::eq(&*self.model, model) && !self.has_failed.load(Ordering::Relaxed)
    }

    /// No more of it: what a GPU does after a failure is unknown.
    pub(crate) fn give_up(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// The latents of so many blocks, one block after the other; `normal` gives a block's values, x
    /// fastest.
    pub(crate) fn latents(
        &self,
        count: usize,
        normal: &(impl Fn(usize) -> [f32; VALUES] + Sync),
    ) -> Result<Vec<f32>> {
        let latent = self.model.metadata.architecture.latent;
        let mut latents = vec![0.0; count * latent];
        for (first, out) in (0..count).step_by(self.batch).zip(latents.chunks_mut(self.batch * latent)) {
            let blocks = out.len() / latent;
            let values = threads::map(first..first + blocks, normal);
            let mut input = vec![0.0; VALUES * blocks];
            let rows: Vec<_> = input.chunks_mut(blocks).enumerate().collect();
            threads::map(rows, |(i, row)| {
                row.iter_mut().zip(&values).for_each(|(x, values)| *x = values[i]);
            });
            let found = self.run(&input)?;
            for (z, row) in found.chunks_exact(blocks).enumerate() {
                row.iter().enumerate().for_each(|(block, &v)| out[block * latent + z] = v);
            }
        }
        Ok(latents)
    }

    /// Runs the encoder on some blocks; input and output are `[site][channel][block]`.
    fn run(&self, input: &[f32]) -> Result<Vec<f32>> {
        let blocks = input.len() / VALUES;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let run = || {
            let mut numbers = self.stream.clone_htod(input)?;
            for layer in &self.layers {
                let mut next = self.stream.alloc_zeros::<f32>(layer.sites * layer.cout * blocks)?;
                let [count, cin, cout] = [blocks, layer.cin, layer.cout].map(|n| n as u32);
                let mut launch = self.stream.launch_builder(&self.kernel);
                launch.arg(&numbers).arg(&mut next).arg(&layer.weight).arg(&layer.bias);
                launch
                    .arg(&layer.begin)
                    .arg(&layer.pairs)
                    .arg(&count)
                    .arg(&cin)
                    .arg(&cout)
                    .arg(&layer.activation);
                let grid = [blocks.div_ceil(THREADS), layer.sites, layer.cout.div_ceil(CHANNELS)];
                let config = LaunchConfig {
                    grid_dim: grid.map(|n| n as u32).into(),
                    block_dim: (THREADS as u32, 1, 1),
                    shared_mem_bytes: 0,
                };
                // SAFETY: the arguments are those of the kernel, in its order; the lists of pairs name sites of `numbers` and taps of
                // `weight`, and the grid has the sites and channels of `next`.
                unsafe { launch.launch(config)? };
                numbers = next;
            }
            self.stream.clone_dtoh(&numbers)
        };
        run().map_err(|e| failed(self.number, e))
    }

    /// Whether the encoder gives the same bits here as on the cores.
    fn verify(&self, network: &Network) -> Result<()> {
        // More than one group of threads, the last one not full.
        let rounds = THREADS / LANES + 1;
        let blocks = rounds * LANES - 3;
        let number = |i: usize, block: usize| ((i * 37 + block * 101) as f32 * 0.013).sin() * 2.0;
        let input: Vec<f32> =
            (0..VALUES).flat_map(|i| (0..blocks).map(move |block| number(i, block))).collect();
        let found = self.run(&input)?;
        let engine = Engine::best()?;
        for round in 0..rounds {
            let lanes = |i: usize| Lanes(std::array::from_fn(|l| number(i, round * LANES + l)));
            let expected = network.run(engine, &(0..VALUES).map(lanes).collect::<Vec<_>>());
            let same = expected.iter().zip(found.chunks_exact(blocks)).all(|(expected, found)| {
                let found = &found[round * LANES..blocks.min((round + 1) * LANES)];
                found.iter().zip(expected.0).all(|(found, expected)| found.to_bits() == expected.to_bits())
            });
            if !same {
                let number = self.number;
                return Err(Error::Device(format!("GPU {number} gives other bits than the cores do")));
            }
        }
        Ok(())
    }
}

impl OnDevice {
    fn new(stream: &Arc<CudaStream>, layer: &Layer) -> Cuda<Self> {
        let padded = layer.cout.next_multiple_of(CHANNELS);
        let pad =
            |row: &[f32]| -> Vec<f32> { row.iter().copied().chain(vec![0.0; padded - row.len()]).collect() };
        let weight: Vec<f32> = layer.weight.chunks_exact(layer.cout).flat_map(pad).collect();
        let ends = layer.gathers.iter().scan(0, |end, pairs| {
            *end += pairs.len() as u32;
            Some(*end)
        });
        let begin: Vec<u32> = std::iter::once(0).chain(ends).collect();
        let pairs: Vec<u32> = layer.gathers.iter().flatten().flat_map(|&(site, tap)| [site, tap]).collect();
        Ok(Self {
            sites: layer.gathers.len(),
            cin: layer.cin,
            cout: layer.cout,
            activation: match layer.activation {
                None => 0,
                Some(Activation::Relu) => 1,
                Some(Activation::HardSwish) => 2,
            },
            weight: stream.clone_htod(&weight)?,
            bias: stream.clone_htod(&pad(&layer.bias))?,
            begin: stream.clone_htod(&begin)?,
            pairs: stream.clone_htod(&pairs)?,
        })
    }
}

fn failed(number: usize, error: DriverError) -> Error {
    Error::Gpu { number, source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::PTX;

    #[test]
    fn the_kernel_rounds_every_operation_as_the_cores_do() {
        let operations: Vec<_> = PTX
            .lines()
            .filter_map(|l| l.split_whitespace().next())
            .filter(|op| op.contains(".f32"))
            .collect();
        let known = ["add.rn.f32", "mul.rn.f32", "div.rn.f32", "fma.rn.f32", "max.f32", "min.f32", "mov.f32"];
        let memory = ["ld.global", "st.global"];
        for op in &operations {
            assert!(known.contains(op) || memory.iter().any(|m| op.starts_with(m)), "{op}");
        }
        assert!(operations.iter().filter(|op| **op == "fma.rn.f32").count() >= super::CHANNELS);
    }
}
