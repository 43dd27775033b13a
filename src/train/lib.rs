//! Training: data sets, the autoencoder in libtorch, the loss, the loop, the export to a model file.

pub mod adam;
pub mod bench;
pub mod checkpoint;
pub mod config;
pub mod data;
pub mod evaluate;
pub mod fit;
mod layer;
pub mod loss;
pub mod network;
pub mod parallel;
pub mod step;
