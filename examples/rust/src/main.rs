//! Compresses a field within an error bound and as latents, and a series of steps, each predicted from the steps before.

use swae_codec::{Compression, FieldView, SeriesDecoder, SeriesEncoder, compress, decompress};

const SHAPE: [usize; 3] = [64, 48, 32]; // points along x, y, z; x runs fastest in memory

/// A wave that travels along x, at a time.
fn wave(time: f64) -> Vec<f64> {
    let [nx, ny, nz] = SHAPE;
    let points = (0..nx * ny * nz).map(|i| [i % nx, i / nx % ny, i / nx / ny].map(|n| n as f64));
    points.map(|[x, y, z]| (0.2 * x - time).sin() * (0.1 * y).cos() + 0.01 * z).collect()
}

fn largest_error(original: &[f64], decoded: impl IntoIterator<Item = f64>) -> f64 {
    original.iter().zip(decoded).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let compression = Compression::absolute(1e-4);

    let values = wave(0.0);
    let bytes = compress(&FieldView::dense(&values, SHAPE)?, &compression)?;
    let field = decompress::<f64>(&bytes)?; // an ndarray::Array3, [z, y, x]
    let error = largest_error(&values, field);
    println!("a field: {} bytes became {}, largest error {error:.1e}", 8 * values.len(), bytes.len());
    assert!(error <= 1e-4);

    let bytes = compress(&FieldView::dense(&values, SHAPE)?, &Compression::latent())?;
    let error = largest_error(&values, decompress::<f64>(&bytes)?);
    println!("as latents, without a bound: {} bytes, largest error {error:.1e}", bytes.len());

    let mut encoder = SeriesEncoder::new(compression)?;
    let mut decoder = SeriesDecoder::new();
    for step in 0..5 {
        let values = wave(0.1 * f64::from(step));
        let bytes = encoder.encode(&FieldView::dense(&values, SHAPE)?)?;
        let error = largest_error(&values, decoder.decode::<f64>(&bytes)?);
        println!("step {step}: {} bytes, largest error {error:.1e}", bytes.len());
        assert!(error <= 1e-4);
    }
    Ok(())
}
