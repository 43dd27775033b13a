//! Files of one field or one step: `.swae` (a compressed field, one step or a series), `.npy`,
//! `.vti`.
//!
//! A `.swae` file is `SWAEFILE`, the length of a model's decoder (0 where the model is built in),
//! that decoder as a model file, the number of steps, the length of each step's stream, and the
//! streams; all numbers are little-endian u64.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::decode::stacked;
use crate::error::{Cause, Error, Result, content, io, reading};
use crate::new_file::write_new;
use crate::reader::{Lost, Reader, Selection, Stored, open_stream};
use crate::size::{check_memory, check_size};
use crate::step::{BoxRow, FieldInfo, StepInfo};
use crate::vtk::read_vti;
use ndarray::{Array3, Array4, Axis, stack};
use ndarray_npy::npy::header::Header;
use ndarray_npy::{ReadNpyError, ReadNpyExt, WriteNpyExt};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use swae_codec::bound::Tolerance;
use swae_codec::stream::{Header as StreamHeader, Kind, Stream};
use swae_codec::{Dtype, Element, Field, Model, Models, memory, view};

const MAGIC: &[u8; 8] = b"SWAEFILE";

/// Writes a `.swae` file: a stream for each step, and their model's decoder where that is not built
/// in.
///
/// # Errors
/// [`Error::Io`].
pub fn write_swae(path: &Path, streams: &[Vec<u8>], model: Option<&Model>) -> Result<()> {
    let decoder = match model {
        Some(model) if !Models::is_built_in(model.id()) => model.decoder_only().to_bytes(),
        _ => Vec::new(),
    };
    write_parts(path, &decoder, streams)
}

/// Writes a `.swae` file of a decoder, which may be empty, and streams.
fn write_parts(path: &Path, decoder: &[u8], streams: &[Vec<u8>]) -> Result<()> {
    let number = |n: usize| (n as u64).to_le_bytes();
    write_new(path, |file| -> std::io::Result<()> {
        file.write_all(MAGIC)?;
        file.write_all(&number(decoder.len()))?;
        file.write_all(decoder)?;
        file.write_all(&number(streams.len()))?;
        streams.iter().try_for_each(|s| file.write_all(&number(s.len())))?;
        streams.iter().try_for_each(|s| file.write_all(s))
    })
}

/// The arrays `[z, y, x]` along the slowest axis of a `.npy` file of four axes: time steps, or boxes.
///
/// # Errors
/// [`Error::Io`] where there is no such file, [`Error::Content`] where it holds something else.
pub fn read_npy_list(path: &Path) -> Result<Vec<Field>> {
    fn read<T: Element + ndarray_npy::ReadableElement>(
        file: &File,
    ) -> std::result::Result<Vec<Array3<T>>, ReadNpyError> {
        let array = Array4::<T>::read_npy(BufReader::new(file))?;
        Ok(array.outer_iter().map(|a| a.as_standard_layout().into_owned()).collect())
    }
    read_as(
        path,
        4,
        |file| Ok(read(file)?.into_iter().map(Field::F64).collect()),
        |file| Ok(read(file)?.into_iter().map(Field::F32).collect()),
    )
}

/// Writes arrays `[z, y, x]` of one shape as one array with an axis before z.
///
/// # Errors
/// [`Error::Io`]; [`Error::Unsupported`] where their shapes differ.
pub fn write_npy_list(path: &Path, fields: &[Field]) -> Result<()> {
    fn stacked<T: Element>(fields: &[Field]) -> Result<Array4<T>> {
        let views: Vec<_> = fields.iter().filter_map(Field::as_array::<T>).map(|a| a.view()).collect();
        stack(Axis(0), &views)
            .map_err(|_| Error::Unsupported("boxes of different shapes make no array".into()))
    }
    match fields.first() {
        Some(Field::F32(_)) => {
            let array = stacked::<f32>(fields)?;
            write_new(path, |file| array.write_npy(file))
        }
        Some(Field::F64(_)) => {
            let array = stacked::<f64>(fields)?;
            write_new(path, |file| array.write_npy(file))
        }
        None => write_new(path, |file| Array4::<f64>::zeros((0, 0, 0, 0)).write_npy(file)),
    }
}

/// Writes an array `[z, y, x]`.
///
/// # Errors
/// [`Error::Io`].
pub fn write_npy(path: &Path, field: &Field) -> Result<()> {
    write_new(path, |file| match field {
        Field::F32(a) => a.write_npy(file),
        Field::F64(a) => a.write_npy(file),
    })
}

/// Reads an array `[z, y, x]` of float32 or float64 values, in either memory order.
///
/// # Errors
/// [`Error::Io`] where there is no such file, [`Error::Content`] where it holds something else.
pub fn read_npy(path: &Path) -> Result<Field> {
    fn read<T: Element + ndarray_npy::ReadableElement>(
        file: &File,
    ) -> std::result::Result<Array3<T>, ReadNpyError> {
        let array = Array3::<T>::read_npy(BufReader::new(file))?;
        Ok(array.as_standard_layout().into_owned())
    }
    read_as(path, 3, |file| read(file).map(Field::F64), |file| read(file).map(Field::F32))
}

/// Reads doubles or, where the file holds none, floats: an array of so many axes.
fn read_as<T>(
    path: &Path,
    axes: usize,
    doubles: impl Fn(&File) -> std::result::Result<T, ReadNpyError>,
    floats: impl Fn(&File) -> std::result::Result<T, ReadNpyError>,
) -> Result<T> {
    let open = || File::open(path).map_err(|e| io(path, e));
    check_npy(&mut open()?, axes).map_err(|cause| reading(path, cause))?;
    match doubles(&open()?) {
        Err(ReadNpyError::WrongDescriptor(_)) => floats(&open()?).map_err(|e| content(path, e)),
        other => other.map_err(|e| content(path, e)),
    }
}

/// Bytes of a header of a `.npy` file, at most: those of arrays of floats have some hundred.
const NPY_HEADER: u64 = 1 << 16;
/// Brackets that a header opens, at most: it is parsed by recursion.
const NPY_BRACKETS: usize = 16;

/// Checks what a `.npy` file says of itself before memory is taken for its values.
fn check_npy(file: &mut File, axes: usize) -> std::result::Result<(), Cause> {
    let mut start = Vec::new();
    file.take(NPY_HEADER).read_to_end(&mut start)?;
    let text = start.split(|&b| b == b'\n').next().unwrap_or_default();
    if text.iter().filter(|b| matches!(b, b'(' | b'[' | b'{')).count() > NPY_BRACKETS {
        return Err("its header is none of an array of floats".into());
    }
    file.rewind()?;
    let header = Header::from_reader(file)?;
    if header.shape.len() != axes {
        let found = header.shape.len();
        return Err(format!("an array of {found} axes, where {axes} are needed").into());
    }
    let kind = header.type_descriptor.to_string();
    if !["f4", "f8"].iter().any(|float| kind.trim_matches('\'').ends_with(float)) {
        return Err(format!("its values are {kind}, and fields are float32 or float64").into());
    }
    let rest = file.metadata()?.len().saturating_sub(file.stream_position()?);
    let product = |axes: &mut dyn Iterator<Item = &usize>| axes.copied().fold(1, usize::saturating_mul);
    // float32 at least.
    check_size::<f32>(product(&mut header.shape.iter()), rest)?;
    // An empty axis leaves no values, but ndarray multiplies the others, and panics where it cannot.
    let others = product(&mut header.shape.iter().filter(|&&count| count > 0));
    if isize::try_from(others.saturating_mul(size_of::<f64>())).is_err() {
        return Err("its axes are longer than those of any array".into());
    }
    Ok(check_memory::<u8>(usize::try_from(rest)?)?)
}

/// What a field of a file holds.
#[derive(Clone)]
enum Content {
    /// A stream, which is in the file from this byte on.
    Stream {
        offset: u64,
        length: usize,
    },
    Values(Field),
}

/// A step, and what each of its fields holds.
type Step = (StepInfo, Vec<Content>);

/// A file of steps. Streams are read when they are asked for, all else when it is opened.
pub(crate) struct PlainReader {
    path: PathBuf,
    file: File,
    steps: Vec<StepInfo>,
    models: Models,
    /// By step, then by field.
    contents: Vec<Vec<Content>>,
    /// The decoder that a `.swae` file brings, as it is there.
    decoder: Vec<u8>,
    lost: Vec<Lost>,
}

impl PlainReader {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (mut models, mut decoder, mut lost) = (Models::built_in(), Vec::new(), Vec::new());
        let stem = path.file_stem().map_or_else(|| "field".into(), |s| s.to_string_lossy().into_owned());
        let file = File::open(path).map_err(|e| io(path, e))?;
        let steps = match path.extension().and_then(|e| e.to_str()) {
            Some("swae") => {
                let found = read_swae(path, &file, &stem)?;
                (models, decoder, lost) = (found.models, found.decoder, found.lost);
                found.steps
            }
            Some("npy") => {
                let field = read_npy(path)?;
                let info = info(stem, field.dtype(), field.count(), "npy".into());
                vec![values_step(vec![(info, field)])]
            }
            _ => vec![values_step(read_vti(path)?)],
        };
        let (steps, contents) = steps.into_iter().unzip();
        let size = file.metadata().map_err(|e| io(path, e))?.len();
        let mut reader = Self { path: path.into(), file, steps, models, contents, decoder, lost };
        reader.count_the_rest(size);
        Ok(reader)
    }

    /// Every stored byte counts: those beside the streams are the first field's.
    fn count_the_rest(&mut self, size: u64) {
        let counted: u64 =
            self.steps.iter().flat_map(|s| &s.fields).fold(0, |sum, (_, stored)| sum.saturating_add(*stored));
        if let Some((_, stored)) = self.steps.first_mut().and_then(|s| s.fields.first_mut()) {
            *stored = stored.saturating_add(size.saturating_sub(counted));
        }
    }
}

/// Bytes of a file from a place on.
fn read_at(path: &Path, file: &File, at: u64, out: &mut [u8]) -> Result<()> {
    file.read_exact_at(out, at).map_err(|e| io(path, e))
}

/// The rest of a `.swae` file.
struct SwaeBytes<'a> {
    path: &'a Path,
    file: &'a File,
    at: u64,
    left: usize,
}

impl SwaeBytes<'_> {
    fn short(&self) -> Error {
        content(self.path, "not a .swae file, or cut short")
    }

    fn number(&mut self) -> Result<usize> {
        let number = self.take(size_of::<u64>())?;
        let number = number.first_chunk().map(|number| u64::from_le_bytes(*number));
        number.and_then(|number| usize::try_from(number).ok()).ok_or_else(|| self.short())
    }

    fn take(&mut self, n: usize) -> Result<Vec<u8>> {
        let at = self.skip(n)?;
        let mut bytes = memory::zeros(n)?;
        read_at(self.path, self.file, at, &mut bytes)?;
        Ok(bytes)
    }

    /// The place of so many bytes, which are not read.
    fn skip(&mut self, n: usize) -> Result<u64> {
        let at = self.at;
        self.left = self.left.checked_sub(n).ok_or_else(|| self.short())?;
        self.at = at.saturating_add(n as u64);
        Ok(at)
    }
}

/// What a `.swae` file holds.
struct Swae {
    steps: Vec<Step>,
    models: Models,
    decoder: Vec<u8>,
    lost: Vec<Lost>,
}

fn read_swae(path: &Path, file: &File, name: &str) -> Result<Swae> {
    let size = file.metadata().map_err(|e| io(path, e))?.len();
    let mut bytes = SwaeBytes { path, file, at: 0, left: usize::try_from(size).unwrap_or(usize::MAX) };
    if bytes.take(MAGIC.len())? != MAGIC {
        return Err(bytes.short());
    }
    let length = bytes.number()?;
    let decoder = bytes.take(length)?;
    let (mut models, mut lost) = (Models::built_in(), Vec::new());
    if !decoder.is_empty() {
        match Model::from_bytes(&decoder) {
            Ok(model) => drop(models.add(model)),
            Err(e) => lost.push(Lost { what: "the model".into(), error: e.into() }),
        }
    }
    let count = bytes.number()?;
    if count > bytes.left / 8 {
        return Err(bytes.short());
    }
    let lengths = (0..count).map(|_| bytes.number()).collect::<Result<Vec<_>>>()?;
    let mut steps = Vec::new();
    for (step, length) in lengths.into_iter().enumerate() {
        match swae_step(&mut bytes, name, step, length, &models) {
            Ok(step) => steps.push(step),
            Err(error) => lost.push(Lost { what: format!("step {step}"), error }),
        }
    }
    if bytes.left > 0 {
        lost.push(Lost { what: "the end".into(), error: content(path, "it goes on behind its last stream") });
    }
    Ok(Swae { steps, models, decoder, lost })
}

fn swae_step(
    bytes: &mut SwaeBytes<'_>,
    name: &str,
    step: usize,
    length: usize,
    models: &Models,
) -> Result<Step> {
    let offset = match bytes.skip(length) {
        Ok(offset) => offset,
        Err(short) => {
            // Whatever is left is a part of this stream.
            bytes.left = 0;
            return Err(short);
        }
    };
    let read =
        |at: usize, out: &mut [u8]| read_at(bytes.path, bytes.file, offset.saturating_add(at as u64), out);
    let nothing = |header: &StreamHeader| Some(header.boxes.iter().map(|_| [0..0, 0..0, 0..0]).collect());
    let stream = Stream::read(length, read, nothing)?;
    let header = stream.header();
    // A list of boxes is shown as one box behind the other along z.
    let shape = stacked(&header.boxes).filter(|shape| view::check_shape(*shape).is_ok());
    let shape = shape.ok_or_else(|| content(bytes.path, "its boxes do not make one along z"))?;
    let info = info(name.into(), header.dtype, shape, encoding(&header.kind, models));
    let step = StepInfo { step: step as i64, time: step as f64, fields: vec![(info, length as u64)] };
    Ok((step, vec![Content::Stream { offset, length }]))
}

/// How a stream says that it is compressed.
fn encoding(kind: &Kind, models: &Models) -> String {
    match kind {
        Kind::Raw => "raw".into(),
        Kind::Latent(coding, id) => {
            let known = models.name_of(*id).map(String::from);
            format!("latent {} {}", known.unwrap_or_else(|| id.to_string()), coding.name())
        }
        Kind::Bounded(preamble) => match preamble.tolerance {
            Tolerance::Absolute(e) => format!("abs {e:.3e}"),
            Tolerance::PointwiseRelative(r) => format!("pwrel {r:.3e}"),
        },
        _ => "of a newer swae".into(),
    }
}

fn info(name: String, dtype: Dtype, shape: [usize; 3], encoding: String) -> FieldInfo {
    FieldInfo { name, dtype, shape, origin: [0.0; 3], spacing: [1.0; 3], encoding, partial: false }
}

/// A step of fields that a file holds as they are.
fn values_step(fields: Vec<(FieldInfo, Field)>) -> Step {
    let (fields, contents) = fields
        .into_iter()
        .map(|(info, field)| {
            let raw_bytes = info.raw_bytes();
            ((info, raw_bytes), Content::Values(field))
        })
        .unzip();
    (StepInfo { step: 0, time: 0.0, fields }, contents)
}

impl Reader for PlainReader {
    fn steps(&self) -> &[StepInfo] {
        &self.steps
    }

    fn models(&self) -> &Models {
        &self.models
    }

    fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    fn copy(&mut self, to: &Path, kept: &[BTreeSet<String>]) -> Result<()> {
        let steps = self.contents.iter().zip(kept).filter(|(_, kept)| !kept.is_empty());
        let mut streams = Vec::new();
        for content in steps.flat_map(|(contents, _)| contents) {
            let Content::Stream { offset, length } = *content else {
                return Err(Error::Unsupported(format!("{}: it holds no streams", self.path.display())));
            };
            let mut stream = memory::zeros(length)?;
            read_at(&self.path, &self.file, offset, &mut stream)?;
            streams.push(stream);
        }
        write_parts(to, &self.decoder, &streams)
    }

    fn read_selected(
        &mut self,
        index: usize,
        field: &str,
        select: &mut dyn FnMut(&[BoxRow]) -> Selection,
    ) -> Result<Vec<Stored>> {
        let fields = &self.steps[index].fields;
        let at = fields.iter().position(|(info, _)| info.name == field);
        let at = at.ok_or_else(|| content(&self.path, format!("no field {field}")))?;
        let (content, mut row) = (&self.contents[index][at], BoxRow::whole(&fields[at].0));
        if let Content::Stream { length, .. } = content {
            row.length = *length as u64;
        }
        let rows = vec![row];
        let selection = select(&rows);
        if selection == Selection::Nothing {
            return Ok(Vec::new());
        }
        Ok(vec![match content {
            Content::Stream { offset, .. } => {
                let stream = open_stream(&rows, &selection, |at, out| {
                    read_at(&self.path, &self.file, offset.saturating_add(at as u64), out)
                })?;
                Stored::Stream { rows, stream }
            }
            Content::Values(field) => Stored::Values { rows, field: field.clone(), compression: None },
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vtk::write_vti;
    use std::fs;
    use swae_codec::{Compression, FieldView, compress};

    fn raw<T: Element>(array: &Array3<T>) -> Vec<u8> {
        compress(&FieldView::of_array(array).unwrap(), &Compression::raw()).unwrap()
    }

    #[test]
    fn a_field_comes_back_from_npy_vti_and_swae() {
        let dir = tempfile::tempdir().unwrap();
        let array = Array3::from_shape_fn((9, 8, 7), |(z, y, x)| x as f64 + 0.1 * y as f64 - z as f64);
        let field = Field::F64(array.clone());
        let info = FieldInfo {
            name: "chi".into(),
            dtype: Dtype::F64,
            shape: [7, 8, 9],
            origin: [-1.0, 0.0, 0.5],
            spacing: [0.25; 3],
            encoding: String::new(),
            partial: false,
        };
        let at = |name: &str| dir.path().join(name);
        write_npy(&at("a.npy"), &field).unwrap();
        write_vti(&at("a.vti"), &[(info.clone(), field.clone())]).unwrap();
        write_swae(&at("a.swae"), &[raw(&array)], None).unwrap();
        for name in ["a.npy", "a.vti", "a.swae"] {
            let mut reader = crate::open(&at(name)).unwrap();
            let found = reader.steps()[0].fields[0].0.clone();
            assert_eq!(crate::read_field(reader.as_mut(), 0, &found.name).unwrap(), field, "{name}");
        }
        let (again, _) = read_vti(&at("a.vti")).unwrap().remove(0);
        assert_eq!(
            (again.name, again.shape, again.origin, again.spacing),
            (info.name, info.shape, info.origin, info.spacing)
        );
    }

    #[test]
    fn a_vti_file_cut_short_anywhere_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.vti");
        let field = Field::F32(Array3::zeros((2, 3, 4)));
        let info = info("a <b>".into(), Dtype::F32, [4, 3, 2], String::new());
        write_vti(&path, &[(info, field)]).unwrap();
        let whole = fs::read(&path).unwrap();
        let end = "\n</AppendedData>\n</VTKFile>\n".len();
        for n in 0..whole.len() - end {
            fs::write(&path, &whole[..n]).unwrap();
            assert!(crate::open(&path).is_err(), "{n} bytes");
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(crate::open(&path).unwrap().steps()[0].fields[0].0.name, "a <b>");
    }

    #[test]
    fn a_swae_file_cut_short_anywhere_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.swae");
        write_swae(&path, &[raw(&Array3::<f32>::zeros((3, 3, 3)))], None).unwrap();
        let whole = fs::read(&path).unwrap();
        for n in 0..whole.len() {
            fs::write(&path, &whole[..n]).unwrap();
            assert!(crate::open(&path).is_err(), "{n} bytes");
        }
    }
}
