//! What the documents say is so: programs are those that are built and run, links lead somewhere, commands, flags, settings and names
//! exist. And they keep their form: short lines, a short README, the field's words.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use swae_tests::{swae, tree};

/// The most characters of a line of prose, and the most lines of the README.
const WIDTH: usize = 100;
const README_LINES: usize = 100;

/// A document: where it is, and its text.
struct Document {
    path: PathBuf,
    text: String,
}

/// A piece of code in a document, and its language; none where it is indented.
struct Code {
    language: Option<String>,
    text: String,
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn documents() -> Vec<Document> {
    let in_folder = |folder: &str| fs::read_dir(tree(folder)).unwrap().map(|entry| entry.unwrap().path());
    let paths = in_folder(".").chain(in_folder("docs")).filter(|p| p.extension().is_some_and(|e| e == "md"));
    paths.map(|path| Document { text: read(&path), path }).collect()
}

fn document(path: &str) -> Document {
    Document { text: read(&tree(path)), path: tree(path) }
}

impl Document {
    fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// Lines of prose and pieces of code, in order.
    fn parts(&self) -> (Vec<&str>, Vec<Code>) {
        let (mut prose, mut codes, mut fenced) = (Vec::new(), Vec::<Code>::new(), false);
        let mut indented = false;
        for line in self.text.lines() {
            if let Some(language) = line.strip_prefix("```") {
                fenced = !fenced;
                if fenced {
                    codes.push(Code { language: Some(language.into()), text: String::new() });
                }
            } else if fenced {
                let code = codes.last_mut().expect("a fence has begun");
                code.text += line;
                code.text.push('\n');
            } else if line.starts_with("    ")
                && (indented || prose.last().is_none_or(|l: &&str| l.is_empty()))
            {
                if !indented {
                    codes.push(Code { language: None, text: String::new() });
                }
                let code = codes.last_mut().expect("it has begun");
                code.text += line.trim_start();
                code.text.push('\n');
                indented = true;
                continue;
            } else {
                prose.push(line);
            }
            indented = false;
        }
        assert!(!fenced, "{}: a ``` is not closed", self.name());
        (prose, codes)
    }

    /// The text of the piece of code in this language at a place among them.
    fn code(&self, language: &str, at: usize) -> String {
        let of = |code: &Code| code.language.as_deref() == Some(language);
        let found = self.parts().1.into_iter().filter(of).nth(at);
        found.unwrap_or_else(|| panic!("{} has no {language} at place {at}", self.name())).text
    }

    /// What `[text](…)` leads to.
    fn links(&self) -> Vec<String> {
        let prose = self.parts().0.join("\n");
        prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
    }

    /// What headings can be linked by.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.parts().0.into_iter().filter(|line| line.starts_with('#'));
        headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
    }

    /// Lines of commands, comments and `$` left out.
    fn commands(&self) -> Vec<String> {
        let shell = |code: &Code| code.language.as_deref().is_none_or(|language| language == "sh");
        let (prose, codes) = self.parts();
        let codes = codes.into_iter().filter(shell).map(|code| code.text).collect::<String>();
        let quoted = prose.join(" ");
        let quoted = quoted.split('`').skip(1).step_by(2).map(str::to_owned);
        let lines = codes.lines().map(|line| line.split("  #").next().unwrap_or_default().trim().to_owned());
        lines.chain(quoted).collect()
    }
}

/// As GitHub and mdBook make them of headings.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Whether these lines, less their common indentation, are among those of a program, one behind the other.
fn is_part_of(excerpt: &str, program: &str) -> bool {
    let excerpt: Vec<&str> = excerpt.lines().collect();
    let lines: Vec<&str> = program.lines().collect();
    lines.windows(excerpt.len()).any(|window| {
        let indent = window[0].len() - window[0].trim_start().len();
        window.iter().zip(&excerpt).all(|(line, shown)| line.get(indent..).unwrap_or("") == *shown)
    })
}

#[test]
fn programs_are_those_of_the_examples() {
    for (page, language, example) in [
        ("docs/c.md", "c", "examples/c/first.c"),
        ("docs/cpp.md", "cpp", "examples/cpp/first.cpp"),
        ("docs/fortran.md", "fortran", "examples/fortran/first.f90"),
        ("docs/python.md", "python", "examples/python/first.py"),
        ("docs/rust.md", "rust", "examples/rust/src/main.rs"),
    ] {
        assert_eq!(document(page).code(language, 0), read(&tree(example)), "{page} does not show {example}");
    }
    for (language, example) in [("c", "examples/c/first.c"), ("python", "examples/python/first.py")] {
        let shown = document("README.md").code(language, 0);
        assert!(is_part_of(&shown, &read(&tree(example))), "README.md shows what is not in {example}");
    }
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    for document in documents() {
        for link in document.links().iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').map_or((link.as_str(), None), |(p, a)| (p, Some(a)));
            let target = match path {
                "" => document.path.clone(),
                path => document.path.parent().unwrap().join(path),
            };
            let at = format!("{} links to {link}, which is not there", document.name());
            assert!(target.is_file(), "{at}");
            if let Some(anchor) = anchor {
                let target = Document { text: read(&target), path: target };
                assert!(target.anchors().contains(anchor), "{at}");
            }
        }
    }
}

#[test]
fn they_keep_their_form() {
    let readme = document("README.md").text.lines().count();
    assert!(readme <= README_LINES, "README.md has {readme} lines of {README_LINES}");
    for document in documents() {
        let prose = document.parts().0;
        let table = |line: &&str| line.trim_start().starts_with('|') || line.starts_with("![");
        for line in prose.into_iter().filter(|line| !table(line)) {
            assert!(
                line.chars().count() <= WIDTH,
                "{}: more than {WIDTH} characters: {line}",
                document.name()
            );
        }
    }
}

#[test]
fn they_use_the_words_of_the_field() {
    let leaning = ["lean", "leans", "leaned", "leaning"].map(|word| format!("{word} on"));
    let weighing = ["weigh", "weighs", "weighed"].map(|word| format!("{word} pred"));
    let others = ["foretel", "foretold", "companion", "opinion", "lesson"].map(str::to_owned);
    for document in documents() {
        let text = document.text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        for word in leaning.iter().chain(&weighing).chain(&others) {
            assert!(!text.contains(word.as_str()), "{}: '{word}'", document.name());
        }
    }
}

/// The words of every constant array of strings in a source file.
fn words(source: &str) -> BTreeSet<String> {
    let text = read(&tree(source)).split_whitespace().collect::<Vec<_>>().join(" ");
    let arrays = text.split("const ").skip(1).filter_map(|rest| {
        let (declared, rest) = rest.split_once(" = [")?;
        let is_array = declared.len() < 60 && declared.contains("str; ");
        is_array.then(|| rest.split("];").next().unwrap_or_default().to_owned())
    });
    let quoted = |array: String| array.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    arrays.flat_map(quoted).collect()
}

#[test]
fn the_table_of_settings_has_every_key_and_no_other() {
    let known: BTreeSet<String> =
        words("src/codec/config.rs").into_iter().chain(words("src/insitu/options.rs")).collect();
    let page = document("docs/settings.md");
    let table = page.text.split("## All keys").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = table.expect("a table of keys").lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<String> = rows.map(|row| row.split('`').next().unwrap().to_owned()).collect();
    assert_eq!(listed, known, "docs/settings.md, and the keys that the library knows");

    for document in [page, document("docs/amr.md")] {
        let settings = |code: &Code| matches!(code.language.as_deref(), Some("toml" | "text"));
        for code in document.parts().1.into_iter().filter(settings) {
            for setting in code.text.split([';', '\n']).filter_map(|setting| setting.split_once(" = ")) {
                let key = setting.0.trim().rsplit('.').next().unwrap();
                assert!(known.contains(key), "{}: there is no key '{key}'", document.name());
            }
        }
    }
}

/// All text below these places of the tree.
fn source(places: &[&str]) -> String {
    let mut open: Vec<PathBuf> = places.iter().map(|place| tree(place)).collect();
    let mut text = String::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(more) = fs::read_to_string(&path) {
            text += &more;
            text.push('\n');
        }
    }
    text
}

/// Whether a word is in a text, and not as a part of another.
fn has_word(text: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(inside) && !text[at + word.len()..].starts_with(inside))
}

#[test]
fn every_name_of_the_library_exists() {
    let declared = source(&["include", "src", "setup", "cmake", "slurm", "tests", "examples", "Makefile"]);
    // The changelog names what was, too.
    for document in documents().iter().filter(|d| !d.path.ends_with("CHANGELOG.md")) {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let named = document.text.split(|c| !inside(c));
        let named = named.filter(|word| word.starts_with("swae_") || word.starts_with("SWAE_"));
        let named: BTreeSet<&str> = named.collect();
        let unknown: Vec<_> = named.into_iter().filter(|word| !has_word(&declared, word)).collect();
        assert!(unknown.is_empty(), "{}: there is no {}", document.name(), unknown.join(", "));
    }
}

#[test]
fn every_command_and_flag_exists() {
    let makefile = read(&tree("Makefile"));
    let training = source(&["src/train"]);
    let dir = tempfile::tempdir().unwrap();
    let mut missing = Vec::new();
    for document in documents() {
        for command in document.commands() {
            let words: Vec<&str> = command.split_whitespace().collect();
            let flags = words.iter().skip(2).filter(|word| word.starts_with("--"));
            let flags = flags.map(|flag| flag.split(['=', '…']).next().unwrap());
            let is_name = |name: &str| name.starts_with(|c: char| c.is_ascii_lowercase());
            let unknown: Vec<&str> = match words[..] {
                ["make", target, ..] if is_name(target) => {
                    if makefile.contains(&format!("\n{target}:")) {
                        vec![]
                    } else {
                        vec![target]
                    }
                }
                ["swae", name, ..] if is_name(name) => {
                    let help = swae(dir.path(), &[name, "--help"]);
                    let help = if help.success { help.out } else { String::new() };
                    flags.filter(|flag| !has_word(&help, flag)).collect()
                }
                ["swae-train", name, ..] if is_name(name) => {
                    let field = |flag: &str| format!("{}:", &flag[2..].replace('-', "_"));
                    flags.filter(|flag| !has_word(&training, &field(flag))).collect()
                }
                _ => vec![],
            };
            let at = document.name();
            missing.extend(unknown.into_iter().map(|what| format!("{at}: {command}: there is no {what}")));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn tables_have_the_form_in_which_they_are_measured() {
    succeeds(Command::new("python3").arg(tree("setup/figures.py")).arg("--check"));
}

#[test]
fn the_python_program_runs() {
    let cache = std::env::var_os("SWAE_DEPS").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/swae"));
    let python = cache.join("python/bin/python");
    succeeds(
        Command::new(python).arg(tree("examples/python/first.py")).env("PYTHONPATH", tree("build/python")),
    );
}

#[test]
fn the_rust_program_runs() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "-q", "--release", "--manifest-path"]).arg(tree("examples/rust/Cargo.toml"));
    // With the workspace's profile, most of what it needs is built already.
    cargo.env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true").arg("--target-dir").arg(tree("target"));
    succeeds(&mut cargo);
}
