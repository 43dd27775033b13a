//! The way of a step that has ended: its ranges are gathered, what is left of it is encoded, and it
//! is written. The program's calls go this way, or a thread in the background.

use crate::Result;
use crate::device_pool::NodeLoads;
use crate::encoder::Encoder;
use crate::lock::lock;
use crate::lock_ticket::LockTicket;
use crate::output::Output;
use crate::step::Step;
use std::sync::Mutex;

/// Encodes what is left of a step, and writes it. Collective.
pub(crate) fn complete(encoder: &Mutex<Encoder>, output: &Mutex<Output>, mut step: Step) -> Result<()> {
    lock(output).gather_ranges(&mut step);
    lock(encoder).encode_rest(&mut step);
    publish(encoder, output, &step)
}

/// Writes a step that is encoded. Collective.
pub(crate) fn publish(encoder: &Mutex<Encoder>, output: &Mutex<Output>, step: &Step) -> Result<()> {
    let mut output = lock(output);
    let own = if step.ticket.is_none() { output.ticket() } else { None };
    own.as_ref().or(step.ticket.as_ref()).into_iter().for_each(LockTicket::wait);
    let outcome = output.publish(step);
    let mut encoder = lock(encoder);
    encoder.settle(&outcome);
    if let Some(loads) = output.take_loads() {
        // The step's outcome is that of all ranks, whatever this one finds.
        if let Err(e) = encoder.pool.share(NodeLoads { loads: &loads, rank: output.node_rank() }) {
            log::warn!("{e}; the devices stay shared as they were");
        }
        output.note_threads(encoder.pool.threads());
    }
    outcome.map(|_| ())
}
