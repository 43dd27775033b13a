//! `swae models`: what is built in, and what a model file says of itself.

use anyhow::Result;
use swae_codec::Models;
use swae_codec::network::Network;

/// Prints a line for each built-in model.
pub fn list() {
    for model in Models::built_in().iter() {
        let a = &model.metadata.architecture;
        println!(
            "{:<12} {}  {:?} channels, {} latents",
            model.metadata.name,
            model.id(),
            a.channels,
            a.latent
        );
    }
    for model in Models::mixtures() {
        println!("{:<12} {}  weighs predictions within a bound", model.metadata.name, model.id());
    }
}

/// Prints all that a model says of itself.
///
/// # Errors
/// Where it is neither built in nor a model file.
pub fn show(name: &str) -> Result<()> {
    let model = Models::named_or_file(name)?;
    println!("id      {}", model.id());
    if let Ok(encoder) = Network::encoder(&model) {
        println!("encoder {} multiply-adds a block", encoder.multiply_adds());
    }
    println!("decoder {} multiply-adds a block", Network::decoder(&model).multiply_adds());
    println!("{}", serde_json::to_string_pretty(&model.metadata)?);
    Ok(())
}
