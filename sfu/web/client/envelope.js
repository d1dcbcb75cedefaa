/** Data messages on the data channels: the binary envelope of the native dialect (PROTOCOL.md). */

const VERSION = 1;
const HEADER = 6;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * @param {{topic: string, destinations: string[], payload: Uint8Array}} message
 * @returns {Uint8Array}
 */
export function encodeEnvelope({ topic, destinations, payload }) {
  const names = destinations.map((d) => encoder.encode(d));
  const subject = encoder.encode(topic);
  const size = HEADER + 2 + 1 + names.reduce((n, d) => n + 2 + d.length, 0) + 2 + subject.length;
  const bytes = new Uint8Array(size + payload.length);
  const view = new DataView(bytes.buffer);
  let at = HEADER + 2; // no flags, no sequence, no sender: the server stamps them
  const text = (value) => {
    view.setUint16(at, value.length);
    bytes.set(value, at + 2);
    at += 2 + value.length;
  };
  view.setUint8(0, VERSION);
  view.setUint8(at, names.length);
  at += 1;
  names.forEach(text);
  text(subject);
  bytes.set(payload, at);
  return bytes;
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {{sequence: number, sender: string, topic: string, payload: Uint8Array}|null} null for
 *   another version or a message that ends too early
 */
export function decodeEnvelope(buffer) {
  const view = new DataView(buffer);
  try {
    if (view.getUint8(0) !== VERSION) return null;
    let at = HEADER;
    const text = () => {
      const length = view.getUint16(at);
      const value = decoder.decode(new Uint8Array(buffer, at + 2, length));
      at += 2 + length;
      return value;
    };
    const sequence = view.getUint32(2);
    const sender = text();
    const count = view.getUint8(at);
    at += 1;
    for (let i = 0; i < count; i += 1) text();
    const topic = text();
    return { sequence, sender, topic, payload: new Uint8Array(buffer, at) };
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
