//! The predictors: their numbers in streams, their names in options.

/// What a block is predicted by, before its neighbours are looked at. The number is the predictor's
/// in streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Predictor {
    /// Nothing: the neighbours alone, or zero.
    #[default]
    Intra = 0,
    /// The previous step.
    Previous = 1,
    /// Linear extrapolation of the two previous steps.
    Extrapolation = 2,
    /// The decoder of an autoencoder, from the block's latents.
    Autoencoder = 3,
    /// An average of other predictions, whose weights a mixing network gives.
    Mixing = 4,
    /// A sum of other fields of the same step.
    InterField = 5,
}

impl Predictor {
    /// All of them, by number.
    pub const ALL: [Self; 6] =
        [Self::Intra, Self::Previous, Self::Extrapolation, Self::Autoencoder, Self::Mixing, Self::InterField];

    /// The name that options take.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intra => "intra",
            Self::Previous => "previous",
            Self::Extrapolation => "extrapolation",
            Self::Autoencoder => "autoencoder",
            Self::Mixing => "mixing",
            Self::InterField => "inter_field",
        }
    }
}

/// Predictors that blocks may use: a bit for each, by its number. What streams hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PredictorMask(u8);

impl PredictorMask {
    pub(crate) const ALL: Self = Self((1 << Predictor::ALL.len()) - 1);

    pub(crate) const fn of(predictor: Predictor) -> Self {
        Self(1 << predictor as u8)
    }

    /// The byte of a stream; nothing where it has a predictor that this library does not know.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        (byte & !Self::ALL.0 == 0).then_some(Self(byte))
    }

    pub(crate) const fn byte(self) -> u8 {
        self.0
    }

    pub(crate) const fn has(self, predictor: Predictor) -> bool {
        self.0 >> predictor as u8 & 1 == 1
    }

    /// With a predictor, where the condition holds.
    #[must_use]
    pub(crate) const fn with(self, predictor: Predictor, condition: bool) -> Self {
        if condition { Self(self.0 | 1 << predictor as u8) } else { self }
    }

    #[must_use]
    pub(crate) const fn without(self, predictor: Predictor) -> Self {
        Self(self.0 & !(1 << predictor as u8))
    }

    /// Those that are in both.
    #[must_use]
    pub(crate) const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in it, by number.
    pub(crate) fn iter(self) -> impl Iterator<Item = Predictor> {
        Predictor::ALL.into_iter().filter(move |p| self.has(*p))
    }
}

/// What an encoder may choose from for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PredictorSet {
    /// One value for a whole block.
    constant: bool,
    predictors: PredictorMask,
}

impl PredictorSet {
    /// Everything.
    pub const ALL: Self = Self { constant: true, predictors: PredictorMask::ALL };

    /// The names that options take: "constant", and those of the predictors.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ["constant"].into_iter().chain(Predictor::ALL.map(Predictor::name))
    }

    /// The same without what has this name; none where nothing has.
    #[must_use]
    pub fn without(mut self, name: &str) -> Option<Self> {
        if name == "constant" {
            self.constant = false;
            return Some(self);
        }
        let predictor = Predictor::ALL.into_iter().find(|p| p.name() == name)?;
        self.predictors = self.predictors.without(predictor);
        Some(self)
    }

    /// The same without those that networks or other fields give.
    #[must_use]
    pub(crate) const fn without_networks_and_fields(self) -> Self {
        let predictors = self.predictors.without(Predictor::Autoencoder);
        let predictors = predictors.without(Predictor::Mixing).without(Predictor::InterField);
        Self { predictors, ..self }
    }

    /// Whether a predictor is in it.
    pub fn has(self, predictor: Predictor) -> bool {
        self.predictors.has(predictor)
    }

    /// Whether blocks of one value may be stored as that value.
    pub fn has_constant(self) -> bool {
        self.constant
    }

    pub(crate) fn mask(self) -> PredictorMask {
        self.predictors
    }
}
