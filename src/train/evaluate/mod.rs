//! How good a model is, every stored byte counted: on the math functions, and on runs that it was
//! not trained on. Latents go through the codec as a user's do.

pub mod constraint;
pub mod math;
mod page;
pub mod runs;
pub mod spectrum;

pub use page::page;
