//! Whatever a file says, reading it ends: with values or an error, never with a panic, an abort or a
//! wait. Attributes, tables of boxes and streams of real files are changed, their checksums made
//! right, hundreds of times; the seed is printed.

#[allow(dead_code, reason = "each test uses a part")]
mod inputs;

use fastrand::Rng;
use inputs::run;
use std::path::Path;
use swae_codec::stream::reseal;
use swae_store::{Decoder, open_damaged};

const SEED: u64 = 18;
const TRIES: usize = 300;

/// Numbers that a file may hold: small ones, or so large that no memory is taken for them.
fn number(rng: &mut Rng) -> u64 {
    match rng.u8(0..4) {
        0 => rng.u64(0..40),
        1 => u64::MAX - rng.u64(0..40),
        2 => 1 << rng.u32(41..64),
        _ => (1u64 << rng.u32(41..64)).wrapping_sub(1),
    }
}

/// Changes some bytes of a stream, and makes its checksums right.
fn change_stream(stream: &mut [u8], rng: &mut Rng) {
    if stream.is_empty() {
        return;
    }
    for _ in 0..rng.usize(1..6) {
        // The head more often than the rest.
        let end = if rng.bool() { stream.len().min(40) } else { stream.len() };
        stream[rng.usize(0..end)] = rng.u8(..);
    }
    reseal(stream);
}

/// Reads all that there is to read.
fn read_everything(path: &Path) -> bool {
    let Ok(mut reader) = open_damaged(path) else { return false };
    let mut all = reader.take_lost().is_empty();
    let mut decoder = Decoder::remembering();
    for index in 0..reader.steps().len() {
        for (info, _) in reader.steps()[index].fields.clone() {
            all &= decoder.read_field(reader.as_mut(), index, &info.name, None).is_ok();
            let region = info.shape.map(|n| n / 3..n - n / 4);
            let _ = Decoder::default().read_field(reader.as_mut(), index, &info.name, Some(region));
            let _ = Decoder::default().block_statistics(reader.as_mut(), index, &info.name);
            let _ = Decoder::default().check(reader.as_mut(), index, &info.name);
            let _ = info.raw_bytes();
        }
    }
    all
}

#[test]
fn attributes_boxes_and_streams_of_hdf5_files_may_say_anything() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole.h5");
    run(&["chi", "K"], 4).write(&whole);
    assert!(read_everything(&whole));
    let (path, mut rng, mut refused) = (dir.path().join("a.h5"), Rng::with_seed(SEED), 0);
    for n in 0..TRIES {
        std::fs::copy(&whole, &path).unwrap();
        let file = hdf5::File::open_rw(&path).unwrap();
        let step = file.group(&format!("steps/{:08}", 10 * rng.usize(0..4))).unwrap();
        let field = step.group(["chi", "K"][rng.usize(0..2)]).unwrap();
        match n % 5 {
            0 => change_attribute(&step, ["step", "time", "complete"][rng.usize(0..3)], &mut rng),
            1 => {
                let names = ["dtype", "shape_xyz", "origin_xyz", "spacing_xyz", "encoding", "partial"];
                change_attribute(&field, names[rng.usize(0..6)], &mut rng);
                let big = [number(&mut rng), number(&mut rng), rng.u64(0..40)];
                if field.attr("shape_xyz").is_ok_and(|a| a.shape() == [3]) && rng.bool() {
                    field.attr("shape_xyz").unwrap().write(&big[..]).unwrap();
                }
            }
            2 => {
                let boxes = field.dataset("boxes").unwrap();
                let mut table = boxes.read_2d::<u64>().unwrap();
                for _ in 0..rng.usize(1..4) {
                    table[[rng.usize(0..2), rng.usize(0..8)]] = number(&mut rng);
                }
                boxes.write(&table).unwrap();
            }
            3 => {
                let table = field.dataset("boxes").unwrap().read_2d::<u64>().unwrap();
                let stream = field.dataset("stream").unwrap();
                let mut bytes = stream.read_raw::<u8>().unwrap();
                let begin = table[[1, 6]] as usize;
                change_stream(&mut bytes[begin..], &mut rng);
                stream.write(&bytes).unwrap();
            }
            _ => replace_dataset(&field, ["boxes", "stream"][rng.usize(0..2)], &mut rng),
        }
        drop((step, field, file));
        refused += usize::from(!read_everything(&path));
    }
    println!("seed {SEED}: {TRIES} files, {refused} refused in part or whole");
    assert!(refused > TRIES / 4, "{refused}");
}

/// Replaces an attribute by one of another type, shape or value.
fn change_attribute(of: &hdf5::Group, name: &str, rng: &mut Rng) {
    if of.attr(name).is_ok() {
        of.delete_attr(name).unwrap();
    }
    match rng.u8(0..6) {
        0 => {}
        1 => of.new_attr::<u64>().create(name).unwrap().write_scalar(&number(rng)).unwrap(),
        2 => {
            let many: Vec<_> = (0..rng.usize(1..9)).map(|_| number(rng)).collect();
            of.new_attr::<u64>().shape(many.len()).create(name).unwrap().write(&many).unwrap();
        }
        3 => of.new_attr::<f32>().create(name).unwrap().write_scalar(&f32::NAN).unwrap(),
        4 => {
            let text: hdf5::types::VarLenUnicode = "a text\n".repeat(rng.usize(0..99)).parse().unwrap();
            of.new_attr::<hdf5::types::VarLenUnicode>().create(name).unwrap().write_scalar(&text).unwrap();
        }
        _ => {
            let empty: [i8; 0] = [];
            of.new_attr::<i8>().shape(0).create(name).unwrap().write(&empty[..]).unwrap();
        }
    }
}

/// Replaces a dataset by one that says it holds more than there is, or something else.
fn replace_dataset(of: &hdf5::Group, name: &str, rng: &mut Rng) {
    of.unlink(name).unwrap();
    match rng.u8(0..4) {
        0 => {}
        1 => drop(of.new_dataset::<u8>().shape(1usize << rng.u32(41..60)).chunk(4096).create(name).unwrap()),
        2 => drop(
            of.new_dataset::<u64>()
                .shape((1usize << 30, 1usize << rng.u32(20..29), 8))
                .chunk((1, 64, 8))
                .create(name)
                .unwrap(),
        ),
        _ => of.new_dataset::<f32>().shape(3).create(name).unwrap().write(&[f32::NAN, -1.0, 1e30]).unwrap(),
    }
}

#[cfg(feature = "adios2")]
#[test]
fn attributes_boxes_and_streams_of_bp5_outputs_may_say_anything() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, run) = (dir.path().join("whole.bp"), run(&["chi", "K"], 4));
    run.write(&whole);
    assert!(read_everything(&whole));
    let bytes = |file: &str| std::fs::read(whole.join(file)).unwrap();
    let (data, metadata) = (bytes("data.0"), bytes("md.0"));
    let find = |all: &[u8], part: &[u8]| all.windows(part.len()).position(|w| w == part).unwrap();
    let (path, mut rng, mut refused) = (dir.path().join("a.bp"), Rng::with_seed(SEED), 0);
    copy_folder(&whole, &path);
    for n in 0..TRIES / 3 {
        let (mut data, mut metadata) = (data.clone(), metadata.clone());
        let streams = &run.steps[rng.usize(0..4)][rng.usize(0..2)];
        match n % 3 {
            0 => {
                let at = find(&data, &streams[1]);
                change_stream(&mut data[at..][..streams[1].len()], &mut rng);
            }
            1 => {
                // A row of a table: the second box begins at point 8 along z.
                let row = [0u64, 0, 8, 16, 8, 8, streams[0].len() as u64, streams[1].len() as u64];
                let at = find(&data, &row.map(u64::to_le_bytes).concat());
                for _ in 0..rng.usize(1..4) {
                    data[at + 8 * rng.usize(0..8)..][..8].copy_from_slice(&number(&mut rng).to_le_bytes());
                }
            }
            _ => {
                let shape = [16u64, 8, 16].map(u64::to_le_bytes).concat();
                let at = find(&metadata, &shape) + 8 * rng.usize(0..3);
                metadata[at..][..8].copy_from_slice(&number(&mut rng).to_le_bytes());
                let text = find(&metadata, b"float64");
                if rng.bool() {
                    metadata[text + 5..][..2].copy_from_slice(b"99");
                }
            }
        }
        std::fs::write(path.join("data.0"), data).unwrap();
        std::fs::write(path.join("md.0"), metadata).unwrap();
        refused += usize::from(!read_everything(&path));
    }
    println!("seed {SEED}: {} outputs, {refused} refused in part or whole", TRIES / 3);
    assert!(refused > TRIES / 12, "{refused}");
}

#[cfg(feature = "adios2")]
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn what_crashed_plain_readers_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let npy = |header: &str| {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend_from_slice(&(header.len() as u16 + 1).to_le_bytes());
        [&file, header.as_bytes(), b"\n"].concat()
    };
    let huge = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000, 100000), }";
    let vti = |ends: &str, format: &str| {
        format!(
            "<VTKFile type=\"ImageData\" byte_order=\"LittleEndian\" header_type=\"UInt64\"><ImageData WholeExtent=\"{ends}\" \
             Origin=\"0 0 0\" Spacing=\"1 1 1\"><Piece Extent=\"{ends}\"><PointData><DataArray type=\"Float64\" Name=\"a\" \
             {format}></PointData></Piece></ImageData><AppendedData encoding=\"raw\">_12345678</AppendedData></VTKFile>"
        )
    };
    let appended = "format=\"appended\" offset=\"0\"/";
    let inline = "format=\"ascii\">1 2 3</DataArray";
    let cases: [(&str, Vec<u8>); 12] = [
        ("boxes.swae", include_bytes!("cases/boxes-overflow.swae").to_vec()),
        ("extent.vti", include_bytes!("cases/extent-overflow.vti").to_vec()),
        ("far.vti", vti("-9223372036854775808 9223372036854775807 0 1 0 1", appended).into()),
        ("many.vti", vti("0 2097151 0 2097151 0 2097151", appended).into()),
        ("inline.vti", vti("-2147483648 2147483647 0 1 0 1", inline).replace("raw", "base64").into()),
        ("huge.npy", npy(huge)),
        ("huger.npy", npy(&huge.replace("100000,", "100000, 18446744073709551615,"))),
        ("empty.npy", npy(&huge.replace("100000,", "100000, 1000000, 0,"))),
        ("emptier.npy", npy(&huge.replace("100000,", "0, 18446744073709551615,"))),
        ("short.npy", npy(&huge.replace("1000000, 1000000, 100000", "2, 2, 2"))),
        ("deep.npy", npy(&"(".repeat(60000))),
        ("count.swae", [b"SWAEFILE".to_vec(), vec![0; 8], vec![255; 8], vec![0; 64]].concat()),
    ];
    for (name, bytes) in cases {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = swae_store::open(&path).err().unwrap_or_else(|| panic!("{name} was read"));
        assert!(!error.to_string().is_empty(), "{name}");
    }
}

#[test]
fn a_field_that_is_larger_than_any_memory_is_an_error_of_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.h5");
    let mut run = run(&["chi"], 1);
    run.infos[0].shape = [1 << 20, 1 << 20, 1 << 10];
    run.infos[0].partial = true;
    run.write(&path);
    let mut reader = swae_store::open(&path).unwrap();
    let error = swae_store::read_field(reader.as_mut(), 0, "chi").unwrap_err();
    assert!(matches!(error, swae_store::Error::Codec(swae_codec::Error::Memory(_))), "{error}");
    Decoder::default().check(reader.as_mut(), 0, "chi").unwrap();
    let part = Decoder::default().read_field(reader.as_mut(), 0, "chi", Some([0..16, 0..8, 0..20])).unwrap();
    assert_eq!(part.to_f64().iter().filter(|v| v.is_nan()).count(), 16 * 8 * 4);
}
