//! Data messages: in over one transport's channels, out over those of everybody they are for.
//!
//! A message crosses to another worker once, written already in each dialect its receivers there
//! want. What a receiver has not read waits in its own bounded association; what comes before its
//! channel is open, in a bounded queue of its transport.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::command::{DataDialect, Role, SendData};
use crate::engine::Engine;
use crate::envelope::routing::Target;
use crate::envelope::{self, Content, DataChannel, DataMessage, MAX_TOPIC_LEN, Original};
use crate::error::DropReason;
use crate::event::{CloseReason, Event};
use crate::ids::{TransportId, WorkerId};
use crate::output::ClientMessage;
use crate::ring::RingMessage;
use crate::transport::{ChannelNews, Channels};

/// One message on its way, written for the receivers of one dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDelivery {
    /// Over this one of their channels.
    pub channel: DataChannel,
    /// The envelope, or the packet of a data track.
    pub bytes: Bytes,
    /// Who gets it; all on one worker.
    pub transports: Arc<[TransportId]>,
}

impl Engine {
    /// One record of the verified peer.
    pub(crate) fn handle_sctp(&mut self, key: usize, record: &[u8], now: Instant) {
        let transport = &mut self.transports[key];
        if !transport.data {
            self.out.drops.count(DropReason::SctpRejected);
            return;
        }
        let (role, opens) = (transport.role, transport.opens_channels);
        let dialect = self.members.dialect(transport.id).unwrap_or(DataDialect::Native);
        let channels = transport
            .channels
            .get_or_insert_with(|| Box::new(Channels::new(role, dialect, opens, now)));
        let rejected = channels.rejected();
        channels.handle_packet(record, now);
        let rejected = channels.rejected() - rejected;
        (0..rejected).for_each(|_| self.out.drops.count(DropReason::SctpRejected));
        self.after_channels(key, now);
    }

    /// Starts the association, once keys and agreement are there: a client speaks first.
    pub(crate) fn begin_channels(&mut self, key: usize, now: Instant) {
        let transport = &mut self.transports[key];
        if transport.data && transport.is_secured() && transport.channels.is_none() {
            let (role, opens) = (transport.role, transport.opens_channels);
            let dialect = self.members.dialect(transport.id).unwrap_or(DataDialect::Native);
            transport.channels = Some(Box::new(Channels::new(role, dialect, opens, now)));
            self.after_channels(key, now);
        }
    }

    /// Sends what SCTP wants sent and acts on what came.
    pub(crate) fn after_channels(&mut self, key: usize, now: Instant) {
        loop {
            self.flush_channels(key);
            let Some(transport) = self.transports.get_mut(key) else { return };
            let Some(channels) = &mut transport.channels else { break };
            let dialect = self.members.dialect(transport.id).unwrap_or(DataDialect::Native);
            match channels.poll_news(dialect, now) {
                None if channels.is_open(DataChannel::Reliable) && !transport.held.is_empty() => {
                    for message in transport.held.take(now) {
                        match channels.send(DataChannel::Reliable, &message, now) {
                            Ok(()) => transport.stats.data_messages_sent += 1,
                            Err(reason) => self.out.drops.count(reason),
                        }
                    }
                }
                None => break,
                Some(ChannelNews::Ready) => {
                    self.out.events.push(Event::DataReady { transport: transport.id });
                }
                Some(ChannelNews::Message { reliable, data }) => {
                    transport.stats.data_messages_received += 1;
                    let sender = transport.id;
                    if transport.role == Role::Client {
                        let message = ClientMessage { transport: sender, reliable, bytes: data };
                        self.out.message(message);
                        continue;
                    }
                    if let Err(reason) = self.route_message(sender, dialect, reliable, &data, now) {
                        self.out.drops.count(reason);
                    }
                }
                Some(ChannelNews::TrackPacket { data }) => {
                    transport.stats.data_messages_received += 1;
                    let publisher = transport.id;
                    if let Err(reason) = self.route_track_packet(publisher, &data, now) {
                        self.out.drops.count(reason);
                    }
                }
                Some(ChannelNews::Stalled) => {
                    return self.close(key, CloseReason::DataBackpressure, now);
                }
                Some(ChannelNews::Lost) => transport.channels = None,
            }
        }
        self.arm_transport(key);
    }

    /// Sends one envelope over a transport's channel, as a client does.
    ///
    /// # Errors
    /// No such open channel, or its reader is too slow. Counted as a drop too, but for a message of the
    /// reliable channel that has no room yet: the caller may try again.
    pub fn send_message(
        &mut self,
        transport: TransportId,
        reliable: bool,
        bytes: &Bytes,
        now: Instant,
    ) -> Result<(), DropReason> {
        self.now = now;
        let sent = self.send_over_channel(transport, reliable, bytes, now);
        sent.inspect_err(|reason| {
            if !reliable || *reason != DropReason::DataQueueFull {
                self.out.drops.count(*reason);
            }
        })
    }

    fn send_over_channel(
        &mut self,
        transport: TransportId,
        reliable: bool,
        bytes: &Bytes,
        now: Instant,
    ) -> Result<(), DropReason> {
        let key = self.names.transports.get(&transport).copied();
        let key = key.ok_or(DropReason::TransportClosed)?;
        let transport = &mut self.transports[key];
        let channels = transport.channels.as_mut().ok_or(DropReason::DataNotRoutable)?;
        channels.send(DataChannel::of_messages(reliable), bytes, now)?;
        transport.stats.data_messages_sent += 1;
        self.after_channels(key, now);
        Ok(())
    }

    /// SCTP packets into DTLS records, records into datagrams; on a local ring as they are.
    fn flush_channels(&mut self, key: usize) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let local = transport.is_local();
        let Some(channels) = &mut transport.channels else { return };
        while let Some(packet) = channels.poll_transmit() {
            if local {
                self.out.send(transport.tuple, &packet);
                continue;
            }
            transport.secure.send(&packet);
            while let Some(datagram) = transport.secure.poll_transmit() {
                self.out.send(transport.tuple, &datagram);
            }
        }
    }

    /// A message of a peer to everybody it is for.
    fn route_message(
        &mut self,
        sender: TransportId,
        dialect: DataDialect,
        reliable: bool,
        data: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let message =
            envelope::decode(dialect, reliable, data).map_err(|_| DropReason::DataMalformed)?;
        let mut targets = std::mem::take(&mut self.data_targets);
        let routed = self.members.route(sender, &message, now, &mut targets);
        let outcome = match routed {
            Err(refused) => Err(refused.into()),
            Ok(routed) if routed.to_server => {
                self.out.events.push(Event::Data {
                    transport: sender,
                    topic: server_topic(&message).to_owned(),
                    payload: message.original.map_or(message.payload, |it| it.bytes).to_vec(),
                });
                Ok(())
            }
            Ok(routed) => {
                let (sender, sender_sid) = (routed.sender.to_owned(), routed.sender_sid.to_owned());
                let stamped = DataMessage {
                    sequence: routed.sequence,
                    sender: &sender,
                    sender_sid: &sender_sid,
                    author: author(&message, routed.agent, &sender),
                    ..message
                };
                self.deliver(stamped, &targets, now)
            }
        };
        self.data_targets = targets;
        outcome
    }

    /// A packet of a data track to everybody who asked for that.
    fn route_track_packet(
        &mut self,
        publisher: TransportId,
        data: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let (packet, targets) = self.data_tracks.route(publisher, data)?;
        let mut own = None;
        for (worker, transports) in targets {
            let delivery = DataDelivery {
                channel: DataChannel::Tracks,
                bytes: packet.clone(),
                transports: transports.clone(),
            };
            if *worker == self.worker {
                own = Some(delivery);
            } else {
                self.out.ring(*worker, RingMessage::Data(delivery));
            }
        }
        if let Some(delivery) = own {
            self.hand_out(&delivery, now);
        }
        Ok(())
    }

    /// A message of the server to this worker's members.
    pub(crate) fn send_data(&mut self, data: &SendData, now: Instant) {
        if data.topic.len() > MAX_TOPIC_LEN {
            return self.out.events.failed("SendData", data.room.0, "topic is too long");
        }
        let mut targets = std::mem::take(&mut self.data_targets);
        self.members.route_from_server(data.room, &data.destinations, self.worker, &mut targets);
        let message = DataMessage {
            reliable: data.reliable,
            sender: &data.sender,
            topic: &data.topic,
            payload: if data.packet.is_some() { &[] } else { &data.payload },
            original: data.packet.map(|dialect| Original {
                dialect,
                bytes: &data.payload,
                content: Content::Other,
                nonce: &[],
            }),
            ..DataMessage::default()
        };
        targets.retain(|target| message.is_for(target.dialect));
        if let Err(reason) = self.deliver(message, &targets, now) {
            self.out.drops.count(reason);
        }
        self.data_targets = targets;
    }

    /// Writes the message once per dialect and hands it to each worker once. One dialect that cannot
    /// hold it does not keep it from the others.
    fn deliver(
        &mut self,
        mut message: DataMessage<'_>,
        targets: &[Target],
        now: Instant,
    ) -> Result<(), DropReason> {
        let mut outcome = Ok(());
        for dialect in [DataDialect::LiveKit, DataDialect::Native] {
            let of_dialect = || targets.iter().filter(|target| target.dialect == dialect);
            if of_dialect().next().is_none() {
                continue;
            }
            if dialect == DataDialect::Native {
                // Native receivers are not told who else got it.
                message.destinations.clear();
            }
            let mut bytes = Vec::new();
            if envelope::encode(dialect, &message, &mut bytes).is_err() {
                outcome = Err(DropReason::DataTooBig);
                continue;
            }
            let bytes = Bytes::from(bytes);
            for worker in (0..self.worker_count).map(WorkerId) {
                let transports: Arc<[TransportId]> = of_dialect()
                    .filter(|target| target.worker == worker)
                    .map(|target| target.transport)
                    .collect();
                if transports.is_empty() {
                    continue;
                }
                let channel = DataChannel::of_messages(message.reliable);
                let delivery = DataDelivery { channel, bytes: bytes.clone(), transports };
                if worker == self.worker {
                    self.hand_out(&delivery, now);
                } else {
                    self.out.ring(worker, RingMessage::Data(delivery));
                }
            }
        }
        outcome
    }

    /// Queues one message for transports of this worker. A slow reader loses lossy messages; one
    /// that stays slow on the reliable channel is cut off by its association's own limit.
    pub(crate) fn hand_out(&mut self, delivery: &DataDelivery, now: Instant) {
        for id in delivery.transports.iter() {
            let Some(key) = self.names.transports.get(id).copied() else { continue };
            let transport = &mut self.transports[key];
            let sent = match &mut transport.channels {
                Some(channels) if channels.is_open(delivery.channel) => {
                    channels.send(delivery.channel, &delivery.bytes, now)
                }
                _ if delivery.channel == DataChannel::Reliable => {
                    // Its handshakes may take a moment yet.
                    let dropped = transport.held.push(delivery.bytes.clone(), now);
                    (0..dropped).for_each(|_| self.out.drops.count(DropReason::DataNotRoutable));
                    continue;
                }
                _ => Err(DropReason::DataNotRoutable),
            };
            match sent {
                Ok(()) => transport.stats.data_messages_sent += 1,
                Err(reason) => self.out.drops.count(reason),
            }
            self.data_touched.push(key);
        }
        while let Some(key) = self.data_touched.pop() {
            self.contained(key, now, |engine| engine.after_channels(key, now));
        }
    }
}

/// What a message to the server is about: its topic, or the name by which the server was answered.
fn server_topic<'a>(message: &DataMessage<'a>) -> &'a str {
    if message.topic.is_empty() {
        message.destinations.first().copied().unwrap_or_default()
    } else {
        message.topic
    }
}

/// Whom an agent speaks for; nobody else may.
fn author<'a>(message: &DataMessage<'a>, agent: bool, sender: &str) -> &'a str {
    let spoken = message.original.is_some_and(|original| original.content == Content::Spoken);
    if agent && spoken && message.author != sender { message.author } else { "" }
}
