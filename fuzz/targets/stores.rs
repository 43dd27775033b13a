//! Mutations of valid `.swae`, `.npy` and `.vti` files, their checksums made right, and files of any
//! bytes, are read or give an error. Readers take no memory on the word of a file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;
use std::sync::LazyLock;
use swae_codec::encode::{Bounded, compress_bounded};
use swae_codec::history::History;
use swae_codec::{Bound, Compression, Field, FieldView, compress};
use swae_fuzz::mutate::{Mutations, mutate, reseal};
use swae_store::{Decoder, FieldInfo, open_damaged, plain, vtk};

/// A folder of this process alone, in memory where there is such a disk.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = parent.join(format!("swae-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
});

/// The names of the files of each kind, and a valid file of each.
static VALID: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let values: Vec<f64> = (0..12 * 10 * 9).map(|i| (f64::from(i) * 0.01).sin()).collect();
    let view = FieldView::dense(&values, [12, 10, 9]).unwrap();
    let array = |nz| ndarray::Array3::from_shape_fn((nz, 10, 12), |(z, y, x)| values[x + 12 * (y + 10 * z)]);
    let raw = compress(&view, &Compression::raw()).unwrap();
    let mut history = History::new(2);
    let settings = Bounded::new(Bound::Absolute(1e-4));
    let mut step = || compress_bounded(std::slice::from_ref(&view), &settings, Some(&mut history)).unwrap().0;
    let series = [step(), step(), step()];
    let list = [view.part([0; 3], [12, 10, 4]), view.part([0, 0, 4], [12, 10, 4])];
    let boxes = compress_bounded(&list, &settings, None).unwrap().0;
    let info = FieldInfo {
        name: "chi".into(),
        dtype: swae_codec::Dtype::F64,
        shape: [12, 10, 9],
        origin: [0.0; 3],
        spacing: [0.5; 3],
        encoding: String::new(),
        partial: false,
    };
    let file = |name: &'static str, write: &dyn Fn(&std::path::Path)| {
        let path = FOLDER.join(name);
        write(&path);
        (name, std::fs::read(&path).unwrap())
    };
    vec![
        file("raw.swae", &|path| plain::write_swae(path, std::slice::from_ref(&raw), None).unwrap()),
        file("series.swae", &|path| plain::write_swae(path, &series, None).unwrap()),
        file("boxes.swae", &|path| plain::write_swae(path, std::slice::from_ref(&boxes), None).unwrap()),
        file("a.npy", &|path| plain::write_npy(path, &Field::F64(array(9))).unwrap()),
        file("a.vti", &|path| vtk::write_vti(path, &[(info.clone(), Field::F64(array(9)))]).unwrap()),
    ]
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    let kind = usize::from(kind);
    let (name, file) = match VALID.get(kind) {
        Some((name, valid)) => {
            let mut file = valid.clone();
            mutate(&mut file, Mutations::new(rest));
            if name.ends_with(".swae") {
                reseal(&mut file);
            }
            (*name, file)
        }
        // The bytes themselves, under the names in turn.
        None => (VALID[kind % VALID.len()].0, rest.to_vec()),
    };
    let path = FOLDER.join(name);
    std::fs::write(&path, file).unwrap();
    let Ok(mut reader) = open_damaged(&path) else { return };
    let lost = reader.take_lost();
    assert!(lost.iter().all(|lost| !lost.error.to_string().is_empty()));
    let mut decoder = Decoder::remembering();
    for index in 0..reader.steps().len() {
        for (info, _) in reader.steps()[index].fields.clone() {
            // A reader takes the memory that a field needs; a fuzzer has less.
            if info.raw_bytes() > 1 << 24 {
                let _ = reader.read_boxes(index, &info.name);
                continue;
            }
            if let Ok(field) = decoder.read_field(reader.as_mut(), index, &info.name, None) {
                assert_eq!(field.count(), info.shape);
            }
            let region = info.shape.map(|n| n / 3..n - n / 4);
            let _ = Decoder::default().read_field(reader.as_mut(), index, &info.name, Some(region));
        }
    }
});
