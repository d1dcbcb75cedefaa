/** Numbers of every track from `RTCPeerConnection.getStats`. */

/**
 * @typedef {object} TrackStats
 * @property {'audio'|'video'} kind
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {number} fps
 * @property {number} bitrate bits per second since the last reading
 * @property {number} lossPercent since the last reading
 * @property {number|null} rttMs of the selected candidate pair
 */

/** Turns counters into rates; keeps the last reading. */
export class StatsReader {
  constructor() { this._previous = new Map(); }

  /**
   * @param {RTCStatsReport} report
   * @param {import('./tracks.js').RemoteTrack[]} remote subscribed tracks
   * @param {import('./tracks.js').LocalTrack[]} local published tracks
   * @returns {Map<string, TrackStats>} by track id
   */
  read(report, remote, local) {
    const rttMs = roundTripMs(report);
    const rates = new Map();
    const seen = new Map();
    for (const [id, sample] of [...inbound(report, remote), ...outbound(report, local)]) {
      seen.set(id, sample);
      const before = this._previous.get(id) ?? { ...sample, at: sample.at - 1 };
      const seconds = Math.max(0.001, (sample.at - before.at) / 1000);
      const packets = sample.packets - before.packets;
      const lost = Math.max(0, sample.lost - before.lost);
      rates.set(id, {
        kind: sample.kind, width: sample.width, height: sample.height, fps: sample.fps, rttMs,
        bitrate: Math.max(0, ((sample.bytes - before.bytes) * 8) / seconds),
        lossPercent: packets + lost > 0 ? (100 * lost) / (packets + lost) : 0,
      });
    }
    this._previous = seen;
    return rates;
  }
}

function* inbound(report, tracks) {
  for (const track of tracks) {
    for (const s of report.values()) {
      if (s.type !== 'inbound-rtp' || s.mid !== track.mid) continue;
      yield [track.id, {
        kind: s.kind, at: s.timestamp, bytes: s.bytesReceived, packets: s.packetsReceived,
        lost: s.packetsLost ?? 0, width: s.frameWidth ?? 0, height: s.frameHeight ?? 0,
        fps: s.framesPerSecond ?? 0,
      }];
    }
  }
}

function* outbound(report, tracks) {
  for (const track of tracks) {
    const streams = [...report.values()]
      .filter((s) => s.type === 'outbound-rtp' && s.mid === track.transceiver.mid);
    if (!track.id || streams.length === 0) continue;
    const sum = (key) => streams.reduce((total, s) => total + (s[key] ?? 0), 0);
    const top = streams.reduce((a, b) => ((b.frameHeight ?? 0) > (a.frameHeight ?? 0) ? b : a));
    const lost = streams.reduce((n, s) => n + (report.get(s.remoteId)?.packetsLost ?? 0), 0);
    yield [track.id, {
      kind: track.kind, at: top.timestamp, bytes: sum('bytesSent'), packets: sum('packetsSent'),
      lost, width: top.frameWidth ?? 0, height: top.frameHeight ?? 0, fps: top.framesPerSecond ?? 0,
    }];
  }
}

function roundTripMs(report) {
  for (const s of report.values()) {
    if (s.type === 'candidate-pair' && s.nominated && s.currentRoundTripTime !== undefined) {
      return s.currentRoundTripTime * 1000;
    }
  }
  return null;
}
