//! `swae compress` of a run keeps its steps, times, grids, levels and boxes, and the bound on every
//! value, whatever is predicted from what.

use std::collections::BTreeMap;
use std::path::Path;
use swae_codec::{Compression, Field, FieldView, compress};
use swae_store::{BoxRow, Decoder, FieldInfo, FieldPart, StepInfo, create_run, find, open, plain};
use swae_tests::swae;

const STEPS: usize = 7;
/// From this step on, the boxes of level 1 lie elsewhere.
const REGRIDDED: usize = 4;

/// Each box of a field with its first point.
type Boxes = Vec<([usize; 3], Field)>;
type Fields = BTreeMap<String, (FieldInfo, Boxes)>;

fn values(name: &str, step: usize, start: [usize; 3], [nx, ny, nz]: [usize; 3]) -> Field {
    let phase = name.len() as f64 + 0.15 * step as f64;
    let wave = |(z, y, x): (usize, usize, usize)| {
        let [x, y, z] = [x + start[0], y + start[1], z + start[2]].map(|i| i as f64);
        (0.2 * x + phase).sin() * (0.1 * y).cos() + 0.03 * z
    };
    match name {
        "floats" => Field::F32(ndarray::Array3::from_shape_fn((nz, ny, nx), |at| wave(at) as f32)),
        // Level 1 has a range of its own, which is the smaller.
        "u@1" => Field::F64(ndarray::Array3::from_shape_fn((nz, ny, nx), |at| 0.01 * wave(at))),
        _ => Field::F64(ndarray::Array3::from_shape_fn((nz, ny, nx), wave)),
    }
}

/// The boxes of each field: `u` and `v` in halves as two ranks put them, `u@1` partial.
fn boxes(name: &str, step: usize) -> Vec<([usize; 3], [usize; 3])> {
    let shift = if step < REGRIDDED { 0 } else { 8 };
    match name {
        "u@1" => vec![([8 + shift, 8, 0], [16, 8, 8]), ([24, 16 + shift, 8], [8, 8, 8])],
        _ => vec![([0; 3], [20, 18, 9]), ([0, 0, 9], [20, 18, 8])],
    }
}

fn info(name: &str) -> FieldInfo {
    let is_fine = name == "u@1";
    FieldInfo {
        name: name.into(),
        dtype: values(name, 0, [0; 3], [1; 3]).dtype(),
        shape: if is_fine { [40, 36, 34] } else { [20, 18, 17] },
        origin: [-1.0, 0.0, 0.5],
        spacing: if is_fine { [0.25; 3] } else { [0.5; 3] },
        encoding: "raw".into(),
        partial: is_fine,
    }
}

/// Writes the steps of a range, numbered 10, 13, … .
fn write(path: &Path, steps: std::ops::Range<usize>) {
    let mut run = create_run(path).unwrap();
    for step in steps {
        let infos = ["floats", "u", "v", "u@1"].map(info);
        let fields: Vec<(Vec<BoxRow>, Vec<u8>)> = infos
            .iter()
            .map(|info| {
                let (mut rows, mut bytes) = (Vec::new(), Vec::new());
                for (start, count) in boxes(&info.name, step) {
                    let stream = match values(&info.name, step, start, count) {
                        Field::F32(a) => compress(&FieldView::of_array(&a).unwrap(), &Compression::raw()),
                        Field::F64(a) => compress(&FieldView::of_array(&a).unwrap(), &Compression::raw()),
                    };
                    let (offset, stream) = (bytes.len() as u64, stream.unwrap());
                    rows.push(BoxRow { start, count, offset, length: stream.len() as u64 });
                    bytes.extend(stream);
                }
                (rows, bytes)
            })
            .collect();
        let parts = infos.iter().zip(&fields);
        let parts: Vec<_> =
            parts.map(|(info, (rows, bytes))| FieldPart::alone(info, rows.clone(), bytes)).collect();
        run.write_step(10 + 3 * step as i64, 0.5 * step as f64, &parts, &[]).unwrap();
    }
    run.finish().unwrap();
}

/// All boxes of a file, by step and field.
fn read(path: &Path) -> Vec<(StepInfo, Fields)> {
    let mut reader = open(path).unwrap();
    let mut decoder = Decoder::remembering();
    let steps = reader.steps().to_vec();
    let field = |index: usize, name: &str| {
        let info = find(reader.as_ref(), index, name).unwrap();
        let mut boxes = decoder.read_boxes(reader.as_mut(), index, name).unwrap();
        boxes.sort_by_key(|(start, _)| *start);
        (name.into(), (info, boxes))
    };
    let mut field = field;
    let mut all = Vec::new();
    for (index, step) in steps.into_iter().enumerate() {
        let fields = step.fields.iter().map(|(info, _)| field(index, &info.name)).collect();
        all.push((step, fields));
    }
    all
}

fn range<'a>(fields: impl Iterator<Item = &'a Field>) -> f64 {
    let arrays: Vec<_> = fields.map(Field::to_f64).collect();
    let all = || arrays.iter().flatten().copied();
    all().fold(f64::MIN, f64::max) - all().fold(f64::MAX, f64::min)
}

/// Whether a run is the other one within a relative bound of 1e-3; its fields are the named ones.
fn check(reference: &Path, path: &Path, names: &[&str], steps: &[usize]) {
    let (reference, run) = (read(reference), read(path));
    assert_eq!(run.len(), steps.len(), "{}", path.display());
    for ((step, fields), &index) in run.iter().zip(steps) {
        let (truth, true_fields) = &reference[index];
        assert_eq!((step.step, step.time), (truth.step, truth.time));
        assert_eq!(fields.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        for (name, (info, boxes)) in fields {
            let (true_info, true_boxes) = &true_fields[name];
            assert_eq!(info, &FieldInfo { encoding: "rel 1e-3".into(), ..true_info.clone() });
            // A field's range is that of its level.
            let range = range(true_boxes.iter().map(|(_, field)| field));
            assert_eq!(boxes.len(), true_boxes.len(), "step {} {name}", step.step);
            for ((start, field), (true_start, truth)) in boxes.iter().zip(true_boxes) {
                assert_eq!((start, field.count()), (true_start, truth.count()));
                let errors = field.to_f64() - truth.to_f64();
                let worst = errors.iter().fold(0.0f64, |worst, error| worst.max(error.abs()));
                assert!(worst <= 1e-3 * range, "step {} {name}: {worst} of {range}", step.step);
                assert!(worst > 0.0, "step {} {name} is not compressed", step.step);
            }
        }
    }
}

const ALL: [&str; 4] = ["floats", "u", "u@1", "v"];

#[test]
fn steps_times_grids_levels_and_bounds_are_kept_in_either_store() {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("raw.h5");
    write(&raw, 0..STEPS);
    let every: Vec<_> = (0..STEPS).collect();
    let mut sizes = Vec::new();
    for flags in [&[][..], &["--group", "4"], &["--inter-field"], &["--group", "3", "--inter-field"]] {
        for output in ["a.h5", "a.bp"] {
            let command = ["compress", "raw.h5", "-o", output, "--rel", "1e-3"];
            let said = swae(dir.path(), &[&command, flags].concat()).expect_success();
            assert!(said.contains("every value verified") && said.contains("7 step(s)"), "{said}");
            check(&raw, &dir.path().join(output), &ALL, &every);
            swae(dir.path(), &["verify", output]).expect_success();
        }
        swae(dir.path(), &["verify", "raw.h5", "a.h5"]).expect_success();
        sizes.push(std::fs::metadata(dir.path().join("a.h5")).unwrap().len());
        // A .bp is a folder, which is not replaced.
        let again = swae(dir.path(), &["compress", "raw.h5", "-o", "a.bp"]);
        assert!(!again.success && again.err.contains("not replaced"), "{}", again.err);
        std::fs::remove_dir_all(dir.path().join("a.bp")).unwrap();
    }
    assert!(sizes.iter().all(|&size| size < std::fs::metadata(&raw).unwrap().len() / 2), "{sizes:?}");
}

#[test]
fn fields_steps_and_other_files_are_selected_and_put_together() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write(&at("all.h5"), 0..STEPS);
    write(&at("first.h5"), 0..3);
    write(&at("then.bp"), 3..STEPS);
    let swae = |words: &str| swae(dir.path(), &words.split(' ').collect::<Vec<_>>());
    swae("compress first.h5 then.bp -o whole.h5 --rel 1e-3 --group 4").expect_success();
    check(&at("all.h5"), &at("whole.h5"), &ALL, &[0, 1, 2, 3, 4, 5, 6]);
    swae("compress all.h5 -o part.h5 --rel 1e-3 --var u --var u@1 --step 13..22").expect_success();
    check(&at("all.h5"), &at("part.h5"), &["u", "u@1"], &[1, 2, 3, 4]);
    // Latents, too, and lossless input of one array a file.
    swae("compress all.h5 -o latent.h5 --latent --var v").expect_success();
    assert_eq!(read(&at("latent.h5"))[2].1["v"].0.encoding, "latent gr-16 f16");
    for (name, step) in [("x_0.npy", 0), ("x_1.npy", 1)] {
        plain::write_npy(&at(name), &values("v", step, [0; 3], [20, 18, 17])).unwrap();
    }
    swae("compress x_0.npy x_1.npy -o arrays.h5 --abs 1e-5").expect_success();
    let arrays = read(&at("arrays.h5"));
    assert_eq!(
        arrays.iter().map(|(step, _)| (step.step, step.time)).collect::<Vec<_>>(),
        [(0, 0.0), (1, 1.0)]
    );

    assert!(arrays.iter().all(|(_, fields)| fields.keys().eq(["x"])));

    // What cannot be done leaves the output that was there.
    let before = std::fs::read(at("whole.h5")).unwrap();
    for (words, reason) in [
        ("compress then.bp first.h5 -o whole.h5", "first.h5: its steps do not come after"),
        ("compress all.h5 -o whole.h5 --var w", "no step that is selected has a field 'w'"),
        ("compress all.h5 -o whole.h5 --step 11", "no step is selected; there are 10, 13, 16"),
        ("compress whole.h5 -o whole.h5", "the same file"),
        ("compress none.h5 -o whole.h5", "none.h5"),
        ("compress x_0.npy -o whole.h5 --layout series", "--layout is for .swae"),
        ("compress x_0.npy x_1.npy -o a.swae", "the field of one file"),
        ("compress x_0.npy -o a.swae --inter-field", "are for runs"),
        ("compress x_0.npy -o a.vti", "compress writes .swae, .h5 and .bp"),
    ] {
        let said = swae(words);
        assert!(!said.success && said.err.contains(reason), "{words}: {}", said.err);
    }
    assert_eq!(std::fs::read(at("whole.h5")).unwrap(), before);
    assert!(
        std::fs::read_dir(dir.path()).unwrap().all(|file| !file
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".swae"))
    );
}

#[test]
fn bench_measures_groups_of_fields_and_of_runs() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("raw.h5"), 0..STEPS);
    let words = "bench raw.h5 --var v --var floats --layout series,run --group 4 --rel 1e-3 --effort normal,best \
                 --references none --repeat 1 --json a.json";
    swae(dir.path(), &words.split_whitespace().collect::<Vec<_>>()).expect_success();
    let rows = std::fs::read(dir.path().join("a.json")).unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&rows).unwrap();
    let rows = rows.as_array().unwrap();
    // Two fields, in two layouts, with two efforts.
    assert_eq!(rows.len(), 8);
    for row in rows {
        let error = row["error"].as_f64().unwrap();
        assert!(error > 0.1 && error <= 1.0, "{row}");
    }
}
