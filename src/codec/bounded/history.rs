//! What a series of steps remembers: of the writer, or of a reader, the last decoded step.

use super::preamble::Preamble;
use super::tile::PastTile;
use crate::{Error, Field, Result, Value};
use ndarray::Array3;
use std::sync::Arc;

/// What the next step of a series leans on.
#[derive(Clone, Debug)]
pub struct History {
    /// Steps from keyframe to keyframe.
    pub(crate) every: u32,
    f32: Option<Past<f32>>,
    f64: Option<Past<f64>>,
    /// Of other fields, their last step the one that is coded next.
    pub(crate) companions: Vec<(String, History)>,
}

impl History {
    /// With a keyframe every so many steps; 0 or 1 makes every step one. A reader's may be anything.
    pub fn new(every: u32) -> Self {
        Self { every, f32: None, f64: None, companions: Vec::new() }
    }

    /// The step before, if the next one of these boxes may lean on it.
    pub(crate) fn leads<T: Remembered>(&self, boxes: &[[usize; 3]]) -> Option<&Past<T>> {
        T::last(self).filter(|p| p.boxes == boxes && p.age + 1 < self.every)
    }

    /// Lets the next step lean on another field of the same boxes, whose last step is of the same time: a compressor may do so,
    /// a reader must where the step's [`Preamble::companions`] name it. Those of the step before are forgotten.
    pub fn lean_on(&mut self, name: &str, companion: &Self) {
        let (f32, f64) = (companion.f32.clone(), companion.f64.clone());
        self.companions.push((name.into(), Self { every: 0, f32, f64, companions: Vec::new() }));
    }

    /// Whether this stream is its last step.
    pub fn ends_with(&self, stream: &[u8]) -> bool {
        let sum = Some(crate::stream::checksum(stream));
        [self.f32.as_ref().map(|p| p.sum), self.f64.as_ref().map(|p| p.sum)].contains(&sum)
    }

    /// Whether a step with this preamble can be decoded next.
    pub fn leads_to(&self, preamble: &Preamble) -> bool {
        preamble.age == 0
            || self.f32.as_ref().is_some_and(|p| p.leads_to(preamble))
            || self.f64.as_ref().is_some_and(|p| p.leads_to(preamble))
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new(16)
    }
}

/// The step before.
#[derive(Clone, Debug)]
pub struct Past<T> {
    pub(crate) boxes: Vec<[usize; 3]>,
    pub(crate) tiles: Arc<Vec<PastTile<T>>>,
    /// Steps since the keyframe.
    pub(crate) age: u32,
    /// Checksum of its stream.
    pub(crate) sum: u32,
}

impl<T> Past<T> {
    fn leads_to(&self, preamble: &Preamble) -> bool {
        self.age + 1 == preamble.age && self.sum == preamble.sum_before
    }

    /// What a step that leans on another leans on; nothing for a keyframe.
    ///
    /// # Errors
    /// [`Error::Stream`] where the history does not hold that step.
    pub(crate) fn before<'a>(
        preamble: &Preamble,
        boxes: &[[usize; 3]],
        last: Option<&'a Self>,
    ) -> Result<Option<&'a Self>> {
        if preamble.age == 0 {
            return Ok(None);
        }
        let last = last.filter(|past| past.leads_to(preamble) && past.boxes == boxes);
        last.map(Some).ok_or_else(|| {
            Error::Stream("it leans on the step before, which was not decoded; begin at its keyframe".into())
        })
    }
}

/// A type whose steps a [`History`] can hold.
pub trait Remembered: Value {
    /// Its place in a history.
    fn past(history: &mut History) -> &mut Option<Past<Self>>;
    /// What is there.
    fn last(history: &History) -> Option<&Past<Self>>;
    /// An array of it as a field.
    fn field(array: Array3<Self>) -> Field;
    /// A field's values, `[z, y, x]`, where it is of this type.
    fn array(field: &Field) -> Option<&Array3<Self>>;
    /// The same, taken out.
    fn into_array(field: Field) -> Option<Array3<Self>>;
}

macro_rules! remembered {
    ($type:ty, $place:ident, $kind:ident) => {
        impl Remembered for $type {
            fn past(history: &mut History) -> &mut Option<Past<Self>> {
                &mut history.$place
            }

            fn last(history: &History) -> Option<&Past<Self>> {
                history.$place.as_ref()
            }

            fn field(array: Array3<Self>) -> Field {
                Field::$kind(array)
            }

            fn array(field: &Field) -> Option<&Array3<Self>> {
                if let Field::$kind(a) = field { Some(a) } else { None }
            }

            fn into_array(field: Field) -> Option<Array3<Self>> {
                if let Field::$kind(a) = field { Some(a) } else { None }
            }
        }
    };
}

remembered!(f32, f32, F32);
remembered!(f64, f64, F64);
