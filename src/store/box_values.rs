//! Copies of boxes of values for stores that compress values themselves.
//! They lie as HDF5 writes them, so that nothing is copied again on the way to the file.

use ndarray::Array3;
use std::borrow::Cow;
use swae_codec::{Element, Error, Field, FieldView, Result, memory};

/// A row of values along x, and the point where it begins, `[z, y, x]`.
type Row<'a, T> = ([usize; 3], &'a [T]);

/// The values of some boxes of a field, copied once: row after row, in the order of the whole grid,
/// in which HDF5 walks through a selection of the boxes.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxValues {
    /// First point and size of each box, `[x, y, z]`.
    boxes: Vec<([usize; 3], [usize; 3])>,
    /// All values, along the one axis.
    values: Field,
}

impl BoxValues {
    /// Copies boxes; each comes with the point of the grid where it begins.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn copy_of<T: Element>(boxes: &[([usize; 3], FieldView<'_, T>)]) -> Result<Self> {
        let mut values = memory::with_capacity(boxes.iter().map(|(_, view)| view.len()).sum())?;
        let mut rows = Vec::new();
        for (number, ([x, y, z], view)) in boxes.iter().enumerate() {
            let [width, height, depth] = view.count();
            if width > 0 {
                let places = (0..depth).flat_map(|k| (0..height).map(move |j| (k, j)));
                rows.extend(places.map(|(k, j)| ([z + k, y + j, *x], number, [0, j, k])));
            }
        }
        rows.sort_unstable();
        for (_, number, at) in rows {
            let (_, view) = &boxes[number];
            let width = view.count()[0];
            match view.row(at, width) {
                Some(row) => values.extend_from_slice(row),
                None => values.extend((0..width).map(|i| view.get([i, at[1], at[2]]))),
            }
        }
        let boxes = boxes.iter().map(|(start, view)| (*start, view.count())).collect();
        Ok(Self { boxes, values: line(values) })
    }

    /// First point and size of each box, `[x, y, z]`.
    pub fn boxes(&self) -> &[([usize; 3], [usize; 3])] {
        &self.boxes
    }

    /// All values, along one axis.
    pub fn values(&self) -> &Field {
        &self.values
    }

    /// Bytes of the values.
    pub fn bytes(&self) -> usize {
        self.values.count()[0] * self.values.dtype().size()
    }

    fn rows<T: Element>(&self) -> Option<Vec<Row<'_, T>>> {
        let mut rest = self.values.as_array::<T>()?.as_slice()?;
        let mut rows = Vec::new();
        for &([x, y, z], [width, height, depth]) in self.boxes.iter().filter(|(_, count)| count[0] > 0) {
            let places = (0..depth).flat_map(|k| (0..height).map(move |j| (k, j)));
            rows.extend(places.map(|(k, j)| ([z + k, y + j, x], width)));
        }
        rows.sort_unstable();
        let row = |(at, width)| {
            let row;
            (row, rest) = rest.split_at(width);
            (at, row)
        };
        Some(rows.into_iter().map(row).collect())
    }
}

/// The values of all copies of a field, in the order of the whole grid; those of one copy have it.
///
/// # Errors
/// [`Error::Shape`] where they are of another type, [`Error::Memory`].
pub(crate) fn in_grid_order<T: Element>(copies: &[BoxValues]) -> Result<Cow<'_, [T]>> {
    let other = || Error::Shape("a field has values of two types".into());
    if let [copy] = copies {
        let values = copy.values.as_array::<T>().and_then(|values| values.as_slice());
        return values.map(Cow::Borrowed).ok_or_else(other);
    }
    let boxes = copies.iter().flat_map(|copy| &copy.boxes);
    let rows: usize = boxes.map(|(_, [_, height, depth])| height * depth).sum();
    // They are there twice for a moment.
    memory::room(2 * rows * size_of::<Row<'_, T>>())?;
    let rows: Option<Vec<_>> = copies.iter().map(BoxValues::rows::<T>).collect();
    let mut rows = rows.ok_or_else(other)?.concat();
    rows.sort_unstable_by_key(|(at, _)| *at);
    let points = rows.iter().map(|(_, row)| row.len()).sum();
    memory::collect(points, rows.into_iter().flat_map(|(_, row)| row.iter().copied())).map(Cow::Owned)
}

fn line<T: Element>(values: Vec<T>) -> Field {
    let array = Array3::from_shape_vec((1, 1, values.len()), values);
    Field::from_array(array.expect("a line has any length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_in_one_copy_and_in_many_have_the_order_of_the_grid() {
        // Two boxes beside one another along x, one behind them along z, and one of nothing.
        let whole: Vec<f32> = (0..4 * 2 * 3).map(|i| i as f32).collect();
        let view = FieldView::dense(&whole, [4, 2, 3]).unwrap();
        let part = |start, count| (start, view.part(start, count));
        let boxes = [
            part([3, 0, 0], [1, 2, 2]),
            part([0, 0, 2], [4, 2, 1]),
            part([0, 0, 0], [3, 2, 2]),
            part([0, 0, 0], [0, 2, 3]),
        ];
        let copy = BoxValues::copy_of(&boxes).unwrap();
        assert_eq!((copy.bytes(), copy.boxes().len()), (4 * whole.len(), 4));
        assert_eq!(in_grid_order::<f32>(&[copy]).unwrap(), whole);
        let copies: Vec<_> = boxes.iter().map(|b| BoxValues::copy_of(&[*b]).unwrap()).collect();
        assert_eq!(in_grid_order::<f32>(&copies).unwrap(), whole);
        assert!(in_grid_order::<f64>(&copies).is_err());
        assert!(in_grid_order::<f32>(&[]).unwrap().is_empty());
    }
}
