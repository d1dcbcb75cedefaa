//! The two data channels of one transport, on its SCTP association.

use std::time::Instant;

use airside_dtls::Role as DtlsRole;
use bytes::Bytes;

use crate::command::{DataDialect, Role};
use crate::envelope::{self, DataChannel};
use crate::error::DropReason;
use crate::sctp::{ChannelConfig, SctpAssociation, SctpEvent, SendError};

/// What came over the channels.
#[derive(Debug)]
pub(crate) enum ChannelNews {
    /// Both channels are open.
    Ready,
    /// One message of the peer.
    Message { reliable: bool, data: Bytes },
    /// One packet of a data track of the peer.
    TrackPacket { data: Bytes },
    /// The peer does not read: it is to be cut off.
    Stalled,
    /// The association is over; the rest of the transport goes on.
    Lost,
}

/// SCTP association, and which stream is which channel.
#[derive(Debug)]
pub(crate) struct Channels {
    sctp: SctpAssociation,
    reliable: Option<u16>,
    lossy: Option<u16>,
    tracks: Option<u16>,
    ready: bool,
    /// Both channels are ours to open once the association is up.
    opens: bool,
}

impl Channels {
    /// A client opens both channels itself, at once, labelled as `dialect` wants; a server where
    /// `opens` says so.
    pub(crate) fn new(role: Role, dialect: DataDialect, opens: bool, now: Instant) -> Self {
        let mut channels = Self {
            sctp: SctpAssociation::new(dtls_role(role), now),
            reliable: None,
            lossy: None,
            tracks: None,
            ready: false,
            opens,
        };
        if role == Role::Client {
            channels.open(dialect, now);
        }
        channels
    }

    fn open(&mut self, dialect: DataDialect, now: Instant) {
        for (channel, label) in envelope::labels(dialect) {
            let config = match channel {
                DataChannel::Reliable => ChannelConfig::reliable(label),
                DataChannel::Lossy | DataChannel::Tracks => ChannelConfig::lossy(label),
            };
            *self.place(*channel) = self.sctp.open_channel(config, now).ok();
        }
    }

    fn place(&mut self, channel: DataChannel) -> &mut Option<u16> {
        match channel {
            DataChannel::Reliable => &mut self.reliable,
            DataChannel::Lossy => &mut self.lossy,
            DataChannel::Tracks => &mut self.tracks,
        }
    }

    /// One record of DTLS data.
    pub(crate) fn handle_packet(&mut self, packet: &[u8], now: Instant) {
        self.sctp.handle_packet(packet, now);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.sctp.handle_timeout(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.sctp.poll_timeout()
    }

    /// The next packet, to be sent as one DTLS record.
    pub(crate) fn poll_transmit(&mut self) -> Option<Bytes> {
        self.sctp.poll_transmit()
    }

    /// The next piece of news; channels of other labels are nobody's business here.
    pub(crate) fn poll_news(&mut self, dialect: DataDialect, now: Instant) -> Option<ChannelNews> {
        loop {
            match self.sctp.poll_event() {
                None => {
                    let open = self.sctp.is_up() && self.reliable.is_some() && self.lossy.is_some();
                    let news = open && !std::mem::replace(&mut self.ready, open);
                    return news.then_some(ChannelNews::Ready);
                }
                Some(SctpEvent::Up) => {
                    if self.opens {
                        self.open(dialect, now);
                    }
                }
                Some(SctpEvent::Lost) => return Some(ChannelNews::Lost),
                Some(SctpEvent::Stalled) => return Some(ChannelNews::Stalled),
                Some(SctpEvent::ChannelOpened { channel, config }) => {
                    if let Some(kind) = envelope::channel_kind(dialect, &config.label) {
                        *self.place(kind) = Some(channel);
                    }
                }
                Some(SctpEvent::ChannelClosed { channel }) => {
                    for place in [&mut self.reliable, &mut self.lossy, &mut self.tracks] {
                        place.take_if(|open| *open == channel);
                    }
                }
                Some(SctpEvent::Message { channel, data, .. }) => {
                    let reliable = self.reliable == Some(channel);
                    if reliable || self.lossy == Some(channel) {
                        return Some(ChannelNews::Message { reliable, data });
                    }
                    if self.tracks == Some(channel) {
                        return Some(ChannelNews::TrackPacket { data });
                    }
                }
            }
        }
    }

    /// The channel is there to send on.
    pub(crate) fn is_open(&self, channel: DataChannel) -> bool {
        self.stream(channel).is_some()
    }

    fn stream(&self, channel: DataChannel) -> Option<u16> {
        match channel {
            DataChannel::Reliable => self.reliable,
            DataChannel::Lossy => self.lossy,
            DataChannel::Tracks => self.tracks,
        }
    }

    /// Queues one message.
    ///
    /// # Errors
    /// The channel is not open, or its reader too slow.
    pub(crate) fn send(
        &mut self,
        channel: DataChannel,
        data: &Bytes,
        now: Instant,
    ) -> Result<(), DropReason> {
        let channel = self.stream(channel).ok_or(DropReason::DataNotRoutable)?;
        self.sctp.send(channel, true, data, now).map_err(|error| match error {
            SendError::Full => DropReason::DataQueueFull,
            SendError::NoChannel => DropReason::DataNotRoutable,
            SendError::TooBig => DropReason::DataTooBig,
        })
    }

    /// Packets and messages that were refused.
    pub(crate) fn rejected(&self) -> u64 {
        let stats = self.sctp.stats();
        stats.rejected_packets + stats.rejected_messages + stats.rejected_channels
    }
}

fn dtls_role(role: Role) -> DtlsRole {
    match role {
        Role::Server => DtlsRole::Server,
        Role::Client => DtlsRole::Client,
    }
}
