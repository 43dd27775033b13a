//! A series of steps of one field: an encoder and a decoder that keep what the next step is
//! predicted from.

use crate::config::Compression;
use crate::decode::decompress_boxes;
use crate::element::Element;
use crate::encode::{Method, compress_bounded, compress_boxes};
use crate::error::{Error, Result};
use crate::field::Field;
use crate::group::{compress_group, decompress_group};
use crate::history::History;
use crate::model::Model;
use crate::models::Models;
use crate::stream::Stream;
use crate::view::FieldView;
use ndarray::Array3;
use std::sync::Arc;

/// Compresses the steps of a field, each into a stream of its own that is predicted from the steps
/// before.
///
/// ```
/// use swae_codec::{Compression, FieldView, SeriesDecoder, SeriesEncoder};
///
/// let step = |t: f64| -> Vec<f64> { (0..16 * 16 * 16).map(|i| (i as f64 * 1e-3 + t).sin()).collect() };
/// let mut encoder = SeriesEncoder::new(Compression::absolute(1e-4).keyframe_interval(8))?;
/// let mut decoder = SeriesDecoder::new();
/// for t in 0..3 {
///     let values = step(f64::from(t));
///     let bytes = encoder.encode(&FieldView::dense(&values, [16, 16, 16])?)?;
///     let decoded = decoder.decode::<f64>(&bytes)?; // [z, y, x]
///     assert!(decoded.iter().zip(&values).all(|(a, b)| (a - b).abs() <= 1e-4));
/// }
/// # Ok::<(), swae_codec::Error>(())
/// ```
#[derive(Debug)]
pub struct SeriesEncoder {
    compression: Compression,
    model: Option<Arc<Model>>,
    history: History,
}

impl SeriesEncoder {
    /// An encoder whose first step is a keyframe.
    ///
    /// # Errors
    /// [`Error::Bound`] for a bound that means nothing, [`Error::UnknownModel`] or [`Error::Model`]
    /// for a model that is not there.
    pub fn new(compression: Compression) -> Result<Self> {
        let model = compression.load_model()?;
        Method::new(&compression, model.as_deref())?;
        let history = History::new(compression.keyframe_interval);
        Ok(Self { compression, model, history })
    }

    /// Compresses the next step.
    ///
    /// # Errors
    /// Those of [`compress`](crate::compress).
    pub fn encode<T: Element>(&mut self, view: &FieldView<'_, T>) -> Result<Vec<u8>> {
        self.encode_boxes(std::slice::from_ref(view))
    }

    /// Compresses the next step of a list of boxes; where the boxes differ from the previous
    /// step's, it becomes a keyframe.
    ///
    /// # Errors
    /// Those of [`compress_boxes`].
    pub fn encode_boxes<T: Element>(&mut self, views: &[FieldView<'_, T>]) -> Result<Vec<u8>> {
        match Method::new(&self.compression, self.model.as_deref())? {
            Method::Bounded(settings) => Ok(compress_bounded(views, &settings, Some(&mut self.history))?.0),
            other => compress_boxes(views, other),
        }
    }

    /// Compresses the next steps as a group ([`compress_group`]): those between the first and the last
    /// are predicted from both sides. They come in the order of time.
    ///
    /// # Errors
    /// Those of [`compress`](crate::compress).
    pub fn encode_group<T: Element>(&mut self, views: &[FieldView<'_, T>]) -> Result<Vec<Vec<u8>>> {
        let steps: Vec<_> = views.iter().map(std::slice::from_ref).collect();
        match Method::new(&self.compression, self.model.as_deref())? {
            Method::Bounded(settings) => {
                let streams = compress_group(&steps, &settings, &mut self.history)?;
                Ok(streams.into_iter().map(|(stream, _)| stream).collect())
            }
            other => steps.into_iter().map(|step| compress_boxes(step, other)).collect(),
        }
    }

    /// Makes the next step a keyframe.
    pub fn restart(&mut self) {
        self.history = History::new(self.compression.keyframe_interval);
    }
}

/// Decompresses the steps of a field in their order, beginning at any keyframe.
#[derive(Debug, Default)]
pub struct SeriesDecoder {
    models: Models,
    history: History,
}

impl SeriesDecoder {
    /// With the built-in models.
    pub fn new() -> Self {
        Self::default()
    }

    /// With these models.
    pub fn with_models(models: Models) -> Self {
        Self { models, history: History::default() }
    }

    /// Decompresses the next step of one box: an array, `[z, y, x]`.
    ///
    /// # Errors
    /// Those of [`decompress`](crate::decompress); [`Error::Stream`] where the step is predicted
    /// from one that was not decoded.
    pub fn decode<T: Element>(&mut self, bytes: &[u8]) -> Result<Array3<T>> {
        only(self.decode_boxes(bytes)?)
    }

    /// Decompresses the next steps, which are a group, in the order of time: each an array, `[z, y, x]`.
    ///
    /// # Errors
    /// Those of [`SeriesDecoder::decode`].
    pub fn decode_group<T: Element>(&mut self, streams: &[impl AsRef<[u8]>]) -> Result<Vec<Array3<T>>> {
        let streams = streams.iter().map(|bytes| Stream::open(bytes.as_ref())).collect::<Result<Vec<_>>>()?;
        let fields = decompress_group(&streams, &self.models, &mut self.history)?;
        let arrays = fields.into_iter().map(|boxes| boxes.into_iter().map(Field::expect_array).collect());
        arrays.map(|boxes: Result<Vec<_>>| only(boxes?)).collect()
    }

    /// Decompresses all boxes of the next step.
    ///
    /// # Errors
    /// Those of [`SeriesDecoder::decode`].
    pub fn decode_boxes<T: Element>(&mut self, bytes: &[u8]) -> Result<Vec<Array3<T>>> {
        let fields = decompress_boxes(&Stream::open(bytes)?, &self.models, Some(&mut self.history))?;
        fields.into_iter().map(Field::expect_array).collect()
    }
}

/// The only box of a stream.
fn only<T>(mut boxes: Vec<Array3<T>>) -> Result<Array3<T>> {
    match boxes.pop() {
        Some(only) if boxes.is_empty() => Ok(only),
        last => {
            let count = boxes.len().saturating_add(usize::from(last.is_some()));
            Err(Error::Stream(format!("it holds {count} boxes, not one; decode_boxes gives all")))
        }
    }
}
