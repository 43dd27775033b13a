//! The header that people read is the one that the code has.

use std::path::Path;

#[test]
fn the_committed_header_is_the_generated_one() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let mut generated = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(here.join("status.rs"))
        .with_src(here.join("library.rs"))
        .with_src(here.join("field.rs"))
        .with_src(here.join("session.rs"))
        .with_src(here.join("stream.rs"))
        .with_src(here.join("reader.rs"))
        .generate()
        .unwrap()
        .write(&mut generated);
    let generated = String::from_utf8(generated).unwrap();
    let path = here.join("../../include/swae.h");
    if std::env::var_os("SWAE_WRITE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "include/swae.h is stale: run `make header`");
}
