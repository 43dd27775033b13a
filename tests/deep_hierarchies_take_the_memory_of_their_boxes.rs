//! A hierarchy of ten levels, whose finest grid would take petabytes, is listed, decoded, compared,
//! verified and compressed again in the memory of its boxes.

use ndarray::Array3;
use std::path::Path;
use swae_codec::{Compression, Dtype, Field, FieldView, compress};
use swae_store::{BoxRow, FieldInfo, FieldPart, create_run, plain, vtk};
use swae_tests::{Said, shell, tree};

const LEVELS: u32 = 10;

fn info(level: u32) -> FieldInfo {
    FieldInfo {
        name: if level == 0 { "chi".into() } else { format!("chi@{level}") },
        dtype: Dtype::F64,
        shape: [64 << level; 3],
        origin: [0.5f64.powi(level as i32 + 1); 3],
        spacing: [0.5f64.powi(level as i32); 3],
        encoding: "raw".into(),
        partial: true,
    }
}

/// Two boxes of 16³ at the same place of each level, one behind the other along z, with a gap.
fn boxes(level: u32) -> [[usize; 3]; 2] {
    let middle = 16 << level;
    [[middle, middle, middle], [middle, middle, middle + 20]]
}

fn value(level: u32, at: [usize; 3]) -> f64 {
    let [x, y, z] = at.map(|i| i as f64 * 0.5f64.powi(level as i32));
    (0.3 * x).sin() + 0.1 * y * (0.2 * z).cos()
}

fn write(path: &Path) {
    let infos: Vec<_> = (0..LEVELS).map(info).collect();
    let streams: Vec<(Vec<BoxRow>, Vec<u8>)> = (0..LEVELS)
        .map(|level| {
            let (mut rows, mut bytes) = (Vec::new(), Vec::new());
            for start in boxes(level) {
                let at = |(z, y, x): (usize, usize, usize)| {
                    value(level, [start[0] + x, start[1] + y, start[2] + z])
                };
                let array = Array3::from_shape_fn((16, 16, 16), at);
                let stream = compress(&FieldView::of_array(&array).unwrap(), &Compression::raw()).unwrap();
                let (offset, length) = (bytes.len() as u64, stream.len() as u64);
                rows.push(BoxRow { start, count: [16; 3], offset, length });
                bytes.extend(stream);
            }
            (rows, bytes)
        })
        .collect();
    let mut run = create_run(path).unwrap();
    for step in 0..2 {
        let parts = infos.iter().zip(&streams);
        let parts: Vec<_> =
            parts.map(|(info, (rows, bytes))| FieldPart::alone(info, rows.clone(), bytes)).collect();
        run.write_step(step, step as f64, &parts, &[]).unwrap();
    }
    run.finish().unwrap();
}

/// The tool, with 2 GB of address space.
fn swae(dir: &Path, words: &str) -> Said {
    let tool = tree("target/release/swae");
    shell(dir, &format!("ulimit -v 2000000; exec {} {words}", tool.display()), dir)
}

#[test]
fn every_command_works_on_ten_levels() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write(&at("a.h5"));
    let swae = |words: &str| swae(dir.path(), words);

    // 20 boxes of 32,768 bytes.
    let said = swae("info a.h5 --steps").expect_success();
    assert!(
        said.contains("steps 0 to 1  time 0 to 1  10 field(s)") && said.contains("of 655.360 kB  ratio 1.0"),
        "{said}"
    );
    assert!(said.contains("chi@9        float64 32768×32768×32768 in 2 boxes"), "{said}");
    swae("verify a.h5").expect_success();

    swae("compress a.h5 -o b.h5 --rel 1e-4 --group 2").expect_success();
    let said = swae("info b.h5 --steps --predictors").expect_success();
    assert!(said.contains("of 655.360 kB"), "{said}");
    swae("verify a.h5 b.h5").expect_success();
    let json = swae("compare a.h5 b.h5 --json").expect_success();
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 20);
    for row in rows.as_array().unwrap() {
        assert_eq!(row["raw_bytes"], 2 * 16 * 16 * 16 * 8);
        assert!(row["psnr"].as_f64().unwrap() > 80.0, "{row}");
    }

    // What is decoded is the region of the boxes, at its place.
    swae("decompress b.h5 --var chi@9 --step 1 -o c.vti").expect_success();
    let (info, field) = &vtk::read_vti(&at("c.vti")).unwrap()[0];
    let spacing = 0.5f64.powi(9);
    let origin = boxes(9)[0].map(|first| 0.5 * spacing + spacing * first as f64);
    assert_eq!((info.shape, info.origin), ([16, 16, 36], origin));
    check(field);
    swae("decompress b.h5 --var chi@9 --step 1 -o c.npy").expect_success();
    check(&plain::read_npy(&at("c.npy")).unwrap());
    swae("decompress b.h5 -o c.h5").expect_success();
    swae("decompress b.h5 -o c.pvd").expect_success();

    // A region of the grid is taken as it is asked for; one that no memory holds is an error.
    let said = swae("decompress b.h5 --var chi@9 --step 1 --region 0:32768,0:32768,0:32768 -o d.npy");
    assert!(!said.success && said.err.contains("--region takes a part"), "{}", said.err);
    assert!(said.err.contains("memory"), "{}", said.err);
}

fn check(field: &Field) {
    let field = field.to_f64();
    assert_eq!(field.dim(), (36, 16, 16));
    let [start, _] = boxes(9);
    for ((z, y, x), found) in field.indexed_iter() {
        let truth = value(9, [start[0] + x, start[1] + y, start[2] + z]);
        let is_between = (16..20).contains(&z);
        assert!(
            if is_between { found.is_nan() } else { (found - truth).abs() < 1e-4 },
            "{x} {y} {z}: {found}"
        );
    }
}
