/**
 * Airside's browser client: one ES module, no build step.
 *
 *     import { Room } from '/client/airside.js';
 *     const room = await Room.connect('wss://host', token);
 *     room.addEventListener('tracksubscribed', (e) => e.detail.track.attach(videoElement));
 *     await room.publishMicrophone();
 *
 * Speaks the native dialect (PROTOCOL.md). One RTCPeerConnection carries everything both ways and
 * only this side offers, so offers never collide. Tracks of others arrive in receive sections that
 * were offered in advance: `subscribed` says which section carries which track.
 *
 * @module airside
 */

import { LocalDataTrack, RemoteDataTrack, decodePacket } from './data_tracks.js';
import { decodeEnvelope, encodeEnvelope } from './envelope.js';
import { AirsideError, Signal } from './signal.js';
import { StatsReader } from './stats.js';
import { LocalTrack, Participant, RemoteTrack, wish } from './tracks.js';

export { AirsideError, LocalDataTrack, LocalTrack, Participant, RemoteDataTrack, RemoteTrack };

const PROTOCOL = 1;
const VERSION = '0.1.0';
/** Receive sections offered at join; the server asks for more when they run short. */
const SPARE_SECTIONS = { audio: 3, video: 3 };
/** First wait before a reconnection; doubles up to the second value. */
const BACKOFF_MS = [250, 4_000];
/** ICE that is "disconnected" for longer than this is restarted. */
const ICE_PATIENCE_MS = 4_000;

/** Simulcast layers from small to large: rid, down-scaling, bits per second at 720p. */
const CAMERA_LAYERS = [
  { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 160_000 },
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
];
const SCREEN_MAX_BITRATE = 2_500_000;

/** What microphones get unless the caller says otherwise: speech reaches agents processed. */
export const MICROPHONE_DEFAULTS = {
  echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1,
};
export const CAMERA_DEFAULTS = {
  width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 },
};

/**
 * A room we are in. Events (CustomEvent, `detail` in brackets): `participantjoined`,
 * `participantupdated`, `participantleft` {participant}; `trackpublished`, `trackunpublished`,
 * `trackupdated`, `tracksubscribed`, `trackunsubscribed` {track, participant}; `subscriptionfailed`
 * {track, code, message}; `speakers` {participants}; `data` {payload, topic, sender, reliable};
 * `datatrackpublished`, `datatrackunpublished` {track, participant}; `dataframe` {track, payload, ticks};
 * `localpublished`, `localunpublished`, `localmuted` {track}; `quality` {participants}; `streamstate`
 * {track, participant}; `wantedlayers` {track}; `permissions` {permissions}; `roomupdated`; `moved` {room}; `statechange` {state};
 * `closed` {code, message}.
 */
export class Room extends EventTarget {
  /**
   * Join.
   * @param {string} url base address of the server: ws(s):// or http(s)://
   * @param {string} token access token
   * @param {{autoSubscribe?: boolean, iceTransportPolicy?: RTCIceTransportPolicy}} [options]
   * @returns {Promise<Room>} when the server has let us in; media follows within a round trip
   * @throws {AirsideError} refused
   */
  static async connect(url, token, options = {}) {
    const room = new Room(url, token, options);
    await room._join();
    return room;
  }

  constructor(url, token, options) {
    super();
    this.url = url.replace(/^http/, 'ws').replace(/\/$/, '');
    this.token = token;
    this.options = { autoSubscribe: true, ...options };
    /** @type {'connecting'|'connected'|'reconnecting'|'closed'} */
    this.state = 'connecting';
    this.info = null;
    /** @type {Participant|null} */
    this.me = null;
    /** Others, by identity. @type {Map<string, Participant>} */
    this.participants = new Map();
    /** @type {LocalTrack[]} */
    this.localTracks = [];
    /** By the number in their packets. @type {Map<number, LocalDataTrack>} */
    this._localDataTracks = new Map();
    /** Those that we get, by the number in their packets. @type {Map<number, RemoteDataTrack>} */
    this._dataTracks = new Map();
    this._negotiation = Promise.resolve();
    this._channels = {};
    this._binding = new Map();
    this._offers = 0;
    this._stats = new StatsReader();
    const address = `${this.url}/signal?access_token=${encodeURIComponent(token)}`;
    this._signal = new Signal(address, (m) => this._onMessage(m), () => this._onSocketLost());
  }

  /** Of the media path. @returns {RTCPeerConnectionState} */
  get connectionState() { return this._pc?.connectionState ?? 'closed'; }

  // ---- what an application calls

  /** @param {MediaTrackConstraints} [constraints] */
  async publishMicrophone(constraints = {}) {
    const audio = { ...MICROPHONE_DEFAULTS, ...constraints };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    return this.publish(stream.getAudioTracks()[0], { source: 'microphone' });
  }

  /** Three simulcast layers by default. @param {MediaTrackConstraints} [constraints] */
  async publishCamera(constraints = {}, options = {}) {
    const video = { ...CAMERA_DEFAULTS, ...constraints };
    const stream = await navigator.mediaDevices.getUserMedia({ video });
    return this.publish(stream.getVideoTracks()[0], { source: 'camera', simulcast: true, ...options });
  }

  /** Ask for a screen or window; its sound comes along where the browser can. */
  async publishScreen() {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: true });
    const published = [];
    for (const track of stream.getTracks()) {
      const source = track.kind === 'video' ? 'screen_share' : 'screen_share_audio';
      if (track.kind === 'video') track.contentHint = 'detail';
      const local = await this.publish(track, { source });
      track.addEventListener('ended', () => this.unpublish(local));
      published.push(local);
    }
    return published;
  }

  /**
   * Publish any track.
   * @param {MediaStreamTrack} track
   * @param {{source?: string, name?: string, simulcast?: boolean, muted?: boolean,
   *   encodings?: RTCRtpEncodingParameters[], codec?: string}} [options]
   * @returns {Promise<LocalTrack>}
   */
  async publish(track, options = {}) {
    const local = this._addLocal(track, { source: 'unknown', ...options });
    try {
      await this._negotiate([local]);
    } catch (error) {
      this._dropLocal(local);
      throw error;
    }
    this._emit('localpublished', { track: local });
    return local;
  }

  /** @param {LocalTrack} local */
  async unpublish(local) {
    if (!this.localTracks.includes(local)) return;
    this._dropLocal(local);
    await this._signal.request({ type: 'unpublish', track_id: local.id });
    this._emit('localunpublished', { track: local });
  }

  /** Ask for a track when not subscribed automatically. @param {RemoteTrack} track */
  async subscribe(track) {
    await this._signal.request({ type: 'subscribe', track_id: track.id, ...wish(track) });
  }

  /** @param {RemoteTrack} track */
  async unsubscribe(track) {
    await this._signal.request({ type: 'unsubscribe', track_id: track.id });
  }

  /**
   * Send bytes or text to everybody else, or to some.
   * @param {Uint8Array|string} payload
   * @param {{reliable?: boolean, topic?: string, destinations?: string[]}} [options]
   * @throws {AirsideError} the channel is not open or full
   */
  sendData(payload, { reliable = true, topic = '', destinations = [] } = {}) {
    const channel = this._channels[reliable ? 'reliable' : 'lossy'];
    if (channel?.readyState !== 'open') throw new AirsideError('not_open', 'data channel not open');
    if (!reliable && channel.bufferedAmount > 65536) return;
    const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
    channel.send(encodeEnvelope({ topic, destinations, payload: bytes }));
  }

  /**
   * Publish small packets at a rate of their own, of which one may be lost.
   * @param {string} name
   * @returns {Promise<LocalDataTrack>}
   */
  async publishDataTrack(name) {
    let number = 1;
    while (this._localDataTracks.has(number)) number += 1;
    const local = new LocalDataTrack(this, number, name);
    this._localDataTracks.set(number, local);
    try {
      await this._announceDataTrack(local);
    } catch (error) {
      this._localDataTracks.delete(number);
      throw error;
    }
    return local;
  }

  /** @param {LocalDataTrack} local */
  async unpublishDataTrack(local) {
    if (this._localDataTracks.get(local._number) !== local) return;
    this._localDataTracks.delete(local._number);
    await this._signal.request({ type: 'unpublish_data_track', number: local._number });
  }

  /** Get the frames of a data track as `dataframe`, or no longer. @param {RemoteDataTrack} track */
  async subscribeDataTrack(track, subscribe = true) {
    await this._signal.request({ type: 'subscribe_data_tracks', track_ids: [track.id], subscribe });
  }

  /** Change what others see of us. @param {{name?: string, metadata?: string, attributes?: Record<string,string>}} change */
  async updateMe(change) { await this._signal.request({ type: 'update_me', ...change }); }

  /** Leave and release every device. */
  leave() {
    if (this.state === 'closed') return;
    this._signal.send({ type: 'leave' });
    this._close('client_left', 'left');
  }

  /**
   * Numbers of every track, both ways, since the last call.
   * @returns {Promise<Map<string, import('./stats.js').TrackStats>>} by track id
   */
  async stats() {
    const remote = [...this.participants.values()].flatMap((p) => [...p.tracks.values()]);
    return this._stats.read(await this._pc.getStats(), remote.filter((t) => t.subscribed), this.localTracks);
  }

  // ---- joining and coming back

  async _join() {
    this._createConnection();
    for (const local of this.localTracks) {
      local.transceiver = this._addTransceiver(local.mediaStreamTrack, local.options);
    }
    const offer = await this._pc.createOffer();
    await this._pc.setLocalDescription(offer);
    const joined = await this._signal.open({
      type: 'join', protocol: PROTOCOL, offer: offer.sdp,
      tracks: this.localTracks.map((t) => t._announcement()),
      auto_subscribe: this.options.autoSubscribe,
      client: { sdk: 'js', version: VERSION },
    });
    this._sessionId = joined.session_id;
    this._applyState(joined.state); // at once: the next message builds on it
    if (joined.ice_servers.length > 0) this._pc.setConfiguration({ iceServers: joined.ice_servers });
    await this._pc.setRemoteDescription({ type: 'answer', sdp: joined.answer });
    this._setState('connected');
    for (const local of this._localDataTracks.values()) {
      if (local.id) this._announceDataTrack(local).catch((error) => this._emit('error', { error }));
    }
  }

  async _announceDataTrack(local) {
    const { track } = await this._signal.request({
      type: 'publish_data_track', number: local._number, name: local.name,
    });
    local.id = track.id;
  }

  _createConnection() {
    const pc = new RTCPeerConnection({
      bundlePolicy: 'max-bundle', iceTransportPolicy: this.options.iceTransportPolicy ?? 'all',
    });
    this._pc = pc;
    this._binding.clear();
    for (const [kind, count] of Object.entries(SPARE_SECTIONS)) {
      for (let i = 0; i < count; i += 1) receive(pc, kind);
    }
    this._channels = {
      reliable: pc.createDataChannel('reliable', { ordered: true }),
      lossy: pc.createDataChannel('lossy', { ordered: false, maxRetransmits: 0 }),
      tracks: pc.createDataChannel('tracks', { ordered: false, maxRetransmits: 0 }),
    };
    for (const [name, channel] of Object.entries(this._channels)) {
      channel.binaryType = 'arraybuffer';
      channel.onmessage = ({ data }) => {
        if (name === 'tracks') this._onTrackPacket(data);
        else this._onData(data, name === 'reliable');
      };
      channel.onopen = () => this._emit('dataopen', { channel: name });
    }
    pc.onconnectionstatechange = () => this._onConnectionState(pc);
  }

  _onSocketLost() {
    if (this.state === 'closed' || this.state === 'reconnecting') return;
    this._reconnect(false);
  }

  /** Come back: resume the session and its media, else join anew and publish again. */
  async _reconnect(anew) {
    this._setState('reconnecting');
    let wait = BACKOFF_MS[0];
    let resume = !anew;
    while (this.state === 'reconnecting') {
      try {
        if (resume) await this._resume();
        else await this._rejoin();
        return;
      } catch (error) {
        if (resume && error.code !== 'unreachable') resume = false;
        else if (!(error instanceof AirsideError) || error.code !== 'unreachable') {
          if (this.state !== 'closed') this._close(error.code ?? 'failed', error.message);
          return;
        }
        await new Promise((r) => setTimeout(r, wait * (0.75 + Math.random() / 2)));
        wait = Math.min(BACKOFF_MS[1], wait * 2);
      }
    }
  }

  async _resume() {
    const resumed = await this._signal.open({
      type: 'resume', protocol: PROTOCOL, session_id: this._sessionId, last_seq: this._signal.lastSeq,
    });
    if (resumed.state) this._applyState(resumed.state);
    this._setState('connected');
    if (['failed', 'disconnected'].includes(this._pc.connectionState)) await this._restartIce();
  }

  async _rejoin() {
    this._pc.close();
    for (const participant of [...this.participants.values()]) this._forget(participant);
    this.me = null;
    this._dataTracks.clear();
    for (const local of this.localTracks) local._restart();
    this._negotiation = Promise.resolve();
    await this._join();
  }

  async _restartIce() {
    this._pc.restartIce();
    await this._negotiate([]);
  }

  _onConnectionState(pc) {
    if (this._pc !== pc || this.state === 'closed') return;
    this._emit('connectionstate', { state: pc.connectionState });
    clearTimeout(this._icePatience);
    const restart = () => {
      if (this.state === 'connected') this._restartIce().catch(() => this._reconnect(true));
    };
    if (pc.connectionState === 'failed') restart();
    else if (pc.connectionState === 'disconnected') {
      this._icePatience = setTimeout(restart, ICE_PATIENCE_MS);
    }
  }

  _close(code, message) {
    clearTimeout(this._icePatience);
    this._setState('closed');
    for (const participant of [...this.participants.values()]) this._forget(participant);
    for (const local of this.localTracks) local.mediaStreamTrack.stop();
    this.localTracks = [];
    this._pc?.close();
    this._signal.close();
    this._emit('closed', { code, message });
  }

  // ---- negotiation

  /** One offer at a time; only this side offers. @param {LocalTrack[]} fresh */
  _negotiate(fresh) {
    const run = async () => {
      const pc = this._pc;
      const offer = await pc.createOffer();
      await pc.setLocalDescription(offer);
      try {
        const answer = await this._signal.request({
          type: 'offer', id: (this._offers += 1), sdp: pc.localDescription.sdp,
          tracks: fresh.map((t) => t._announcement()),
        });
        await pc.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
        this._nameLocalTracks(answer.tracks);
      } catch (error) {
        if (pc.signalingState === 'have-local-offer') {
          await pc.setLocalDescription({ type: 'rollback' });
        }
        throw error;
      }
    };
    const result = this._negotiation.then(run);
    this._negotiation = result.catch(() => {});
    return result;
  }

  _nameLocalTracks(named) {
    for (const { mid, track } of named) {
      const local = this.localTracks.find((t) => t.transceiver.mid === mid);
      if (local) local.info = track;
    }
  }

  _addLocal(track, options) {
    const local = new LocalTrack(this, track, options, this._addTransceiver(track, options));
    this.localTracks.push(local);
    return local;
  }

  _addTransceiver(track, options) {
    const init = { direction: 'sendonly', streams: [new MediaStream([track])] };
    if (track.kind === 'video') {
      init.sendEncodings = options.encodings
        ?? (options.simulcast ? CAMERA_LAYERS.map((l) => ({ ...l })) : [{ maxBitrate: SCREEN_MAX_BITRATE }]);
    }
    const transceiver = this._pc.addTransceiver(track, init);
    if (options.codec) preferCodec(transceiver, options.codec);
    return transceiver;
  }

  _dropLocal(local) {
    this.localTracks = this.localTracks.filter((t) => t !== local);
    local.mediaStreamTrack.stop();
    local.transceiver.sender.replaceTrack(null).catch(() => {});
    if (local.transceiver.mid !== null || this._pc.signalingState === 'stable') local.transceiver.stop();
  }

  _sendWish(track) {
    this._signal.send({ type: 'update_subscription', track_id: track.id, ...wish(track) });
  }

  // ---- messages

  _onMessage(message) {
    HANDLERS[message.type]?.call(this, message);
  }

  /** Whole state, at the beginning and where a resume has forgotten events. */
  _applyState({ participant, room, participants, tracks, subscriptions }) {
    this.info = room;
    this.me ??= new Participant(participant);
    this._nameLocalTracks(tracks);
    this._updateMe(participant);
    const present = new Set(participants.map((p) => p.identity));
    for (const other of [...this.participants.values()]) {
      if (!present.has(other.identity)) this._forget(other);
    }
    for (const info of participants) this._upsert(info);
    this._applyBindings(subscriptions);
  }

  _applyBindings(bindings) {
    const wanted = new Map(bindings.map((b) => [b.mid, b.track_id]));
    for (const [mid, id] of [...this._binding]) {
      if (wanted.get(mid) !== id) HANDLERS.unsubscribed.call(this, { mid, track_id: id });
    }
    for (const [mid, id] of wanted) {
      if (this._binding.get(mid) !== id) HANDLERS.subscribed.call(this, { mid, track_id: id });
    }
  }

  _updateMe(info) {
    this.me.update(info);
    const ids = new Set(info.tracks.map((t) => t.id));
    for (const local of this.localTracks.filter((t) => t.id && !ids.has(t.id))) {
      this._dropLocal(local);
      this._emit('localunpublished', { track: local });
    }
  }

  _upsert(info) {
    if (info.identity === this.me?.identity) {
      this._updateMe(info);
      return;
    }
    let participant = this.participants.get(info.identity);
    if (participant && participant.id !== info.id) {
      this._forget(participant);
      participant = undefined;
    }
    const isNew = !participant;
    participant ??= new Participant(info);
    participant.update(info);
    this.participants.set(info.identity, participant);
    this._emit(isNew ? 'participantjoined' : 'participantupdated', { participant });
    this._syncTracks(participant, info.tracks ?? []);
    this._syncDataTracks(participant, info.data_tracks ?? []);
  }

  _syncTracks(participant, infos) {
    const ids = new Set(infos.map((t) => t.id));
    for (const track of [...participant.tracks.values()]) {
      if (ids.has(track.id)) continue;
      participant.tracks.delete(track.id);
      this._emit('trackunpublished', { track, participant });
      track._end();
    }
    for (const info of infos) {
      const known = participant.tracks.get(info.id);
      if (known) {
        known.info = info;
        this._emit('trackupdated', { track: known, participant });
        continue;
      }
      const track = new RemoteTrack(this, participant, info);
      participant.tracks.set(info.id, track);
      this._emit('trackpublished', { track, participant });
      const mid = [...this._binding].find(([, id]) => id === info.id)?.[0];
      if (mid !== undefined) this._bind(track, mid);
    }
  }

  _syncDataTracks(participant, infos) {
    const ids = new Set(infos.map((t) => t.id));
    for (const track of [...participant.dataTracks.values()].filter((t) => !ids.has(t.id))) {
      participant.dataTracks.delete(track.id);
      this._emit('datatrackunpublished', { track, participant });
    }
    for (const info of infos.filter((t) => !participant.dataTracks.has(t.id))) {
      const track = new RemoteDataTrack(participant, info);
      participant.dataTracks.set(info.id, track);
      this._emit('datatrackpublished', { track, participant });
    }
  }

  _forget(participant) {
    this._syncTracks(participant, []);
    this._syncDataTracks(participant, []);
    this.participants.delete(participant.identity);
    this._emit('participantleft', { participant });
  }

  _track(id) {
    for (const participant of this.participants.values()) {
      const track = participant.tracks.get(id);
      if (track) return track;
    }
    return null;
  }

  _bind(track, mid) {
    const transceiver = this._pc.getTransceivers().find((t) => t.mid === mid);
    if (!transceiver) return;
    track._bind(mid, transceiver.receiver.track);
    this._emit('tracksubscribed', { track, participant: track.participant });
    if (track._wantedHeight >= 0) this._sendWish(track);
  }

  _onData(data, reliable) {
    const message = decodeEnvelope(data);
    if (message) this._emit('data', { ...message, reliable });
  }

  _onTrackPacket(data) {
    const packet = decodePacket(data);
    const track = packet && this._dataTracks.get(packet.number);
    const frame = track?._reader.read(packet);
    if (frame) this._emit('dataframe', { track, ...frame });
  }

  _setState(state) {
    if (this.state === state) return;
    this.state = state;
    this._emit('statechange', { state });
  }

  _emit(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

}

/** What the server's messages do, by type. `this` is the room. */
const HANDLERS = {
  moved({ state }) {
    this._applyState(state);
    this._emit('moved', { room: state.room });
  },
  participants({ joined, updated, left }) {
    for (const { identity, id } of left) {
      const participant = this.participants.get(identity);
      if (participant?.id === id) this._forget(participant);
    }
    for (const info of [...joined, ...updated]) this._upsert(info);
  },
  subscribed({ track_id: id, mid }) {
    this._binding.set(mid, id);
    const track = this._track(id);
    if (track) this._bind(track, mid);
  },
  unsubscribed({ track_id: id, mid }) {
    if (this._binding.get(mid) === id) this._binding.delete(mid);
    const track = this._track(id);
    if (!track?.subscribed) return;
    track._unbind();
    this._emit('trackunsubscribed', { track, participant: track.participant });
  },
  sections_needed({ audio, video }) {
    for (let i = 0; i < audio; i += 1) receive(this._pc, 'audio');
    for (let i = 0; i < video; i += 1) receive(this._pc, 'video');
    this._negotiate([]).catch((error) => this._emit('error', { error }));
  },
  subscription_failed({ track_id: id, code, message }) {
    this._emit('subscriptionfailed', { track: this._track(id), code, message });
  },
  speakers({ speakers }) {
    const levels = new Map(speakers.map((s) => [s.identity, s.level]));
    for (const participant of [this.me, ...this.participants.values()]) {
      participant.level = levels.get(participant.identity) ?? 0;
      participant.speaking = levels.has(participant.identity);
    }
    this._emit('speakers', { participants: speakers.map((s) => s.identity) });
  },
  quality({ participants }) {
    const people = new Map([this.me, ...this.participants.values()].map((p) => [p.identity, p]));
    for (const { identity, quality, score } of participants) {
      const participant = people.get(identity);
      if (participant) Object.assign(participant, { quality, score });
    }
    this._emit('quality', { participants: participants.map((p) => p.identity) });
  },
  stream_state({ track_id: id, state, height, reason, message, estimate_bps, available_bps, needed_bps }) {
    const track = this._track(id);
    if (!track) return;
    track.stream = {
      paused: state === 'paused', height, reason, message,
      estimateBps: estimate_bps, availableBps: available_bps, neededBps: needed_bps,
    };
    this._emit('streamstate', { track, participant: track.participant });
  },
  wanted_layers({ track_id: id, layers }) {
    const local = this.localTracks.find((t) => t.id === id);
    if (!local) return;
    local._want(layers);
    this._emit('wantedlayers', { track: local });
  },
  room({ room }) {
    this.info = room;
    this._emit('roomupdated', { room });
  },
  permissions({ permissions }) {
    this.me.permissions = permissions;
    this._emit('permissions', { permissions });
  },
  muted({ track_id: id, muted }) {
    const local = this.localTracks.find((t) => t.id === id);
    if (!local) return;
    local.muted = muted;
    local.mediaStreamTrack.enabled = !muted;
    this._emit('localmuted', { track: local });
  },
  unpublished({ track_id: id, code, message }) {
    const local = this.localTracks.find((t) => t.id === id);
    if (!local) return;
    this._dropLocal(local);
    this._emit('localunpublished', { track: local, code, message });
  },
  data_tracks({ tracks }) {
    this._dataTracks = new Map();
    for (const { number, track_id: id, identity } of tracks) {
      const track = this.participants.get(identity)?.dataTracks.get(id);
      if (track) this._dataTracks.set(number, track);
    }
  },
  data({ topic, identity, payload, reliable }) {
    const bytes = Uint8Array.from(atob(payload), (c) => c.charCodeAt(0));
    this._emit('data', { topic, sender: identity, payload: bytes, reliable });
  },
  leave({ code, message, reconnect }) {
    if (reconnect === 'rejoin') this._reconnect(true);
    else if (reconnect !== 'resume') this._close(code, message);
  },
};

/** Cameras, microphones and speakers; labels need a permission that was given before. */
export async function devices() {
  const all = await navigator.mediaDevices.enumerateDevices();
  const of = (kind) => all.filter((d) => d.kind === kind);
  return { microphones: of('audioinput'), cameras: of('videoinput'), speakers: of('audiooutput') };
}

const DEPENDENCY_DESCRIPTOR =
  'https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension';

/** A section to receive in. AV1 of several layers needs a header extension that browsers offer only when asked. */
function receive(pc, kind) {
  const transceiver = pc.addTransceiver(kind, { direction: 'recvonly' });
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.();
  const wanted = extensions?.find((e) => e.uri === DEPENDENCY_DESCRIPTOR);
  if (!wanted || kind !== 'video') return;
  wanted.direction = 'sendrecv';
  transceiver.setHeaderExtensionsToNegotiate(extensions);
}

function preferCodec(transceiver, name) {
  const all = RTCRtpReceiver.getCapabilities('video').codecs;
  const wanted = (c) => c.mimeType.toLowerCase() === `video/${name.toLowerCase()}`;
  transceiver.setCodecPreferences([...all.filter(wanted), ...all.filter((c) => !wanted(c))]);
}
