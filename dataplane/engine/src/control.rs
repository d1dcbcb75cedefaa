//! Commands of the control plane, each to the file that does it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::command::Command;
use crate::engine::Engine;
use crate::event::Event;

impl Engine {
    /// Does one command; failures come out as [`Event::CommandFailed`](crate::event::Event).
    pub fn handle_command(&mut self, command: Command, now: Instant) {
        self.now = now;
        let done = catch_unwind(AssertUnwindSafe(|| self.obey(command, now)));
        if done.is_err() {
            self.out.events.failed("command", 0, "a bug of ours");
        }
    }

    fn obey(&mut self, command: Command, now: Instant) {
        match command {
            Command::AddTransport(spec) => self.add_transport(&spec, now),
            Command::SetRemote(remote) => self.set_remote(&remote, now),
            Command::AddRemoteCandidate { transport, address } => {
                self.add_candidate(transport, address, now);
            }
            Command::RestartIce { transport, local } => self.restart_ice(transport, local),
            Command::LimitSending { transport, limit } => {
                self.limit_sending(transport, limit, now);
            }
            Command::RemoveTransport { transport } => self.remove_transport(transport, now),
            Command::AddTrack(spec) => self.add_track(spec, now),
            Command::SetTrackMuted { track, muted } => self.set_track_muted(track, muted, now),
            Command::RemoveTrack { track } => self.remove_track(track),
            Command::AddTarget { track, target } => self.add_target(track, target),
            Command::RemoveTarget { track, target } => self.remove_target(track, target),
            Command::AddSlot(spec) => self.add_slot(spec),
            Command::RemoveSlot { slot } => self.remove_slot(slot),
            Command::Subscribe { slot, track, wish } => self.subscribe(slot, track, wish, now),
            Command::UpdateSubscription { slot, wish } => {
                self.update_subscription(slot, wish, now);
            }
            Command::Unsubscribe { slot } => self.unsubscribe(slot),
            Command::RequestKeyframe { track, layer } => self.request_keyframe(track, layer, now),
            Command::SetMember(member) => self.members.set_member(member),
            Command::RemoveMember { room, participant } => {
                self.members.remove_member(room, participant);
            }
            Command::SendData(data) => self.send_data(&data, now),
            Command::SetDataTrack(track) => self.data_tracks.set(track),
            Command::RemoveDataTrack { publisher, handle } => {
                self.data_tracks.remove(publisher, handle);
            }
            Command::ReadDataReceived { transport, token } => {
                let sequence = self.members.received(transport);
                self.out.events.push(Event::DataReceived { token, sequence });
            }
            Command::ReadStats { token } => self.read_stats(token, now),
        }
    }
}
