//! Commands of the control plane, each to the file that does it.

use std::time::Instant;

use crate::command::Command;
use crate::engine::Engine;

impl Engine {
    /// Does one command; failures come out as [`Event::CommandFailed`](crate::event::Event).
    pub fn handle_command(&mut self, command: Command, now: Instant) {
        self.now = now;
        match command {
            Command::AddTransport(spec) => self.add_transport(&spec, now),
            Command::SetRemote(remote) => self.set_remote(&remote, now),
            Command::AddRemoteCandidate { transport, address } => {
                self.add_candidate(transport, address, now);
            }
            Command::RestartIce { transport, local } => self.restart_ice(transport, local),
            Command::RemoveTransport { transport } => self.remove_transport(transport, now),
            _ => {}
        }
    }
}
