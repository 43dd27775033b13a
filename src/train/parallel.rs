//! What the ranks of a training tell each other. One process alone is a world of one.

use mpi::collective::SystemOperation;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use std::ops::Range;
use tch::{Device, Kind, Tensor, no_grad};

/// The processes that train together.
pub struct World {
    comm: Option<SimpleCommunicator>,
}

impl World {
    /// This process alone.
    pub const ALONE: Self = Self { comm: None };

    /// All ranks of an initialised MPI.
    pub fn new(universe: &mpi::environment::Universe) -> Self {
        Self { comm: Some(universe.world()) }
    }

    /// This process's number.
    pub fn rank(&self) -> usize {
        self.comm.as_ref().map_or(0, |c| c.rank() as usize)
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.comm.as_ref().map_or(1, |c| c.size() as usize)
    }

    /// This rank's part of `n` things.
    pub fn share(&self, n: usize) -> Range<usize> {
        let at = |rank: usize| rank * n / self.size();
        at(self.rank())..at(self.rank() + 1)
    }

    /// Adds up numbers over all ranks. The order of the sums is MPI's: the same for the same number of ranks.
    pub fn sum(&self, numbers: &mut [f32]) {
        if let Some(comm) = self.comm.as_ref().filter(|c| c.size() > 1) {
            let mine = numbers.to_vec();
            comm.all_reduce_into(&mine[..], numbers, SystemOperation::sum());
        }
    }

    /// Adds up tensors over all ranks, in place, in one message.
    pub fn sum_tensors(&self, tensors: &mut [Tensor]) {
        if self.size() == 1 {
            return;
        }
        no_grad(|| {
            let flat: Vec<_> = tensors.iter().map(|t| t.to_device(Device::Cpu).reshape([-1])).collect();
            let mut numbers = Vec::<f32>::try_from(Tensor::cat(&flat, 0)).expect("flat floats");
            self.sum(&mut numbers);
            let all = Tensor::from_slice(&numbers);
            let mut at = 0;
            for tensor in tensors {
                let n = tensor.numel() as i64;
                tensor.copy_(&all.narrow(0, at, n).view_as(tensor));
                at += n;
            }
        });
    }

    /// The rows `[n, …]` of all ranks, in their order; `all` is how many there are together.
    pub fn gather_rows(&self, rows: &Tensor, all: usize) -> Tensor {
        if self.size() == 1 {
            return rows.detach();
        }
        // A sum with zeros in the others' places is exact.
        let mut size = rows.size();
        size[0] = all as i64;
        let whole = Tensor::zeros(&size[..], (Kind::Float, rows.device()));
        let share = self.share(all);
        whole.narrow(0, share.start as i64, share.len() as i64).copy_(&rows.detach());
        let mut whole = [whole];
        self.sum_tensors(&mut whole);
        let [whole] = whole;
        whole
    }

    /// Whether it is so on any rank.
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
    pub fn agree(&self, number: u64) -> bool {
        let Some(comm) = &self.comm else { return true };
        let (mut least, mut greatest) = (0u64, 0u64);
        comm.all_reduce_into(&number, &mut least, SystemOperation::min());
        comm.all_reduce_into(&number, &mut greatest, SystemOperation::max());
        least == greatest
    }
}
