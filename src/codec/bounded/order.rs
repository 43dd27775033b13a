//! In what order a tile's blocks are coded, and what each can lean on.
//!
//! Coarse to fine: first every 2ⁿ-th block, then the ones half-way between, and so on, as in interpolating compressors (SZ3,
//! Zhao et al., ICDE 2021), but with blocks in place of points. Almost every block then lies between two coded ones.

/// What lies beside a block along one axis, at the distance of its level: indices of coded blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sides {
    /// Nothing that is coded.
    None,
    /// A block towards lower coordinates.
    Low(u32),
    /// One on each side.
    Both(u32, u32),
}

/// A block's turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    /// Which block, x fastest.
    pub(crate) block: u32,
    /// log₂ of the distance to its neighbours.
    pub(crate) level: u8,
    /// Which blocks of the tile do not lean on one another: those of one number.
    pub(crate) pass: u32,
    /// Along x, y, z.
    pub(crate) sides: [Sides; 3],
}

impl Visit {
    /// The coded neighbours.
    pub(crate) fn neighbours(&self) -> impl Iterator<Item = usize> {
        let pair = |s| match s {
            Sides::None => [None, None],
            Sides::Low(a) => [Some(a), None],
            Sides::Both(a, b) => [Some(a), Some(b)],
        };
        self.sides.map(pair).into_iter().flatten().flatten().map(|i| i as usize)
    }
}

/// Which of a level's coordinates are odd multiples of its distance: a block comes after all that it lies between.
const TURNS: [[usize; 3]; 7] = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]];

/// The order of a box of blocks.
pub(crate) fn visits(blocks: [usize; 3]) -> Vec<Visit> {
    let index = |at: [usize; 3]| ((at[2] * blocks[1] + at[1]) * blocks[0] + at[0]) as u32;
    let mut out = Vec::with_capacity(blocks.iter().product());
    if blocks.contains(&0) {
        return out;
    }
    let levels = blocks.iter().max().map_or(0, |n| n.next_power_of_two().trailing_zeros());
    out.push(Visit { block: 0, level: levels as u8, pass: 8 * levels, sides: [Sides::None; 3] });
    for level in (0..levels).rev() {
        let distance = 1 << level;
        for (turn, odd) in TURNS.into_iter().enumerate() {
            let pass = 8 * level + turn as u32;
            let along = |a: usize| (odd[a] * distance..blocks[a]).step_by(2 * distance);
            for z in along(2) {
                for y in along(1) {
                    for x in along(0) {
                        let at = [x, y, z];
                        let mut sides = std::array::from_fn(|a| {
                            let moved = |to: usize| {
                                let mut at = at;
                                at[a] = to;
                                index(at)
                            };
                            match (odd[a], at[a] + distance < blocks[a]) {
                                (0, _) => Sides::None,
                                (_, true) => Sides::Both(moved(at[a] - distance), moved(at[a] + distance)),
                                (_, false) => Sides::Low(moved(at[a] - distance)),
                            }
                        });
                        // Between two blocks is better known than beyond one.
                        if sides.iter().any(|s| matches!(s, Sides::Both(..))) {
                            sides = sides.map(|s| if matches!(s, Sides::Low(_)) { Sides::None } else { s });
                        }
                        out.push(Visit { block: index(at), level: level as u8, pass, sides });
                    }
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_one_turn_after_its_neighbours() {
        for blocks in [[1, 1, 1], [8, 8, 8], [3, 5, 2], [1, 1, 9], [7, 1, 4], [0, 3, 3]] {
            let mut coded = vec![false; blocks.iter().product()];
            for visit in visits(blocks) {
                assert!(visit.neighbours().all(|n| coded[n]));
                assert!(!std::mem::replace(&mut coded[visit.block as usize], true));
            }
            assert!(coded.iter().all(|&c| c), "{blocks:?}");
        }
    }
}
