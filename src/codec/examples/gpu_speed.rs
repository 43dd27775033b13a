//! How fast the first GPU makes latents of a field of 256³ float32 values, beside the cores:
//! gpu_speed [MODEL ...]. Copying to and from the GPU counts.

use ndarray::Array3;
use std::time::Instant;
use swae_codec::config::LatentCoding;
use swae_codec::device::Device;
use swae_codec::encode::{Method, compress_boxes_on};
use swae_codec::{FieldView, Models};

fn main() -> swae_codec::Result<()> {
    let field = Array3::from_shape_fn((256, 256, 256), |(z, y, x)| {
        let [x, y, z] = [x, y, z].map(|v| v as f32);
        (0.07 * x + 0.001 * y * z).sin() * (0.05 * y).cos() + 0.1 * (0.2 * z).sin()
    });
    let views = [FieldView::of_array(&field)?];
    let named: Vec<String> = std::env::args().skip(1).collect();
    let named = if named.is_empty() { vec!["gr-16".into(), "gr-48".into()] } else { named };
    println!("{} threads", rayon::current_num_threads());
    for name in named {
        let model = Models::named_or_file(&name)?;
        let mode = Method::Latent { model: &model, coding: LatentCoding::F16 };
        let mut found = Vec::new();
        for device in [Device::Cores, Device::gpu(0, model.clone())?] {
            let mut best = f64::INFINITY;
            let mut bytes = Vec::new();
            for _ in 0..5 {
                let begin = Instant::now();
                bytes = compress_boxes_on(&device, &views, mode)?;
                best = best.min(begin.elapsed().as_secs_f64());
            }
            found.push((best, bytes));
        }
        let speed = |seconds: f64| 4e-6 * field.len() as f64 / seconds;
        let same = if found[0].1 == found[1].1 { "the same bytes" } else { "OTHER BYTES" };
        println!(
            "{name}: {:.0} MB/s on the cores, {:.0} on the GPU, {same}",
            speed(found[0].0),
            speed(found[1].0)
        );
    }
    Ok(())
}
