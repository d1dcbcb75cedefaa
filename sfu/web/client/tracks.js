/** What is sent and received in a room: tracks and the people they belong to. */

const RESIZE_DEBOUNCE_MS = 200;
/** A picture may be shown this much larger than it is. */
const STRETCH = 0.15;

/**
 * @typedef {object} TrackInfo
 * @property {string} id
 * @property {string} participant_id
 * @property {'audio'|'video'} kind
 * @property {'microphone'|'camera'|'screen_share'|'screen_share_audio'|'unknown'} source
 * @property {string} name
 * @property {boolean} muted
 * @property {number} width
 * @property {number} height
 */

/**
 * @typedef {object} StreamState
 * @property {boolean} paused the network takes none of it now
 * @property {number} height of the picture that is sent, or will be from its next keyframe on
 * @property {string} reason for programs
 * @property {string} message for people: `360p: the link gives 620 kbit/s, 720p needs 1500`
 * @property {number|null} estimateBps what may be sent to us in all
 * @property {number} availableBps what of it this track could have
 * @property {number} neededBps what the next better quality needs
 */

/** A track somebody else publishes. */
export class RemoteTrack extends EventTarget {
  /** @param {Room} room @param {Participant} participant @param {TrackInfo} info */
  constructor(room, participant, info) {
    super();
    this.room = room;
    this.participant = participant;
    this.info = info;
    /** Section that carries it now; null while not subscribed. @type {string|null} */
    this.mid = null;
    /** @type {MediaStreamTrack|null} */
    this.mediaStreamTrack = null;
    /** @type {Set<HTMLMediaElement>} */
    this.elements = new Set();
    /**
     * What our network allows this video, and why not more; null: no limit is known.
     * @type {StreamState|null}
     */
    this.stream = null;
    this._wantedHeight = -1;
    this._resizer = null;
    this._watcher = null;
    /** Elements scrolled out of view. @type {Set<Element>} */
    this._unseen = new Set();
  }

  get id() { return this.info.id; }
  get kind() { return this.info.kind; }
  get source() { return this.info.source; }
  get muted() { return this.info.muted; }
  get subscribed() { return this.mid !== null; }

  /**
   * Play the track in an element. For video the element's size on screen tells the server how tall
   * a picture is wanted; an element that is not shown, or scrolled out of view, pauses the video.
   * @param {HTMLMediaElement} element
   */
  attach(element) {
    this.elements.add(element);
    if (this.mediaStreamTrack) this._play(element);
    if (this.kind === 'video') {
      this._resizer ??= new ResizeObserver(debounce(() => this._measure(), RESIZE_DEBOUNCE_MS));
      this._resizer.observe(element);
      this._watcher ??= new IntersectionObserver((entries) => this._see(entries));
      this._watcher.observe(element);
    }
    return element;
  }

  /** Stop playing in an element. @param {HTMLMediaElement} element */
  detach(element) {
    this.elements.delete(element);
    this._resizer?.unobserve(element);
    this._watcher?.unobserve(element);
    this._unseen.delete(element);
    element.srcObject = null;
  }

  /** Tallest picture wanted; 0 pauses the video. @param {number} px */
  setWantedHeight(px) {
    const height = Math.min(4320, Math.max(0, Math.round(px)));
    if (height === this._wantedHeight) return;
    this._wantedHeight = height;
    if (this.subscribed) this.room._sendWish(this);
  }

  _see(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) this._unseen.delete(target);
      else this._unseen.add(target);
    }
    this._measure();
  }

  _measure() {
    const ratio = globalThis.devicePixelRatio || 1;
    const shown = (element) => element.isConnected && !this._unseen.has(element);
    const heights = [...this.elements].map((e) => (shown(e) ? e.clientHeight : 0) * ratio);
    this.setWantedHeight(this._layerFor(Math.max(0, ...heights)));
  }

  /** The smallest layer that fills so many pixels; a little stretching is not worth the next one. */
  _layerFor(px) {
    const announced = (this.info.layers ?? []).map((l) => l.height).filter((h) => h > 0);
    // Layers inside one stream are not announced: each has half the height of the next.
    const layers = announced.length === 1 ? [4, 2, 1].map((part) => announced[0] / part) : announced;
    if (px === 0 || layers.length === 0) return px;
    const enough = layers.filter((h) => h >= px * (1 - STRETCH));
    return enough.length > 0 ? Math.min(...enough) : Math.max(...layers);
  }

  _play(element) {
    const current = element.srcObject;
    if (current instanceof MediaStream && current.getTracks()[0] === this.mediaStreamTrack) return;
    element.srcObject = new MediaStream([this.mediaStreamTrack]);
    element.play?.().catch(() => this.room._emit('playbackblocked', { track: this }));
  }

  _bind(mid, mediaStreamTrack) {
    this.mid = mid;
    this.mediaStreamTrack = mediaStreamTrack;
    for (const element of this.elements) this._play(element);
  }

  _unbind() {
    this.mid = null;
    this.mediaStreamTrack = null;
    this.stream = null;
    for (const element of this.elements) element.srcObject = null;
  }

  _end() {
    this._unbind();
    this._resizer?.disconnect();
    this._watcher?.disconnect();
    this.elements.clear();
  }
}

/** A track we publish. */
export class LocalTrack {
  constructor(room, mediaStreamTrack, options, transceiver) {
    this.room = room;
    this.mediaStreamTrack = mediaStreamTrack;
    this.options = options;
    this.transceiver = transceiver;
    this.muted = Boolean(options.muted);
    /** Known once the server has answered. @type {TrackInfo|null} */
    this.info = null;
    /**
     * Layers, lowest first, and whether anybody takes them; null: all of them.
     * @type {Array<{rid: string, wanted: boolean}>|null}
     */
    this.wantedLayers = null;
    this._applied = Promise.resolve();
    mediaStreamTrack.enabled = !this.muted;
  }

  get id() { return this.info?.id ?? null; }
  get kind() { return this.mediaStreamTrack.kind; }
  get source() { return this.options.source; }

  /** Mute or unmute; everybody sees it. @param {boolean} muted */
  async setMuted(muted) {
    this.muted = muted;
    this.mediaStreamTrack.enabled = !muted;
    await this.room._signal.request({ type: 'mute', track_id: this.id, muted });
  }

  /** Send another device's media in the same track. @param {MediaStreamTrack} mediaStreamTrack */
  async replace(mediaStreamTrack) {
    mediaStreamTrack.enabled = !this.muted;
    await this.transceiver.sender.replaceTrack(mediaStreamTrack);
    this.mediaStreamTrack.stop();
    this.mediaStreamTrack = mediaStreamTrack;
  }

  /** The session begins anew: what the server knew of this track is gone. */
  _restart() {
    this.info = null;
    this.wantedLayers = null;
  }

  /** Stop encoding what nobody takes. */
  _want(layers) {
    this.wantedLayers = layers;
    const { sender } = this.transceiver;
    // One after the other: parameters that were read before another change are refused.
    this._applied = this._applied.then(() => activate(sender, layers, this.options.encodings)).catch(() => {});
  }

  _announcement() {
    const settings = this.mediaStreamTrack.getSettings();
    const height = settings.height ?? 0;
    const encodings = this.transceiver.sender.getParameters().encodings ?? [];
    const layers = this.kind !== 'video' || encodings.length < 2 ? [] : encodings.map((e) => ({
      rid: e.rid, max_bitrate_bps: e.maxBitrate ?? 0,
      width: Math.round((settings.width ?? 0) / (e.scaleResolutionDownBy ?? 1)),
      height: Math.round(height / (e.scaleResolutionDownBy ?? 1)),
    }));
    return {
      mid: this.transceiver.mid, cid: this.mediaStreamTrack.id, source: this.source,
      name: this.options.name ?? '', muted: this.muted,
      width: settings.width ?? 0, height, layers,
    };
  }
}

/** Somebody in the room. */
export class Participant {
  constructor(info) {
    /** @type {Map<string, RemoteTrack>} */
    this.tracks = new Map();
    /** By id. @type {Map<string, import('./data_tracks.js').RemoteDataTrack>} */
    this.dataTracks = new Map();
    this.speaking = false;
    this.level = 0;
    /** Of the connection, in its worse direction. @type {'lost'|'poor'|'good'|'excellent'} */
    this.quality = 'excellent';
    /** The same as a mean opinion score, 1 to 4.5. */
    this.score = 4.5;
    this.update(info);
  }

  update(info) {
    this.id = info.id;
    this.identity = info.identity;
    this.name = info.name || info.identity;
    this.metadata = info.metadata;
    this.attributes = info.attributes;
    this.kind = info.kind;
    this.permissions = info.permissions;
  }
}

/** The wish for a track as the server reads it. @param {RemoteTrack} track */
export function wish(track) {
  return track._wantedHeight >= 0 ? { max_height_px: track._wantedHeight } : {};
}

function debounce(action, waitMs) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, waitMs);
  };
}

/**
 * Let a sender encode the wanted layers alone, as far as the application wants them at all.
 * @param {RTCRtpSender} sender @param {Array<{rid: string, wanted: boolean}>} layers
 * @param {RTCRtpEncodingParameters[]} [own] the application's choice
 */
async function activate(sender, layers, own = []) {
  const parameters = sender.getParameters();
  let changed = false;
  for (const [index, encoding] of parameters.encodings.entries()) {
    const layer = layers.find((l) => l.rid === (encoding.rid ?? '')) ?? layers[index];
    const active = (layer?.wanted ?? true) && (own[index]?.active ?? true);
    changed ||= active !== encoding.active;
    encoding.active = active;
  }
  if (changed) await sender.setParameters(parameters);
}
