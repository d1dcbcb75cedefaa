//! Channels of ours: opened, announced to the peer, closed.

use std::time::Instant;

use sctp_proto::PayloadProtocolIdentifier;

use super::channel::Channel;
use super::dcep::Dcep;
use super::{
    ChannelConfig, MAX_CHANNELS, MAX_LABEL_LEN, OpenError, SctpAssociation, State, packet,
};

impl SctpAssociation {
    /// Opens a channel with DCEP; may be called before the association is up. Messages can be sent
    /// once it is.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_channel(&mut self, config: ChannelConfig, now: Instant) -> Result<u16, OpenError> {
        if config.label.len() > MAX_LABEL_LEN || config.protocol.len() > MAX_LABEL_LEN {
            return Err(OpenError::BadLabel);
        }
        if self.state == State::Lost {
            return Err(OpenError::Lost);
        }
        let id = (self.first_id..packet::MAX_STREAMS)
            .step_by(2)
            .find(|id| !self.channels.contains_key(id) && !self.closing.contains(id))
            .filter(|_| self.channels.len() < MAX_CHANNELS)
            .ok_or(OpenError::NoneFree)?;
        self.channels.insert(id, Channel::new(config, true));
        if self.state == State::Up {
            self.contained(|this| this.announce(id));
            self.collect(now);
        }
        Ok(id)
    }

    /// Adds a channel that both ends know without DCEP (`negotiated: true` in a browser).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn add_negotiated(&mut self, id: u16, config: ChannelConfig) -> Result<(), OpenError> {
        if self.state == State::Lost {
            return Err(OpenError::Lost);
        }
        if id >= packet::MAX_STREAMS
            || self.channels.len() >= MAX_CHANNELS
            || self.channels.contains_key(&id)
            || self.closing.contains(&id)
        {
            return Err(OpenError::NoneFree);
        }
        self.channels.insert(id, Channel::new(config, false));
        if self.state == State::Up {
            self.contained(|this| this.open_stream(id));
        }
        Ok(())
    }

    /// Closes a channel; its id may be used again once the peer has agreed.
    pub fn close_channel(&mut self, channel: u16, now: Instant) {
        if self.channels.remove(&channel).is_some() {
            self.closing.insert(channel);
            self.contained(|this| this.reset(channel));
            self.collect(now);
        }
    }

    /// What is known about an open channel.
    #[must_use]
    pub fn channel(&self, channel: u16) -> Option<&ChannelConfig> {
        self.channels.get(&channel).map(|found| &found.config)
    }

    /// Makes the stream of a channel of ours and sends the OPEN.
    pub(super) fn announce(&mut self, id: u16) {
        self.open_stream(id);
        let open = self.channels.get(&id).map(|channel| Dcep::Open(channel.config.clone()));
        if let Some(Ok(open)) = open.map(|open| open.build()) {
            self.write(id, PayloadProtocolIdentifier::Dcep, open.into());
        }
    }

    pub(super) fn open_stream(&mut self, id: u16) {
        if let Some(association) = &mut self.association {
            // The peer may have made it first, by sending on it.
            let _ = association.open_stream(id, PayloadProtocolIdentifier::Binary);
        }
        self.apply_params(id);
    }

    pub(super) fn apply_params(&mut self, id: u16) {
        let (Some(association), Some(channel)) = (&mut self.association, self.channels.get(&id))
        else {
            return;
        };
        let (unordered, kind, value) = channel.sctp_params();
        if let Ok(mut stream) = association.stream(id) {
            let _ = stream.set_reliability_params(unordered, kind, value);
        }
    }

    pub(super) fn reset(&mut self, id: u16) {
        if let Some(Ok(mut stream)) =
            self.association.as_mut().map(|association| association.stream(id))
        {
            let _ = stream.close();
        }
    }
}
