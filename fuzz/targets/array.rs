//! The payload of an array of any streams, all checksums made right, gives an array of the declared
//! shape or an error.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use swae_codec::{Models, array};
use swae_fuzz::{STREAM, sealed};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    dtype: u8,
    shape: Vec<u64>,
    rest: Rest<'a>,
}

#[derive(Arbitrary, Debug)]
enum Rest<'a> {
    /// What stands behind the shape, as it is.
    Bytes(&'a [u8]),
    /// A grid or a series: a decoder, and what stands in each stream behind its version.
    Streams { series: bool, decoder: Option<&'a [u8]>, streams: Vec<&'a [u8]> },
}

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn part(bytes: &[u8], out: &mut Vec<u8>) {
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fuzz_target!(|input: Input<'_>| {
    let mut bytes = vec![input.dtype];
    varint(input.shape.len() as u64, &mut bytes);
    input.shape.iter().for_each(|&n| varint(n, &mut bytes));
    match input.rest {
        Rest::Bytes(rest) => bytes.extend_from_slice(rest),
        Rest::Streams { series, decoder, streams } => {
            bytes.push(if series { 2 } else { 1 });
            part(decoder.unwrap_or_default(), &mut bytes);
            streams.iter().for_each(|stream| part(&sealed(STREAM, stream), &mut bytes));
        }
    }
    // What a fuzzer has no memory for is not tried where it is stored densely.
    if input.shape.iter().fold(1u64, |n, &a| n.saturating_mul(a)) > 1 << 20 && bytes.len() > 64 {
        return;
    }
    if let Ok(found) = array::decompress(&sealed(b"SWAA\x01", &bytes), &Models::built_in()) {
        let size = match found.values {
            array::Values::F32(_) => 4,
            array::Values::F64(_) => 8,
            array::Values::Bytes(_) => 1,
        };
        assert_eq!(found.values.size(), found.shape.iter().product::<usize>() * size);
    }
});
