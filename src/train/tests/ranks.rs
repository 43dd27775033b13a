//! Ranks that train together train one model.

use std::path::Path;
use swae_codec::Model;
use swae_tests::mpirun;

/// The losses by step, and the model file, of a short training on so many ranks.
fn trained(ranks: usize) -> (Vec<[f64; 2]>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let config = "name = 'a'\noutput = 'a.safetensors'\n[data]\nkind = 'math'\nresolutions = [64]\n\
                  [training]\nsteps = 8\nbatch = 32\n";
    std::fs::write(dir.path().join("a.toml"), config).unwrap();
    mpirun(dir.path(), ranks, Path::new(env!("CARGO_BIN_EXE_swae-train")), &["fit", "a.toml"])
        .expect_success();
    let csv = std::fs::read_to_string(dir.path().join("a.csv")).unwrap();
    let losses = csv.lines().skip(1).map(|line| {
        let mut fields = line.split(',').skip(1).map(|f| f.parse().unwrap());
        [fields.next().unwrap(), fields.next().unwrap()]
    });
    (losses.collect(), std::fs::read(dir.path().join("a.safetensors")).unwrap())
}

#[test]
fn ranks_see_the_same_batch_and_the_same_number_of_ranks_gives_the_same_bits() {
    let weights = |file: &[u8]| {
        let model = Model::from_bytes(file).unwrap();
        let encoder = model.encoder.as_ref().unwrap().iter();
        encoder.chain(&model.decoder).map(|p| p.weight.clone()).collect::<Vec<_>>()
    };
    let (alone, _) = trained(1);
    assert_eq!(alone.len(), 8);
    for ranks in [2, 4] {
        let (losses, file) = trained(ranks);
        // Adam's first steps follow the signs of gradients, those that are rounding errors too: soon after, trainings that
        // round otherwise part.
        for (step, (a, b)) in alone.iter().zip(&losses).take(3).enumerate() {
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() < 1e-5 * a.abs(), "step {step}: {a} alone, {b} on {ranks} ranks");
            }
        }
        let (again, file_again) = trained(ranks);
        assert_eq!(losses, again);
        assert_eq!(weights(&file), weights(&file_again), "{ranks} ranks");
    }
}
