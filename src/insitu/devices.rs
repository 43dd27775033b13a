//! Which of a node's devices a rank encodes on, and how much of it. The ranks of a node share all of its devices, each by the
//! work that it has: one that owns most of the blocks gets most of the cores. Nothing of this changes a byte of the file.

use crate::{Error, Result};
use rayon::ThreadPool;
use std::str::FromStr;

/// The devices of a node that encode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// What there is: GPUs where this build can use them, else the cores.
    #[default]
    Auto,
    /// The cores, as so many devices of equal size; none for one device.
    Cpu(Option<usize>),
}

impl FromStr for Devices {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let wrong = || Error::Argument(format!("devices '{s}' are none of auto, cpu, cpu:N"));
        match s.split_once(':') {
            None if s == "auto" => Ok(Self::Auto),
            None if s == "cpu" => Ok(Self::Cpu(None)),
            Some(("cpu", n)) => match n.parse() {
                Ok(n) if n > 0 => Ok(Self::Cpu(Some(n))),
                _ => Err(wrong()),
            },
            Some(("cuda", _)) => Err(Error::Unsupported(format!("devices '{s}': this build has no CUDA"))),
            _ if s == "cuda" => Err(Error::Unsupported(format!("devices '{s}': this build has no CUDA"))),
            _ => Err(wrong()),
        }
    }
}

impl Devices {
    fn count(self) -> usize {
        match self {
            Self::Auto | Self::Cpu(None) => 1,
            Self::Cpu(Some(n)) => n,
        }
    }
}

/// A part of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    /// Which device.
    pub device: usize,
    /// Work that it does for the rank, in some unit.
    pub work: u64,
    /// Work that it does for all ranks.
    pub of: u64,
}

/// Each rank's shares of the devices: all devices get the same work, and each rank's work lies on as few of them as that allows.
/// Ranks without work get none.
pub(crate) fn plan(loads: &[u64], devices: usize) -> Vec<Vec<Share>> {
    let total: u64 = loads.iter().sum();
    // The work of all ranks in a row, each unit in as many parts as there are devices: every device takes `total` of them.
    let mut begin = 0;
    let shares = |&load: &u64| {
        let (from, to) = (begin, begin + load * devices as u64);
        begin = to;
        let share = |device| {
            let (first, end) = (total * device as u64, total * (device as u64 + 1));
            let work = to.min(end).saturating_sub(from.max(first));
            (work > 0).then_some(Share { device, work, of: total })
        };
        (0..devices).filter_map(share).collect()
    };
    loads.iter().map(shares).collect()
}

/// What encodes on this rank.
pub(crate) struct Crew {
    devices: Devices,
    /// Cores of the node.
    cores: usize,
    /// How many threads the rank has asked for, if it has; it then keeps to itself.
    asked: Option<usize>,
    /// One for each share of a device.
    pools: Vec<(Share, ThreadPool)>,
}

impl Crew {
    /// Of the rank `at` among those of its node, which have so much work each.
    pub(crate) fn new(
        devices: Devices,
        cores: usize,
        asked: usize,
        loads: &[u64],
        at: usize,
    ) -> Result<Self> {
        let asked = (asked > 0).then_some(asked);
        let mut crew = Self { devices, cores, asked, pools: Vec::new() };
        crew.share(loads, at)?;
        Ok(crew)
    }

    /// Shares the node's devices anew.
    pub(crate) fn share(&mut self, loads: &[u64], at: usize) -> Result<()> {
        let count = self.devices.count();
        let (loads, at) = if self.asked.is_some() { (&[1][..], 0) } else { (loads, at) };
        let mut shares = plan(loads, count).swap_remove(at);
        if shares.is_empty() {
            shares.push(Share { device: 0, work: 1, of: u64::MAX });
        }
        if shares.iter().eq(self.pools.iter().map(|(share, _)| share)) {
            return Ok(());
        }
        let cores = self.asked.unwrap_or(self.cores) as f64 / count as f64;
        let pool = |share: Share| {
            let threads = ((cores * share.work as f64 / share.of as f64).round() as usize).max(1);
            let named = move |i| format!("swae {}:{i}", share.device);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(named).build();
            Ok((share, pool.map_err(|e| Error::Argument(format!("cannot start {threads} threads: {e}")))?))
        };
        self.pools = shares.into_iter().map(pool).collect::<Result<_>>()?;
        Ok(())
    }

    /// Threads of all devices.
    pub(crate) fn threads(&self) -> usize {
        self.pools.iter().map(|(_, pool)| pool.current_num_threads()).sum()
    }

    /// Does something on the device that does most for this rank.
    pub(crate) fn once<R: Send>(&self, job: impl FnOnce() -> R + Send) -> R {
        match self.pools.iter().max_by_key(|(share, _)| share.work) {
            Some((_, pool)) => pool.install(job),
            None => job(),
        }
    }

    /// Does the same with each of many, in any order, and gives the results in theirs. `size` is how much work one is.
    pub(crate) fn each<T, R, F>(&self, items: Vec<T>, size: impl Fn(&T) -> u64, job: F) -> Vec<R>
    where
        T: Send,
        R: Send,
        F: Fn(T) -> R + Sync,
    {
        use rayon::prelude::*;
        let work: u64 = self.pools.iter().map(|(share, _)| share.work).sum();
        let total: u64 = items.iter().map(&size).sum::<u64>().max(1);
        // Each device takes those whose middle lies in its part of the whole.
        let mut parts: Vec<Vec<T>> = self.pools.iter().map(|_| Vec::new()).collect();
        let mut before = 0;
        for item in items {
            let middle = u128::from(before + size(&item) / 2) * u128::from(work) / u128::from(total);
            before += size(&item);
            let mut end = 0;
            let part = self.pools.iter().position(|(share, _)| {
                end += u128::from(share.work);
                middle < end
            });
            parts[part.unwrap_or(self.pools.len() - 1)].push(item);
        }
        let job = &job;
        let run = |(pool, part): (&ThreadPool, Vec<T>)| {
            pool.install(|| part.into_par_iter().map(job).collect::<Vec<R>>())
        };
        let mut parts = self.pools.iter().map(|(_, pool)| pool).zip(parts);
        let Some(first) = parts.next() else { return Vec::new() };
        std::thread::scope(|scope| {
            let others: Vec<_> = parts.map(|part| scope.spawn(move || run(part))).collect();
            let mut results = run(first);
            for other in others {
                results.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            results
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_gets_the_same_work_and_every_rank_all_of_its_own() {
        for loads in [&[5, 5][..], &[70, 10], &[0, 3, 900, 1], &[1, 1, 1, 1, 1, 1, 1, 1], &[0, 0], &[7]] {
            for devices in 1..9 {
                let shares = plan(loads, devices);
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
        let threads = |at| Crew::new(Devices::Auto, 16, 0, &[70, 10], at).unwrap().threads();
        assert_eq!((threads(0), threads(1)), (14, 2));
        let threads = |at| Crew::new(Devices::Cpu(Some(4)), 16, 0, &[0, 1, 3], at).unwrap().threads();
        assert_eq!((threads(0), threads(1), threads(2)), (1, 4, 12));
        // Who asks for threads gets them.
        assert_eq!(Crew::new(Devices::Cpu(Some(2)), 16, 6, &[70, 10], 1).unwrap().threads(), 6);
    }

    #[test]
    fn results_keep_their_order_on_any_devices() {
        let items: Vec<u64> = (0..100).map(|i| i * 7919 % 31).collect();
        let expected: Vec<u64> = items.iter().map(|i| i * i).collect();
        for devices in [1, 2, 3, 7] {
            for loads in [&[1][..], &[5, 3], &[3, 5]] {
                let crew = Crew::new(Devices::Cpu(Some(devices)), 8, 0, loads, 0).unwrap();
                assert_eq!(crew.each(items.clone(), |&i| i, |i| i * i), expected);
                assert!(crew.each(Vec::<u64>::new(), |&i| i, |i| i).is_empty());
            }
        }
        assert_eq!(Crew::new(Devices::Auto, 8, 0, &[1, 0], 1).unwrap().each(vec![3], |_| 0, |i| i), [3]);
    }

    #[test]
    fn devices_are_said_in_words() {
        assert_eq!("auto".parse(), Ok(Devices::Auto));
        assert_eq!("cpu:3".parse(), Ok(Devices::Cpu(Some(3))));
        for wrong in ["", "cpu:", "cpu:0", "cpu:x", "gpu", "cpu3"] {
            assert!(matches!(wrong.parse::<Devices>(), Err(Error::Argument(_))), "{wrong}");
        }
        for absent in ["cuda", "cuda:0,1"] {
            assert!(matches!(absent.parse::<Devices>(), Err(Error::Unsupported(_))), "{absent}");
        }
    }
}
