//! Image data (`.vti`) of any program: its values as text, in base64, or appended as they are; in
//! either byte order, compressed by zlib or not.
//!
//! Nothing is taken at its word: a file has the values that its shape says, or it is an error.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::error::{Cause, Result, content, io, reading};
use crate::size::{check_memory, points};
use crate::step::FieldInfo;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use ndarray::Array3;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::io::Read;
use std::path::Path;
use std::str::FromStr;
use swae_codec::{Dtype, Element, Field, view};

type Parsed<T> = std::result::Result<T, Cause>;

/// Reads the scalar point data of a `.vti` file.
///
/// # Errors
/// [`Error::Content`](crate::Error::Content) where there are none, or the file is damaged;
/// [`Error::Codec`](crate::Error::Codec) where there is no memory for them.
pub fn read_vti(path: &Path) -> Result<Vec<(FieldInfo, Field)>> {
    let bytes = std::fs::read(path).map_err(|e| io(path, e))?;
    let fields = read(&bytes).map_err(|cause| reading(path, cause))?;
    if fields.is_empty() { Err(content(path, "it holds no scalar field of floats")) } else { Ok(fields) }
}

fn read(bytes: &[u8]) -> Parsed<Vec<(FieldInfo, Field)>> {
    // What is appended as it is need be no XML.
    let (xml, appended) = match find(bytes, b"<AppendedData") {
        Some(at) => bytes.split_at(at),
        None => (bytes, &[][..]),
    };
    let mut image = Image { spacing: [1.0; 3], ..Image::default() };
    image.is_base64 = find(appended, b">").is_some_and(|end| find(&appended[..end], b"base64").is_some());
    let begin = find(appended, b"_").and_then(|at| at.checked_add(1));
    image.appended = begin.and_then(|begin| appended.get(begin..)).unwrap_or_default();
    let text = String::from_utf8_lossy(xml);
    let mut reader = Reader::from_str(&text);
    loop {
        match reader.read_event()? {
            Event::Start(tag) if image.is_array(&tag)? => {
                let inside = reader.read_text(tag.name())?;
                image.read_array(&tag, &inside)?;
            }
            Event::Empty(tag) if image.is_array(&tag)? => image.read_array(&tag, "")?,
            Event::Empty(tag) if tag.name().as_ref() == b"PointData" => {}
            Event::Start(tag) | Event::Empty(tag) => image.read_tag(&tag)?,
            Event::End(tag) => image.in_point_data &= tag.name().as_ref() != b"PointData",
            Event::Eof => return Ok(image.fields),
            _ => {}
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

/// What was read of one piece of image data.
#[derive(Default)]
struct Image<'a> {
    /// What is behind the XML.
    appended: &'a [u8],
    is_base64: bool,
    /// Whether the lengths before an array are UInt64.
    wide: bool,
    is_big_endian: bool,
    is_compressed: bool,
    in_point_data: bool,
    shape: [usize; 3],
    origin: [f64; 3],
    spacing: [f64; 3],
    fields: Vec<(FieldInfo, Field)>,
}

impl Image<'_> {
    fn read_tag(&mut self, tag: &BytesStart<'_>) -> Parsed<()> {
        match tag.name().as_ref() {
            b"VTKFile" => {
                self.wide = attribute(tag, "header_type")? == "UInt64";
                self.is_big_endian = attribute(tag, "byte_order")? == "BigEndian";
                self.is_compressed = match &*attribute(tag, "compressor")? {
                    "" => false,
                    "vtkZLibDataCompressor" => true,
                    other => {
                        return Err(format!("its values are compressed by {other}; zlib is known").into());
                    }
                };
            }
            b"ImageData" => {
                self.origin = parsed(&attribute(tag, "Origin")?)?;
                self.spacing = parsed(&attribute(tag, "Spacing")?)?;
            }
            b"Piece" if !self.fields.is_empty() => return Err("it has several pieces".into()),
            b"Piece" => {
                let [x0, x1, y0, y1, z0, z1] = parsed(&attribute(tag, "Extent")?)?;
                self.shape = shape_of([(x0, x1), (y0, y1), (z0, z1)])?;
            }
            b"PointData" => self.in_point_data = true,
            _ => {}
        }
        Ok(())
    }

    /// Whether a tag begins a scalar array of floats of points; others are passed over.
    fn is_array(&self, tag: &BytesStart<'_>) -> Parsed<bool> {
        let is_scalar = || Ok::<_, Cause>(matches!(&*attribute(tag, "NumberOfComponents")?, "" | "1"));
        Ok(self.in_point_data && tag.name().as_ref() == b"DataArray" && dtype(tag)?.is_some() && is_scalar()?)
    }

    fn read_array(&mut self, tag: &BytesStart<'_>, inside: &str) -> Parsed<()> {
        let Some(dtype) = dtype(tag)? else { return Ok(()) };
        let field = match dtype {
            Dtype::F32 => Field::F32(self.values(tag, inside)?),
            Dtype::F64 => Field::F64(self.values(tag, inside)?),
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
        self.fields.push((info, field));
        Ok(())
    }

    fn values<T: Element + FromStr>(&self, tag: &BytesStart<'_>, inside: &str) -> Parsed<Array3<T>> {
        let count = points(self.shape);
        check_memory::<T>(count)?;
        let values = match &*attribute(tag, "format")? {
            "ascii" => inside.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect(),
            "binary" => self.numbers(Encoded::Base64(inside.trim_ascii().as_bytes()), count)?,
            _ => {
                let offset: usize = attribute(tag, "offset")?.parse()?;
                let rest = self.appended.get(offset..).ok_or("it ends before its values do")?;
                self.numbers(if self.is_base64 { Encoded::Base64(rest) } else { Encoded::Raw(rest) }, count)?
            }
        };
        let [nx, ny, nz] = self.shape;
        Ok(Array3::from_shape_vec((nz, ny, nx), values)?)
    }

    /// So many values out of their bytes.
    fn numbers<T: Element>(&self, encoded: Encoded<'_>, count: usize) -> Parsed<Vec<T>> {
        let (size, each) = (T::DTYPE.size(), count);
        let length = each.checked_mul(size).ok_or("it holds too many values")?;
        let mut bytes = if self.is_compressed {
            self.inflated(encoded, length)?
        } else {
            let header = self.word();
            let all = header.checked_add(length).ok_or("it holds too many values")?;
            { encoded }.take(all)?.split_off(header)
        };
        if self.is_big_endian {
            bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Ok(bytes.chunks_exact(size).map(T::read_le).collect())
    }

    /// The bytes of blocks that zlib compressed: their number, their size and that of the last one,
    /// how many bytes each takes, and the blocks.
    fn inflated(&self, mut encoded: Encoded<'_>, length: usize) -> Parsed<Vec<u8>> {
        let word = self.word();
        let blocks = self.number(encoded.clone().take(word)?.as_slice())?;
        let header =
            blocks.checked_add(3).and_then(|words| words.checked_mul(word)).ok_or("impossible blocks")?;
        let header = encoded.take(header)?;
        let sizes: Parsed<Vec<_>> = header.chunks_exact(word).skip(3).map(|size| self.number(size)).collect();
        let sizes = sizes?;
        let all =
            sizes.iter().try_fold(0usize, |sum, size| sum.checked_add(*size)).ok_or("impossible blocks")?;
        let payload = encoded.take(all)?;
        let (mut rest, mut out) = (&payload[..], Vec::new());
        for size in sizes {
            let block;
            (block, rest) = rest.split_at_checked(size).ok_or("impossible blocks")?;
            let left = length.saturating_sub(out.len());
            ZlibDecoder::new(block).take(left as u64).read_to_end(&mut out)?;
        }
        if out.len() == length { Ok(out) } else { Err("it ends before its values do".into()) }
    }

    /// Bytes of a length.
    fn word(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    fn number(&self, bytes: &[u8]) -> Parsed<usize> {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(bytes) {
            *to = *from;
        }
        if self.is_big_endian {
            word.iter_mut().take(bytes.len()).zip(bytes.iter().rev()).for_each(|(to, from)| *to = *from);
        }
        Ok(usize::try_from(u64::from_le_bytes(word))?)
    }
}

/// Bytes as a file has them.
#[derive(Clone)]
enum Encoded<'a> {
    Raw(&'a [u8]),
    Base64(&'a [u8]),
}

impl Encoded<'_> {
    /// Takes so many bytes off the front; in base64 they are encoded by themselves.
    fn take(&mut self, count: usize) -> Parsed<Vec<u8>> {
        let short = "it ends before its values do";
        match self {
            Self::Raw(bytes) => {
                let (taken, rest) = bytes.split_at_checked(count).ok_or(short)?;
                *bytes = rest;
                Ok(taken.to_vec())
            }
            Self::Base64(text) => {
                let characters = count.div_ceil(3).checked_mul(4).ok_or(short)?;
                let (taken, rest) = text.split_at_checked(characters).ok_or(short)?;
                *text = rest;
                // Where a part of what is encoded together is taken, more bytes come along.
                let mut bytes = STANDARD.decode(taken)?;
                bytes.truncate(count);
                if bytes.len() == count { Ok(bytes) } else { Err(short.into()) }
            }
        }
    }
}

fn dtype(tag: &BytesStart<'_>) -> Parsed<Option<Dtype>> {
    Ok(match &*attribute(tag, "type")? {
        "Float32" => Some(Dtype::F32),
        "Float64" => Some(Dtype::F64),
        _ => None,
    })
}

/// Points between the first and the last one along x, y, z; none where an axis ends before it
/// begins.
fn shape_of(ends: [(i64, i64); 3]) -> Parsed<[usize; 3]> {
    let count = |(first, last): (i64, i64)| last.checked_sub(first)?.checked_add(1)?.max(0).try_into().ok();
    let shape = ends.map(|axis| count(axis).unwrap_or(usize::MAX));
    view::check_shape(shape).map_err(|e| e.to_string())?;
    Ok(shape)
}

/// An attribute of a tag, empty where there is none.
fn attribute(tag: &BytesStart<'_>, name: &str) -> Parsed<String> {
    let found = tag.try_get_attribute(name)?;
    let text = found.map(|a| a.unescape_value().map(|v| v.into_owned())).transpose();
    Ok(text?.unwrap_or_default())
}

/// The `N` numbers of a text.
fn parsed<T: FromStr, const N: usize>(text: &str) -> Parsed<[T; N]> {
    let all: Vec<T> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    all.try_into().map_err(|_| format!("'{text}' are not {N} numbers").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use std::io::Write;

    const VALUES: [f64; 6] = [0.0, 1.5, -2.25, 1e-300, 7.0, f64::MAX];

    fn file(head: &str, array: &str, inside: &str, appended: &str) -> Vec<u8> {
        format!(
            "<?xml version=\"1.0\"?><VTKFile type=\"ImageData\" {head}><ImageData WholeExtent=\"0 2 0 1 0 0\" \
             Origin=\"0 0 1\" Spacing=\"1 2 3\"><Piece Extent=\"0 2 0 1 0 0\"><PointData Scalars=\"a\">\
             <DataArray type=\"Int32\" Name=\"other\" format=\"ascii\">1 2</DataArray>\
             <DataArray type=\"Float64\" Name=\"a\" {array}>{inside}</DataArray></PointData></Piece></ImageData>\
             {appended}</VTKFile>"
        )
        .into()
    }

    fn values(little: bool) -> Vec<u8> {
        VALUES.iter().flat_map(|v| if little { v.to_le_bytes() } else { v.to_be_bytes() }).collect()
    }

    /// Two blocks of five and one value, with what stands before them.
    fn deflated() -> (Vec<u8>, Vec<u8>) {
        let blocks: Vec<Vec<u8>> = values(true)
            .chunks(40)
            .map(|block| {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(block).unwrap();
                encoder.finish().unwrap()
            })
            .collect();
        let header = [2, 40, 8, blocks[0].len() as u32, blocks[1].len() as u32];
        (header.iter().flat_map(|n| n.to_le_bytes()).collect(), blocks.concat())
    }

    fn check(file: &[u8]) {
        let fields = read(file).unwrap_or_else(|e| panic!("{}: {e}", String::from_utf8_lossy(file)));
        let [(info, Field::F64(array))] = &fields[..] else { panic!("one field") };
        assert_eq!((info.name.as_str(), info.shape, info.spacing), ("a", [3, 2, 1], [1.0, 2.0, 3.0]));
        assert!(array.iter().eq(&VALUES), "{array}");
        for length in 0..file.len() - 30 {
            // Whatever is missing is missed, and nothing panics.
            if let Ok(fields) = read(&file[..length]) {
                assert!(fields.is_empty() || length > file.len() - 80);
            }
        }
    }

    #[test]
    fn every_way_to_write_values_is_read() {
        let little = "byte_order=\"LittleEndian\"";
        let text: Vec<_> = VALUES.iter().map(f64::to_string).collect();
        check(&file(little, "format=\"ascii\"", &text.join(" "), ""));
        let with_length = |word: &[u8], little| STANDARD.encode([word, &values(little)].concat());
        check(&file(
            little,
            "format=\"binary\"",
            &format!("\n  {}\n", with_length(&48u32.to_le_bytes(), true)),
            "",
        ));
        let big = "byte_order=\"BigEndian\" header_type=\"UInt64\"";
        check(&file(big, "format=\"binary\"", &with_length(&48u64.to_be_bytes(), false), ""));
        let appended = |text: &str| format!("<AppendedData encoding=\"base64\">_QUJD{text}</AppendedData>");
        let encoded = with_length(&48u32.to_le_bytes(), true);
        check(&file(little, "format=\"appended\" offset=\"4\"", "", &appended(&encoded)));
        let zlib = format!("{little} compressor=\"vtkZLibDataCompressor\"");
        let (header, blocks) = deflated();
        let encoded = STANDARD.encode(header) + &STANDARD.encode(blocks);
        check(&file(&zlib, "format=\"binary\"", &encoded, ""));
        check(&file(&zlib, "format=\"appended\" offset=\"4\"", "", &appended(&encoded)));
    }

    #[test]
    fn values_that_zlib_compressed_are_appended_as_they_are() {
        let (header, blocks) = deflated();
        let head = "byte_order=\"LittleEndian\" compressor=\"vtkZLibDataCompressor\"";
        let mut bytes =
            file(head, "format=\"appended\" offset=\"0\"", "", "<AppendedData encoding=\"raw\">_");
        bytes.truncate(bytes.len() - "</VTKFile>".len());
        let bytes = [bytes, header, blocks, b"</AppendedData></VTKFile>".to_vec()].concat();
        check(&bytes);
    }

    #[test]
    fn lengths_of_blocks_take_no_memory() {
        let head = "byte_order=\"LittleEndian\" header_type=\"UInt64\" compressor=\"vtkZLibDataCompressor\"";
        for numbers in
            [[2, u64::MAX, 8, 4, 4], [1 << 60, 40, 8, 4, 4], [2, 40, 8, u64::MAX, 4], [u64::MAX, 0, 0, 0, 0]]
        {
            let header: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            let encoded = STANDARD.encode(header) + "AAAAAAAAAAAA";
            assert!(read(&file(head, "format=\"binary\"", &encoded, "")).is_err(), "{numbers:?}");
        }
    }
}
