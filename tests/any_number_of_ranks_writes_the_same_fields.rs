//! The same run on 1, 2, 4 and 8 ranks, in both stores, decodes to the same bits, or, where blocks
//! are predicted from their neighbours on a rank, within the same bound. With any devices and
//! threads the bits are the same.

use ndarray::Array3;
use swae_codec::Field;
use swae_tests::{bits, collision, compile, decode, example, mpirun};

#[test]
fn both_stores_decode_to_the_same_bits_whatever_the_number_of_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = None;
    for ranks in [1, 2, 4, 8] {
        let h5 = format!("output=run{ranks}.h5 latent 2");
        let bp = format!("output=run{ranks}.bp latent 2");
        let raw = format!("output=raw{ranks}.h5 raw 2");
        let parameters = collision();
        let arguments = [&parameters[..], &h5, &bp, &raw];
        mpirun(dir.path(), ranks, &example("bssn/bssn"), &arguments).expect_success();
        for file in [format!("run{ranks}.h5"), format!("run{ranks}.bp")] {
            let steps = decode(&dir.path().join(&file));
            let this: Vec<_> = steps
                .iter()
                .map(|(step, time, fields)| {
                    assert_eq!(fields.len(), 24, "{file}");
                    let fields: Vec<_> = fields.iter().map(|(name, f)| (name.clone(), bits(f))).collect();
                    (*step, time.to_bits(), fields)
                })
                .collect();
            assert_eq!(this.iter().map(|s| s.0).collect::<Vec<_>>(), [0, 2], "{file}");
            let reference = first.get_or_insert_with(|| this.clone());
            assert!(*reference == this, "{file} decodes to other fields than run1.h5");
        }
    }
}

#[test]
fn the_first_example_runs_on_any_number_of_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = None;
    for ranks in [1, 2, 4, 8] {
        let name = format!("first{ranks}.h5");
        mpirun(dir.path(), ranks, &example("c/first"), &[&name]).expect_success();
        let steps = decode(&dir.path().join(&name));
        let fields = steps.into_iter().map(|(_, _, mut fields)| match fields.remove(0).1 {
            Field::F64(values) => values,
            Field::F32(values) => values.mapv(f64::from),
        });
        let this: Vec<Array3<f64>> = fields.collect();
        assert_eq!(this.len(), 2);
        // Within the default bound, 1e-4 of the range, of the same values.
        let reference = first.get_or_insert_with(|| this.clone());
        for (a, b) in reference.iter().zip(&this) {
            let (low, high) = a.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            let allowed = 2.1e-4 * (high - low);
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= allowed), "{ranks} ranks");
        }
    }
}

/// Ranks that own unequal parts, on the cores as one device, as several, with threads of their own,
/// and in the background.
#[test]
fn the_devices_of_a_node_change_no_byte_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "steps.c", "", "steps");
    for ranks in [1, 3, 4] {
        let mut first = None;
        for devices in ["auto", "cpu", "cpu:3", "cpu:8", "cpu:8; threads = 2"] {
            for asynchronous in ["off", "encode"] {
                let settings = format!(
                    "threads = 0; devices = {devices}; asynchronous = {asynchronous}; \
                     fields.K.mode = rel; fields.chi.mode = latent"
                );
                let arguments = ["a.h5", "0", "4", &settings];
                mpirun(dir.path(), ranks, &program, &arguments).expect_success();
                let file = std::fs::read(dir.path().join("a.h5")).unwrap();
                let reference = first.get_or_insert_with(|| file.clone());
                assert!(*reference == file, "{ranks} ranks, {settings}");
            }
        }
    }
}
