//! A report on runs as one HTML page, with its pictures inside.
//! Numbers come from `runs.rs`; this file only lays them out.

use super::runs::Report;
use anyhow::Result;
use base64::prelude::{BASE64_STANDARD, Engine};
use std::fmt::Write;
use swae_metrics::picture::{self, Row};

/// The page.
///
/// # Errors
/// Where the pictures cannot be drawn.
pub fn page(report: &Report) -> Result<String> {
    let mut out = String::new();
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><title>{name}</title>\n\
         <style>body{{font:15px sans-serif;max-width:60em;margin:2em auto}}\
         td,th{{text-align:right;padding:.1em .7em}}td:first-child,th:first-child{{text-align:left}}\
         img{{max-width:100%}}</style>\n\
         <h1>{name}, latents as {coding}</h1>\n\
         <p>{runs} runs that it was not trained on: ratio {ratio:.1}, mean PSNR {psnr:.2} dB over the fields that vary. \
         Errors are in units of each field's value range in a step.</p>\n",
        name = escape(&report.model),
        coding = report.coding,
        runs = report.runs.len(),
        ratio = report.ratio,
        psnr = report.mean_psnr,
    )?;
    out += "<table><tr><th>field<th>ratio<th>PSNR/dB<th>SSIM<th>max error<th>lost at low<th>middle<th>high |k|\n";
    for r in &report.fields {
        let [low, middle, high] = r.thirds();
        writeln!(
            out,
            "<tr><td>{}<td>{:.1}<td>{:.2}<td>{:.5}<td>{:.2e}<td>{low:.1e}<td>{middle:.1e}<td>{high:.1e}",
            escape(&r.field),
            r.ratio,
            r.psnr,
            r.ssim,
            r.max_error
        )?;
    }
    out += "</table>\n";
    if !report.hamiltonian.is_empty() {
        out += "<h2>Hamiltonian constraint, root mean square</h2>\n\
                <table><tr><th>run<th>step<th>original<th>reconstructed<th>growth\n";
        for v in &report.hamiltonian {
            writeln!(
                out,
                "<tr><td>{}<td>{}<td>{:.3e}<td>{:.3e}<td>{:.1}",
                escape(&v.run.display().to_string()),
                v.step,
                v.original,
                v.reconstructed,
                v.reconstructed / v.original
            )?;
        }
        out += "</table>\n";
    }
    out += "<h2>Middle slices of the last step</h2>\n";
    let dir = tempfile::tempdir()?;
    for (name, (original, reconstruction)) in &report.pictures {
        let row =
            Row { name: name.clone(), original: original.clone(), reconstruction: reconstruction.clone() };
        let file = dir.path().join("field.png");
        picture::draw(&file, &[row])?;
        let png = BASE64_STANDARD.encode(std::fs::read(&file)?);
        writeln!(out, "<img alt='{}' src='data:image/png;base64,{png}'>", escape(name))?;
    }
    Ok(out + "</html>\n")
}
