//! Files that lost their end: HDF5 opens none that is shorter than its first block says.
//!
//! A copy is made as long as that, with nothing where the end was. Steps are written one behind the
//! other, so all but the last ones are whole. Where the list of steps was at the end, they are found
//! by what their groups begin with.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::attributes::get;
use hdf5::{File, Group, ObjectReference1, ReferencedObject};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// What a file begins with, and where its first block (of version 2, as ours) has its length.
const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n\x02";
const LENGTH: usize = 28;
/// What an object begins with.
const OBJECT: &[u8] = b"OHDR";

/// The length that a file has, and the one that it says it has, where it is shorter.
pub(super) fn lengths(path: &Path) -> Option<(u64, u64)> {
    let mut start = [0; LENGTH + 8];
    let mut file = fs::File::open(path).ok()?;
    file.read_exact(&mut start).ok()?;
    let (found, said) = (file.metadata().ok()?.len(), u64::from_le_bytes(*start[LENGTH..].first_chunk()?));
    (start.starts_with(SIGNATURE) && found < said).then_some((found, said))
}

/// Opens a copy of a file that is as long as this. The copy has no name any more.
pub(super) fn open_lengthened(path: &Path, length: u64) -> io::Result<File> {
    let copy = tempfile::Builder::new().suffix(".h5").tempfile()?;
    io::copy(&mut fs::File::open(path)?, &mut copy.as_file())?;
    copy.as_file().set_len(length)?;
    File::open(copy.path()).map_err(io::Error::other)
}

/// All groups of complete steps, by their bytes in the file: the last one of each number.
pub(super) fn find_steps(file: &File, path: &Path) -> Vec<Group> {
    let mut steps = BTreeMap::new();
    for address in objects(path).unwrap_or_default() {
        if let Ok(ReferencedObject::Group(group)) = file.dereference(&reference(address))
            && group.attr("complete").is_ok()
            && let Ok(step) = get::<i64>(&group, "step")
        {
            steps.insert(step, group);
        }
    }
    steps.into_values().collect()
}

/// A reference to the object at an address, which need not be one.
fn reference(address: u64) -> ObjectReference1 {
    const { assert!(size_of::<ObjectReference1>() == size_of::<u64>()) };
    // SAFETY: it is an `hobj_ref_t`, an address; HDF5 checks what is there.
    unsafe { std::mem::transmute_copy(&address) }
}

/// Where the bytes of a file look like an object.
fn objects(path: &Path) -> io::Result<Vec<u64>> {
    let mut file = io::BufReader::new(fs::File::open(path)?);
    let (mut found, mut window, mut at) = (Vec::new(), Vec::new(), 0u64);
    loop {
        // What was read before and may be the beginning of one.
        let kept = window.len().min(OBJECT.len().saturating_sub(1));
        window.drain(..window.len().saturating_sub(kept));
        let begin = at.saturating_sub(kept as u64);
        let count = (&mut file).take(1 << 20).read_to_end(&mut window)?;
        if count == 0 {
            return Ok(found);
        }
        at = at.saturating_add(count as u64);
        let objects = window.windows(OBJECT.len()).enumerate().filter(|(_, bytes)| *bytes == OBJECT);
        found.extend(objects.map(|(i, _)| begin.saturating_add(i as u64)));
    }
}
