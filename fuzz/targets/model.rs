//! A model file of any bytes is a model or an error, and so is a whole one that was changed; what
//! names a model is decoded with it. Model files come from users, and inside outputs.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use swae_codec::decode::decompress_box;
use swae_codec::model::{Architecture, LayerSpec, Metadata, Parameters};
use swae_codec::{Model, Models};
use swae_fuzz::{STREAM, sealed};

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    File(&'a [u8]),
    /// Bytes of the header and of the weights of a whole file, whose length is made right, and what
    /// stands behind the model's name in a stream of latents of 8³ values.
    Changed {
        dense: bool,
        header: Vec<(u16, u8)>,
        weights: Vec<(u16, u8)>,
        latents: &'a [u8],
    },
}

/// The header and the weights of two small models.
static FILES: LazyLock<[(Vec<u8>, Vec<u8>); 2]> = LazyLock::new(|| {
    [false, true].map(|dense| {
        let channels = if dense { vec![2] } else { vec![1; 3] };
        let architecture = Architecture { dense, channels, latent: 2, ..Architecture::default() };
        let layer = |l: &LayerSpec| Parameters {
            weight: vec![0.5; l.weight_shape().iter().product()],
            bias: vec![0.25; l.cout],
        };
        let [encoder, decoder] =
            [architecture.encoder(), architecture.decoder()].map(|side| side.iter().map(layer).collect());
        let metadata = Metadata::new("small", architecture, Default::default());
        let file = Model::new(metadata, Some(encoder), decoder).expect("it fits").to_bytes();
        let length = u64::from_le_bytes(*file.first_chunk().expect("a file has a header"));
        let (header, weights) = file[8..].split_at(length as usize);
        (header.to_vec(), weights.to_vec())
    })
});

fn change(bytes: &mut [u8], changes: &[(u16, u8)]) {
    let len = bytes.len();
    changes.iter().for_each(|&(at, by)| bytes[usize::from(at) % len] ^= by);
}

fuzz_target!(|input: Input<'_>| {
    let (file, latents) = match input {
        Input::File(bytes) => (bytes.to_vec(), &[][..]),
        Input::Changed { dense, header, weights, latents } => {
            let (mut head, mut values) = FILES[usize::from(dense)].clone();
            change(&mut head, &header);
            change(&mut values, &weights);
            ([&(head.len() as u64).to_le_bytes()[..], &head, &values].concat(), latents)
        }
    };
    let Ok(model) = Model::from_bytes(&file) else { return };
    let again = Model::from_bytes(&model.to_bytes()).expect("a model is a valid file");
    assert_eq!(again.id(), model.id());
    for coding in 0..3 {
        let payload = [&[0, 1, 1, 8, 8, 8, coding], &model.id().0[..], latents].concat();
        let mut models = Models::built_in();
        models.add(model.clone());
        let _ = decompress_box(&sealed(STREAM, &payload), &models);
    }
});
