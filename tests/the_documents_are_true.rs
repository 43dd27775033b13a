//! The README's program is the one that is built and run, and no link leads nowhere.

use std::fs;
use swae_tests::tree;

fn documents() -> Vec<std::path::PathBuf> {
    let docs = fs::read_dir(tree("docs")).unwrap().map(|entry| entry.unwrap().path());
    docs.filter(|p| p.extension().is_some_and(|e| e == "md")).chain([tree("README.md")]).collect()
}

#[test]
fn the_readmes_c_program_is_the_example() {
    let readme = fs::read_to_string(tree("README.md")).unwrap();
    let source = fs::read_to_string(tree("examples/c/first.c")).unwrap();
    let shown = readme.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a C program");
    let body = source.split_once('\n').unwrap().1;
    assert!(body == shown, "README.md does not show examples/c/first.c (without its first line)");
}

#[test]
fn every_relative_link_leads_to_a_file() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let target = document.parent().unwrap().join(path);
            assert!(target.exists(), "{} links to {link}, which is not there", document.display());
        }
    }
}
