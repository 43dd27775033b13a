//! The BSSN example solves Einstein's equations: its constraints converge at the order of its
//! stencils.

use swae_tests::{example, mpirun, parameters};

/// The reported (Hamiltonian, momentum) constraints at the end of a run.
fn constraints(arguments: &[&str]) -> [f64; 2] {
    let dir = tempfile::tempdir().unwrap();
    let parameters = parameters("examples/bssn/head_on.par");
    let mut all = vec![parameters.as_str(), "output=none", "report_every=100000"];
    all.extend(arguments);
    let out = mpirun(dir.path(), 2, &example("bssn/bssn"), &all).expect_success();
    let last = out.lines().rfind(|l| l.starts_with("t =")).expect("a report");
    ["hamiltonian ", "momentum "].map(|key| {
        let value = last.split(key).nth(1).and_then(|rest| rest.split_whitespace().next());
        value.expect("a number").parse().expect("a number")
    })
}

#[test]
fn the_constraints_of_an_evolved_collision_converge_at_fourth_order() {
    // Between the holes and the boundary, which the boundary's error cannot have reached.
    let region = ["half_width=8", "end_time=1", "mask_radius=2.5", "mask_edge=3.5"];
    let at = |points: &str| constraints(&[&region[..], &[points]].concat());
    let (coarse, fine) = (at("points=32"), at("points=48"));
    for (name, coarse, fine) in [("hamiltonian", coarse[0], fine[0]), ("momentum", coarse[1], fine[1])] {
        let order = (coarse / fine).ln() / (48f64 / 32.0).ln();
        println!("{name}: {coarse:e} -> {fine:e}, order {order:.2}");
        assert!((3.3..6.0).contains(&order), "{name} converges at order {order:.2}");
    }
}

#[test]
fn moving_and_spinning_holes_satisfy_the_constraints_as_well_as_those_at_rest() {
    // Without the solver for the regular part of ψ the Hamiltonian constraint of moving holes would
    // not converge at all.
    let at = |points: &str| {
        let hole = "puncture=0.5 0 1.5 0.1 0.2 0 0 0 0 0.1";
        constraints(&["half_width=8", "end_time=0", "mask_radius=2", "mask_edge=2", hole, points])
    };
    let (coarse, fine) = (at("points=24"), at("points=40"));
    for axis in 0..2 {
        let order = (coarse[axis] / fine[axis]).ln() / (40f64 / 24.0).ln();
        assert!(order > 2.5, "order {order:.2}: {coarse:?} -> {fine:?}");
    }
}

#[test]
fn the_collision_stays_stable_for_the_demos_length() {
    // As long as the demo, on a coarser grid; the program itself fails when a value is no longer
    // finite.
    let [hamiltonian, momentum] = constraints(&["points=40"]);
    assert!(hamiltonian < 0.02 && momentum < 0.05, "{hamiltonian} {momentum}");
}
