//! The devices that a rank encodes on. The ranks of a node share all of its devices, each by the
//! work that it has: a rank that owns most of the blocks gets most of the cores, or of the GPUs. A
//! GPU runs the networks of latent mode; all else is done by the cores, of which each GPU gets as
//! many as the others.

use crate::Result;
use crate::devices::Devices;
use crate::lock::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use swae_codec::Model;
use swae_codec::device::Device;
use swae_codec::threads::{self, Threads as PoolThreads};

/// A rank's part of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DeviceShare {
    /// Which device.
    pub device: usize,
    /// Work that it does for the rank, in some unit.
    pub work: u64,
    /// Work that it does for all ranks.
    pub of: u64,
}

/// Each rank's shares of the devices: all devices get the same work, and each rank's work lies on
/// as few of them as that allows. Ranks without work get none.
fn partition(loads: &[u64], devices: usize) -> Vec<Vec<DeviceShare>> {
    let total: u64 = loads.iter().sum();
    // The work of all ranks in a row, each unit in as many parts as there are devices: every device
    // takes `total` of them.
    let mut begin = 0;
    let shares = |&load: &u64| {
        let (from, to) = (begin, begin + load * devices as u64);
        begin = to;
        let share = |device| {
            let (first, end) = (total * device as u64, total * (device as u64 + 1));
            let work = to.min(end).saturating_sub(from.max(first));
            (work > 0).then_some(DeviceShare { device, work, of: total })
        };
        (0..devices).filter_map(share).collect()
    };
    loads.iter().map(shares).collect()
}

/// The work of the ranks of a node, and which of them this one is.
#[derive(Clone, Copy)]
pub(crate) struct NodeLoads<'a> {
    pub loads: &'a [u64],
    pub rank: usize,
}

/// How many threads a rank may run.
#[derive(Clone, Copy)]
pub(crate) struct Threads {
    /// Cores that this process may use: a rank never runs more threads.
    pub cores: usize,
    /// How many the rank requests; none for its share of the cores.
    pub requested: Option<usize>,
}

/// What encodes on this rank.
pub(crate) struct DevicePool {
    /// GPUs by number, or parts of the cores.
    devices: Vec<Option<usize>>,
    /// What GPUs encode with.
    model: Option<Arc<Model>>,
    /// GPUs that this rank has used.
    gpus: BTreeMap<usize, Device>,
    /// Where threads are requested, the cores of other ranks do not matter.
    threads: Threads,
    members: Vec<Member>,
}

/// A share of a device, and the threads that use it.
struct Member {
    share: DeviceShare,
    device: Device,
    threads: PoolThreads,
}

impl DevicePool {
    /// Of a rank. GPUs run the encoder of a model; where there is none, they have nothing to do.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where there is no such GPU, or it does not work.
    pub(crate) fn new(
        devices: &Devices,
        model: Option<Arc<Model>>,
        threads: Threads,
        node: NodeLoads<'_>,
    ) -> Result<Self> {
        let (devices, gpus) = (devices.found()?, BTreeMap::new());
        let mut pool = Self { devices, model, gpus, threads, members: Vec::new() };
        pool.share(node)?;
        Ok(pool)
    }

    /// Shares the node's devices anew.
    pub(crate) fn share(&mut self, node: NodeLoads<'_>) -> Result<()> {
        let count = self.devices.len();
        let owns_cores = self.threads.requested.is_some() && !self.has_gpus();
        let NodeLoads { loads, rank } = if owns_cores { NodeLoads { loads: &[1], rank: 0 } } else { node };
        let mut shares = partition(loads, count).swap_remove(rank);
        if shares.is_empty() {
            shares.push(DeviceShare { device: rank % count, work: 1, of: u64::MAX });
        }
        if shares.iter().eq(self.members.iter().map(|member| &member.share)) {
            return Ok(());
        }
        let number = shares.len();
        self.members = shares.into_iter().map(|share| self.member(share, number)).collect::<Result<_>>()?;
        Ok(())
    }

    fn has_gpus(&self) -> bool {
        self.devices[0].is_some()
    }

    /// Threads for a share, one of so many.
    fn threads_for(&self, share: DeviceShare, number: usize) -> usize {
        let cores = self.threads.requested.map_or(self.threads.cores, |n| n.min(self.threads.cores));
        let threads = match self.threads.requested {
            Some(_) if self.has_gpus() => cores as f64 / number as f64,
            _ => cores as f64 / self.devices.len() as f64 * share.work as f64 / share.of as f64,
        };
        (threads.round() as usize).max(1)
    }

    /// One of so many members.
    fn member(&mut self, share: DeviceShare, number: usize) -> Result<Member> {
        let name = format!("swae {}", share.device);
        let threads = PoolThreads::start(self.threads_for(share, number), &name);
        Ok(Member { share, device: self.device(share.device)?, threads })
    }

    /// A device, ready. A GPU that does not work is an error at first; later the cores take its
    /// part, for the simulation goes on.
    fn device(&mut self, number: usize) -> Result<Device> {
        let (Some(gpu), Some(model)) = (self.devices[number], &self.model) else { return Ok(Device::Cores) };
        if let Some(known) = self.gpus.get(&gpu) {
            return Ok(known.clone());
        }
        let device = match Device::gpu(gpu, model.clone()) {
            Err(e) if !self.members.is_empty() => {
                log::warn!("{e}; the cores take its part");
                Device::Cores
            }
            other => other?,
        };
        self.gpus.insert(gpu, device.clone());
        Ok(device)
    }

    /// Threads of all devices.
    pub(crate) fn threads(&self) -> usize {
        self.members.iter().map(|member| member.threads.count()).sum()
    }

    /// Runs a job on the device that does most for this rank.
    pub(crate) fn once<R: Send>(&self, job: impl FnOnce(&Device) -> R + Send) -> R {
        match self.members.iter().max_by_key(|member| member.share.work) {
            Some(member) => member.threads.run(|| job(&member.device)),
            None => job(&Device::Cores),
        }
    }

    /// Runs the same job for each of many items, in any order, and gives the results in theirs.
    /// `size` is the work of an item.
    pub(crate) fn each<T, R, F>(&self, items: Vec<T>, size: impl Fn(&T) -> u64, job: F) -> Vec<R>
    where
        T: Send,
        R: Send,
        F: Fn(&Device, T) -> R + Sync,
    {
        let work: u64 = self.members.iter().map(|member| member.share.work).sum();
        let total: u64 = items.iter().map(&size).sum::<u64>().max(1);
        // Each device takes those whose middle lies in its part of the whole.
        let mut portions: Vec<Vec<T>> = self.members.iter().map(|_| Vec::new()).collect();
        let mut before = 0;
        for item in items {
            let middle = u128::from(before + size(&item) / 2) * u128::from(work) / u128::from(total);
            before += size(&item);
            let mut end = 0;
            let member = self.members.iter().position(|member| {
                end += u128::from(member.share.work);
                middle < end
            });
            portions[member.unwrap_or(self.members.len() - 1)].push(item);
        }
        let job = &job;
        let run = |(member, portion): (&Member, Vec<T>)| {
            let one = |item| job(&member.device, item);
            member.threads.run(|| threads::map(portion, one))
        };
        side_by_side(self.members.iter().zip(portions).collect(), run).into_iter().flatten().collect()
    }
}

/// Does the same with each portion in a thread of its own, in this one where there is none to be
/// had; the results are in the order of the portions.
fn side_by_side<A: Send, R: Send>(portions: Vec<A>, run: impl Fn(A) -> R + Sync) -> Vec<R> {
    let waiting: Vec<_> = portions.into_iter().map(|portion| Mutex::new(Some(portion))).collect();
    let take = |i: usize| lock(&waiting[i]).take().map(&run);
    std::thread::scope(|scope| {
        let take = &take;
        let start = |i| Builder::new().name(format!("swae part {i}")).spawn_scoped(scope, move || take(i));
        let others: Vec<_> = (1..waiting.len()).map(|i| (i, start(i))).collect();
        let mut results: Vec<_> = (!waiting.is_empty()).then(|| take(0)).flatten().into_iter().collect();
        for (i, other) in others {
            results.extend(match other {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(_) => take(i),
            });
        }
        results
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cores: usize) -> Threads {
        Threads { cores, requested: None }
    }

    fn pool(devices: &Devices, threads: Threads, loads: &[u64], rank: usize) -> DevicePool {
        DevicePool::new(devices, None, threads, NodeLoads { loads, rank }).unwrap()
    }

    #[test]
    fn every_device_gets_the_same_work_and_every_rank_all_of_its_own() {
        for loads in [&[5, 5][..], &[70, 10], &[0, 3, 900, 1], &[1, 1, 1, 1, 1, 1, 1, 1], &[0, 0], &[7]] {
            for devices in 1..9 {
                let shares = partition(loads, devices);
                let total: u64 = loads.iter().sum();
                for (load, shares) in loads.iter().zip(&shares) {
                    let work: u64 = shares.iter().map(|s| s.work).sum();
                    assert_eq!(work, load * devices as u64, "{loads:?} on {devices}");
                }
                let mut done = vec![0; devices];
                shares.iter().flatten().for_each(|s| done[s.device] += s.work);
                assert!(done.iter().all(|&done| done == total), "{loads:?} on {devices}: {done:?}");
                // In a row: no two ranks share more than one device.
                let number: usize = shares.iter().map(Vec::len).sum();
                assert!(number < loads.len() + devices, "{loads:?} on {devices}: {shares:?}");
            }
        }
    }

    #[test]
    fn a_rank_with_most_of_the_work_gets_most_of_the_cores() {
        // This machine may have fewer cores than the node of the test.
        let wanted = |pool: DevicePool| {
            let threads = |member: &Member| pool.threads_for(member.share, pool.members.len());
            pool.members.iter().map(threads).sum::<usize>()
        };
        let threads = |at| wanted(pool(&Devices::Auto, of(16), &[70, 10], at));
        assert_eq!((threads(0), threads(1)), (14, 2));
        let four = Devices::Cpu(Some(4));
        let threads = |at| wanted(pool(&four, of(16), &[0, 1, 3], at));
        assert_eq!((threads(0), threads(1), threads(2)), (1, 4, 12));
        // A rank that requests threads gets them.
        let two = Devices::Cpu(Some(2));
        let six = Threads { cores: 16, requested: Some(6) };
        assert_eq!(wanted(pool(&two, six, &[70, 10], 1)), 6);
        // But no more than there are cores.
        let many = Threads { cores: 16, requested: Some(1_000_000) };
        assert_eq!(wanted(pool(&two, many, &[70, 10], 0)), 16);
    }

    #[test]
    fn results_keep_their_order_on_any_devices() {
        let items: Vec<u64> = (0..100).map(|i| i * 7919 % 31).collect();
        let expected: Vec<u64> = items.iter().map(|i| i * i).collect();
        for devices in [1, 2, 3, 7] {
            for loads in [&[1][..], &[5, 3], &[3, 5]] {
                let pool = pool(&Devices::Cpu(Some(devices)), of(8), loads, 0);
                assert_eq!(pool.each(items.clone(), |&i| i, |_, i| i * i), expected);
                assert!(pool.each(Vec::<u64>::new(), |&i| i, |_, i| i).is_empty());
            }
        }
        let idle = pool(&Devices::Auto, of(8), &[1, 0], 1);
        assert_eq!(idle.each(vec![3], |_| 0, |_, i| i), [3]);
    }
}
