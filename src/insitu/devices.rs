//! Which of a node's devices a rank encodes on, and how much of it. The ranks of a node share all of its devices, each by the
//! work that it has: one that owns most of the blocks gets most of the cores, or of the GPUs. Nothing of this changes a byte of
//! the file.
//!
//! A GPU runs the networks of latent mode; all else is done by the cores, of which each GPU gets as many as the others.

use crate::{Error, Result};
use rayon::ThreadPool;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use swae_codec::Model;
use swae_codec::device::Device;

/// The devices of a node that encode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// The cores, until somebody has measured when a GPU is worth its while.
    #[default]
    Auto,
    /// The cores, as so many devices of equal size; none for one device.
    Cpu(Option<usize>),
    /// GPUs of these numbers, in the order of the CUDA driver; none for all that it knows.
    Cuda(Option<Vec<usize>>),
}

impl FromStr for Devices {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let wrong =
            || Error::Argument(format!("devices '{s}' are none of auto, cpu, cpu:N, cuda, cuda:0,1,…"));
        match s.split_once(':') {
            None if s == "auto" => Ok(Self::Auto),
            None if s == "cpu" => Ok(Self::Cpu(None)),
            None if s == "cuda" => Ok(Self::Cuda(None)),
            Some(("cpu", n)) => match n.parse() {
                Ok(n) if n > 0 => Ok(Self::Cpu(Some(n))),
                _ => Err(wrong()),
            },
            Some(("cuda", numbers)) => {
                let number = |n: &str| n.parse().map_err(|_| wrong());
                let numbers: Vec<usize> = numbers.split(',').map(number).collect::<Result<_>>()?;
                match numbers.iter().enumerate().find(|(i, n)| numbers[..*i].contains(n)) {
                    Some((_, twice)) => {
                        Err(Error::Argument(format!("devices '{s}': GPU {twice} is named twice")))
                    }
                    None => Ok(Self::Cuda(Some(numbers))),
                }
            }
            _ => Err(wrong()),
        }
    }
}

impl Devices {
    /// The devices as they are here: a GPU's number, or none for cores.
    fn found(&self) -> Result<Vec<Option<usize>>> {
        let Self::Cuda(numbers) = self else {
            return Ok(vec![None; if let Self::Cpu(Some(n)) = self { *n } else { 1 }]);
        };
        let there = Device::gpus()?;
        let numbers = numbers.clone().unwrap_or_else(|| (0..there).collect());
        match numbers.iter().find(|&&n| n >= there) {
            Some(missing) => Err(Error::Unsupported(format!(
                "devices: there is no GPU {missing}; the CUDA driver knows {there}, numbered from 0"
            ))),
            None if there == 0 => Err(Error::Unsupported("devices: the CUDA driver knows no GPU".into())),
            None => Ok(numbers.into_iter().map(Some).collect()),
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
    /// GPUs by number, or parts of the cores.
    devices: Vec<Option<usize>>,
    /// What GPUs encode with.
    model: Option<Arc<Model>>,
    /// GPUs that this rank has used.
    gpus: BTreeMap<usize, Device>,
    /// Cores of the node.
    cores: usize,
    /// How many threads the rank has asked for, if it has; it then leaves the cores that others have alone.
    asked: Option<usize>,
    /// One for each share of a device.
    parts: Vec<Part>,
}

struct Part {
    share: Share,
    device: Device,
    pool: ThreadPool,
}

impl Crew {
    /// Of the rank `at` among those of its node, which have so much work each. GPUs run the encoder of a model; where there is
    /// none, they have nothing to do.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where there is no such GPU, or it does not work.
    pub(crate) fn new(
        devices: &Devices,
        model: Option<Arc<Model>>,
        (cores, asked): (usize, usize),
        loads: &[u64],
        at: usize,
    ) -> Result<Self> {
        let (devices, gpus, asked) = (devices.found()?, BTreeMap::new(), (asked > 0).then_some(asked));
        let mut crew = Self { devices, model, gpus, cores, asked, parts: Vec::new() };
        crew.share(loads, at)?;
        Ok(crew)
    }

    /// Shares the node's devices anew.
    pub(crate) fn share(&mut self, loads: &[u64], at: usize) -> Result<()> {
        let count = self.devices.len();
        let gpus = self.devices[0].is_some();
        let (loads, at) = if self.asked.is_some() && !gpus { (&[1][..], 0) } else { (loads, at) };
        let mut shares = plan(loads, count).swap_remove(at);
        if shares.is_empty() {
            shares.push(Share { device: at % count, work: 1, of: u64::MAX });
        }
        if shares.iter().eq(self.parts.iter().map(|part| &part.share)) {
            return Ok(());
        }
        let number = shares.len();
        let part = |share: Share| {
            let (work, of) = (share.work as f64, share.of as f64);
            let threads = match self.asked {
                Some(asked) if gpus => asked as f64 / number as f64,
                asked => asked.unwrap_or(self.cores) as f64 / count as f64 * work / of,
            };
            let threads = (threads.round() as usize).max(1);
            let named = move |i| format!("swae {}:{i}", share.device);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(named).build();
            let pool = pool.map_err(|e| Error::Argument(format!("cannot start {threads} threads: {e}")))?;
            Ok(Part { share, device: self.device(share.device)?, pool })
        };
        self.parts = shares.into_iter().map(part).collect::<Result<_>>()?;
        Ok(())
    }

    /// A device, ready. A GPU that does not work is an error at first; later the cores take its part, for the simulation goes on.
    fn device(&mut self, number: usize) -> Result<Device> {
        let (Some(gpu), Some(model)) = (self.devices[number], &self.model) else { return Ok(Device::Cores) };
        if let Some(known) = self.gpus.get(&gpu) {
            return Ok(known.clone());
        }
        let device = match Device::gpu(gpu, model.clone()) {
            Err(e) if !self.parts.is_empty() => {
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
        self.parts.iter().map(|part| part.pool.current_num_threads()).sum()
    }

    /// Does something on the device that does most for this rank.
    pub(crate) fn once<R: Send>(&self, job: impl FnOnce(&Device) -> R + Send) -> R {
        match self.parts.iter().max_by_key(|part| part.share.work) {
            Some(part) => part.pool.install(|| job(&part.device)),
            None => job(&Device::Cores),
        }
    }

    /// Does the same with each of many, in any order, and gives the results in theirs. `size` is how much work one is.
    pub(crate) fn each<T, R, F>(&self, items: Vec<T>, size: impl Fn(&T) -> u64, job: F) -> Vec<R>
    where
        T: Send,
        R: Send,
        F: Fn(&Device, T) -> R + Sync,
    {
        use rayon::prelude::*;
        let work: u64 = self.parts.iter().map(|part| part.share.work).sum();
        let total: u64 = items.iter().map(&size).sum::<u64>().max(1);
        // Each device takes those whose middle lies in its part of the whole.
        let mut portions: Vec<Vec<T>> = self.parts.iter().map(|_| Vec::new()).collect();
        let mut before = 0;
        for item in items {
            let middle = u128::from(before + size(&item) / 2) * u128::from(work) / u128::from(total);
            before += size(&item);
            let mut end = 0;
            let part = self.parts.iter().position(|part| {
                end += u128::from(part.share.work);
                middle < end
            });
            portions[part.unwrap_or(self.parts.len() - 1)].push(item);
        }
        let job = &job;
        let run = |(part, portion): (&Part, Vec<T>)| {
            let one = |item| job(&part.device, item);
            part.pool.install(|| portion.into_par_iter().map(one).collect::<Vec<R>>())
        };
        let mut portions = self.parts.iter().zip(portions);
        let Some(first) = portions.next() else { return Vec::new() };
        std::thread::scope(|scope| {
            let others: Vec<_> = portions.map(|portion| scope.spawn(move || run(portion))).collect();
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
        let threads = |at| Crew::new(&Devices::Auto, None, (16, 0), &[70, 10], at).unwrap().threads();
        assert_eq!((threads(0), threads(1)), (14, 2));
        let four = Devices::Cpu(Some(4));
        let threads = |at| Crew::new(&four, None, (16, 0), &[0, 1, 3], at).unwrap().threads();
        assert_eq!((threads(0), threads(1), threads(2)), (1, 4, 12));
        // Who asks for threads gets them.
        let two = Devices::Cpu(Some(2));
        assert_eq!(Crew::new(&two, None, (16, 6), &[70, 10], 1).unwrap().threads(), 6);
    }

    #[test]
    fn results_keep_their_order_on_any_devices() {
        let items: Vec<u64> = (0..100).map(|i| i * 7919 % 31).collect();
        let expected: Vec<u64> = items.iter().map(|i| i * i).collect();
        for devices in [1, 2, 3, 7] {
            for loads in [&[1][..], &[5, 3], &[3, 5]] {
                let crew = Crew::new(&Devices::Cpu(Some(devices)), None, (8, 0), loads, 0).unwrap();
                assert_eq!(crew.each(items.clone(), |&i| i, |_, i| i * i), expected);
                assert!(crew.each(Vec::<u64>::new(), |&i| i, |_, i| i).is_empty());
            }
        }
        let idle = Crew::new(&Devices::Auto, None, (8, 0), &[1, 0], 1).unwrap();
        assert_eq!(idle.each(vec![3], |_| 0, |_, i| i), [3]);
    }

    #[test]
    fn devices_are_said_in_words() {
        assert_eq!("auto".parse(), Ok(Devices::Auto));
        assert_eq!("cpu:3".parse(), Ok(Devices::Cpu(Some(3))));
        assert_eq!("cuda".parse(), Ok(Devices::Cuda(None)));
        assert_eq!("cuda:2,0".parse(), Ok(Devices::Cuda(Some(vec![2, 0]))));
        for wrong in
            ["", "cpu:", "cpu:0", "cpu:x", "gpu", "cpu3", "cuda:", "cuda:0,", "cuda:-1", "cuda:1,0,1"]
        {
            assert!(matches!(wrong.parse::<Devices>(), Err(Error::Argument(_))), "{wrong}");
        }
    }
}
