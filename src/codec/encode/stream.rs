//! Boxes become a stream, in whichever mode.

use super::bounded::{Bounded, compress_bounded};
use crate::config::{Compression, Mode};
use crate::device::Device;
use crate::element::Element;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::latent::{self, LatentCoding};
use crate::model::Model;
use crate::raw;
use crate::stream::{self, Content, seal};
use crate::view::FieldView;

/// How boxes are encoded: a [`Compression`] with its model at hand.
#[derive(Clone, Copy, Debug)]
pub enum Method<'a> {
    /// The values as they are.
    Raw,
    /// The latents of a model (see [`latent`]).
    Latent {
        /// The model; it must have an encoder.
        model: &'a Model,
        /// How latents are stored.
        coding: LatentCoding,
    },
    /// Within an error bound.
    Bounded(Bounded<'a>),
}

impl<'a> Method<'a> {
    /// The method of a compression; `model` is what [`Compression::load_model`] gave.
    ///
    /// # Errors
    /// [`Error::Bound`] for a bound that means nothing, [`Error::Model`] in latent mode without a
    /// model, [`Error::Config`] in latent mode with a fill value.
    pub fn new(compression: &Compression, model: Option<&'a Model>) -> Result<Self> {
        compression.check_fill()?;
        match compression.mode {
            Mode::Raw => Ok(Self::Raw),
            Mode::Bounded(bound) => {
                bound.check()?;
                let Compression { fill, effort, .. } = *compression;
                Ok(Self::Bounded(Bounded { model, fill, effort, ..Bounded::new(bound) }))
            }
            Mode::Latent(coding) => match model {
                Some(model) => Ok(Self::Latent { model, coding }),
                None => Err(Error::Model("latent mode needs a model".into())),
            },
        }
    }
}

/// Compresses a box of values into a stream that [`decompress`](crate::decompress) reads.
///
/// ```
/// use swae_codec::{Compression, FieldView, compress, decompress};
///
/// let values: Vec<f64> = (0..16 * 16 * 16).map(|i| (i as f64 * 1e-3).sin()).collect();
/// let view = FieldView::dense(&values, [16, 16, 16])?; // [nx, ny, nz], x fastest in memory
/// let bytes = compress(&view, &Compression::absolute(1e-4))?;
/// let decoded = decompress::<f64>(&bytes)?; // [z, y, x]
/// assert!(bytes.len() < 8 * values.len() / 4);
/// assert!(decoded.iter().zip(&values).all(|(a, b)| (a - b).abs() <= 1e-4));
/// # Ok::<(), swae_codec::Error>(())
/// ```
///
/// # Errors
/// [`Error::Bound`] for a bound that means nothing, [`Error::UnknownModel`] or [`Error::Model`] for
/// a model that is not there or has no encoder.
pub fn compress<T: Element>(view: &FieldView<'_, T>, compression: &Compression) -> Result<Vec<u8>> {
    let model = compression.load_model()?;
    compress_box(view, Method::new(compression, model.as_deref())?)
}

/// Encodes a box.
///
/// # Errors
/// [`Error::Model`] where the method's model has no encoder, [`Error::Bound`] for a bound that
/// means nothing.
pub fn compress_box<T: Element>(view: &FieldView<'_, T>, method: Method<'_>) -> Result<Vec<u8>> {
    compress_boxes(std::slice::from_ref(view), method)
}

/// Encodes many boxes of one field into one stream: small ones, as octrees and AMR hierarchies have
/// them, share frequencies and an overhead of a few bytes.
///
/// # Errors
/// Those of [`compress_box`]; [`Error::Shape`] for more than one box in latent mode.
pub fn compress_boxes<T: Element>(views: &[FieldView<'_, T>], method: Method<'_>) -> Result<Vec<u8>> {
    compress_boxes_on(&Device::Cores, views, method)
}

/// The same, where a device runs the networks of latent mode. The bytes are the same too.
///
/// # Errors
/// Those of [`compress_boxes`].
pub fn compress_boxes_on<T: Element>(
    device: &Device,
    views: &[FieldView<'_, T>],
    method: Method<'_>,
) -> Result<Vec<u8>> {
    Engine::best()?;
    let boxes: Vec<_> = views.iter().map(FieldView::count).collect();
    let sealed = |mode, preamble: &[u8], tiles: &[Vec<u8>]| {
        Ok(seal(&Content { dtype: T::DTYPE, mode, boxes: &boxes, preamble, tiles })?.0)
    };
    match method {
        Method::Raw => sealed(stream::RAW, &[], &raw::encode(views)?),
        Method::Latent { model, coding } => match views {
            [view] => {
                let (preamble, tiles) = latent::encode(view, model, coding, device)?;
                sealed(stream::LATENT, &preamble, &tiles)
            }
            _ => Err(Error::Shape("latent mode encodes one box at a time".into())),
        },
        Method::Bounded(settings) => Ok(compress_bounded(views, &settings, None)?.0),
    }
}
