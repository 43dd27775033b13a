//! The native part of the Python package `swae`: files that are read, arrays that are compressed.
//! `swae/__init__.py` is the package that users see. Arrays and regions are `[z, y, x]`.

use numpy::{IntoPyArray, PyArrayDyn, PyReadonlyArrayDyn};
use pyo3::exceptions::{PyIndexError, PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use swae_codec::array::{self, Values};
use swae_codec::config::Settings;
use swae_codec::process::PerProcess;
use swae_codec::threads::with_limit;
use swae_codec::{Compression, Element, Field, Models};
use swae_filter::panics::caught;
use swae_store::Decoder;

pyo3::create_exception!(
    swae,
    Error,
    pyo3::exceptions::PyException,
    "The reason why swae cannot do something."
);

pyo3::create_exception!(swae, CorruptError, Error, "A file or bytes are damaged, or are none of swae.");
pyo3::create_exception!(swae, VersionError, Error, "A later library has written a file or bytes.");

/// The exception of an error of the codec.
fn codec_error(e: swae_codec::Error) -> PyErr {
    let text = e.to_string();
    match e {
        swae_codec::Error::Stream(_) => CorruptError::new_err(text),
        swae_codec::Error::Version { .. } | swae_codec::Error::Newer(_) => VersionError::new_err(text),
        swae_codec::Error::Memory(_) => PyMemoryError::new_err(text),
        _ => Error::new_err(text),
    }
}

/// The exception of an error of a store.
fn store_error(e: swae_store::Error) -> PyErr {
    match e {
        swae_store::Error::Codec(e) => codec_error(e),
        e @ swae_store::Error::Content { .. } => CorruptError::new_err(e.to_string()),
        e => Error::new_err(e.to_string()),
    }
}

/// The exception of a panic.
fn internal(text: String) -> PyErr {
    Error::new_err(text)
}

struct Open {
    reader: Box<dyn swae_store::Reader>,
    /// Keeps the last step of each field that was read whole, from which the next one is predicted.
    decoder: Decoder,
}

/// A file, which a forked child opens anew: its parent's reader may be locked by a thread that the
/// child does not have, and has its place in the parent's file.
#[pyclass(module = "swae._swae")]
struct Reader {
    path: PathBuf,
    open: PerProcess<Mutex<Option<Open>>>,
}

impl Reader {
    fn with<R>(&self, call: impl FnOnce(&mut Open) -> PyResult<R>) -> PyResult<R> {
        let mut open = self.open.get(|_| Mutex::default()).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &mut *open {
            return call(open);
        }
        let reader = swae_store::open(&self.path).map_err(store_error)?;
        call(open.insert(Open { reader, decoder: Decoder::remembering() }))
    }
}

/// First index and end along z, y, x.
type Region = [(usize, usize); 3];

#[pymethods]
impl Reader {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        // Where a child that is forked finds it, whatever its folder is.
        let path = std::path::absolute(&path).unwrap_or(path);
        let reader = Self { path, open: PerProcess::new() };
        py.detach(|| caught(|| reader.with(|_| Ok(())))).map_err(internal)??;
        Ok(reader)
    }

    /// Number and time of each step.
    fn steps(&self) -> PyResult<Vec<(i64, f64)>> {
        self.with(|open| Ok(open.reader.steps().iter().map(|s| (s.step, s.time)).collect()))
    }

    /// Descriptions of the fields of a step, by index.
    fn fields<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let no_step = || PyIndexError::new_err("no such step");
        let step = |open: &mut Open| open.reader.steps().get(index).cloned().ok_or_else(no_step);
        let step = self.with(step)?;
        let description = |(info, stored): &(swae_store::FieldInfo, u64)| {
            let dict = PyDict::new(py);
            let [x, y, z] = info.shape;
            let reversed = |[x, y, z]: [f64; 3]| (z, y, x);
            dict.set_item("name", &info.name)?;
            dict.set_item("dtype", info.dtype.name())?;
            dict.set_item("shape", (z, y, x))?;
            dict.set_item("origin", reversed(info.origin))?;
            dict.set_item("spacing", reversed(info.spacing))?;
            dict.set_item("encoding", &info.encoding)?;
            dict.set_item("partial", info.partial)?;
            dict.set_item("stored_bytes", *stored)?;
            Ok(dict)
        };
        step.fields.iter().map(description).collect()
    }

    /// A field of a step, by index, or a region of it.
    #[pyo3(signature = (index, name, region=None))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        index: usize,
        name: &str,
        region: Option<Region>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let read = |open: &mut Open| {
            let Open { reader, decoder } = open;
            if index >= reader.steps().len() {
                return Err(PyIndexError::new_err("no such step"));
            }
            let region = region.map(|[z, y, x]| [x, y, z].map(|(first, end)| first..end));
            // Keeping a step means decoding all of it, which a region does not.
            let mut once = Decoder::default();
            let decoder = if region.is_none() { decoder } else { &mut once };
            decoder.read_field(reader.as_mut(), index, name, region).map_err(store_error)
        };
        let field = py.detach(|| caught(|| self.with(read))).map_err(internal)??;
        Ok(match field {
            Field::F32(a) => a.into_pyarray(py).into_any(),
            Field::F64(a) => a.into_pyarray(py).into_any(),
        })
    }
}

/// Runs on at most so many threads; 0 for all cores.
fn on_threads<T>(threads: usize, body: impl FnOnce() -> swae_codec::Result<T>) -> PyResult<T> {
    caught(|| with_limit(threads, body)).map_err(internal)?.map_err(codec_error)
}

/// Compresses a contiguous array of floats; settings are keys and values ([`Settings::KEYS`]).
#[pyfunction]
fn compress(
    py: Python<'_>,
    array: &Bound<'_, PyAny>,
    settings: Vec<(String, String)>,
    threads: usize,
) -> PyResult<Vec<u8>> {
    fn compressed<T: Element + numpy::Element>(
        py: Python<'_>,
        array: &PyReadonlyArrayDyn<'_, T>,
        compression: &Compression,
        threads: usize,
    ) -> PyResult<Vec<u8>> {
        let (values, shape) = (array.as_slice()?, array.as_array().shape().to_vec());
        py.detach(|| on_threads(threads, || array::compress_with(values, &shape, compression)))
    }
    let compression = caught(|| compression(&settings)).map_err(internal)?.map_err(codec_error)?;
    if let Ok(array) = array.extract::<PyReadonlyArrayDyn<'_, f64>>() {
        compressed(py, &array, &compression, threads)
    } else if let Ok(array) = array.extract::<PyReadonlyArrayDyn<'_, f32>>() {
        compressed(py, &array, &compression, threads)
    } else {
        Err(PyTypeError::new_err("swae compresses arrays of float32 and float64"))
    }
}

fn compression(pairs: &[(String, String)]) -> swae_codec::Result<Compression> {
    let mut settings = Settings::default();
    pairs.iter().try_for_each(|(key, value)| settings.set(key, value))?;
    settings.compression()
}

/// Decompresses the bytes of [`compress`].
#[pyfunction]
fn decompress<'py>(py: Python<'py>, payload: &[u8], threads: usize) -> PyResult<Bound<'py, PyAny>> {
    fn shaped<'py, T: numpy::Element>(
        py: Python<'py>,
        shape: &[usize],
        values: Vec<T>,
    ) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
        Ok(ndarray::ArrayD::from_shape_vec(shape, values)
            .map_err(|e| internal(e.to_string()))?
            .into_pyarray(py))
    }
    let decoded = py.detach(|| on_threads(threads, || array::decompress(payload, &Models::built_in())))?;
    Ok(match decoded.values {
        Values::F32(values) => shaped(py, &decoded.shape, values)?.into_any(),
        Values::F64(values) => shaped(py, &decoded.shape, values)?.into_any(),
        Values::Bytes(values) => shaped(py, &decoded.shape, values)?.into_any(),
    })
}

/// The native module. The package has the library's version.
#[pymodule]
fn _swae(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Error", module.py().get_type::<Error>())?;
    module.add("CorruptError", module.py().get_type::<CorruptError>())?;
    module.add("VersionError", module.py().get_type::<VersionError>())?;
    module.add_class::<Reader>()?;
    module.add_function(wrap_pyfunction!(compress, module)?)?;
    module.add_function(wrap_pyfunction!(decompress, module)?)
}
