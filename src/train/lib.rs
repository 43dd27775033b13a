//! Training of models for the codec: data sets, the networks in libtorch, the losses, the loops,
//! the export to model files. The only crate with libtorch; the codec runs what it writes.

pub mod adam;
pub mod bench;
pub mod checkpoint;
pub mod config;
pub mod data;
pub mod evaluate;
pub mod fit;
pub mod generate;
mod layer;
pub mod loss;
pub mod metrics;
pub mod mixing;
pub mod network;
pub mod parallel;
mod pool;
pub mod step;

/// libtorch has one random state for all threads: tests that draw from it go one after the other.
#[cfg(test)]
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
