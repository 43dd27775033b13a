//! Fields of one step, coded together: each may lean on others ([`History::lean_on`]).

use crate::bounded::{Bounded, History, Remembered, Report, companions};
use crate::{FieldView, Result, compress_bounded};
use rayon::prelude::*;

/// A field that is coded with others.
pub struct Together<'a, T> {
    /// Its name, by which a stream calls it that leans on it.
    pub name: &'a str,
    /// Its boxes: the same for all.
    pub views: &'a [FieldView<'a, T>],
    /// How it is coded.
    pub settings: Bounded<'a>,
    /// What came before, and then this step.
    pub history: &'a mut History,
}

/// Codes the fields of a step, each as [`compress_bounded`] does. Before, it is found out which of them to lean on which: the
/// order in which they are decoded then is anyone's in which each comes after its [`crate::bounded::Preamble::companions`].
/// Keyframes lean on nothing.
pub fn compress_together<T: Remembered>(fields: Vec<Together<'_, T>>) -> Vec<Result<(Vec<u8>, Report)>> {
    let companions = companions(&fields);
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    let mut waiting: Vec<_> = fields.into_iter().map(Some).collect();
    let mut coded: Vec<Option<Option<History>>> = vec![None; names.len()];
    let mut results: Vec<_> = waiting.iter().map(|_| None).collect();
    loop {
        let ready = |i: &usize| waiting[*i].is_some() && companions[*i].iter().all(|&c| coded[c].is_some());
        let wave: Vec<_> = (0..waiting.len()).filter(ready).collect();
        if wave.is_empty() {
            return results.into_iter().flatten().collect();
        }
        let wave: Vec<_> = wave.into_iter().filter_map(|i| Some((i, waiting[i].take()?))).collect();
        let code = |(i, field): (usize, Together<'_, T>)| {
            for &companion in &companions[i] {
                // Nobody leans on what could not be coded.
                if let Some(Some(history)) = &coded[companion] {
                    field.history.lean_on(names[companion], history);
                }
            }
            let result = compress_bounded(field.views, &field.settings, Some(field.history));
            let needed = companions.iter().flatten().any(|&c| c == i) && result.is_ok();
            (i, needed.then(|| field.history.clone()), result)
        };
        for (i, history, result) in wave.into_par_iter().map(code).collect::<Vec<_>>() {
            coded[i] = Some(history);
            results[i] = Some(result);
        }
    }
}
