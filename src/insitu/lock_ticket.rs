//! Tickets for the lock of HDF5, which lets one thread in at a time, and waits inside for the other
//! ranks. All ranks must enter in the same order, whichever session and thread they come from; that
//! order is the program's own: a ticket is taken when the program calls, even where another thread
//! enters later with it.

use crate::lock::lock;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use swae_codec::process::PerProcess;

#[derive(Default)]
struct Tickets {
    waiting: VecDeque<u64>,
    last: u64,
}

#[derive(Default)]
struct Queue {
    tickets: Mutex<Tickets>,
    moved: Condvar,
}

/// The queue of this process: a forked child has no session that waits.
fn queue() -> &'static Queue {
    static QUEUE: PerProcess<Queue> = PerProcess::new();
    QUEUE.get(|_| Queue::default())
}

/// A place in the queue for the lock; it is given up when dropped.
pub(crate) struct LockTicket(u64);

impl LockTicket {
    /// Takes the last place, without waiting.
    pub(crate) fn take() -> Self {
        let mut tickets = lock(&queue().tickets);
        tickets.last += 1;
        let number = tickets.last;
        tickets.waiting.push_back(number);
        Self(number)
    }

    /// Waits until all earlier tickets are given up.
    pub(crate) fn wait(&self) {
        let mut tickets = lock(&queue().tickets);
        while tickets.waiting.front().is_some_and(|&first| first != self.0) {
            tickets = queue().moved.wait(tickets).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for LockTicket {
    fn drop(&mut self) {
        lock(&queue().tickets).waiting.retain(|&number| number != self.0);
        queue().moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn tickets_are_served_in_the_order_in_which_they_were_taken() {
        let tickets: Vec<_> = (0..50).map(|_| LockTicket::take()).collect();
        let served = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for (number, ticket) in tickets.into_iter().enumerate().rev() {
                let served = &served;
                scope.spawn(move || {
                    // Every third is given up without being used.
                    if number % 3 > 0 {
                        ticket.wait();
                        assert!(served.fetch_max(number, Ordering::Relaxed) <= number);
                    }
                });
            }
        });
    }
}
