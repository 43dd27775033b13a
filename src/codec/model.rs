//! Models as data: what a trained network is, and the file that holds it.
//!
//! A model file is a `.safetensors` file. Its tensors are `encoder.N.weight`, `encoder.N.bias`,
//! `decoder.N.weight`, `decoder.N.bias` in float32, in PyTorch's layouts, with batch normalisation
//! folded in; the key `swae` of its metadata holds [`Metadata`] as JSON. A file without the encoder
//! still decodes: such a file travels inside an output whose model is not built in.

use crate::blocks::{EDGE, VALUES};
use crate::error::{Cause, Error, Result};
pub use crate::model_id::ModelId;
use safetensors::{SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The version of the model file that this library writes and reads.
const MODEL_FORMAT: u32 = 1;
const METADATA_KEY: &str = "swae";

/// The non-linearity behind every layer but the last of encoder and decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Activation {
    /// `max(0, x)`.
    Relu = 0,
    /// `x · min(max(x + 3, 0), 6) / 6`, of straight pieces near SiLU (Howard et al., "Searching for
    /// MobileNetV3").
    HardSwish = 1,
}

/// What is done to a block before the encoder sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Normalisation {
    /// `(v − mean) / standard deviation`, both over the block.
    MeanStd = 0,
}

/// The shape of the autoencoder: one strided stage per entry of `channels`, then a linear layer to
/// the latents, and the mirror image back (AE-SZ, section III); or linear layers alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Values along the edge of a block; 8.
    pub block: usize,
    /// Channels after each stage; three stages halve 8 to 1. Where the network is dense, what each
    /// hidden layer gives.
    pub channels: Vec<usize>,
    /// Numbers per block that are stored.
    pub latent: usize,
    /// 1: a strided convolution alone; 2: one more of stride 1 before it (behind it in the
    /// decoder).
    pub convolutions_per_stage: usize,
    /// The non-linearity.
    pub activation: Activation,
    /// Linear layers of all 512 values in place of convolutions (a multilayer perceptron).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dense: bool,
}

impl Default for Architecture {
    fn default() -> Self {
        Self {
            block: EDGE,
            channels: vec![32, 64, 128],
            latent: 16,
            convolutions_per_stage: 1,
            activation: Activation::Relu,
            dense: false,
        }
    }
}

/// How a layer connects its sites; all kernels are 3×3×3 with zero padding of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every input to every output; weight `[out, in]`.
    Linear,
    /// A convolution with this stride; weight `[out, in, kz, ky, kx]`.
    Convolution {
        /// 1 or 2.
        stride: usize,
    },
    /// A transposed convolution of stride 2 that doubles the edge (output padding 1); weight `[in,
    /// out, kz, ky, kx]`.
    Transposed,
}

/// One layer of an encoder or decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// Its connections.
    pub kind: Kind,
    /// Channels in.
    pub cin: usize,
    /// Channels out.
    pub cout: usize,
    /// Values along the edge of its input.
    pub edge_in: usize,
    /// Values along the edge of its output.
    pub edge_out: usize,
    /// Whether the activation (and, in training, batch normalisation before it) follows.
    pub activated: bool,
}

impl LayerSpec {
    /// Shape of the weight tensor.
    pub fn weight_shape(&self) -> Vec<usize> {
        match self.kind {
            Kind::Linear => vec![self.cout, self.cin],
            Kind::Convolution { .. } => vec![self.cout, self.cin, 3, 3, 3],
            Kind::Transposed => vec![self.cin, self.cout, 3, 3, 3],
        }
    }
}

impl Architecture {
    /// Whether this library can run it.
    ///
    /// # Errors
    /// [`Error::Model`] with what does not fit.
    pub fn check(&self) -> Result<()> {
        let fail = |what: String| Err(Error::Model(what));
        if self.block != EDGE {
            return fail(format!("blocks of {}³; this library has blocks of 8³", self.block));
        }
        if self.dense && self.convolutions_per_stage != 1 {
            return fail("a dense network has no convolutions".into());
        }
        if self.dense && !(1..=8).contains(&self.channels.len()) {
            return fail(format!("{} hidden layers; 1 to 8 are possible", self.channels.len()));
        }
        if (!self.dense && self.channels.len() != 3) || self.channels.iter().any(|c| !(1..=1024).contains(c))
        {
            return fail(format!(
                "channels {:?}; three stages of 1 to 1024 channels are needed",
                self.channels
            ));
        }
        if !(1..=512).contains(&self.latent) {
            return fail(format!("{} latents; 1 to 512 are possible", self.latent));
        }
        if !(1..=2).contains(&self.convolutions_per_stage) {
            return fail(format!(
                "{} convolutions per stage; 1 or 2 are possible",
                self.convolutions_per_stage
            ));
        }
        Ok(())
    }

    /// The encoder's layers, first to last.
    pub fn encoder(&self) -> Vec<LayerSpec> {
        let mut layers = Vec::new();
        if self.dense {
            let widths = [&[VALUES][..], &self.channels, &[self.latent]].concat();
            let linear = |(i, pair): (usize, &[usize])| LayerSpec {
                kind: Kind::Linear,
                cin: pair[0],
                cout: pair[1],
                edge_in: 1,
                edge_out: 1,
                activated: i < self.channels.len(),
            };
            return widths.windows(2).enumerate().map(linear).collect();
        }
        let (mut cin, mut edge) = (1, self.block);
        for &cout in &self.channels {
            if self.convolutions_per_stage == 2 {
                let kind = Kind::Convolution { stride: 1 };
                layers.push(LayerSpec { kind, cin, cout, edge_in: edge, edge_out: edge, activated: true });
                cin = cout;
            }
            let kind = Kind::Convolution { stride: 2 };
            layers.push(LayerSpec { kind, cin, cout, edge_in: edge, edge_out: edge / 2, activated: true });
            (cin, edge) = (cout, edge / 2);
        }
        let kind = Kind::Linear;
        layers.push(LayerSpec { kind, cin, cout: self.latent, edge_in: 1, edge_out: 1, activated: false });
        layers
    }

    /// The decoder's layers, first to last: the encoder's mirror image.
    pub fn decoder(&self) -> Vec<LayerSpec> {
        let mirrored = |(i, l): (usize, LayerSpec)| LayerSpec {
            kind: if l.kind == (Kind::Convolution { stride: 2 }) { Kind::Transposed } else { l.kind },
            cin: l.cout,
            cout: l.cin,
            edge_in: l.edge_out,
            edge_out: l.edge_in,
            activated: i != 0,
        };
        self.encoder().into_iter().enumerate().rev().map(mirrored).collect()
    }
}

/// What a model file says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Version of the file's layout.
    pub format: u32,
    /// The name that `--model` takes.
    pub name: String,
    /// The network.
    pub architecture: Architecture,
    /// What the network expects of its input.
    pub normalisation: Normalisation,
    /// Where it comes from: data, steps, loss, time, metrics.
    #[serde(default)]
    pub provenance: BTreeMap<String, serde_json::Value>,
}

impl Metadata {
    /// Metadata of this library's format.
    pub fn new(
        name: impl Into<String>,
        architecture: Architecture,
        provenance: BTreeMap<String, serde_json::Value>,
    ) -> Self {
        Self {
            format: MODEL_FORMAT,
            name: name.into(),
            architecture,
            normalisation: Normalisation::MeanStd,
            provenance,
        }
    }
}

/// Weight and bias of one layer, in PyTorch's layouts.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// See [`LayerSpec::weight_shape`].
    pub weight: Vec<f32>,
    /// `[cout]`.
    pub bias: Vec<f32>,
}

/// A trained autoencoder.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it says of itself.
    pub metadata: Metadata,
    /// Parameters of the encoder's layers; none where the file holds the decoder alone.
    pub encoder: Option<Vec<Parameters>>,
    /// Parameters of the decoder's layers.
    pub decoder: Vec<Parameters>,
    id: ModelId,
}

impl Model {
    /// A model of these parts.
    ///
    /// # Errors
    /// [`Error::Model`] where a shape does not fit the architecture.
    pub fn new(
        metadata: Metadata,
        encoder: Option<Vec<Parameters>>,
        decoder: Vec<Parameters>,
    ) -> Result<Self> {
        let architecture = &metadata.architecture;
        architecture.check()?;
        if let Some(encoder) = &encoder {
            check_parameters("encoder", &architecture.encoder(), encoder)?;
        }
        check_parameters("decoder", &architecture.decoder(), &decoder)?;
        let id = id(&metadata, &decoder);
        Ok(Self { metadata, encoder, decoder, id })
    }

    /// Hash of what decoding depends on.
    pub fn id(&self) -> ModelId {
        self.id
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::ModelFile`] where it cannot be read, [`Error::Model`] where what it holds is no model
    /// that this library runs.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let damaged = |source: Cause| Error::ModelFile { place: String::new(), source };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.into()))?;
        let json = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY)).ok_or_else(|| {
            Error::Model("a safetensors file without swae's metadata; export it with swae-train".into())
        })?;
        let metadata: Metadata = serde_json::from_str(json).map_err(|e| damaged(e.into()))?;
        if metadata.format != MODEL_FORMAT {
            return Err(Error::Model(format!("model format {}, known is {MODEL_FORMAT}", metadata.format)));
        }
        metadata.architecture.check()?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.into()))?;
        let read = |name: String, shape: &[usize]| -> Result<Vec<f32>> {
            let tensor = tensors.tensor(&name).map_err(|e| damaged(e.into()))?;
            if tensor.dtype() != safetensors::Dtype::F32 || tensor.shape() != shape {
                let (dtype, found) = (tensor.dtype(), tensor.shape());
                return Err(Error::Model(format!("{name} is {dtype:?} {found:?}, expected F32 {shape:?}")));
            }
            Ok(tensor
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes")))
                .collect())
        };
        let read_all = |side: &str, layers: &[LayerSpec]| -> Result<Vec<Parameters>> {
            let one = |(i, layer): (usize, &LayerSpec)| {
                Ok(Parameters {
                    weight: read(format!("{side}.{i}.weight"), &layer.weight_shape())?,
                    bias: read(format!("{side}.{i}.bias"), &[layer.cout])?,
                })
            };
            layers.iter().enumerate().map(one).collect()
        };
        let encoder = match tensors.tensor("encoder.0.weight") {
            Ok(_) => Some(read_all("encoder", &metadata.architecture.encoder())?),
            Err(_) => None,
        };
        let decoder = read_all("decoder", &metadata.architecture.decoder())?;
        Self::new(metadata, encoder, decoder)
    }

    /// The bytes of the model file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut parts: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        let architecture = &self.metadata.architecture;
        let bytes = |v: &[f32]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let mut add = |side: &str, layers: &[LayerSpec], parameters: &[Parameters]| {
            for (i, (layer, p)) in layers.iter().zip(parameters).enumerate() {
                parts.push((format!("{side}.{i}.weight"), layer.weight_shape(), bytes(&p.weight)));
                parts.push((format!("{side}.{i}.bias"), vec![layer.cout], bytes(&p.bias)));
            }
        };
        if let Some(encoder) = &self.encoder {
            add("encoder", &architecture.encoder(), encoder);
        }
        add("decoder", &architecture.decoder(), &self.decoder);
        let json = serde_json::to_string(&self.metadata).expect("metadata is plain data");
        let views = parts.iter().map(|(name, shape, data)| {
            let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), data);
            (name.as_str(), view.expect("shape and data agree"))
        });
        safetensors::serialize(views, Some(HashMap::from([(METADATA_KEY.to_owned(), json)])))
            .expect("a model is a valid safetensors file")
    }

    /// The same model without its encoder: what an output carries so that it can be read anywhere.
    pub fn decoder_only(&self) -> Self {
        Self { encoder: None, ..self.clone() }
    }
}

/// The hash of what decoding depends on, as bytes that no other crate has a say in: docs/format.md
/// has their order.
fn id(metadata: &Metadata, decoder: &[Parameters]) -> ModelId {
    let Architecture { block, channels, latent, convolutions_per_stage, activation, dense } =
        &metadata.architecture;
    let numbers = [
        metadata.normalisation as usize,
        *activation as usize,
        usize::from(*dense),
        *block,
        *convolutions_per_stage,
        *latent,
        channels.len(),
    ];
    let mut hash = blake3::Hasher::new();
    for &number in numbers.iter().chain(channels) {
        hash.update(&(number as u64).to_le_bytes());
    }
    for v in decoder.iter().flat_map(|p| p.weight.iter().chain(&p.bias)) {
        hash.update(&v.to_le_bytes());
    }
    hash.finalize().as_bytes()[..16].try_into().map(ModelId).expect("a hash has 32 bytes")
}

fn check_parameters(side: &str, layers: &[LayerSpec], parameters: &[Parameters]) -> Result<()> {
    if layers.len() != parameters.len() {
        return Err(Error::Model(format!("{} {side} layers, expected {}", parameters.len(), layers.len())));
    }
    for (i, (layer, p)) in layers.iter().zip(parameters).enumerate() {
        let weights: usize = layer.weight_shape().iter().product();
        if p.weight.len() != weights || p.bias.len() != layer.cout {
            return Err(Error::Model(format!("{side} layer {i} has the wrong number of weights")));
        }
        if p.weight.iter().chain(&p.bias).any(|v| !v.is_finite()) {
            return Err(Error::Model(format!("{side} layer {i} has weights that are not finite")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decoder_mirrors_the_encoder() {
        for convolutions_per_stage in [1, 2] {
            let a = Architecture { convolutions_per_stage, ..Architecture::default() };
            let (encoder, decoder) = (a.encoder(), a.decoder());
            assert_eq!(encoder[0].edge_in, decoder.last().unwrap().edge_out);
            assert_eq!(encoder.last().unwrap().cout, decoder[0].cin);
            assert!(decoder[0].activated && !decoder.last().unwrap().activated);
            for pair in encoder.windows(2).chain(decoder.windows(2)) {
                assert_eq!((pair[0].cout, pair[0].edge_out), (pair[1].cin, pair[1].edge_in));
            }
        }
    }
}
