"""Questions to a page of the demo, as JavaScript expressions. `airside` is the page's Room."""

CONNECTED = "globalThis.airside?.state === 'connected' && airside.connectionState === 'connected'"


def remote_video(identity: str) -> str:
    """The <video> of somebody's tile; null until it plays."""
    return f"document.querySelector('.tile[data-identity^=\"{identity}\"].has-video video')"


def frames(identity: str) -> str:
    """Frames presented so far in somebody's tile."""
    return f"({remote_video(identity)}?.getVideoPlaybackQuality().totalVideoFrames ?? 0)"


def picture_height(identity: str) -> str:
    """Height in pixels of the picture that is shown."""
    return f"({remote_video(identity)}?.videoHeight ?? 0)"


def inbound(kind: str) -> str:
    """Sum over received streams of one kind, as an object of counters."""
    return f"""(async () => {{
      const sum = {{ packets: 0, lost: 0, bytes: 0, energy: 0, streams: 0 }};
      Object.assign(sum, {{ frames: 0, freezes: 0, concealed: 0, samples: 0 }});
      for (const s of (await airside._pc.getStats()).values()) {{
        if (s.type !== 'inbound-rtp' || s.kind !== '{kind}' || !s.packetsReceived) continue;
        sum.streams += 1;
        sum.packets += s.packetsReceived;
        sum.lost += s.packetsLost ?? 0;
        sum.bytes += s.bytesReceived;
        sum.energy += s.totalAudioEnergy ?? 0;
        sum.frames += s.framesDecoded ?? 0;
        sum.freezes += s.freezeCount ?? 0;
        sum.concealed += s.concealedSamples ?? 0;
        sum.samples += s.totalSamplesReceived ?? 0;
      }}
      return sum;
    }})()"""


def outbound_layers() -> str:
    """Heights of the simulcast layers that are being sent, lowest first."""
    return """(async () => [...(await airside._pc.getStats()).values()]
      .filter((s) => s.type === 'outbound-rtp' && s.kind === 'video' && s.framesEncoded > 0)
      .map((s) => s.frameHeight).sort((a, b) => a - b))()"""


def active_layers() -> str:
    """Rids of the camera's layers that the sender may encode, lowest first, as text."""
    return """(airside.localTracks.find((t) => t.source === 'camera').transceiver.sender
      .getParameters().encodings.filter((e) => e.active).map((e) => e.rid).join())"""


def dominant_frequency(identity: str) -> str:
    """The strongest frequency (Hz) in somebody's microphone over the next half second, 0 for silence."""
    return f"""(async () => {{
      const person = [...airside.participants.values()].find((p) => p.identity.startsWith('{identity}'));
      const track = [...(person?.tracks.values() ?? [])].find((t) => t.kind === 'audio' && t.subscribed);
      if (!track) return 0;
      const context = globalThis.probeContext ??= new AudioContext();
      await context.resume();
      const analyser = context.createAnalyser();
      analyser.fftSize = 8192;
      context.createMediaStreamSource(new MediaStream([track.mediaStreamTrack])).connect(analyser);
      const spectrum = new Float32Array(analyser.frequencyBinCount);
      let best = {{ level: -90, hz: 0 }};
      for (let i = 0; i < 10; i += 1) {{
        await new Promise((r) => setTimeout(r, 50));
        analyser.getFloatFrequencyData(spectrum);
        spectrum.forEach((level, bin) => {{
          if (level > best.level) best = {{ level, hz: (bin * context.sampleRate) / analyser.fftSize }};
        }});
      }}
      analyser.disconnect();
      return best.hz;
    }})()"""


def picture_changes(identity: str) -> str:
    """Mean absolute difference (0..255) between two moments of somebody's picture, half a second apart."""
    return f"""(async () => {{
      const video = {remote_video(identity)};
      if (!video?.videoWidth) return 0;
      const canvas = new OffscreenCanvas(160, 90);
      const pen = canvas.getContext('2d', {{ willReadFrequently: true }});
      const look = () => {{
        pen.drawImage(video, 0, 0, 160, 90);
        return pen.getImageData(0, 0, 160, 90).data;
      }};
      const before = look();
      await new Promise((r) => setTimeout(r, 500));
      const after = look();
      return before.reduce((sum, value, i) => sum + Math.abs(value - after[i]), 0) / before.length;
    }})()"""
