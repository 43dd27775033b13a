//! The models that are at hand: the built-in ones, loaded when they are first asked for, and those
//! that were given.

use crate::error::{Cause, Error, Result};
use crate::memory;
use crate::model::{Model, ModelId};
use once_cell::race::OnceBox;
use std::path::Path;
use std::sync::Arc;

/// A built-in model.
struct BuiltIn {
    name: &'static str,
    id: ModelId,
    bytes: &'static [u8],
    /// No thread waits for another that loads it: see `computed.rs`.
    loaded: OnceBox<Arc<Model>>,
}

impl BuiltIn {
    #[cfg(feature = "models")]
    const fn new(file: &'static swae_models::ModelFile) -> Self {
        Self { name: file.name, id: ModelId(file.id), bytes: file.bytes, loaded: OnceBox::new() }
    }

    fn load(&self) -> &Arc<Model> {
        let load =
            || Box::new(Arc::new(Model::from_bytes(self.bytes).expect("the built-in models are tested")));
        self.loaded.get_or_init(load)
    }

    /// # Errors
    /// [`Error::Memory`].
    fn try_load(&self) -> Result<&Arc<Model>> {
        if self.loaded.get().is_none() {
            // Weights are copied out of the file, and then into their layers.
            memory::room(self.bytes.len().saturating_mul(3))?;
        }
        Ok(self.load())
    }
}

#[cfg(feature = "models")]
static AUTOENCODERS: [BuiltIn; 4] = {
    use swae_models::AUTOENCODERS as FILES;
    [BuiltIn::new(&FILES[0]), BuiltIn::new(&FILES[1]), BuiltIn::new(&FILES[2]), BuiltIn::new(&FILES[3])]
};
#[cfg(not(feature = "models"))]
static AUTOENCODERS: [BuiltIn; 0] = [];

/// Streams name mixing networks that are built in by their number from 1. The ids are known in a
/// build without models too: its readers say which one is missing, and take one that is given.
const MIXING_IDS: [ModelId; 1] = [ModelId(0x01ae1e73595274e1747a6f6589b525e4u128.to_be_bytes())];

#[cfg(feature = "models")]
static MIXING_NETWORKS: [BuiltIn; 1] = [BuiltIn::new(&swae_models::MIXING_NETWORKS[0])];
#[cfg(not(feature = "models"))]
static MIXING_NETWORKS: [BuiltIn; 0] = [];

fn built_in() -> impl Iterator<Item = &'static BuiltIn> {
    AUTOENCODERS.iter().chain(&MIXING_NETWORKS)
}

/// The models that a reader or writer knows: the built-in ones, and those that were given.
///
/// ```
/// use swae_codec::Models;
///
/// let model = Models::built_in().by_name("gr-16")?;
/// assert_eq!(model.metadata.architecture.latent, 16);
/// # Ok::<(), swae_codec::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Models {
    given: Vec<Arc<Model>>,
}

impl Models {
    /// The built-in ones alone.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// Adds a model, from a file or out of an output.
    pub fn add(&mut self, model: Model) -> Arc<Model> {
        let model = Arc::new(model);
        self.given.insert(0, model.clone());
        model
    }

    /// The model with this id, to decode with.
    ///
    /// # Errors
    /// [`Error::MissingModel`] where it is not known; [`Error::Memory`].
    pub fn by_id(&self, id: ModelId) -> Result<Arc<Model>> {
        let given = self.given.iter().find(|model| model.id() == id);
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let known = built_in().find(|known| known.id == id).ok_or(Error::MissingModel(id))?;
        known.try_load().cloned()
    }

    /// The model with this name.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] where there is none; [`Error::Memory`].
    pub fn by_name(&self, name: &str) -> Result<Arc<Model>> {
        let given = self.given.iter().find(|model| model.metadata.name == name);
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let unknown = || Error::UnknownModel {
            name: name.to_owned(),
            known: self.names().map(str::to_owned).collect(),
        };
        built_in().find(|known| known.name == name).ok_or_else(unknown)?.try_load().cloned()
    }

    /// A built-in model by name, or one from a model file: what options and command lines take.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] where there is neither, [`Error::ModelFile`] where the file cannot be
    /// read, [`Error::Model`] where it holds no model that this library runs.
    pub fn named_or_file(name: &str) -> Result<Arc<Model>> {
        let known = Self::built_in().by_name(name);
        let path = Path::new(name);
        if !matches!(known, Err(Error::UnknownModel { .. }))
            || !(path.exists() || name.ends_with(".safetensors"))
        {
            return known;
        }
        let failed = |source: Cause| Error::ModelFile { place: format!("{name}: "), source };
        let bytes = std::fs::read(path).map_err(|e| failed(e.into()))?;
        let model = Model::from_bytes(&bytes).map_err(|e| match e {
            Error::ModelFile { source, .. } => failed(source),
            Error::Model(what) => Error::Model(format!("{name}: {what}")),
            other => other,
        })?;
        Ok(Arc::new(model))
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let given = self.given.iter().map(|model| &model.metadata.name[..]);
        given.chain(built_in().map(|known| known.name))
    }

    /// The name of a model, where it is known; a built-in one is not loaded for that.
    pub fn name_of(&self, id: ModelId) -> Option<&str> {
        let given = self.given.iter().find(|model| model.id() == id).map(|model| &model.metadata.name[..]);
        given.or_else(|| built_in().find(|known| known.id == id).map(|known| known.name))
    }

    /// All models, mixing networks last.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        let built_in = built_in().map(|known| -> &Arc<Model> { known.load() });
        self.given.iter().chain(built_in)
    }

    /// Those of them that are autoencoders.
    pub fn autoencoders(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.iter().filter(|model| !crate::predict::mixing::is_mixing_model(model))
    }

    /// Whether the model comes with every copy of the library.
    pub fn is_built_in(id: ModelId) -> bool {
        built_in().any(|known| known.id == id)
    }

    /// The number, from 1, that streams name a built-in mixing network by.
    pub(crate) fn mixing_number(id: ModelId) -> Option<u8> {
        let position = MIXING_IDS.iter().position(|known| *known == id);
        position.and_then(|n| u8::try_from(n.checked_add(1)?).ok())
    }

    /// The built-in mixing network of a number from 1.
    pub(crate) fn mixing_id(number: u8) -> Option<ModelId> {
        let position = usize::from(number).checked_sub(1)?;
        MIXING_IDS.get(position).copied()
    }
}

#[cfg(all(test, feature = "models"))]
mod tests {
    use super::*;

    #[test]
    fn built_in_models_have_the_names_and_ids_that_are_told_of_them() {
        for known in built_in() {
            let model = known.load();
            assert_eq!(model.id(), known.id, "{}", known.name);
            assert_eq!(model.metadata.name, known.name);
        }
        assert_eq!(MIXING_NETWORKS.each_ref().map(|known| known.id), MIXING_IDS);
    }

    #[test]
    fn a_model_file_comes_back_and_without_its_encoder_keeps_its_id() {
        for model in Models::built_in().autoencoders() {
            let again = Model::from_bytes(&model.to_bytes()).unwrap();
            assert_eq!(again.id(), model.id());
            assert_eq!(again.metadata, model.metadata);
            let decoder = Model::from_bytes(&model.decoder_only().to_bytes()).unwrap();
            assert!(decoder.encoder.is_none());
            assert_eq!(decoder.id(), model.id());
        }
    }

    #[test]
    fn a_damaged_model_file_is_an_error() {
        let bytes = Models::built_in().by_name("gr-16").unwrap().to_bytes();
        for len in [0, 7, 8, 100, 5000, bytes.len() - 1] {
            let error = Model::from_bytes(&bytes[..len]).expect_err("it is cut");
            assert!(std::error::Error::source(&error).is_some(), "{len} bytes: {error}");
        }
        let missing = Models::named_or_file("no/such/file.safetensors").expect_err("there is none");
        let cause =
            std::error::Error::source(&missing).and_then(|cause| cause.downcast_ref::<std::io::Error>());
        assert!(cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound), "{missing}");
    }
}
