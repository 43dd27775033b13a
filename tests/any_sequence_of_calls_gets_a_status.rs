//! Any sequence of calls gets statuses: tests/c/call_sequences.c makes them, right and wrong ones, for
//! FUZZ_SECONDS from FUZZ_SEED on, under AddressSanitizer and UndefinedBehaviorSanitizer.

use std::time::{SystemTime, UNIX_EPOCH};
use swae_tests::{compile, run};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{variable}: {e}")))
}

#[test]
fn any_sequence_of_calls_gets_a_status() {
    let dir = tempfile::tempdir().unwrap();
    let options = "-O1 -fsanitize=address,undefined -fno-sanitize-recover=all";
    let program = compile(dir.path(), "call_sequences.c", options, "call_sequences");
    let seconds = number("FUZZ_SECONDS").unwrap_or(20);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = number("FUZZ_SEED").unwrap_or(clock << 20);
    // One rank, without mpirun, whose limit is minutes. Memory that MPI itself never frees is not
    // reported.
    let sanitized = format!(
        "ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=abort_on_error=1 \
         exec timeout {} {} {seconds} {seed}",
        seconds + 300,
        program.display()
    );
    let ran = run(dir.path(), "sh", &["-c", &sanitized]);
    assert!(ran.success, "from seed {seed} on:\n{}\n{}", ran.out, ran.err);
    println!("{}", ran.out.trim());
    // Not all of them were refused, and not all accepted.
    let counted = |status: &str| -> u64 {
        let words: Vec<&str> = ran.out.split_whitespace().collect();
        let at = words.iter().position(|word| *word == status).unwrap_or_else(|| panic!("{}", ran.out));
        words[at + 1].parse().unwrap()
    };
    for status in ["0:", "1:", "2:", "8:"] {
        assert!(counted(status) > 0, "{status} {}", ran.out);
    }
    assert_eq!(counted("7:"), 0);
    assert!(!ran.err.contains("panicked") && !ran.err.contains("HDF5-DIAG"), "it printed: {}", ran.err);
}
