//! Sockets of single transports, and rings to other processes.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use airside_engine::ids::WorkerId;

use super::{Shell, UseError, lock};
use crate::local_ring::{Handover, LocalRing};
use crate::udp::{MAX_SOCKETS, Socket};
use crate::wires::WireConfig;
use crate::worker::Order;

/// Numbers of the sockets of one worker.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) next: u16,
    pub(super) free: Vec<u16>,
}

impl Numbers {
    fn take(&mut self) -> Result<u16, UseError> {
        if let Some(number) = self.free.pop() {
            return Ok(number);
        }
        if usize::from(self.next) >= MAX_SOCKETS {
            return Err(UseError::Sockets);
        }
        self.next += 1;
        Ok(self.next - 1)
    }
}

impl Shell {
    /// Opens one more socket for a worker, and returns its number and address: a client transport
    /// needs one of its own. With a wire everything passes an emulated network.
    ///
    /// # Errors
    /// The kernel refuses, or see [`UseError`] (as `io::Error` of kind `Other`).
    pub fn open_socket(
        &self,
        worker: WorkerId,
        address: SocketAddr,
        wire: Option<WireConfig>,
    ) -> io::Result<(u16, SocketAddr)> {
        let socket = Socket::bind(address, false)?;
        let address = socket.address();
        let handle = self.handle(worker).map_err(io::Error::other)?;
        let number = lock(&handle.numbers).take().map_err(io::Error::other)?;
        self.order(worker, Order::AddSocket(number, socket, wire)).map_err(io::Error::other)?;
        Ok((number, address))
    }

    /// Closes what `open_socket` opened; its number may be used again.
    ///
    /// # Errors
    /// No such worker, or closed.
    pub fn close_socket(&self, worker: WorkerId, number: u16) -> Result<(), UseError> {
        self.order(worker, Order::CloseSocket(number))?;
        lock(&self.handle(worker)?.numbers).free.push(number);
        Ok(())
    }

    /// Opens a ring between a worker and a process that is yet to be started, which gets the handover.
    ///
    /// # Errors
    /// As [`Shell::open_socket`].
    pub fn create_local_ring(&self, worker: WorkerId) -> io::Result<(u16, Handover)> {
        let (ring, handover) = LocalRing::create()?;
        Ok((self.add_local_ring(worker, ring)?, handover))
    }

    /// Takes the other side of a ring that the process gave us which started ours.
    ///
    /// # Errors
    /// These descriptors are not those of a ring, or as [`Shell::open_socket`].
    pub fn join_local_ring(&self, worker: WorkerId, handover: Handover) -> io::Result<u16> {
        self.add_local_ring(worker, LocalRing::join(handover)?)
    }

    fn add_local_ring(&self, worker: WorkerId, ring: LocalRing) -> io::Result<u16> {
        let next = &self.handle(worker).map_err(io::Error::other)?.next_ring;
        let number =
            next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| next.checked_add(1));
        let number = number.map_err(|_| io::Error::other(UseError::Sockets))?;
        self.order(worker, Order::AddLocalRing(number, ring)).map_err(io::Error::other)?;
        Ok(number)
    }

    /// Ends a ring with all transports on it; the other process hears of it.
    ///
    /// # Errors
    /// No such worker, or closed.
    pub fn close_local_ring(&self, worker: WorkerId, number: u16) -> Result<(), UseError> {
        self.order(worker, Order::CloseLocalRing(number))
    }
}
