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
        id: id(0x0b71e5d0afb0351e13453d0aaff3222f),
        bytes: include_bytes!("gr-16.safetensors"),
    },
    ModelFile {
        name: "gr-48",
        id: id(0x082ba1bde32d4509d82627f5cb9891bd),
        bytes: include_bytes!("gr-48.safetensors"),
    },
    ModelFile {
        name: "math-16",
        id: id(0x7831acc9c454bef47d5dd147cdab471a),
        bytes: include_bytes!("math-16.safetensors"),
    },
    ModelFile {
        name: "math-48",
        id: id(0x90464263957e33d504c489e14f3e8b09),
        bytes: include_bytes!("math-48.safetensors"),
    },
];

/// Mixing networks of bounded mode. Streams name them by their number in this list, so none is ever
/// taken out.
pub static MIXING_NETWORKS: [ModelFile; 1] = [ModelFile {
    name: "gr-mixture",
    id: id(0x8a2669256274d9b0f4e12b3238355b43),
    bytes: include_bytes!("gr-mixture.safetensors"),
}];
