//! The index of a stream: where its tiles are, and checksums of their bytes.
//!
//! A reader of a region needs, and checks, only the tiles that the region touches. Tiles of few
//! bytes share a checksum, which would be a large part of them otherwise. What has all of its tiles
//! in one group needs no checksum beside that of the stream.

use crate::error::{Error, Result};
use crate::wire::{ByteReader, CHECKSUM, write_varint};
use std::ops::Range;

/// Bytes of tiles that share a checksum, at most: what a file system reads at a time.
const GROUP: usize = 4096;

/// Where the tiles of a stream are.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// Where each tile ends, from the first byte of the first one.
    ends: Vec<usize>,
    /// The groups of tiles, in order; none where the stream's own checksum is that of all.
    groups: Vec<Group>,
}

/// Tiles that share a checksum.
#[derive(Clone, Debug)]
struct Group {
    tiles: Range<usize>,
    checksum: u32,
}

/// The groups of tiles that end at these bytes.
fn groups(ends: &[usize]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut begin = 0;
    for (tile, &end) in ends.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if end.saturating_sub(begin) <= GROUP => group.end = tile.saturating_add(1),
            _ => {
                begin = tile.checked_sub(1).map_or(0, |before| ends[before]);
                groups.push(tile..tile.saturating_add(1));
            }
        }
    }
    groups
}

/// Where tiles of these lengths end.
///
/// # Errors
/// [`Error::Stream`] where that is beyond any memory.
fn ends(lengths: impl Iterator<Item = Result<usize>>) -> Result<Vec<usize>> {
    let mut end = 0usize;
    let next = |length: Result<usize>| {
        end = end.checked_add(length?).ok_or_else(|| Error::Stream("impossible length of a tile".into()))?;
        Ok(end)
    };
    lengths.map(next).collect()
}

impl Index {
    /// The index of tiles.
    pub(crate) fn of(tiles: &[Vec<u8>]) -> Result<Self> {
        let ends = ends(tiles.iter().map(|tile| Ok(tile.len())))?;
        let checksum = |tiles: &[Vec<u8>]| {
            let mut sum = crc32fast::Hasher::new();
            tiles.iter().for_each(|tile| sum.update(tile));
            sum.finalize()
        };
        let group = |group: Range<usize>| Group { checksum: checksum(&tiles[group.clone()]), tiles: group };
        let groups = match groups(&ends) {
            groups if groups.len() > 1 => groups.into_iter().map(group).collect(),
            _ => Vec::new(),
        };
        Ok(Self { ends, groups })
    }

    /// Whether the tiles have checksums, so that the stream's own need not be that of all bytes.
    pub(crate) fn has_checksums(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Bytes of all tiles.
    pub(crate) fn bytes(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        // Of tiles that nothing follows, the last one has all that is left.
        let stated = if self.has_checksums() { self.ends.len() } else { self.ends.len().saturating_sub(1) };
        for tile in 0..stated {
            write_varint(self.range(tile).len() as u64, out);
        }
        self.groups.iter().for_each(|group| out.extend_from_slice(&group.checksum.to_le_bytes()));
    }

    /// The index of so many tiles that have checksums.
    pub(crate) fn read(reader: &mut ByteReader<'_>, tiles: usize) -> Result<Self> {
        let ends = ends((0..tiles).map(|_| reader.size()))?;
        let group = |tiles| Ok(Group { tiles, checksum: u32::from_le_bytes(reader.array()?) });
        let groups = groups(&ends).into_iter().map(group).collect::<Result<_>>()?;
        Ok(Self { ends, groups })
    }

    /// The index of so many tiles without checksums, which follow in the reader to its end.
    pub(crate) fn read_before(reader: &mut ByteReader<'_>, tiles: usize) -> Result<Self> {
        let lengths = (1..tiles).map(|_| reader.size());
        let mut ends = ends(lengths)?;
        if tiles > 0 {
            ends.push(reader.len());
        }
        if ends.is_sorted() && ends.last().copied().unwrap_or(0) == reader.len() {
            Ok(Self { ends, groups: Vec::new() })
        } else {
            Err(Error::Stream("its tiles do not fit its length".into()))
        }
    }

    /// Writes the checksums of tiles that were changed to where this index was read from: the end of
    /// a head.
    pub(crate) fn write_checksums(&self, all: &[u8], head: &mut [u8]) {
        for (group, sum) in self.groups.iter().rev().zip(head.rchunks_exact_mut(CHECKSUM)) {
            if let Some(tiles) = all.get(self.range_of(&group.tiles)) {
                sum.copy_from_slice(&crc32fast::hash(tiles).to_le_bytes());
            }
        }
    }

    /// Where a tile is.
    pub(crate) fn range(&self, tile: usize) -> Range<usize> {
        tile.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[tile]
    }

    /// The group of a tile.
    fn group(&self, tile: usize) -> Option<&Group> {
        self.groups.get(self.groups.partition_point(|group| group.tiles.end <= tile))
    }

    /// What has to be there to check a tile.
    pub(crate) fn checked_range(&self, tile: usize) -> Range<usize> {
        self.group(tile).map_or(0..self.bytes(), |group| self.range_of(&group.tiles))
    }

    fn range_of(&self, tiles: &Range<usize>) -> Range<usize> {
        self.range(tiles.start).start..self.range(tiles.end.saturating_sub(1)).end
    }

    /// A tile out of the bytes of all.
    ///
    /// # Errors
    /// [`Error::Stream`] where it was damaged.
    pub(crate) fn tile<'a>(&self, tile: usize, all: &'a [u8]) -> Result<&'a [u8]> {
        if let Some(Group { tiles, checksum }) = self.group(tile)
            && crc32fast::hash(&all[self.range_of(tiles)]) != *checksum
        {
            let text = match tiles.len() {
                1 => format!("tile {tile} is damaged: its checksum is wrong"),
                _ => {
                    let last = tiles.end.saturating_sub(1);
                    format!("tiles {} to {last} are damaged: their checksum is wrong", tiles.start)
                }
            };
            return Err(Error::Stream(text));
        }
        Ok(&all[self.range(tile)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiles(lengths: &[usize]) -> Vec<Vec<u8>> {
        lengths.iter().enumerate().map(|(i, &n)| vec![i as u8; n]).collect()
    }

    #[test]
    fn an_index_comes_back_and_groups_are_small_or_one_tile() {
        for lengths in [
            &[][..],
            &[0],
            &[9000],
            &[1, 2, 3],
            &[4096, 0, 0, 1],
            &[5000, 10, 4086, 1, 5000, 5000],
            &[300; 100],
        ] {
            let tiles = tiles(lengths);
            let index = Index::of(&tiles).unwrap();
            let groups = groups(&index.ends);
            for group in &groups {
                assert!(group.len() == 1 || index.range_of(group).len() <= GROUP, "{lengths:?}");
            }
            assert!(groups.windows(2).all(|w| index.range_of(&(w[0].start..w[1].end)).len() > GROUP));
            assert_eq!(groups.iter().cloned().flatten().collect::<Vec<_>>(), Vec::from_iter(0..tiles.len()));
            let (mut bytes, all) = (Vec::new(), tiles.concat());
            index.write(&mut bytes);
            let again = if index.has_checksums() {
                let mut reader = ByteReader::new(&bytes);
                let again = Index::read(&mut reader, tiles.len()).unwrap();
                assert_eq!(reader.len(), 0);
                again
            } else {
                bytes.extend_from_slice(&all);
                Index::read_before(&mut ByteReader::new(&bytes), tiles.len()).unwrap()
            };
            for (i, tile) in tiles.iter().enumerate() {
                assert_eq!(again.tile(i, &all).unwrap(), &tile[..], "{lengths:?}, tile {i}");
            }
        }
    }
}
