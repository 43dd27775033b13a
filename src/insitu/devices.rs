//! Which of a node's devices encode, as settings say it: cores or GPUs. What a rank encodes on is
//! `device_pool`'s. Nothing of this changes a byte of the file.

use crate::{Error, Result};
use std::str::FromStr;
use swae_codec::device::Device;

/// Parts that the cores can be taken as: each has a thread on each of its ranks.
const MOST_PARTS: usize = 256;

/// The devices of a node that encode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// The cores: no measurement says yet when a GPU is faster.
    #[default]
    Auto,
    /// The cores, as so many devices of equal size; none for one device.
    Cpu(Option<usize>),
    /// GPUs of these numbers, in the order of the CUDA driver; none for all that it finds.
    Cuda(Option<Vec<usize>>),
}

impl FromStr for Devices {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let wrong = || {
            Error::Argument(format!(
                "devices '{s}' are none of auto, cpu, cpu:N up to {MOST_PARTS}, cuda, cuda:0,1,…"
            ))
        };
        match s.split_once(':') {
            None if s == "auto" => Ok(Self::Auto),
            None if s == "cpu" => Ok(Self::Cpu(None)),
            None if s == "cuda" => Ok(Self::Cuda(None)),
            Some(("cpu", n)) => match n.parse() {
                Ok(n) if (1..=MOST_PARTS).contains(&n) => Ok(Self::Cpu(Some(n))),
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
    /// The devices of this node: a GPU's number, or none for cores.
    pub(crate) fn found(&self) -> Result<Vec<Option<usize>>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_parsed_from_settings() {
        assert_eq!("auto".parse(), Ok(Devices::Auto));
        assert_eq!("cpu:3".parse(), Ok(Devices::Cpu(Some(3))));
        assert_eq!("cuda".parse(), Ok(Devices::Cuda(None)));
        assert_eq!("cuda:2,0".parse(), Ok(Devices::Cuda(Some(vec![2, 0]))));
        for wrong in [
            "",
            "cpu:",
            "cpu:0",
            "cpu:257",
            "cpu:1000000",
            "cpu:x",
            "gpu",
            "cpu3",
            "cuda:",
            "cuda:0,",
            "cuda:-1",
            "cuda:1,0,1",
        ] {
            assert!(matches!(wrong.parse::<Devices>(), Err(Error::Argument(_))), "{wrong}");
        }
    }
}
