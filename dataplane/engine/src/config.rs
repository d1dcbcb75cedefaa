//! What an engine is told at its start.

use airside_dtls::Identity;

use crate::clock::WallClock;
use crate::ids::WorkerId;

/// Set-up of one worker's engine.
#[derive(Debug)]
pub struct EngineConfig {
    /// Which worker this is; its ufrags begin with this number in two hex digits.
    pub worker: WorkerId,
    /// How many workers the process has.
    pub worker_count: u8,
    /// All workers receive on one port: addresses of transports are told to the others, and
    /// [`Engine::owner_of`](crate::Engine::owner_of) names who gets a datagram.
    pub shared_port: bool,
    /// Certificate and key of all transports.
    pub identity: Identity,
    /// Voices of a large room that are forwarded at once; 0: all, as it must be for clients.
    pub voices: usize,
    /// Start of all that is random here, so that a run can be repeated.
    pub seed: u64,
    /// Both clocks, read at one moment. Its instant is also the epoch of load-test stamps, so it
    /// should be the same for all workers of a process.
    pub clock: WallClock,
}
