//! What ParaView and VisIt open: image data (`.vti`), whole or in pieces (`.pvti`), boxes on levels
//! (`.vtm`), steps in time (`.pvd`).
//!
//! The values are appended behind the XML as they are. Points are VTK's points, so a grid of n
//! points has n − 1 cells.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::error::{Cause, Error, Result, content, io};
use crate::new_file::{write_file, write_new};
use crate::size::points;
use crate::step::FieldInfo;
use ndarray::Array3;
use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use swae_codec::{Dtype, Element, Field};
use vtkio::model::{Attribute, DataSet, Extent, Vtk};

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

/// Reads the scalar point data of a `.vti` file.
///
/// # Errors
/// [`Error::Content`] where there are none.
pub fn read_vti(path: &Path) -> Result<Vec<(FieldInfo, Field)>> {
    let bytes = std::fs::read(path).map_err(|e| io(path, e))?;
    let ours = find(&bytes, b"<AppendedData encoding=\"raw\">").map(|at| {
        let (xml, rest) = bytes.split_at(at);
        let data = find(rest, b"_").and_then(|at| rest.get(at.checked_add(1)?..)).unwrap_or_default();
        read_appended(&String::from_utf8_lossy(xml), data)
    });
    match ours {
        Some(Ok(fields)) if fields.is_empty() => Err(content(path, "it holds no scalar field of floats")),
        Some(fields) => fields.map_err(|reason| content(path, reason)),
        None => read_other(path),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

/// One piece of image data whose values are appended as they are, which [`vtkio`] does not read.
fn read_appended(xml: &str, data: &[u8]) -> std::result::Result<Vec<(FieldInfo, Field)>, String> {
    let mut piece = AppendedPiece { data, spacing: [1.0; 3], ..AppendedPiece::default() };
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event().map_err(|e| e.to_string())? {
            Event::Start(tag) | Event::Empty(tag) => piece.read(&tag)?,
            Event::End(tag) => piece.in_point_data &= tag.name().as_ref() != b"PointData",
            Event::Eof => return Ok(piece.fields),
            _ => {}
        }
    }
}

/// What was read of a piece of image data.
#[derive(Default)]
struct AppendedPiece<'a> {
    /// What is behind the XML.
    data: &'a [u8],
    /// Whether the length before each array is a UInt64.
    wide: bool,
    in_point_data: bool,
    shape: [usize; 3],
    origin: [f64; 3],
    spacing: [f64; 3],
    fields: Vec<(FieldInfo, Field)>,
}

impl AppendedPiece<'_> {
    fn read(&mut self, tag: &BytesStart<'_>) -> std::result::Result<(), String> {
        match tag.name().as_ref() {
            b"VTKFile" => {
                self.wide = attribute(tag, "header_type")? == "UInt64";
                if attribute(tag, "byte_order")? != "LittleEndian"
                    || !attribute(tag, "compressor")?.is_empty()
                {
                    return Err("its values are big-endian or compressed, and appended raw".into());
                }
            }
            b"ImageData" => {
                self.origin = parsed(&attribute(tag, "Origin")?)?;
                self.spacing = parsed(&attribute(tag, "Spacing")?)?;
            }
            b"Piece" if !self.fields.is_empty() => return Err("it has several pieces".into()),
            b"Piece" => {
                let [x0, x1, y0, y1, z0, z1] = parsed::<i64, 6>(&attribute(tag, "Extent")?)?;
                self.shape = shape_of([(x0, x1), (y0, y1), (z0, z1)])?;
            }
            b"PointData" => self.in_point_data = true,
            b"DataArray" if self.in_point_data => self.read_array(tag)?,
            _ => {}
        }
        Ok(())
    }

    /// A scalar array of floats; others are passed over.
    fn read_array(&mut self, tag: &BytesStart<'_>) -> std::result::Result<(), String> {
        let dtype = match &*attribute(tag, "type")? {
            "Float32" => Dtype::F32,
            "Float64" => Dtype::F64,
            _ => return Ok(()),
        };
        if !matches!(&*attribute(tag, "NumberOfComponents")?, "" | "1") {
            return Ok(());
        }
        let size = points(self.shape).checked_mul(dtype.size()).ok_or("it holds too many values")?;
        let begin = attribute(tag, "offset")?.parse::<usize>().ok();
        let begin = begin.and_then(|at| at.checked_add(if self.wide { 8 } else { 4 }));
        let bytes = begin.and_then(|at| self.data.get(at..at.checked_add(size)?));
        let bytes = bytes.ok_or("it ends before its values do")?;
        let [nx, ny, nz] = self.shape;
        let field = match dtype {
            Dtype::F32 => Array3::from_shape_vec((nz, ny, nx), values(bytes)).map(Field::F32),
            Dtype::F64 => Array3::from_shape_vec((nz, ny, nx), values(bytes)).map(Field::F64),
        };
        let info = FieldInfo {
            name: attribute(tag, "Name")?,
            dtype,
            shape: self.shape,
            origin: self.origin,
            spacing: self.spacing,
            encoding: "vti".into(),
            partial: false,
        };
        self.fields.push((info, field.map_err(|e| e.to_string())?));
        Ok(())
    }
}

/// Points between the first and the last one along x, y, z; none where an axis ends before it
/// begins.
fn shape_of(ends: [(i64, i64); 3]) -> std::result::Result<[usize; 3], String> {
    let count = |(first, last): (i64, i64)| last.checked_sub(first)?.checked_add(1)?.max(0).try_into().ok();
    let shape = ends.map(|axis| count(axis).unwrap_or(usize::MAX));
    swae_codec::view::check_shape(shape).map_err(|e| e.to_string())?;
    Ok(shape)
}

/// An attribute of a tag, empty where there is none.
fn attribute(tag: &BytesStart<'_>, name: &str) -> std::result::Result<String, String> {
    let found = tag.try_get_attribute(name).map_err(|e| e.to_string())?;
    let text = found.map(|a| a.unescape_value().map(|v| v.into_owned())).transpose();
    Ok(text.map_err(|e| e.to_string())?.unwrap_or_default())
}

/// The `N` numbers of a text.
fn parsed<T: FromStr, const N: usize>(text: &str) -> std::result::Result<[T; N], String> {
    let all: Vec<T> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    all.try_into().map_err(|_| format!("'{text}' are not {N} numbers"))
}

fn values<T: Element>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(T::DTYPE.size()).map(T::read_le).collect()
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

/// In all the other ways in which values can be written.
fn read_other(path: &Path) -> Result<Vec<(FieldInfo, Field)>> {
    // The library takes a damaged file at its word in places, and panics.
    let read = std::panic::catch_unwind(|| read_pieces(path));
    let fields =
        read.unwrap_or_else(|_| Err("it is damaged".into())).map_err(|cause| content(path, cause))?;
    if fields.is_empty() { Err(content(path, "it holds no scalar field of floats")) } else { Ok(fields) }
}

fn read_pieces(path: &Path) -> std::result::Result<Vec<(FieldInfo, Field)>, Cause> {
    let vtk = Vtk::import(path).map_err(|e| e.to_string())?;
    let DataSet::ImageData { origin, spacing, pieces, .. } = vtk.data else {
        return Err("it holds no image data".into());
    };
    let mut fields = Vec::new();
    for piece in pieces {
        let piece = piece.load_piece_data(Some(path)).map_err(|e| e.to_string())?;
        let shape = match piece.extent {
            Extent::Dims(dims) => dims.map(|n| n as usize),
            Extent::Ranges(ranges) => shape_of(ranges.map(|r| (i64::from(*r.start()), i64::from(*r.end()))))?,
        };
        let [nx, ny, nz] = shape;
        for attribute in piece.data.point {
            let Attribute::DataArray(array) = attribute else { continue };
            let field = if let Some(v) = array.data.clone().into_vec::<f32>() {
                Array3::from_shape_vec((nz, ny, nx), v).map(Field::F32)
            } else if let Some(v) = array.data.clone().into_vec::<f64>() {
                Array3::from_shape_vec((nz, ny, nx), v).map(Field::F64)
            } else {
                continue;
            };
            let field = field?;
            let info = FieldInfo {
                name: array.name,
                dtype: field.dtype(),
                shape,
                origin: origin.map(f64::from),
                spacing: spacing.map(f64::from),
                encoding: "vti".into(),
                partial: false,
            };
            fields.push((info, field));
        }
    }
    Ok(fields)
}
