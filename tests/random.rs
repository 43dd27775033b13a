//! Random numbers of tests, from a seed that is printed, so that what failed can be repeated.

/// The generator of a test. `SWAE_TEST_SEED` sets its seed.
///
/// # Panics
/// Where `SWAE_TEST_SEED` is no number.
pub fn random(test: &str) -> fastrand::Rng {
    let seed = match std::env::var("SWAE_TEST_SEED") {
        Ok(text) => text.parse().expect("SWAE_TEST_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("{test}: SWAE_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
