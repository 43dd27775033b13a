//! A field may have any name that a simulation code gives it, and gets it back.

#[allow(dead_code, reason = "each test uses a part")]
mod inputs;

use inputs::{ENDINGS, info, run};
use ndarray::Array3;
use swae_codec::Field;
use swae_store::{open, read_field, vtk, with_level};

const NAMES: [&str; 13] = [
    "chi",
    "ADMBASE::gxx",
    "X(He4)",
    "gxx[0]",
    "E/x",
    "/abs",
    "../../x",
    ".",
    "50%",
    "%2F",
    "ψ₄ ℓ=2",
    "a@1",
    "a\tb",
];

#[test]
fn names_of_real_codes_come_back_from_stores_of_steps() {
    let dir = tempfile::tempdir().unwrap();
    let stored: Vec<_> = NAMES.iter().flat_map(|name| [0, 2].map(|level| with_level(name, level))).collect();
    let names: Vec<_> = stored.iter().map(String::as_str).collect();
    let run = run(&names, 2);
    let mut sorted = stored.clone();
    sorted.sort();
    for ending in ENDINGS {
        let path = dir.path().join("a").with_extension(ending);
        run.write(&path);
        let mut reader = open(&path).unwrap();
        for index in 0..2 {
            let found: Vec<_> = reader.steps()[index].fields.iter().map(|(info, _)| info.clone()).collect();
            assert_eq!(found.iter().map(|info| info.name.clone()).collect::<Vec<_>>(), sorted, "{ending}");
            for info in found {
                let at = stored.iter().position(|name| *name == info.name).unwrap();
                assert_eq!(info, run.infos[at]);
                let streams = reader.read_streams(index, &info.name).unwrap();
                assert_eq!(streams.len(), 2);
                read_field(reader.as_mut(), index, &info.name).unwrap();
            }
        }
    }
    // Nothing beside the files themselves was written.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), ENDINGS.len());
}

#[test]
fn names_of_real_codes_come_back_from_images() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.vti");
    let field = Field::F64(Array3::zeros((16, 8, 16)));
    let fields: Vec<_> =
        NAMES.iter().chain(&["<&\"'>", "a\nb"]).map(|name| (info(name), field.clone())).collect();
    vtk::write_vti(&path, &fields).unwrap();
    let found: Vec<_> = vtk::read_vti(&path).unwrap().into_iter().map(|(info, _)| info.name).collect();
    assert_eq!(found, fields.iter().map(|(info, _)| info.name.clone()).collect::<Vec<_>>());
}
