//! Ranks that train together train one model, the same to the last bit on 1, 2 and 4 of them.
//! MPI is real, with more ranks than cores.

use std::path::Path;
use swae_codec::Model;
use swae_tests::mpirun;

/// The losses by step, and the model file, of a short training on so many ranks.
fn trained(ranks: usize) -> (Vec<[f64; 2]>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let config = "name = 'a'\noutput = 'a.safetensors'\n[data]\nkind = 'math'\nresolutions = [64]\n\
                  [training]\nsteps = 20\nbatch = 32\n";
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
fn the_same_batch_gives_the_same_model_to_the_bit_on_1_2_and_4_ranks() {
    let weights = |file: &[u8]| {
        let model = Model::from_bytes(file).unwrap();
        let encoder = model.encoder.as_ref().unwrap().iter();
        encoder.chain(&model.decoder).map(|p| p.weight.clone()).collect::<Vec<_>>()
    };
    let (losses_alone, alone) = trained(1);
    assert_eq!(losses_alone.len(), 20);
    for ranks in [2, 4] {
        let (losses, file) = trained(ranks);
        assert_eq!(losses, losses_alone, "{ranks} ranks");
        assert_eq!(weights(&file), weights(&alone), "{ranks} ranks");
    }
}

/// Three ranks do not divide into pairs: their sums are not those of two or four, but the same in
/// every run.
#[test]
fn three_ranks_train_the_same_model_twice() {
    let ((losses, file), (again, file_again)) = (trained(3), trained(3));
    assert_eq!(losses, again);
    let id = |file: &[u8]| Model::from_bytes(file).unwrap().id();
    assert_eq!(id(&file), id(&file_again));
    let (alone, _) = trained(1);
    assert!((alone[0][0] - losses[0][0]).abs() < 1e-5 * alone[0][0], "{alone:?} {losses:?}");
}

#[test]
fn fewer_blocks_than_ranks_end_the_job_with_a_message() {
    let dir = tempfile::tempdir().unwrap();
    let config = "name = 'a'\noutput = 'a.safetensors'\n[data]\nkind = 'math'\nresolutions = [64]\n\
                  [training]\nsteps = 2\nbatch = 3\n";
    std::fs::write(dir.path().join("a.toml"), config).unwrap();
    let said = mpirun(dir.path(), 4, Path::new(env!("CARGO_BIN_EXE_swae-train")), &["fit", "a.toml"]);
    assert!(!said.success && said.err.contains("too small for 4 ranks"), "{}", said.err);
}
