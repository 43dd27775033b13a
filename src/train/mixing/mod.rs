//! Training of mixing networks: `swae-train mix` trains one, `swae-train tune` refines one.
//!
//! Every field of every run is encoded as a series, at several bounds and step distances; the
//! candidate predictions of a block, its context features and its true coefficients are a training
//! sample. The loss is an estimate of the bits that the quantised residual takes.

mod loss;
mod mix;
mod network;
mod samples;
mod schedule;
mod tune;

pub use mix::Mix;
pub use tune::Tune;
