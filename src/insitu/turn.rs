//! Who may use HDF5 now. It lets one thread in at a time, and waits inside for the other ranks; so all ranks must enter in the
//! same order, whichever session and thread they come from. That order is the program's own: a place is taken when the program
//! calls, even where a thread of ours goes in later.

use crate::output::lock;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

struct Queue {
    places: VecDeque<u64>,
    next: u64,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { places: VecDeque::new(), next: 0 });
static MOVED: Condvar = Condvar::new();

/// A place in the queue; it is given up when dropped.
pub(crate) struct Turn(u64);

impl Turn {
    /// Takes the last place, without waiting.
    pub(crate) fn take() -> Self {
        let mut queue = lock(&QUEUE);
        queue.next += 1;
        let place = queue.next;
        queue.places.push_back(place);
        Self(place)
    }

    /// Waits until all before it are done.
    pub(crate) fn wait(&self) {
        let mut queue = lock(&QUEUE);
        while queue.places.front().is_some_and(|&first| first != self.0) {
            queue = MOVED.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&QUEUE).places.retain(|&place| place != self.0);
        MOVED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn places_are_served_in_the_order_in_which_they_were_taken() {
        let turns: Vec<_> = (0..50).map(|_| Turn::take()).collect();
        let served = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for (number, turn) in turns.into_iter().enumerate().rev() {
                let served = &served;
                scope.spawn(move || {
                    // Every third is given up without being used.
                    if number % 3 > 0 {
                        turn.wait();
                        assert!(served.fetch_max(number, Ordering::Relaxed) <= number);
                    }
                });
            }
        });
    }
}
