//! The pretrained models of swae, as bytes of model files. `swae-codec` loads a model when it is
//! first asked for.

/// A model file.
#[derive(Debug)]
pub struct ModelFile {
    /// The name that options take.
    pub name: &'static str,
    /// Hash of what decoding depends on: what streams name the model by.
    pub id: [u8; 16],
    /// A `.safetensors` file with swae's metadata.
    pub bytes: &'static [u8],
}

const fn id(hexadecimal: u128) -> [u8; 16] {
    hexadecimal.to_be_bytes()
}

/// Autoencoders of 8×8×8 blocks.
pub static AUTOENCODERS: [ModelFile; 4] = [
    ModelFile {
        name: "gr-16",
        id: id(0x1fcd01fc0a121c19e383a28d6b6de515),
        bytes: include_bytes!("gr-16.safetensors"),
    },
    ModelFile {
        name: "gr-48",
        id: id(0x0341b1dc89bcb94dd23dc11e7e033d05),
        bytes: include_bytes!("gr-48.safetensors"),
    },
    ModelFile {
        name: "math-16",
        id: id(0xe73192994bebb53c6cf541dcd93d3742),
        bytes: include_bytes!("math-16.safetensors"),
    },
    ModelFile {
        name: "math-48",
        id: id(0xfb5e3747402eb765593da54eb40ac7d1),
        bytes: include_bytes!("math-48.safetensors"),
    },
];

/// Mixing networks of bounded mode. Streams name them by their number in this list, so none is ever
/// taken out.
pub static MIXING_NETWORKS: [ModelFile; 1] = [ModelFile {
    name: "gr-mixture",
    id: id(0x01ae1e73595274e1747a6f6589b525e4),
    bytes: include_bytes!("gr-mixture.safetensors"),
}];
