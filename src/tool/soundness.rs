//! Which fields of a file are sound: every checksum is right, and every stream decodes. It is what
//! `swae verify FILE` prints, and what `swae repair` keeps.

use std::collections::BTreeSet;
use swae_store::{Decoder, Reader};

/// What a file holds that is sound, and what is not.
pub struct Soundness {
    /// Of each step, the fields that are sound.
    pub sound: Vec<BTreeSet<String>>,
    /// Lines that say what is damaged, and why.
    pub damaged: Vec<String>,
}

/// Reads and decodes everything.
pub fn examine(reader: &mut dyn Reader) -> Soundness {
    let lost = reader.take_lost().into_iter();
    let mut damaged: Vec<_> = lost.map(|lost| format!("{}: {}", lost.what, lost.error)).collect();
    let mut decoder = Decoder::remembering();
    let mut sound = Vec::new();
    for index in 0..reader.steps().len() {
        let step = reader.steps()[index].clone();
        let mut fields = BTreeSet::new();
        for (info, _) in step.fields {
            match decoder.check(reader, index, &info.name) {
                Ok(()) => drop(fields.insert(info.name)),
                Err(e) => damaged.push(format!("step {}, field {}: {e}", step.step, info.name)),
            }
        }
        sound.push(fields);
    }
    Soundness { sound, damaged }
}
