/** Data tracks: small packets at a rate of their own, of which one may be lost (PROTOCOL.md section 7). */

const HEADER = 12;
const FIRST = 0x10;
const LAST = 0x08;
const EXTENDED = 0x04;
const VERSION = 0xe0;
/** Payload of one packet: with its headers it fits into what every network takes. */
const MAX_PART = 1_100;
const TICKS_PER_MS = 90;
/** Packets wait at most so long in the channel: late ones are of no use. In bytes. */
const MAX_WAITING = 65_536;

/**
 * The packets of one frame.
 * @param {{number: number, sequence: number, frame: number, ticks: number}} head of the first one
 * @param {Uint8Array} payload
 * @returns {Uint8Array[]}
 */
export function encodeFrame({ number, sequence, frame, ticks }, payload) {
  const count = Math.max(1, Math.ceil(payload.length / MAX_PART));
  return Array.from({ length: count }, (_, i) => {
    const part = payload.subarray(i * MAX_PART, (i + 1) * MAX_PART);
    const packet = new Uint8Array(HEADER + part.length);
    const view = new DataView(packet.buffer);
    view.setUint8(0, (i === 0 ? FIRST : 0) | (i === count - 1 ? LAST : 0));
    view.setUint16(2, number);
    view.setUint16(4, (sequence + i) & 0xffff);
    view.setUint16(6, frame & 0xffff);
    view.setUint32(8, ticks >>> 0);
    packet.set(part, HEADER);
    return packet;
  });
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {{first: boolean, last: boolean, number: number, sequence: number, frame: number, ticks: number,
 *   payload: Uint8Array}|null} null for another version or a packet that ends too early
 */
export function decodePacket(buffer) {
  if (buffer.byteLength < HEADER) return null;
  const view = new DataView(buffer);
  const flags = view.getUint8(0);
  if (flags & VERSION) return null;
  let at = HEADER;
  if (flags & EXTENDED) {
    if (buffer.byteLength < HEADER + 2) return null;
    at += 4 * (view.getUint16(HEADER) + 1);
    if (at > buffer.byteLength) return null;
  }
  return {
    first: (flags & FIRST) !== 0,
    last: (flags & LAST) !== 0,
    number: view.getUint16(2),
    sequence: view.getUint16(4),
    frame: view.getUint16(6),
    ticks: view.getUint32(8),
    payload: new Uint8Array(buffer, at),
  };
}

/** Puts the packets of one track together. A frame of which one is missing is given up. */
export class FrameReader {
  constructor() {
    this._parts = [];
    this._next = null;
  }

  /** @returns {{payload: Uint8Array, ticks: number}|null} a frame, with its last packet */
  read({ first, last, sequence, frame, ticks, payload }) {
    if (first) this._parts = [];
    else if (this._next === null || this._next.sequence !== sequence || this._next.frame !== frame) {
      this._next = null;
      return null;
    }
    this._parts.push(payload);
    if (!last) {
      this._next = { sequence: (sequence + 1) & 0xffff, frame };
      return null;
    }
    this._next = null;
    const whole = new Uint8Array(this._parts.reduce((sum, part) => sum + part.length, 0));
    this._parts.reduce((at, part) => { whole.set(part, at); return at + part.length; }, 0);
    this._parts = [];
    return { payload: whole, ticks };
  }
}

/** A data track of our own. */
export class LocalDataTrack {
  constructor(room, number, name) {
    this._room = room;
    this._number = number;
    this.name = name;
    /** Given by the server. */
    this.id = '';
    this._sequence = 0;
    this._frame = 0;
  }

  /**
   * Send one frame to everybody who asked for the track.
   * @param {Uint8Array|string} payload
   * @returns {boolean} false: the channel is not open, or what waits in it is old enough
   */
  send(payload) {
    const channel = this._room._channels.tracks;
    if (channel?.readyState !== 'open' || channel.bufferedAmount > MAX_WAITING) return false;
    const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
    const head = {
      number: this._number, sequence: this._sequence, frame: this._frame,
      ticks: Math.round(performance.now() * TICKS_PER_MS) % 2 ** 32,
    };
    const packets = encodeFrame(head, bytes);
    packets.forEach((packet) => channel.send(packet));
    this._sequence = (this._sequence + packets.length) & 0xffff;
    this._frame = (this._frame + 1) & 0xffff;
    return true;
  }
}

/** A data track of somebody else. `info` is the server's picture: `id`, `name`, `encryption`. */
export class RemoteDataTrack {
  constructor(participant, info) {
    this.participant = participant;
    this.id = info.id;
    this.name = info.name;
    this.encryption = info.encryption;
    this._reader = new FrameReader();
  }
}
