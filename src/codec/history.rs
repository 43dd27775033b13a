//! What a series of steps keeps: the last decoded step, of a writer or of a reader.

use crate::element::{Dtype, Element};
use crate::error::{Error, Result};
use crate::preamble::{FARTHEST, Preamble};
pub use crate::predict::reference::Spacing;
use crate::predict::reference::{ReferenceStep, StepReferences};
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
    /// The step behind the next one, where that is coded already.
    next: [Option<Last>; 2],
    /// From the step that comes next to those.
    spacing: Spacing,
    /// Other fields of the step that comes next, which are coded already.
    pub(crate) references: Vec<(String, History)>,
}

/// The last step of an element type.
#[derive(Clone, Debug)]
struct Last {
    age: u32,
    spacing: Spacing,
    checksum: u32,
    /// A [`ReferenceStep`] of that type.
    step: Arc<dyn Any + Send + Sync>,
}

impl Last {
    fn leads_to(&self, preamble: &Preamble) -> bool {
        let age = self.age.checked_add(preamble.spacing.back);
        age == Some(preamble.age) && self.checksum == preamble.reference_checksum
    }
}

impl History {
    /// With a keyframe every so many steps; 0 or 1 makes every step one. A reader's may be
    /// anything.
    pub fn new(keyframe_interval: u32) -> Self {
        Self {
            keyframe_interval,
            last: [None, None],
            next: [None, None],
            spacing: Spacing::NEXT,
            references: Vec::new(),
        }
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
        let last = |step: ReferenceStep<T>| {
            let ReferenceStep { age, spacing, checksum, .. } = step;
            Last { age, spacing, checksum, step: Arc::new(step) }
        };
        self.last[T::DTYPE as usize] = step.map(last);
        (self.next, self.spacing) = ([None, None], Spacing::NEXT);
    }

    /// Says how many steps the next one is from the last, and, where it lies between that and a step
    /// that is coded already, how many from this; `next` ends with it. Over more than 64 steps nothing is
    /// predicted.
    pub fn lead(&mut self, back: u32, next: Option<(u32, &Self)>) {
        self.spacing = Spacing { back, ahead: next.map_or(0, |(ahead, _)| ahead) };
        self.next = next.map_or([None, None], |(_, next)| next.last.clone());
    }

    /// The decoded steps that the next one of these boxes may be predicted from.
    pub(crate) fn references_of<T: Element>(&self, boxes: &[[usize; 3]]) -> Option<StepReferences<'_, T>> {
        let Spacing { back, ahead } = self.spacing;
        if back == 0 || back > FARTHEST || ahead > FARTHEST {
            return None;
        }
        // Steps between others are none that a reader could begin at.
        let is_keyframe = |age: u32| ahead == 0 && age.saturating_add(back) >= self.keyframe_interval;
        let previous = self.last::<T>().filter(|step| step.boxes == boxes && !is_keyframe(step.age))?;
        let next = self.next::<T>().filter(|step| step.boxes == boxes);
        if self.spacing.is_between() && next.is_none() {
            return None;
        }
        Some(StepReferences { previous, next, spacing: self.spacing })
    }

    fn next<T: Element>(&self) -> Option<&ReferenceStep<T>> {
        self.next[T::DTYPE as usize].as_ref().and_then(|next| next.step.downcast_ref())
    }

    /// The steps that a stream with this preamble is predicted from; none for a keyframe.
    ///
    /// # Errors
    /// [`Error::Stream`] where the history does not hold them.
    pub(crate) fn references_for<'a, T: Element>(
        history: Option<&'a Self>,
        preamble: &Preamble,
        boxes: &[[usize; 3]],
    ) -> Result<Option<StepReferences<'a, T>>> {
        if preamble.age == 0 {
            return Ok(None);
        }
        let fits = |history: &&'a Self| history.slot(T::DTYPE).is_some_and(|last| last.leads_to(preamble));
        let history = history.filter(fits);
        let same_boxes = |step: &&'a ReferenceStep<T>| step.boxes == boxes;
        let previous = history.and_then(Self::last::<T>).filter(same_boxes);
        let previous = previous.ok_or_else(|| {
            let text = "it is predicted from the previous step, which was not decoded; begin at its keyframe";
            Error::Stream(text.into())
        })?;
        let spacing = preamble.spacing;
        let next = history.and_then(Self::next::<T>).filter(same_boxes);
        let next = next.filter(|next| spacing.is_between() && next.checksum == preamble.next_checksum);
        if spacing.is_between() && next.is_none() {
            let text = "it is predicted from a step behind it, which was not decoded before it";
            return Err(Error::Stream(text.into()));
        }
        Ok(Some(StepReferences { previous, next, spacing }))
    }

    /// Lets the next step be predicted from another field of the same boxes, whose last step is of
    /// the same time: an encoder may do so, a decoder must where the step's
    /// [`Preamble::reference_fields`] name it. Those of earlier steps are forgotten.
    pub fn add_reference(&mut self, name: &str, field: &Self) {
        let alone = Self { last: field.last.clone(), ..Self::new(0) };
        self.references.push((name.into(), alone));
    }

    /// Whether this stream is its last step.
    pub fn ends_with(&self, stream: &Stream<'_>) -> bool {
        self.last.iter().flatten().any(|last| last.checksum == stream.checksum())
    }

    /// Whether its last step is the one behind a step with this preamble that this is predicted from.
    pub fn is_behind(&self, preamble: &Preamble) -> bool {
        preamble.spacing.is_between()
            && self.last.iter().flatten().any(|last| last.checksum == preamble.next_checksum)
    }

    /// How many steps its last one is from those that it was predicted from; none without one.
    pub fn last_spacing(&self) -> Option<Spacing> {
        self.last.iter().flatten().map(|last| last.spacing).next()
    }

    /// Whether both end with the same stream.
    pub fn ends_as(&self, other: &Self) -> bool {
        let ends = |history: &Self| history.last.each_ref().map(|last| last.as_ref().map(|l| l.checksum));
        ends(self) == ends(other)
    }

    /// Whether its last step is the one before a step with this preamble that this is predicted from.
    pub fn leads_to(&self, preamble: &Preamble) -> bool {
        preamble.age == 0 || self.last.iter().flatten().any(|last| last.leads_to(preamble))
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new(crate::config::DEFAULT_KEYFRAME_INTERVAL)
    }
}
