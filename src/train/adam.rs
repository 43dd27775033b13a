//! Adam (Kingma & Ba, ICLR 2015, algorithm 1) with a state that a checkpoint can hold; that of
//! tch's optimisers is private.

use tch::{Tensor, no_grad};

/// The optimiser, with its state for each variable.
pub struct Adam {
    variables: Vec<(String, Tensor)>,
    /// Running means of gradients and of their squares.
    means: Vec<Tensor>,
    squares: Vec<Tensor>,
    /// Steps so far.
    steps: i32,
}

const BETA: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

impl Adam {
    /// For these variables, by name.
    pub fn new(variables: Vec<(String, Tensor)>) -> Self {
        let zeros = || variables.iter().map(|(_, v)| v.zeros_like().detach()).collect();
        let (means, squares) = (zeros(), zeros());
        Self { variables, means, squares, steps: 0 }
    }

    /// A hash of all variables: what must be the same on all ranks.
    pub fn hash(&self) -> u64 {
        let mut hash = blake3::Hasher::new();
        for (_, variable) in &self.variables {
            let numbers = variable.detach().to_device(tch::Device::Cpu).reshape([-1]);
            let numbers = Vec::<f32>::try_from(numbers).expect("flat floats");
            numbers.iter().for_each(|v| _ = hash.update(&v.to_le_bytes()));
        }
        let bytes: [u8; 8] = *hash.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes");
        u64::from_le_bytes(bytes)
    }

    /// Takes a step against the gradients, one for each variable.
    pub fn step(&mut self, gradients: &[Tensor], rate: f64) {
        self.steps += 1;
        let correction = (1.0 - BETA.0.powi(self.steps), 1.0 - BETA.1.powi(self.steps));
        no_grad(|| {
            let state = self.means.iter_mut().zip(&mut self.squares);
            for (((_, variable), gradient), (mean, square)) in
                self.variables.iter_mut().zip(gradients).zip(state)
            {
                *mean = &*mean * BETA.0 + gradient * (1.0 - BETA.0);
                *square = &*square * BETA.1 + gradient.square() * (1.0 - BETA.1);
                let root = (&*square / correction.1).sqrt() + EPSILON;
                *variable -= &*mean * (rate / correction.0) / root;
            }
        });
    }

    /// Its state, by name, and the number of steps.
    pub fn state(&self) -> (Vec<(String, Tensor)>, i32) {
        let both = self.means.iter().zip(&self.squares).zip(&self.variables);
        let named = both.flat_map(|((mean, square), (name, _))| {
            [
                (format!("mean.{name}"), mean.shallow_clone()),
                (format!("square.{name}"), square.shallow_clone()),
            ]
        });
        (named.collect(), self.steps)
    }

    /// Restores a state; `of` finds a tensor by its name.
    ///
    /// # Errors
    /// Those of `of`.
    pub fn restore(&mut self, steps: i32, of: impl Fn(&str) -> anyhow::Result<Tensor>) -> anyhow::Result<()> {
        for (i, (name, variable)) in self.variables.iter().enumerate() {
            self.means[i] = of(&format!("mean.{name}"))?.to_device(variable.device());
            self.squares[i] = of(&format!("square.{name}"))?.to_device(variable.device());
        }
        self.steps = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn::OptimizerConfig;
    use tch::{Device, Kind, nn};

    #[test]
    fn steps_are_those_of_libtorchs_adam() {
        let start = Tensor::from_slice(&[1.0f32, -2.0, 0.5, 3.0]);
        let loss = |x: &Tensor| (x.square() * Tensor::from_slice(&[1.0f32, 10.0, 0.1, 3.0])).sum(Kind::Float);
        let run = |ours: bool| {
            let store = nn::VarStore::new(Device::Cpu);
            let x = store.root().var_copy("x", &start);
            let mut theirs = nn::Adam::default().build(&store, 0.1).unwrap();
            let mut adam = Adam::new(store.variables().into_iter().collect());
            for _ in 0..50 {
                if ours {
                    let gradients = Tensor::run_backward(&[loss(&x)], &[&x], false, false);
                    adam.step(&gradients, 0.1);
                } else {
                    theirs.backward_step(&loss(&x));
                }
            }
            Vec::<f32>::try_from(x.detach()).unwrap()
        };
        for (a, b) in run(true).into_iter().zip(run(false)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
}
