//! Steps of any symbols: whole streams that no encoder would write. Each is read as it was written
//! and means the same, step after step, and one field after the other that it is predicted from.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use swae_codec::decode::{block_statistics, decompress_boxes, decompress_regions};
use swae_codec::fuzzing::{Recipe, stream_of_symbols};
use swae_codec::history::History;
use swae_codec::stream::Stream;
use swae_codec::{Element, Models};
use swae_fuzz::{allowed_memory, memory_of};

#[derive(Arbitrary, Debug)]
enum Boxes {
    /// Enough blocks for prediction mixing.
    Cube,
    /// Octree leaves, which are linked with one another.
    Leaves(u8),
    /// Of any shapes.
    Any(Vec<[u8; 3]>),
    /// More than a tile.
    Long(u8, u8),
}

impl Boxes {
    fn shapes(&self) -> Vec<[usize; 3]> {
        match self {
            Self::Cube => vec![[32; 3]],
            Self::Leaves(n) => vec![[8; 3]; usize::from(n % 64)],
            Self::Any(shapes) => {
                shapes.iter().take(8).map(|shape| shape.map(|n| usize::from(n % 24))).collect()
            }
            Self::Long(x, y) => vec![[65 + usize::from(x % 8), 1 + usize::from(y % 9), 2]],
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Step {
    relative: bool,
    tolerance: u32,
    quantum: u32,
    predictors: u8,
    weights: [f32; 4],
    missing: Option<u64>,
    decisions: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
struct Input {
    double: bool,
    boxes: Boxes,
    /// Steps of a field and, of each, of another that is predicted from it.
    steps: Vec<Step>,
}

fuzz_target!(|input: Input| if input.double { decode::<f64>(&input) } else { decode::<f32>(&input) });

fn decode<T: Element>(input: &Input) {
    let models = Models::built_in();
    let [mut first, mut second, mut before] = [History::default(), History::default(), History::default()];
    let steps = &input.steps[..input.steps.len().min(6)];
    for (i, step) in steps.iter().enumerate() {
        let history = if i >= 4 {
            // Between two steps; the last one has a third step before it.
            before.lead(1, Some((2, &first)));
            &mut before
        } else if i % 2 == 0 {
            before = first.clone();
            &mut first
        } else {
            second.add_reference("first", &first);
            &mut second
        };
        let Step { relative, tolerance, quantum, predictors, weights, missing, .. } = *step;
        let boxes = input.boxes.shapes();
        let decisions = &step.decisions[..];
        let recipe =
            Recipe { boxes, relative, tolerance, quantum, predictors, weights, missing, decisions };
        let made = stream_of_symbols::<T>(&recipe, &models, history).expect("models are built in");
        let Some((bytes, values)) = made else { continue };
        let stream = Stream::open(&bytes[..]).expect("it is whole");
        // They take as long as all else, so once is enough.
        if i + 1 == steps.len() {
            let statistics = block_statistics(&stream, &models, Some(&mut history.clone()));
            assert!(statistics.is_ok());
            let regions: Vec<_> = recipe.boxes.iter().map(|count| count.map(|n| n / 3..n)).collect();
            let parts = decompress_regions(&stream, &models, &regions, Some(&mut history.clone()));
            assert!(parts.is_ok());
        }
        let allowed = allowed_memory(stream.header(), bytes.len());
        let (fields, memory) = memory_of(|| decompress_boxes(&stream, &models, Some(history)));
        assert!(memory <= allowed, "{memory} bytes for {:?}", stream.header());
        for (field, values) in fields.expect("it is whole").into_iter().zip(values) {
            let field = field.into_array::<T>().expect("it has this type");
            assert!(field.iter().zip(&values).all(|(a, b)| a.same_bits(*b)), "it means the same");
        }
    }
}
