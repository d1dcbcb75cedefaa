// What the tests drive in a page: one room of livekit-client, and questions about it with plain answers.
import * as livekit from 'livekit-client';

const { RoomEvent, Track } = livekit;
const TILE = { width: 320, height: 180 };

/** One participant: its room, what happened in it, and an element on the page for each track it gets. */
class Client {
  constructor() {
    this.events = [];
  }

  /** Connect with options of `Room` and of `Room.connect`; resolves when the room is connected. */
  async join(url, token, { e2eePassphrase, tile = TILE, ...options } = {}, connect = {}) {
    this.tile = tile;
    if (e2eePassphrase !== undefined) {
      const keyProvider = new livekit.ExternalE2EEKeyProvider();
      await keyProvider.setKey(e2eePassphrase);
      const worker = new Worker('e2ee.worker.mjs', { type: 'module' });
      options.encryption = { keyProvider, worker };
    }
    this.room = new livekit.Room(options);
    this.#record();
    this.room.on(RoomEvent.TrackSubscribed, (track, publication, person) => this.#show(track, person));
    this.room.on(RoomEvent.TrackUnsubscribed, (track) => track.detach().forEach((element) => element.remove()));
    if (e2eePassphrase !== undefined) await this.room.setE2EEEnabled(true);
    await this.room.connect(url, token, connect);
    return this.room.localParticipant.sid;
  }

  /** From now on this browser knows one video codec less, as others do. */
  forgetCodec(name) {
    const known = RTCRtpReceiver.getCapabilities('video').codecs;
    const kept = known.filter((codec) => codec.mimeType.toLowerCase() !== `video/${name}`);
    const { addTransceiver } = RTCPeerConnection.prototype;
    RTCPeerConnection.prototype.addTransceiver = function add(...values) {
      const transceiver = addTransceiver.apply(this, values);
      if (transceiver.receiver.track.kind === 'video') transceiver.setCodecPreferences(kept);
      return transceiver;
    };
  }

  /** Details of every event of that name so far. */
  seen(name) {
    return this.events.filter((event) => event.name === name).map((event) => event.detail);
  }

  /** Somebody's publication by source, for example `camera`; undefined until it is known. */
  publication(identity, source) {
    return this.room.remoteParticipants.get(identity)?.getTrackPublication(source);
  }

  /** What arrives of somebody's track; null until it does. */
  async received(identity, source) {
    const track = this.publication(identity, source)?.track;
    const stats = await track?.getRTCStatsReport();
    if (!stats) return null;
    const stream = [...stats.values()].find((item) => item.type === 'inbound-rtp');
    return stream
      ? {
          packets: stream.packetsReceived,
          energy: stream.totalAudioEnergy ?? 0,
          frames: stream.framesDecoded ?? 0,
          height: stream.frameHeight ?? 0,
          codec: stats.get(stream.codecId)?.mimeType.toLowerCase(),
          format: stats.get(stream.codecId)?.sdpFmtpLine ?? '',
        }
      : null;
  }

  /** The streams that are sent for an own track, the smallest first. */
  async sent(source) {
    const track = this.room.localParticipant.getTrackPublication(source)?.track;
    if (!track) return [];
    const senders = [track.sender, ...[...(track.simulcastCodecs?.values() ?? [])].map((item) => item.sender)];
    const streams = [];
    for (const sender of senders.filter(Boolean)) {
      const stats = await sender.getStats();
      for (const item of stats.values()) {
        if (item.type !== 'outbound-rtp') continue;
        streams.push({
          rid: item.rid ?? '',
          active: item.active,
          frames: item.framesEncoded ?? 0,
          height: item.frameHeight ?? 0,
          mode: item.scalabilityMode ?? '',
          codec: stats.get(item.codecId)?.mimeType.toLowerCase(),
          packets: item.packetsSent,
          format: stats.get(item.codecId)?.sdpFmtpLine ?? '',
        });
      }
    }
    return streams.sort((a, b) => a.height - b.height);
  }

  /** Mean absolute difference (0..255) of somebody's picture over half a second. */
  async changes(identity, source = Track.Source.Camera) {
    const video = this.publication(identity, source)?.track?.attachedElements[0];
    if (!video?.videoWidth) return 0;
    const pen = new OffscreenCanvas(160, 90).getContext('2d', { willReadFrequently: true });
    const look = () => {
      pen.drawImage(video, 0, 0, 160, 90);
      return pen.getImageData(0, 0, 160, 90).data;
    };
    const before = look();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const after = look();
    return before.reduce((sum, value, i) => sum + Math.abs(value - after[i]), 0) / before.length;
  }

  /** Give the element of somebody's video another size. */
  resize(identity, width, height) {
    const [element] = this.publication(identity, Track.Source.Camera).track.attachedElements;
    Object.assign(element.style, { width: `${width}px`, height: `${height}px` });
  }

  /** Publish a moving picture of any size that a canvas draws, as a camera. */
  async publishCanvas(width, height, options) {
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const pen = canvas.getContext('2d');
    let turn = 0;
    setInterval(() => {
      turn += 1;
      pen.fillStyle = `hsl(${turn * 7 % 360} 70% 50%)`;
      pen.fillRect(0, 0, width, height);
      pen.fillStyle = 'white';
      pen.fillRect((turn * 16) % width, (turn * 9) % height, width / 4, height / 4);
    }, 50);
    const [track] = canvas.captureStream(20).getVideoTracks();
    await this.room.localParticipant.publishTrack(track, { source: Track.Source.Camera, ...options });
  }

  /** Loss of the signal connection, as if the network had gone away for a moment. */
  cutSignal() {
    this.room.engine.client.ws?.close?.();
  }

  #show(track, person) {
    const element = track.attach();
    if (track.kind === Track.Kind.Video) {
      Object.assign(element.style, { width: `${this.tile.width}px`, height: `${this.tile.height}px` });
    }
    element.dataset.identity = person.identity;
    document.body.append(element);
  }

  #record() {
    const notes = {
      [RoomEvent.ParticipantConnected]: (person) => person.identity,
      [RoomEvent.ParticipantDisconnected]: (person) => person.identity,
      [RoomEvent.TrackMuted]: (publication, person) => [person.identity, publication.source],
      [RoomEvent.TrackUnmuted]: (publication, person) => [person.identity, publication.source],
      [RoomEvent.TrackPublished]: (publication, person) => [person.identity, publication.source],
      [RoomEvent.TrackUnpublished]: (publication, person) => [person.identity, publication.source],
      [RoomEvent.TrackSubscribed]: (track, publication, person) => [person.identity, publication.source],
      [RoomEvent.TrackUnsubscribed]: (track, publication, person) => [person.identity, publication.source],
      [RoomEvent.LocalTrackSubscribed]: (publication) => publication.source,
      [RoomEvent.ActiveSpeakersChanged]: (people) => people.map((person) => person.identity),
      [RoomEvent.ConnectionQualityChanged]: (quality, person) => [person.identity, quality],
      [RoomEvent.TrackStreamStateChanged]: (publication, state, person) => [person.identity, state],
      [RoomEvent.ParticipantMetadataChanged]: (before, person) => [person.identity, person.metadata],
      [RoomEvent.ParticipantNameChanged]: (name, person) => [person.identity, name],
      [RoomEvent.ParticipantAttributesChanged]: (changed, person) => [person.identity, changed],
      [RoomEvent.RoomMetadataChanged]: (metadata) => metadata,
      [RoomEvent.DataReceived]: (payload, person, kind, topic) => [
        new TextDecoder().decode(payload),
        person?.identity ?? '',
        kind,
        topic ?? '',
      ],
      [RoomEvent.ParticipantEncryptionStatusChanged]: (on, person) => [person?.identity, on],
      [RoomEvent.EncryptionError]: (error) => error.message,
      [RoomEvent.SignalReconnecting]: () => null,
      [RoomEvent.Reconnecting]: () => null,
      [RoomEvent.Reconnected]: () => null,
      [RoomEvent.Disconnected]: (reason) => reason ?? null,
      [RoomEvent.MediaDevicesError]: (error) => error.message,
    };
    for (const [name, note] of Object.entries(notes)) {
      this.room.on(name, (...values) => this.events.push({ name, detail: note(...values) }));
    }
  }
}

Object.assign(globalThis, { livekit, client: new Client() });
