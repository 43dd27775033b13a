//! `swae models`: the built-in models, and the metadata of a model file.

use anyhow::Result;
use clap::Subcommand;
use swae_codec::Models;
use swae_codec::network::Network;
use swae_codec::predict::mixing::is_mixing_model;

/// What to print.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Prints a line for each built-in model
    List,
    /// Prints the metadata of a model
    Show {
        /// Name of a built-in model, or a model file
        model: String,
    },
}

/// Runs the command.
///
/// # Errors
/// Where a model is neither built in nor a model file.
pub fn run(command: Option<&Command>) -> Result<()> {
    match command {
        None | Some(Command::List) => {
            list();
            Ok(())
        }
        Some(Command::Show { model }) => show(model),
    }
}

fn list() {
    for model in Models::built_in().iter() {
        let (name, id) = (&model.metadata.name, model.id());
        if is_mixing_model(model) {
            println!("{name:<12} {id}  a mixing network, for fields within a bound");
        } else {
            let architecture = &model.metadata.architecture;
            let (channels, latents) = (&architecture.channels, architecture.latent);
            println!("{name:<12} {id}  {channels:?} channels, {latents} latents");
        }
    }
}

fn show(name: &str) -> Result<()> {
    let model = Models::named_or_file(name)?;
    println!("id      {}", model.id());
    if let Ok(encoder) = Network::encoder(&model) {
        println!("encoder {} multiply-adds a block", encoder.multiply_adds());
    }
    println!("decoder {} multiply-adds a block", Network::decoder(&model).multiply_adds());
    println!("{}", serde_json::to_string_pretty(&model.metadata)?);
    Ok(())
}
