/** Joins a room, shows what comes, and notes figures of every stream now and then in `samples`. */
async (token, intervalMs) => {
  const { Room } = await import('/client/airside.js');
  document.body.innerHTML = '';
  document.body.style.margin = 0;
  const room = globalThis.airside = await Room.connect(location.origin, token);
  const show = (track) => {
    const element = document.createElement(track.kind);
    element.autoplay = true;
    element.muted = track.kind === 'video';
    element.style.cssText = 'width: 1280px; height: 720px; display: block';
    document.body.append(element);
    track.attach(element);
  };
  room.addEventListener('tracksubscribed', ({ detail }) => show(detail.track));
  for (const participant of room.participants.values()) {
    for (const track of participant.tracks.values()) if (track.subscribed) show(track);
  }
  globalThis.samples = [];
  const keys = {
    'inbound-rtp': ['ssrc', 'kind', 'bytesReceived', 'packetsReceived', 'packetsLost', 'framesDecoded',
      'keyFramesDecoded', 'frameHeight', 'framesPerSecond', 'freezeCount', 'totalFreezesDuration',
      'concealedSamples', 'silentConcealedSamples', 'concealmentEvents', 'totalSamplesReceived',
      'jitterBufferDelay', 'jitterBufferEmittedCount', 'estimatedPlayoutTimestamp', 'nackCount', 'pliCount',
      'retransmittedPacketsReceived', 'fecPacketsReceived', 'fecPacketsDiscarded', 'framesDropped'],
    'outbound-rtp': ['ssrc', 'kind', 'rid', 'bytesSent', 'retransmittedBytesSent', 'framesEncoded',
      'frameHeight', 'framesPerSecond', 'keyFramesEncoded', 'qualityLimitationReason', 'active', 'scalabilityMode',
      'encoderImplementation', 'totalEncodeTime', 'targetBitrate', 'pliCount', 'nackCount'],
    'media-source': ['kind', 'framesPerSecond', 'frames', 'height'],
    'candidate-pair': ['availableOutgoingBitrate', 'currentRoundTripTime', 'bytesSent', 'bytesReceived'],
  };
  const look = async () => {
    const at_s = (performance.timeOrigin + performance.now()) / 1000;
    const sample = { at_s, inbound: [], outbound: [], path: {} };
    for (const s of (await room._pc.getStats()).values()) {
      if (!keys[s.type] || (s.type === 'candidate-pair' && !s.nominated)) continue;
      const taken = Object.fromEntries(keys[s.type].filter((k) => s[k] !== undefined).map((k) => [k, s[k]]));
      if (s.type === 'inbound-rtp') { if (s.packetsReceived) sample.inbound.push(taken); }
      else if (s.type === 'outbound-rtp') sample.outbound.push(taken);
      else if (s.type === 'media-source') sample[s.kind] = taken;
      else sample.path = taken;
    }
    samples.push(sample);
  };
  setInterval(look, intervalMs);
}
