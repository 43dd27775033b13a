//! How good a model is, every stored byte counted: on the math functions, and on evolutions that it never saw.

pub mod constraint;
pub mod math;
mod page;
pub mod runs;
pub mod spectrum;

pub use page::page;
