//! What runs a network over many blocks.

use crate::blocks::VALUES;
#[cfg(feature = "cuda")]
use crate::cuda::Gpu;
use crate::error::Result;
use crate::model::Model;
use std::sync::Arc;

/// A device that runs networks. Which one it is changes no byte.
#[derive(Clone, Debug, Default)]
pub enum Device {
    /// The cores, with the caller's threads.
    #[default]
    Cores,
    /// A GPU; the cores do what it fails to do, and what is of another model than its own.
    #[cfg(feature = "cuda")]
    Cuda(Arc<Gpu>),
}

impl Device {
    /// How many GPUs there are.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where this build has no CUDA, or the machine no driver.
    pub fn gpus() -> Result<usize> {
        #[cfg(feature = "cuda")]
        return crate::cuda::count();
        #[cfg(not(feature = "cuda"))]
        Err(crate::Error::Device("this build has no CUDA".into()))
    }

    /// The GPU of this number, from 0 in the order of the driver, ready to run the encoder of a
    /// model.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where there is no such GPU, where it fails, and where it does not
    /// give the same bits as the cores; [`crate::Error::Model`] where the model has no encoder.
    pub fn gpu(number: usize, model: Arc<Model>) -> Result<Self> {
        #[cfg(feature = "cuda")]
        return Ok(Self::Cuda(Arc::new(Gpu::new(number, model)?)));
        #[cfg(not(feature = "cuda"))]
        {
            _ = (number, model);
            Err(crate::Error::Device("this build has no CUDA".into()))
        }
    }

    /// The latents of so many blocks, one block after the other; `normal` gives a block's values, x
    /// fastest. None where the cores have to make them.
    pub(crate) fn latents(
        &self,
        model: &Model,
        count: usize,
        normal: &(impl Fn(usize) -> [f32; VALUES] + Sync),
    ) -> Option<Vec<f32>> {
        match self {
            Self::Cores => {
                _ = (model, count, normal);
                None
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) if !gpu.has(model) => None,
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => match gpu.latents(count, normal) {
                Ok(latents) => Some(latents),
                Err(e) => {
                    gpu.give_up();
                    log::warn!("{e}; the cores take its part");
                    None
                }
            },
        }
    }
}
