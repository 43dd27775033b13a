//! The payload of an array of any bytes, its checksum made right, gives an array of the declared
//! shape or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swae_codec::{Models, array};

fuzz_target!(|bytes: &[u8]| {
    let sealed = swae_fuzz::sealed(b"SWAA\x01", bytes);
    if let Ok(found) = array::decompress(&sealed, &Models::built_in()) {
        let size = match found.values {
            array::Values::F32(_) => 4,
            array::Values::F64(_) => 8,
            array::Values::Bytes(_) => 1,
        };
        assert_eq!(found.values.size(), found.shape.iter().product::<usize>() * size);
    }
});
