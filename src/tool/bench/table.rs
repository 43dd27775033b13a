//! The results as tables.

use super::summary::{Mean, Table};

/// What was handed over, and on how many threads.
pub fn title(table: &Table) -> String {
    let layout = format!("{:?}", table.layout);
    match table.threads {
        0 => format!("{layout}, all threads"),
        1 => format!("{layout}, one thread"),
        n => format!("{layout}, {n} threads"),
    }
}

/// Prints a table: swae in all its settings, each reference compressor in the one that takes the
/// fewest bits at the bound.
pub fn print(table: &Table) {
    println!("\n{}: means over the fields; MB/s of uncompressed data", title(table));
    println!(
        "    bound   {:<37} fields  bits/value     ratio  PSNR/dB  error÷bound  compress  decompress  memory",
        "compressor"
    );
    for at in &table.bounds {
        for mean in at.own.iter().chain(at.best_references()) {
            print_line(at.bound, mean);
        }
        println!();
    }
}

fn print_line(bound: f64, mean: &Mean) {
    println!(
        "    {bound:<7.0e} {:<37} {:>6} {:>11.4} {:>9.1} {:>8.1} {:>12.4} {:>9.0} {:>11.0} {:>7.2}{}",
        mean.title(),
        mean.fields,
        mean.bits,
        mean.ratio,
        mean.psnr,
        mean.largest_error,
        mean.compress,
        mean.decompress,
        mean.peak_memory,
        match mean.violated {
            0 => String::new(),
            n => format!("  BOUND VIOLATED on {n} field(s)"),
        }
    );
}
