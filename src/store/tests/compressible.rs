//! A file is not damaged because its fields are a million times larger than it.

#[allow(dead_code, reason = "each test uses a part")]
mod inputs;

use inputs::info;
use ndarray::Array3;
use swae_codec::{Compression, FieldView};
use swae_store::{
    BoxRow, BoxValues, Decoder, FieldPart, Payload, Storage, create_alone, kept, open, read_field,
};

#[test]
fn a_constant_field_behind_the_filter_is_read_and_its_file_continued() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.h5");
    let (shape, mut info) = ([128usize; 3], info("chi"));
    info.shape = shape;
    let values = vec![2.5f64; 128 * 128 * 128];
    let copies = [BoxValues::copy_of(&[([0; 3], FieldView::dense(&values, shape).unwrap())]).unwrap()];
    let part = FieldPart {
        info: &info,
        all_boxes: 1,
        all_bytes: 0,
        first_box: 0,
        boxes: vec![BoxRow { start: [0; 3], count: shape, offset: 0, length: 0 }],
        payload: Payload::Values { copies: &copies, compression: Compression::absolute(1e-3) },
    };
    let mut writer = create_alone(&path, Storage::Datasets).unwrap();
    writer.write_step(0, 0.0, &[part], &[], &|fits| fits).unwrap();
    writer.close().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < (8 * values.len() as u64) / 1000);
    let mut reader = open(&path).unwrap();
    let field = read_field(reader.as_mut(), 0, "chi").unwrap();
    assert_eq!(field.into_array::<f64>().unwrap(), Array3::from_elem((128, 128, 128), 2.5));
    assert_eq!(kept(&path, i64::MAX).unwrap().fields.len(), 1);
}

#[test]
fn a_dataset_of_another_program_may_be_constant_or_never_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("others.h5");
    let file = hdf5::File::create(&path).unwrap();
    let builder = file.new_dataset_builder().chunk((64, 64, 64)).deflate(9);
    builder.with_data(&Array3::<f64>::zeros((128, 128, 256))).create("zero").unwrap();
    file.new_dataset::<f32>().shape((2048, 2048, 2048)).chunk((64, 64, 64)).create("never").unwrap();
    drop(file);
    assert!(std::fs::metadata(&path).unwrap().len() < 1 << 16);
    let mut reader = open(&path).unwrap();
    let names: Vec<_> = reader.steps()[0].fields.iter().map(|(info, _)| info.name.clone()).collect();
    assert_eq!(names, ["never", "zero"]);
    assert_eq!(read_field(reader.as_mut(), 0, "zero").unwrap().count(), [256, 128, 128]);
}

#[test]
fn a_constant_stream_is_a_region_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.swae");
    let values = vec![1.0f32; 256 * 256 * 64];
    let view = FieldView::dense(&values, [256, 256, 64]).unwrap();
    let stream = swae_codec::compress(&view, &Compression::absolute(1e-3)).unwrap();
    assert!(stream.len() < 4096);
    swae_store::plain::write_swae(&path, &[stream], None).unwrap();
    let mut reader = open(&path).unwrap();
    assert_eq!(read_field(reader.as_mut(), 0, "a").unwrap().count(), [256, 256, 64]);
    let part = Decoder::default().read_field(reader.as_mut(), 0, "a", Some([7..9, 0..256, 60..64])).unwrap();
    assert!(part.to_f64().iter().all(|v| (v - 1.0).abs() <= 1e-3));
}
