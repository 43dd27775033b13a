//! `swae verify FILE` finds every damaged byte of a stream, and `swae repair` keeps all that is sound:
//! the streams as they were.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use swae_codec::encode::{Bounded, compress_bounded};
use swae_codec::history::History;
use swae_codec::{Bound, Dtype, FieldView};
use swae_store::{BoxRow, FieldInfo, FieldPart, Payload, Storage, Stored, create_alone, open, plain};
use swae_tests::{bits, decode, swae};

const SHAPE: [usize; 3] = [24, 20, 16];
const FIELDS: [&str; 2] = ["E/x", "chi"];
/// Every third step is a keyframe.
const STEPS: usize = 6;

/// One test at a time: a program that another test starts while this one has a file open inherits it,
/// and HDF5's lock on it.
static ALONE: Mutex<()> = Mutex::new(());

/// A folder of a test that runs alone.
fn folder() -> (tempfile::TempDir, MutexGuard<'static, ()>) {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    (tempfile::tempdir().unwrap(), alone)
}

/// The stream of each field of each step.
fn streams() -> Vec<[Vec<u8>; 2]> {
    let settings = Bounded::new(Bound::Absolute(1e-6));
    let mut histories = [(); 2].map(|()| History::new(3));
    let mut step = |t: usize| {
        let mut histories = histories.iter_mut();
        [0, 1].map(|field| {
            let wave = |i: usize| (0.01 * i as f64 + 0.3 * t as f64).sin() + field as f64;
            let values: Vec<f64> = (0..SHAPE.iter().product()).map(wave).collect();
            let view = FieldView::dense(&values, SHAPE).unwrap();
            compress_bounded(&[view], &settings, histories.next()).unwrap().0
        })
    };
    (0..STEPS).map(&mut step).collect()
}

fn info(name: &str) -> FieldInfo {
    FieldInfo {
        name: name.into(),
        dtype: Dtype::F64,
        shape: SHAPE,
        origin: [0.0; 3],
        spacing: [1.0; 3],
        encoding: "abs 1e-6".into(),
        partial: false,
    }
}

/// A field of one box.
fn part<'a>(info: &'a FieldInfo, stream: &'a [u8]) -> FieldPart<'a> {
    let length = stream.len() as u64;
    FieldPart {
        info,
        all_boxes: 1,
        all_bytes: length,
        first_box: 0,
        boxes: vec![BoxRow { start: [0; 3], count: SHAPE, offset: 0, length }],
        payload: Payload::Streams(stream),
    }
}

fn write(path: &Path, streams: &[[Vec<u8>; 2]]) {
    let infos = FIELDS.map(info);
    let mut writer = create_alone(path, Storage::Streams).unwrap();
    for (step, streams) in streams.iter().enumerate() {
        let parts: Vec<_> = infos.iter().zip(streams).map(|(info, stream)| part(info, stream)).collect();
        writer.write_step(step as i64, 0.5 * step as f64, &parts, &[], &|fits| fits).unwrap();
    }
    writer.close().unwrap();
}

/// The file that holds the streams of a store.
fn data(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("data.0") } else { path.into() }
}

/// Changes a byte in the middle of a stream.
fn damage(path: &Path, stream: &[u8]) {
    let mut bytes = fs::read(data(path)).unwrap();
    let at = bytes.windows(stream.len()).position(|w| w == stream).unwrap();
    bytes[at + stream.len() / 2] ^= 0x10;
    fs::write(data(path), bytes).unwrap();
}

/// Bytes of all streams: step, field, bytes.
fn stored(path: &Path) -> Vec<(i64, String, Vec<u8>)> {
    let mut reader = open(path).unwrap();
    let mut all = Vec::new();
    for (index, step) in reader.steps().to_vec().into_iter().enumerate() {
        for (info, _) in step.fields {
            for stored in reader.read_streams(index, &info.name).unwrap() {
                let Stored::Stream { stream, .. } = stored else { panic!("streams were written") };
                all.push((step.step, info.name.clone(), stream.bytes().to_vec()));
            }
        }
    }
    all
}

#[test]
fn a_flipped_byte_costs_a_field_its_steps_up_to_the_next_keyframe_and_nothing_else() {
    let (dir, _alone) = folder();
    let streams = streams();
    for name in ["a.h5", "a.bp"] {
        let path = dir.path().join(name);
        write(&path, &streams);
        let said = swae(dir.path(), &["verify", name]).expect_success();
        assert_eq!(said.matches("2 field(s): sound").count(), STEPS, "{said}");
        let whole = decode(&path);
        damage(&path, &streams[1][1]);

        let said = swae(dir.path(), &["verify", name]);
        assert!(!said.success && said.err.contains("it is damaged"), "{}", said.err);
        let expected = ["damaged: step 1, field chi: ", "damaged: step 2, field chi: "];
        assert!(expected.iter().all(|line| said.out.contains(line)), "{}", said.out);
        assert_eq!(said.out.matches("damaged:").count(), 2, "{}", said.out);
        assert_eq!(said.out.matches("2 field(s): sound").count(), STEPS - 2, "{}", said.out);

        let new = format!("new-{name}");
        let said = swae(dir.path(), &["repair", name, "-o", &new]).expect_success();
        assert_eq!(said.matches("left out: step").count(), 2, "{said}");
        swae(dir.path(), &["verify", &new]).expect_success();
        let repaired = dir.path().join(&new);
        let mut expected = Vec::new();
        for (step, streams) in streams.iter().enumerate() {
            let fields =
                FIELDS.iter().zip(streams).filter(|(name, _)| **name != "chi" || !(1..3).contains(&step));
            expected.extend(fields.map(|(name, stream)| (step as i64, name.to_string(), stream.clone())));
        }
        assert!(stored(&repaired) == expected, "{name}: the streams are not as they were");
        for (step, time, fields) in decode(&repaired) {
            let (_, before, all) = &whole[step as usize];
            assert_eq!(time, *before);
            for (name, field) in &fields {
                let (_, expected) = all.iter().find(|(found, _)| found == name).unwrap();
                assert!(bits(field) == bits(expected), "{name}, step {step}");
            }
        }
    }
}

#[test]
fn a_series_in_a_swae_file_keeps_what_can_be_decoded() {
    let (dir, _alone) = folder();
    let path = dir.path().join("a.swae");
    let series: Vec<_> = streams().into_iter().map(|[stream, _]| stream).collect();
    plain::write_swae(&path, &series, None).unwrap();
    swae(dir.path(), &["verify", "a.swae"]).expect_success();
    damage(&path, &series[1]);
    let said = swae(dir.path(), &["verify", "a.swae"]);
    assert!(!said.success && said.out.contains("damaged: step 1: "), "{}", said.out);
    assert!(said.out.contains("damaged: step 2, field a: "), "{}", said.out);
    let said = swae(dir.path(), &["repair", "a.swae", "-o", "b.swae"]).expect_success();
    assert!(said.contains("numbers 0, 3, 4, 5 and count from 0 again"), "{said}");
    let kept: Vec<_> = stored(&dir.path().join("b.swae")).into_iter().map(|(_, _, bytes)| bytes).collect();
    assert!(kept == [0, 3, 4, 5].map(|step| series[step].clone()));
    // The end is gone.
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - series[5].len() - 1]).unwrap();
    let said = swae(dir.path(), &["repair", "a.swae", "-o", "b.swae"]).expect_success();
    assert!(said.contains("left out: step 4") && said.contains("left out: step 5"), "{said}");
    assert_eq!(stored(&dir.path().join("b.swae")).len(), 2);
}

#[test]
fn steps_before_a_lost_end_are_kept() {
    let (dir, _alone) = folder();
    let streams = streams();
    for name in ["a.h5", "a.bp"] {
        let path = dir.path().join(name);
        write(&path, &streams);
        let whole = fs::read(data(&path)).unwrap();
        // The middle of the last stream but one.
        let stream = &streams[STEPS - 2][1];
        let at = whole.windows(stream.len()).position(|w| w == stream).unwrap();
        fs::write(data(&path), &whole[..at + stream.len() / 2]).unwrap();
        let said = swae(dir.path(), &["info", name]);
        assert!(!said.success && said.err.contains(name), "{}", said.err);
        let said = swae(dir.path(), &["verify", name]);
        assert!(!said.success && said.out.contains("the end: "), "{}\n{}", said.out, said.err);
        let new = format!("new-{name}");
        swae(dir.path(), &["repair", name, "-o", &new]).expect_success();
        let steps: Vec<_> = decode(&dir.path().join(&new)).iter().map(|(step, _, _)| *step).collect();
        assert_eq!(steps[..4], [0, 1, 2, 3], "{name}: {steps:?}");
        let kept = stored(&dir.path().join(&new));
        for (step, name, bytes) in kept {
            let field = FIELDS.iter().position(|field| *field == name).unwrap();
            assert!(bytes == streams[step as usize][field], "{name}, step {step}");
        }
    }
}

#[test]
fn what_cannot_be_repaired_is_an_error_that_writes_nothing() {
    let (dir, _alone) = folder();
    let path = dir.path().join("a.swae");
    let [stream, _] = streams().remove(0);
    plain::write_swae(&path, std::slice::from_ref(&stream), None).unwrap();
    damage(&path, &stream);
    fs::write(dir.path().join("good.swae"), "good").unwrap();
    for (arguments, words) in [
        (["repair", "a.swae", "-o", "good.swae"], "nothing in it is sound"),
        (["repair", "a.swae", "-o", "a.swae"], "the same file"),
        (["repair", "a.swae", "-o", "a.h5"], "keeps its ending"),
        (["repair", "none.swae", "-o", "good.swae"], "no such file"),
    ] {
        let said = swae(dir.path(), &arguments);
        assert!(!said.success && said.err.contains(words), "{arguments:?}: {}", said.err);
    }
    assert_eq!(fs::read(dir.path().join("good.swae")).unwrap(), b"good");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn names_in_a_file_lead_nowhere_else() {
    let (dir, _alone) = folder();
    let folder = dir.path().join("inside");
    fs::create_dir(&folder).unwrap();
    write(&folder.join("a.h5"), &streams());
    // Datasets in groups: what `decompress` writes, read as a file of another program.
    swae(&folder, &["decompress", "a.h5", "--step", "0..1", "-o", "g.h5"]).expect_success();
    let said = swae(&folder, &["decompress", "g.h5", "-o", "g.npy"]).expect_success();
    assert!(said.contains("g.00000000%2Fchi.npy") && said.contains("g.00000001%2FE%252Fx.npy"), "{said}");
    swae(&folder, &["decompress", "a.h5", "--step", "5", "-o", "a.npy"]).expect_success();
    let [stream, _] = streams().remove(0);
    let [outside, above] = ["../../outside", ".."].map(info);
    let mut writer = create_alone(&folder.join("b.h5"), Storage::Streams).unwrap();
    writer.write_step(0, 0.0, &[part(&outside, &stream), part(&above, &stream)], &[], &|fits| fits).unwrap();
    writer.close().unwrap();
    for output in ["b.npy", "b.vti", "b.pvti", "b.pvd", "c.h5"] {
        swae(&folder, &["decompress", "b.h5", "-o", output]).expect_success();
    }
    assert!(folder.join("b.%2E.%2F..%2Foutside.npy").exists() && folder.join("b.%2E..npy").exists());
    let found: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(found, ["inside"]);
}

#[test]
fn a_write_that_fails_leaves_the_good_output() {
    let (dir, _alone) = folder();
    let streams = streams();
    write(&dir.path().join("a.h5"), &streams);
    damage(&dir.path().join("a.h5"), &streams[2][1]);
    for output in ["a.npy", "out.h5", "a.pvd"] {
        fs::write(dir.path().join(output), "good").unwrap();
        let said = swae(dir.path(), &["decompress", "a.h5", "--var", "chi", "--step", "0..2", "-o", output]);
        assert!(!said.success, "{output}");
        assert_eq!(fs::read(dir.path().join(output)).unwrap(), b"good", "{output}");
    }
    let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().starts_with(".swae-")).count(), 0);
}
