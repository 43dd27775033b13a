//! Mutations of a valid file that keep it nearly one: bytes and numbers are changed, in binary and
//! in text, and parts are taken away or doubled. All positions wrap, so any bytes are mutations.

use swae_codec::stream;

/// Numbers at the limits of arithmetic.
const NUMBERS: [u64; 12] = [
    0, 1, 2, 7, 0x7f, 0xff, 1 << 16, u32::MAX as u64, 1 << 32, i64::MAX as u64, 1 << 63, u64::MAX,
];

/// A list of mutations, six bytes each.
pub struct Mutations<'a>(&'a [u8]);

impl<'a> Mutations<'a> {
    /// At most 16, so that something of the file is left.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(&bytes[..bytes.len().min(16 * 6)])
    }
}

/// Changes a file.
pub fn mutate(file: &mut Vec<u8>, Mutations(bytes): Mutations<'_>) {
    for change in bytes.chunks_exact(6) {
        if file.is_empty() {
            return;
        }
        let at = u32::from_le_bytes([change[1], change[2], change[3], 0]) as usize % file.len();
        let (value, number) = (change[4], NUMBERS[usize::from(change[5]) % NUMBERS.len()]);
        let end = (at + usize::from(value) + 1).min(file.len());
        match change[0] % 7 {
            0 => file[at] = value,
            1 => file[at] ^= 1 << (value % 8),
            // At the front, where files say what they hold, and anywhere.
            2 => overwrite(file, at % 128 / 8 * 8, &number.to_le_bytes()),
            3 => overwrite(file, at, &number.to_le_bytes()),
            4 => drop(file.drain(at..end)),
            5 => {
                let part = file[at..end].to_vec();
                file.splice(at..at, part);
            }
            _ => replace_number(file, at, number as i64),
        }
    }
}

fn overwrite(file: &mut [u8], at: usize, bytes: &[u8]) {
    for (byte, new) in file.iter_mut().skip(at).zip(bytes) {
        *byte = *new;
    }
}

/// Replaces the decimal number at or behind a place.
fn replace_number(file: &mut Vec<u8>, at: usize, number: i64) {
    let Some(begin) = file[at..].iter().position(u8::is_ascii_digit).map(|n| at + n) else { return };
    let length = file[begin..].iter().take_while(|b| b.is_ascii_digit()).count();
    file.splice(begin..begin + length, number.to_string().into_bytes());
}

/// Makes the checksums of the streams of a `.swae` file right again, as far as its table of lengths
/// says where they are.
pub fn reseal(file: &mut [u8]) {
    let number = |file: &[u8], at: usize| {
        let bytes = file.get(at..at.checked_add(8)?)?;
        usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let lengths = || {
        let count_at = number(file, 8)?.checked_add(16)?;
        let count = number(file, count_at)?.min(64);
        let lengths: Option<Vec<_>> = (1..=count).map(|i| number(file, count_at + 8 * i)).collect();
        Some((count_at.checked_add(8 * (count + 1))?, lengths?))
    };
    let Some((mut begin, lengths)) = lengths() else { return };
    for length in lengths {
        let Some(end) = begin.checked_add(length).filter(|end| *end <= file.len()) else { return };
        stream::reseal(&mut file[begin..end]);
        begin = end;
    }
}
