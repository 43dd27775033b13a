//! Bad input gets an error that says what to do; the steps before and after it are whole.
//! The C program tests/c/bad_input.c makes every mistake; files are cut and mislabelled here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use swae_codec::Field;
use swae_store::plain;
use swae_tests::{Tried, collision, compile, decode, example, mpirun, swae, tried};

/// `(status, message)` of each rank for each case of the program; the last one of a case counts.
fn said(out: &str) -> BTreeMap<String, [(i32, String); 2]> {
    let mut all: BTreeMap<String, [(i32, String); 2]> = BTreeMap::new();
    for line in out.lines() {
        let [what, rank, status, message] =
            line.splitn(4, " | ").collect::<Vec<_>>().try_into().unwrap_or_else(|l| panic!("{l:?}"));
        let rank = usize::from(rank == "rank 1");
        all.entry(what.into()).or_default()[rank] = (status.parse().unwrap(), message.into());
    }
    all
}

#[test]
fn every_misuse_of_the_c_abi_has_a_status_and_a_message_and_the_session_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "bad_input.c", "-fsanitize=address,undefined", "bad_input");
    fs::create_dir(dir.path().join("folder.h5")).unwrap();
    fs::write(dir.path().join("damaged.safetensors"), b"not a model").unwrap();
    for file in ["a.h5", "a.bp"] {
        // Memory that MPI itself never frees is not reported.
        let sanitized = format!("ASAN_OPTIONS=detect_leaks=0 exec {} {file}", program.display());
        let ran = mpirun(dir.path(), 2, Path::new("sh"), &["-c", &sanitized]);
        let said = said(&ran.out);
        // The case, the status of swae.h, words of the message.
        let expected: &[(&str, i32, &str)] = &[
            ("before MPI", 2, "MPI has not begun; call MPI_Init first"),
            ("null communicator", 1, "the communicator is MPI_COMM_NULL"),
            ("open twice", 2, "another session has it open"),
            ("unknown model", 3, "no model named 'no-such-model'; built in: gr-16, gr-48, math-16, math-48"),
            ("missing model", 3, "missing.safetensors"),
            ("damaged model", 3, "damaged.safetensors"),
            ("unknown mode", 1, "mode 77"),
            ("unknown asynchronous", 1, "asynchronous 5 is none of swae_asynchronous"),
            ("unknown effort", 1, "effort 3 is none of swae_effort"),
            ("reserved member", 1, "swae_options.reserved is 1, expected 0"),
            ("absent devices", 6, "CUDA driver"),
            ("different options", 5, "the ranks pass different paths or options"),
            ("one rank's options", 1, "threads is -4"),
            ("size of options", 1, "swae_options.size is 3; set it to sizeof(swae_options), here 88"),
            ("one rank's size of options", 1, "swae_options.size is 80000"),
            ("one rank's config", 1, "no.toml"),
            ("one rank's settings", 1, "unknown option 'mod'; did you mean 'mode'?"),
            ("one rank's text", 1, "settings is not UTF-8"),
            ("no bound", 1, "mode 'rel' needs a 'bound'"),
            (
                "negative bound",
                1,
                "-1 is no error bound for mode 'rel': it must be a finite number, 0 or more",
            ),
            ("one rank's null path", 1, "path is NULL or not UTF-8"),
            ("one rank's path", 1, "path is NULL or not UTF-8"),
            ("one rank's null session", 1, "session is NULL"),
            ("no folder", 4, "the folder no/such/folder does not exist"),
            ("path is a folder", 4, "folder.h5"),
            ("unknown ending", 6, "a.dat: steps are written to .h5 or .bp"),
            ("an array's ending", 6, "e.npy: steps are written to .h5 or .bp"),
            ("null path", 1, "path is NULL"),
            ("open", 0, ""),
            ("good", 0, ""),
            ("put outside a step", 2, "'chi' was put outside a step; call begin_step first"),
            ("end without begin", 2, "end_step without begin_step"),
            ("step in a step", 2, "step 1 has not ended"),
            ("put null", 1, "field is NULL"),
            ("step after put null", 1, "field is NULL"),
            ("step goes back", 2, "step 0 does not come after"),
            ("end of it", 2, "step 0 does not come after"),
            ("one rank goes back", 2, "rank 1: step 0 does not come after"),
            ("one rank begins", 2, "rank 1: end_step without begin_step"),
            ("ranks begin other steps", 5, "rank 0 ends step"),
            ("overlap", 5, "field 'chi': rank 0's box [0, 0, 0] + [16, 16, 9] and rank 1's box"),
            ("hole", 5, "hold 3584 of the grid's 4096 points"),
            ("outside", 1, "along x the box begins at 4 and has 16 points, but the grid has 16"),
            ("empty grid", 1, "along y"),
            ("one rank's null data", 1, "rank 1: field 'chi': data is NULL"),
            ("mismatched types", 5, "field 'phi': rank 0 says float32"),
            ("mismatched fields", 5, "rank 0 put field 'K', rank 1 did not"),
            ("unknown type", 1, "dtype 9 is none of swae_dtype"),
            ("size of field", 1, "swae_field.size is 8"),
            ("no name", 1, "name is NULL"),
            ("bad name", 1, "field '': names have 1 to 255 bytes"),
            ("other shape than before", 1, "(raw) in an earlier step, now it is float64 [8, 16, 16]"),
            ("impossible strides", 1, "field 'chi'"),
            ("a stride of zero", 1, "the stride along z is 0; give one for each axis"),
            ("misaligned", 1, "not aligned to 8 bytes"),
            ("impossible ghosts", 1, "ghost zones"),
            ("good: one rank owns all", 0, ""),
            ("good: one rank puts", 0, ""),
            ("one rank flushes in a step", 2, "has not ended; flush between steps"),
            ("flush in a step", 2, "has not ended; flush between steps"),
            ("close in a step of one rank", 2, ""),
            ("put after close", 2, "the handle is closed"),
            ("end after close", 2, "the handle is closed"),
            ("close twice", 2, "the handle is closed"),
            ("read after close", 2, "the handle is closed"),
            ("a reader is no session", 2, "the handle is closed, or was never opened"),
            ("close null", 0, ""),
        ];
        for (what, status, words) in expected {
            let ranks = said
                .get(*what)
                .unwrap_or_else(|| panic!("{file}: nothing said of '{what}':\n{}\n{}", ran.out, ran.err));
            for (rank, (found, message)) in ranks.iter().enumerate() {
                assert_eq!(found, status, "{file}: {what}, rank {rank}: {message}");
                assert!(message.contains(words), "{file}: {what}, rank {rank}: '{message}' lacks '{words}'");
            }
        }
        assert!(ran.success, "{}", ran.err);
        tried(Tried::InputsTried, expected.len());

        let steps = decode(&dir.path().join(file));
        assert_eq!(steps.len(), 3, "{file} holds the good steps and no other");
        for (step, time, fields) in steps {
            assert_eq!(time, 0.5 * step as f64);
            let [(name, Field::F64(values))] = &fields[..] else { panic!("one field of doubles") };
            assert_eq!(name, "chi");
            // Both ranks put the same array: each half begins with its first value.
            assert_eq!(values[[0, 0, 1]], 0.001);
            assert_eq!(values[[7, 15, 15]], 0.001 * 2047.0 * 2047.0);
        }
    }
}

#[test]
fn a_truncated_or_foreign_file_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [&collision()[..], "points=24", "output=a.h5 latent 1", "output=a.bp latent 1"];
    mpirun(dir.path(), 2, &example("bssn/bssn"), &arguments).expect_success();
    let whole = fs::read(dir.path().join("a.h5")).unwrap();
    for part in [0, 10, 1000, whole.len() / 2, whole.len() - 100] {
        fs::write(dir.path().join("cut.h5"), &whole[..part]).unwrap();
        let said = swae(dir.path(), &["decompress", "cut.h5", "-o", "cut.npy"]);
        assert!(!said.success && said.err.contains("cut.h5"), "{part} bytes: {}", said.err);
        assert!(!said.err.contains("panicked"), "{part} bytes: {}", said.err);
        tried(Tried::InputsTried, 1);
    }
    // Every file of the BP5 output, cut in half, and the folder without it.
    for entry in fs::read_dir(dir.path().join("a.bp")).unwrap() {
        let path = entry.unwrap().path();
        // The index of swae, and a profile that ADIOS2 writes after the last step and never reads.
        if path.ends_with("swae.sizes") || path.ends_with("profiling.json") {
            continue;
        }
        let whole = fs::read(&path).unwrap();
        for part in [0, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..part]).unwrap();
            let said = swae(dir.path(), &["decompress", "a.bp", "-o", "b.npy"]);
            let expected =
                format!("a.bp: its file {} is cut short", path.file_name().unwrap().to_string_lossy());
            assert!(!said.success && said.err.contains(&expected), "{}: {}", path.display(), said.err);
            tried(Tried::InputsTried, 1);
        }
        fs::write(&path, whole).unwrap();
    }
    swae(dir.path(), &["info", "a.bp"]).expect_success();
    // Files of another format than their ending says.
    for name in ["x.h5", "x.swae", "x.npy", "x.vti"] {
        fs::write(dir.path().join(name), b"something else entirely, long enough to hold a header").unwrap();
        let said = swae(dir.path(), &["info", name]);
        assert!(
            !said.success && said.err.contains(name) && !said.err.contains("panicked"),
            "{name}: {}",
            said.err
        );
    }
}

/// Where the last one of these bytes is in a file.
fn last(whole: &[u8], bytes: &[u8]) -> usize {
    whole.windows(bytes.len()).rposition(|window| window == bytes).expect("it is there")
}

#[test]
fn damage_and_later_versions_have_statuses_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let program = compile(dir.path(), "damage.c", "", "damage");
    let arguments =
        [&collision()[..], "points=16", "end_time=0.25", "output=whole.h5 rel:1e-4 1", "output=cut.bp raw 1"];
    mpirun(dir.path(), 1, &example("bssn/bssn"), &arguments).expect_success();
    let data = fs::read(at("cut.bp/data.0")).unwrap();
    fs::write(at("cut.bp/data.0"), &data[..data.len() / 2]).unwrap();
    let values = ndarray::Array3::<f64>::from_shape_fn((16, 16, 16), |(z, y, x)| (z * y + x) as f64);
    plain::write_npy(&at("whole.npy"), &Field::F64(values)).unwrap();
    swae(dir.path(), &["compress", "whole.npy", "-o", "whole.swae"]).expect_success();
    // Of a stream of each store its last one: a byte of the header, and the version.
    let magic = &fs::read(at("whole.swae")).unwrap();
    let magic = &magic[last(magic, b"SWAE")..][..4];
    let (mut damaged, mut later) = (Vec::new(), Vec::new());
    for name in ["whole.swae", "whole.h5", "whole.npy"] {
        let whole = fs::read(at(name)).unwrap();
        fs::write(at(&format!("cut.{name}")), &whole[..whole.len() / 2]).unwrap();
        fs::write(at(&format!("foreign.{name}")), b"something else entirely, long enough for a header")
            .unwrap();
        damaged.extend([format!("cut.{name}"), format!("foreign.{name}")]);
        if name == "whole.npy" {
            continue;
        }
        let stream = last(&whole, magic);
        let mut bytes = whole.clone();
        bytes[stream + 10] ^= 4;
        fs::write(at(&format!("changed.{name}")), &bytes).unwrap();
        damaged.push(format!("changed.{name}"));
        bytes = whole;
        bytes[stream + 4] += 1;
        fs::write(at(&format!("later.{name}")), &bytes).unwrap();
        later.push(format!("later.{name}"));
    }
    let files: Vec<&str> = damaged
        .iter()
        .chain(&later)
        .map(String::as_str)
        .chain(["cut.bp", "nowhere.h5", "whole.h5"])
        .collect();
    let said = mpirun(dir.path(), 1, &program, &files);
    let out = said.expect_success();
    let status = |what: &str| {
        let found = out.lines().find_map(|line| line.strip_prefix(&format!("{what} | ")));
        let found = found.unwrap_or_else(|| panic!("nothing said of {what}: {out}"));
        found.split_once(" | ").map(|(status, message)| (status.parse::<i32>().unwrap(), message)).unwrap()
    };
    for stream in ["values", "magic", "cut", "nothing"] {
        for call in ["shape", "decompress"] {
            assert_eq!(status(&format!("{call} {stream}")).0, 8, "{call} {stream}: {out}");
        }
    }
    assert_eq!((status("shape version").0, status("decompress version").0), (9, 9), "{out}");
    for file in &damaged {
        assert_eq!(status(&format!("read {file}")).0, 8, "{file}: {out}");
    }
    for file in &later {
        assert_eq!(status(&format!("read {file}")).0, 9, "{file}: {out}");
    }
    assert_eq!((status("read cut.bp").0, status("append cut.bp").0), (8, 8), "{out}");
    assert_eq!(status("append cut.whole.h5").0, 8, "{out}");
    assert_eq!(status("append foreign.whole.h5").0, 8, "{out}");
    assert_eq!(status("read nowhere.h5").0, 4, "{out}");
    assert_eq!((status("read whole.h5").0, status("append whole.h5").0), (0, 0), "{out}");
}

#[test]
fn the_tool_says_what_is_wrong_and_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [&collision()[..], "points=24", "end_time=0.25", "output=a.h5 latent 1"];
    mpirun(dir.path(), 2, &example("bssn/bssn"), &arguments).expect_success();
    let values = ndarray::Array3::<f64>::zeros((4, 4, 4));
    plain::write_npy(&dir.path().join("four.npy"), &Field::F64(values)).unwrap();
    let five = ndarray::Array3::<f64>::zeros((5, 4, 4));
    plain::write_npy(&dir.path().join("five.npy"), &Field::F64(five)).unwrap();
    for (arguments, words) in [
        (&["info", "nowhere.h5"][..], "nowhere.h5: no such file"),
        (&["info", "nowhere.bp"], "nowhere.bp: no such file"),
        (&["decompress", "a.h5", "--var", "psi"], "no field 'psi'; it has At_xx"),
        (&["decompress", "a.h5", "--step", "99"], "no such step; it has 0, 1"),
        (&["decompress", "a.h5", "-o", "a.csv"], ".vti, .pvti, .pvd, .npy or .h5"),
        (&["decompress", "a.h5", "-o", "a.h5"], "the same file"),
        (&["compress", "four.npy", "-o", "no/b.swae"], "no/b.swae: the folder no does not exist"),
        (&["decompress", "a.h5", "-o", "no/b.vti"], "no/b.vti: the folder no does not exist"),
        (&["compare", "four.npy", "five.npy"], "differ"),
        (&["compare", "a.h5", "five.npy"], "no step and field in common"),
        (&["compress", "a.h5", "--latent", "-o", "b.swae"], "several steps"),
        (&["compress", "four.npy", "--latent", "--model", "none", "-o", "b.swae"], "no model named 'none'"),
    ] {
        let said = swae(dir.path(), arguments);
        assert!(!said.success, "{arguments:?} worked: {}", said.out);
        assert!(said.err.contains(words), "{arguments:?}: {}", said.err);
    }
}
