//! Communication between the ranks of a training: sums in an order that does not depend on their
//! number, gathers, reductions. A process without MPI is a world of one.

use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::point_to_point as p2p;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use rayon::prelude::*;
use std::cell::Cell;
use std::ops::Range;
use tch::{Device, Tensor};

/// The processes that train together.
pub struct World {
    comm: Option<SimpleCommunicator>,
    traffic: Cell<Traffic>,
}

/// What a rank has sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Messages to one other rank.
    pub messages: u64,
    /// Bytes in them.
    pub bytes: u64,
}

impl World {
    /// This process alone.
    pub fn alone() -> Self {
        Self { comm: None, traffic: Cell::default() }
    }

    /// All ranks of an initialised MPI.
    pub fn new(universe: &mpi::environment::Universe) -> Self {
        Self { comm: Some(universe.world()), ..Self::alone() }
    }

    /// This process's number.
    pub fn rank(&self) -> usize {
        self.comm.as_ref().map_or(0, |c| c.rank() as usize)
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.comm.as_ref().map_or(1, |c| c.size() as usize)
    }

    /// What this rank has sent in [`World::sum`], [`World::sum_parts`] and [`World::gather_rows`];
    /// the last, whose algorithm MPI chooses, counts as a ring.
    pub fn traffic(&self) -> Traffic {
        self.traffic.get()
    }

    fn count(&self, messages: usize, numbers: usize) {
        let Traffic { messages: m, bytes } = self.traffic.get();
        self.traffic.set(Traffic { messages: m + messages as u64, bytes: bytes + 4 * numbers as u64 });
    }

    /// This rank's share of `n` things.
    pub fn share(&self, n: usize) -> Range<usize> {
        part(n, self.size(), self.rank())
    }

    /// Adds up numbers over all ranks: (0 + 1) + (2 + 3) + …, always in this order, where the ranks
    /// are a power of two; MPI's own sum promises none. Halves go to and fro by recursive halving
    /// and doubling (Thakur, Rabenseifner, Gropp, IJHPCA 2005, section 4.5), nearest ranks first.
    pub fn sum(&self, numbers: &mut [f32]) {
        let Some(comm) = self.comm.as_ref().filter(|c| c.size() > 1) else { return };
        let (rank, size) = (self.rank(), self.size());
        let of = |rank: usize| comm.process_at_rank(rank as i32);
        let mut received = vec![0.0f32; numbers.len()];
        // Ranks beyond the greatest power of two send their numbers to another, and get the sum
        // from it.
        let whole = 1 << size.ilog2();
        if rank >= whole {
            self.count(1, numbers.len());
            of(rank - whole).send(&*numbers);
            of(rank - whole).receive_into(numbers);
            return;
        }
        if rank + whole < size {
            of(rank + whole).receive_into(&mut received[..]);
            add(numbers, &received);
        }
        let mut mine = 0..numbers.len();
        let mut halvings = Vec::new();
        while 1 << halvings.len() < whole {
            let bit = 1 << halvings.len();
            let (low, high) = halves(mine);
            let (keep, give) = if rank & bit == 0 { (low, high) } else { (high, low) };
            let (received, partner) = (&mut received[keep.clone()], of(rank ^ bit));
            self.count(1, give.len());
            p2p::send_receive_into(&numbers[give.clone()], &partner, received, &partner);
            add(&mut numbers[keep.clone()], received);
            mine = keep.clone();
            halvings.push((partner, keep, give));
        }
        for (partner, had, gave) in halvings.into_iter().rev() {
            let received = &mut received[gave.clone()];
            self.count(1, had.len());
            p2p::send_receive_into(&numbers[had], &partner, received, &partner);
            numbers[gave].copy_from_slice(received);
        }
        if rank + whole < size {
            self.count(1, numbers.len());
            of(rank + whole).send(&*numbers);
        }
    }

    /// Adds up, over all parts of all ranks, the tensors that each part has: in pairs of
    /// neighbours, pairs of pairs and so on, so that the sum is the same bits on however many ranks
    /// the parts are, as long as both are powers of two.
    pub fn sum_parts(&self, parts: Vec<Vec<Tensor>>) -> Vec<Tensor> {
        let mut sums = fold(parts);
        if self.size() == 1 {
            return sums;
        }
        let flat: Vec<_> = sums.iter().map(|t| t.to_device(Device::Cpu).reshape([-1])).collect();
        let mut numbers = Vec::<f32>::try_from(Tensor::cat(&flat, 0)).expect("flat floats");
        self.sum(&mut numbers);
        let all = Tensor::from_slice(&numbers);
        let mut at = 0;
        for tensor in &mut sums {
            let n = tensor.numel() as i64;
            *tensor = all.narrow(0, at, n).view_as(tensor).to_device(tensor.device());
            at += n;
        }
        sums
    }

    /// The rows `[n, columns]` of all ranks, in their order.
    pub fn gather_rows(&self, rows: &Tensor) -> Tensor {
        let Some(comm) = self.comm.as_ref().filter(|c| c.size() > 1) else { return rows.shallow_clone() };
        let mine = Vec::<f32>::try_from(rows.to_device(Device::Cpu).reshape([-1])).expect("flat floats");
        let mut counts = vec![0i32; self.size()];
        comm.all_gather_into(&(mine.len() as i32), &mut counts[..]);
        let starts: Vec<i32> = counts.iter().scan(0, |at, n| Some(std::mem::replace(at, *at + n))).collect();
        self.count(self.size() - 1, mine.len() * (self.size() - 1));
        let mut all = vec![0.0f32; counts.iter().sum::<i32>() as usize];
        comm.all_gather_varcount_into(&mine[..], &mut PartitionMut::new(&mut all[..], counts, starts));
        Tensor::from_slice(&all).view([-1, rows.size()[1]]).to_device(rows.device())
    }

    /// Whether it holds on any rank.
    pub fn any(&self, here: bool) -> bool {
        let Some(comm) = &self.comm else { return here };
        let mut anywhere = 0u8;
        comm.all_reduce_into(&u8::from(here), &mut anywhere, SystemOperation::max());
        anywhere != 0
    }

    /// Returns when all ranks have come here.
    pub fn wait(&self) {
        if let Some(comm) = &self.comm {
            comm.barrier();
        }
    }

    /// Whether a number is the same on all ranks.
    pub fn is_same(&self, number: u64) -> bool {
        let Some(comm) = &self.comm else { return true };
        let (mut least, mut greatest) = (0u64, 0u64);
        comm.all_reduce_into(&number, &mut least, SystemOperation::min());
        comm.all_reduce_into(&number, &mut greatest, SystemOperation::max());
        least == greatest
    }
}

/// Does the same with every part, side by side. libtorch's own threads would sum in an order that
/// depends on their number.
pub fn each<T: Send, U: Send>(parts: Vec<T>, work: impl Fn(T) -> U + Sync + Send) -> Vec<U> {
    // A setting of the thread that asks for it.
    tch::set_num_threads(1);
    let alone = |part| {
        tch::set_num_threads(1);
        work(part)
    };
    parts.into_par_iter().map(alone).collect()
}

/// The `i`-th of `parts` of `n` things.
pub fn part(n: usize, parts: usize, i: usize) -> Range<usize> {
    i * n / parts..(i + 1) * n / parts
}

/// The sum in pairs of neighbours, of each of the tensors that every part has.
fn fold(mut parts: Vec<Vec<Tensor>>) -> Vec<Tensor> {
    while parts.len() > 1 {
        let mut pairs = parts.into_iter();
        let mut sums = Vec::with_capacity(pairs.len().div_ceil(2));
        while let Some(left) = pairs.next() {
            sums.push(match pairs.next() {
                Some(right) => left.iter().zip(&right).map(|(a, b)| a + b).collect(),
                None => left,
            });
        }
        parts = sums;
    }
    parts.pop().unwrap_or_default()
}

fn halves(range: Range<usize>) -> (Range<usize>, Range<usize>) {
    let middle = range.start + range.len() / 2;
    (range.start..middle, middle..range.end)
}

fn add(to: &mut [f32], what: &[f32]) {
    to.iter_mut().zip(what).for_each(|(a, b)| *a += b);
}
