//! What the state machine brings: channels that open and close, and messages.

use bytes::Bytes;
use sctp_proto::{Association, Event, PayloadProtocolIdentifier, StreamEvent};
use std::time::Instant;

use super::channel::Channel;
use super::dcep::Dcep;
use super::{MAX_CHANNELS, MAX_MESSAGE_LEN, SctpAssociation, SctpEvent, State};

impl SctpAssociation {
    pub(super) fn drain_events(&mut self, now: Instant) {
        loop {
            let Some(event) = self.association.as_mut().and_then(Association::poll) else { return };
            match event {
                Event::Connected => self.on_connected(),
                Event::AssociationLost { .. } | Event::HandshakeFailed { .. } => {
                    self.collect(now);
                    return self.lose();
                }
                Event::Stream(StreamEvent::Readable { id }) => self.read(id),
                Event::Stream(StreamEvent::Finished { id }) => self.on_closed(id),
                Event::Stream(StreamEvent::ResetComplete { id }) => {
                    self.closing.remove(&id);
                }
                // Opened, Available, resets and counters: channels are ours to keep.
                _ => {}
            }
        }
    }

    fn on_connected(&mut self) {
        if self.state != State::Connecting {
            return;
        }
        self.state = State::Up;
        self.events.push_back(SctpEvent::Up);
        let waiting: Vec<(u16, bool)> =
            self.channels.iter().map(|(id, channel)| (*id, channel.waits_for_ack)).collect();
        for (id, with_dcep) in waiting {
            if with_dcep {
                self.announce(id);
            } else {
                self.open_stream(id);
            }
        }
    }

    fn read(&mut self, id: u16) {
        loop {
            let Some(association) = &mut self.association else { return };
            let Ok(mut stream) = association.stream(id) else { return };
            let Ok(Some(chunks)) = stream.read() else { return };
            self.received_chunks = self.received_chunks.saturating_sub(chunks.chunks.len());
            let mut data = vec![0; chunks.len()];
            if chunks.read(&mut data).is_ok() {
                self.on_message(id, chunks.ppi, data.into());
            }
        }
    }

    fn on_message(&mut self, id: u16, protocol: PayloadProtocolIdentifier, data: Bytes) {
        use PayloadProtocolIdentifier as Ppid;
        let (binary, data) = match protocol {
            Ppid::Dcep => return self.on_dcep(id, &data),
            Ppid::String => (false, data),
            Ppid::Binary => (true, data),
            Ppid::StringEmpty => (false, Bytes::new()),
            Ppid::BinaryEmpty => (true, Bytes::new()),
            Ppid::Unknown => {
                self.stats.rejected_messages += 1;
                return;
            }
        };
        if data.len() > MAX_MESSAGE_LEN || !self.channels.contains_key(&id) {
            self.stats.rejected_messages += 1;
            return;
        }
        // Data says that the peer knows the channel, as an ACK does (RFC 8832, section 6).
        self.acknowledged(id);
        self.events.push_back(SctpEvent::Message { channel: id, binary, data });
    }

    fn on_dcep(&mut self, id: u16, data: &[u8]) {
        match Dcep::parse(data) {
            Ok(Dcep::Ack) => self.acknowledged(id),
            // Not repeated by any peer, since it travels reliably; a second one changes nothing.
            Ok(Dcep::Open(_)) if self.channels.contains_key(&id) => {
                self.stats.rejected_channels += 1;
            }
            Ok(Dcep::Open(config)) if self.channels.len() < MAX_CHANNELS => {
                self.closing.remove(&id);
                self.channels.insert(id, Channel::new(config.clone(), false));
                self.apply_params(id);
                self.write(id, PayloadProtocolIdentifier::Dcep, Bytes::from_static(&[2]));
                self.events.push_back(SctpEvent::ChannelOpened { channel: id, config });
            }
            Ok(Dcep::Open(_)) | Err(_) => {
                self.stats.rejected_channels += 1;
                if !self.channels.contains_key(&id) {
                    self.reset(id);
                }
            }
        }
    }

    fn acknowledged(&mut self, id: u16) {
        if let Some(channel) = self.channels.get_mut(&id).filter(|channel| channel.waits_for_ack) {
            channel.waits_for_ack = false;
            self.apply_params(id);
        }
    }

    fn on_closed(&mut self, id: u16) {
        self.closing.insert(id);
        if self.channels.remove(&id).is_some() {
            self.events.push_back(SctpEvent::ChannelClosed { channel: id });
        }
    }
}
