//! What a series of steps keeps: the last decoded step, of a writer or of a reader.

use crate::element::{Dtype, Element};
use crate::error::{Error, Result};
use crate::preamble::Preamble;
use crate::predict::reference::ReferenceStep;
use crate::stream::Stream;
use std::any::Any;
use std::sync::Arc;

/// What the next step of a series may be predicted from.
#[derive(Clone, Debug)]
pub struct History {
    /// Steps from keyframe to keyframe.
    pub(crate) keyframe_interval: u32,
    /// The last step of each element type.
    last: [Option<Last>; 2],
    /// Other fields of the step that comes next, which are coded already.
    pub(crate) references: Vec<(String, History)>,
}

/// The last step of an element type.
#[derive(Clone, Debug)]
struct Last {
    age: u32,
    checksum: u32,
    /// A [`ReferenceStep`] of that type.
    step: Arc<dyn Any + Send + Sync>,
}

impl Last {
    fn leads_to(&self, preamble: &Preamble) -> bool {
        self.age.checked_add(1) == Some(preamble.age) && self.checksum == preamble.reference_checksum
    }
}

impl History {
    /// With a keyframe every so many steps; 0 or 1 makes every step one. A reader's may be
    /// anything.
    pub fn new(keyframe_interval: u32) -> Self {
        Self { keyframe_interval, last: [None, None], references: Vec::new() }
    }

    /// The last step of this element type.
    pub(crate) fn last<T: Element>(&self) -> Option<&ReferenceStep<T>> {
        self.slot(T::DTYPE).and_then(|last| last.step.downcast_ref())
    }

    fn slot(&self, dtype: Dtype) -> Option<&Last> {
        self.last[dtype as usize].as_ref()
    }

    /// Makes a step the last one; none forgets it.
    pub(crate) fn set_last<T: Element>(&mut self, step: Option<ReferenceStep<T>>) {
        let last =
            |step: ReferenceStep<T>| Last { age: step.age, checksum: step.checksum, step: Arc::new(step) };
        self.last[T::DTYPE as usize] = step.map(last);
    }

    /// The last step, if the next one of these boxes may be predicted from it.
    pub(crate) fn reference_of<T: Element>(&self, boxes: &[[usize; 3]]) -> Option<&ReferenceStep<T>> {
        self.last::<T>()
            .filter(|step| step.boxes == boxes && step.age.saturating_add(1) < self.keyframe_interval)
    }

    /// The step that a stream with this preamble is predicted from; none for a keyframe.
    ///
    /// # Errors
    /// [`Error::Stream`] where the history does not hold that step.
    pub(crate) fn reference_for<'a, T: Element>(
        history: Option<&'a Self>,
        preamble: &Preamble,
        boxes: &[[usize; 3]],
    ) -> Result<Option<&'a ReferenceStep<T>>> {
        if preamble.age == 0 {
            return Ok(None);
        }
        let fits = |history: &&'a Self| history.slot(T::DTYPE).is_some_and(|last| last.leads_to(preamble));
        let step = history.filter(fits).and_then(Self::last::<T>).filter(|step| step.boxes == boxes);
        step.map(Some).ok_or_else(|| {
            let text = "it is predicted from the previous step, which was not decoded; begin at its keyframe";
            Error::Stream(text.into())
        })
    }

    /// Lets the next step be predicted from another field of the same boxes, whose last step is of
    /// the same time: an encoder may do so, a decoder must where the step's
    /// [`Preamble::reference_fields`] name it. Those of earlier steps are forgotten.
    pub fn add_reference(&mut self, name: &str, field: &Self) {
        let alone = Self { keyframe_interval: 0, last: field.last.clone(), references: Vec::new() };
        self.references.push((name.into(), alone));
    }

    /// Whether this stream is its last step.
    pub fn ends_with(&self, stream: &Stream<'_>) -> bool {
        self.last.iter().flatten().any(|last| last.checksum == stream.checksum())
    }

    /// Whether a step with this preamble can be decoded next.
    pub fn leads_to(&self, preamble: &Preamble) -> bool {
        preamble.age == 0 || self.last.iter().flatten().any(|last| last.leads_to(preamble))
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new(crate::config::DEFAULT_KEYFRAME_INTERVAL)
    }
}
