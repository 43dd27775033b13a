//! What ParaView and VisIt open: image data (`.vti`), whole or in pieces (`.pvti`), boxes on levels
//! (`.vtm`), steps in time (`.pvd`).
//!
//! The values are appended behind the XML as they are. Points are VTK's points, so a grid of n
//! points has n − 1 cells. `vti.rs` reads image data.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::error::{Error, Result};
use crate::new_file::{write_file, write_new};
use crate::size::points;
use crate::step::FieldInfo;
use quick_xml::escape::escape;
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use swae_codec::{Dtype, Field};

pub use crate::vti::read_vti;

/// A box of points of a grid, `[x, y, z]`: the first one, and how many.
pub type Place = ([usize; 3], [usize; 3]);

/// First and last point along x, y, z, as VTK wants it.
fn extent((start, count): Place) -> String {
    let ends =
        (0..3).map(|a| format!("{} {}", start[a], start[a].saturating_add(count[a]).saturating_sub(1)));
    ends.collect::<Vec<_>>().join(" ")
}

/// Numbers so that they are read as they were.
fn numbers(values: [f64; 3]) -> String {
    values.map(|v| v.to_string()).join(" ")
}

fn type_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "Float32",
        Dtype::F64 => "Float64",
    }
}

fn head(kind: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<VTKFile type=\"{kind}\" version=\"1.0\" byte_order=\"LittleEndian\" header_type=\"UInt64\">\n"
    )
}

/// Writes fields of one grid as image data.
///
/// # Errors
/// [`Error::Io`]; [`Error::Unsupported`] where the fields have different shapes.
pub fn write_vti(path: &Path, fields: &[(FieldInfo, Field)]) -> Result<()> {
    let shape = fields.first().map_or([0; 3], |(info, _)| info.shape);
    let part: Vec<_> = fields.iter().map(|(info, field)| (info, field)).collect();
    write_part(path, &part, ([0; 3], shape))
}

/// Writes a part of a grid, whose points keep their places in it. Each field has the values of the
/// part.
///
/// # Errors
/// [`Error::Io`]; [`Error::Unsupported`] where a field has other points than the part.
pub fn write_part(path: &Path, fields: &[(&FieldInfo, &Field)], place: Place) -> Result<()> {
    let Some((first, _)) = fields.first() else {
        return Err(Error::Unsupported("a .vti file needs a field".into()));
    };
    if let Some((other, field)) = fields.iter().find(|(_, field)| field.count() != place.1) {
        return Err(Error::Unsupported(format!(
            "fields {} {:?} and {} {:?} do not share a grid; write them one by one with --var, or a .pvd",
            first.name,
            place.1,
            other.name,
            field.count()
        )));
    }
    let xml = image_xml(first, fields, place);
    write_new(path, |file| -> std::io::Result<()> {
        file.write_all(xml.as_bytes())?;
        for (_, field) in fields {
            file.write_all(&bytes(field).to_le_bytes())?;
            match field {
                Field::F32(a) => a.iter().try_for_each(|v| file.write_all(&v.to_le_bytes()))?,
                Field::F64(a) => a.iter().try_for_each(|v| file.write_all(&v.to_le_bytes()))?,
            }
        }
        file.write_all(b"\n</AppendedData>\n</VTKFile>\n")
    })
}

/// What stands before the values of image data.
fn image_xml(first: &FieldInfo, fields: &[(&FieldInfo, &Field)], place: Place) -> String {
    let (mut arrays, mut offset) = (String::new(), 0u64);
    for (info, field) in fields {
        let (name, kind) = (named(&info.name), type_name(field.dtype()));
        _ = writeln!(
            arrays,
            "<DataArray type=\"{kind}\" Name=\"{name}\" format=\"appended\" offset=\"{offset}\"/>"
        );
        offset = offset.saturating_add(8).saturating_add(bytes(field));
    }
    let (extent, origin, spacing) = (extent(place), numbers(first.origin), numbers(first.spacing));
    format!(
        "{}<ImageData WholeExtent=\"{extent}\" Origin=\"{origin}\" Spacing=\"{spacing}\">\n<Piece Extent=\"{extent}\">\n\
         <PointData>\n{arrays}</PointData>\n</Piece>\n</ImageData>\n<AppendedData encoding=\"raw\">\n_",
        head("ImageData")
    )
}

fn bytes(field: &Field) -> u64 {
    (points(field.count()) as u64).saturating_mul(field.dtype().size() as u64)
}

/// Writes the file that puts pieces of image data together, which share the points between them;
/// their files lie relative to it.
///
/// # Errors
/// [`Error::Io`].
pub fn write_pvti(path: &Path, fields: &[&FieldInfo], pieces: &[(Place, String)]) -> Result<()> {
    let Some(first) = fields.first() else {
        return Err(Error::Unsupported("a .pvti file needs a field".into()));
    };
    let array = |info: &&FieldInfo| {
        format!("<PDataArray type=\"{}\" Name=\"{}\"/>\n", type_name(info.dtype), named(&info.name))
    };
    let piece = |(place, file): &(Place, String)| {
        format!("<Piece Extent=\"{}\" Source=\"{}\"/>\n", extent(*place), escape(file))
    };
    let text = format!(
        "{}<PImageData WholeExtent=\"{}\" GhostLevel=\"0\" Origin=\"{}\" Spacing=\"{}\">\n<PPointData>\n{}</PPointData>\n{}\
         </PImageData>\n</VTKFile>\n",
        head("PImageData"),
        extent(([0; 3], first.shape)),
        numbers(first.origin),
        numbers(first.spacing),
        fields.iter().map(array).collect::<String>(),
        pieces.iter().map(piece).collect::<String>()
    );
    write_file(path, text.as_bytes())
}

/// Writes the file that puts the boxes of several levels together: a block for each level, with a
/// file for each box.
///
/// # Errors
/// [`Error::Io`].
pub fn write_vtm(path: &Path, levels: &[(u32, Vec<String>)]) -> Result<()> {
    let file = |(i, file): (usize, &String)| format!("<DataSet index=\"{i}\" file=\"{}\"/>\n", escape(file));
    let block = |(i, (level, files)): (usize, &(u32, Vec<String>))| {
        let files: String = files.iter().enumerate().map(file).collect();
        format!("<Block index=\"{i}\" name=\"level {level}\">\n{files}</Block>\n")
    };
    let blocks: String = levels.iter().enumerate().map(block).collect();
    let kind = "vtkMultiBlockDataSet";
    write_file(path, format!("{}<{kind}>\n{blocks}</{kind}>\n</VTKFile>\n", head(kind)).as_bytes())
}

/// Writes the file that puts steps together: the time of each, and its file.
///
/// # Errors
/// [`Error::Io`].
pub fn write_pvd(path: &Path, steps: &[(f64, String)]) -> Result<()> {
    let step = |(time, file): &(f64, String)| {
        format!("<DataSet timestep=\"{time}\" part=\"0\" file=\"{}\"/>\n", escape(file))
    };
    let steps: String = steps.iter().map(step).collect();
    write_file(
        path,
        format!("{}<Collection>\n{steps}</Collection>\n</VTKFile>\n", head("Collection")).as_bytes(),
    )
}

/// A name as an attribute: white space in it would be read as blanks, and other control characters
/// are not allowed.
fn named(name: &str) -> String {
    let character = |c: char| match c {
        '\t' | '\n' | '\r' => format!("&#{};", u32::from(c)),
        c if c.is_control() => char::REPLACEMENT_CHARACTER.into(),
        c => escape(c.encode_utf8(&mut [0; 4]) as &str).into_owned(),
    };
    name.chars().map(character).collect()
}
