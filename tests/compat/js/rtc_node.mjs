// @livekit/rtc-node in a process of its own: `node rtc_node.mjs <url> <token> <single|dual>`.
// It plays a tone, and writes a line of JSON for whatever it notices. It leaves when its input ends.
import {
  AudioFrame,
  AudioSource,
  AudioStream,
  LocalAudioTrack,
  Room,
  RoomEvent,
  TrackKind,
  TrackPublishOptions,
  TrackSource,
  dispose,
} from '@livekit/rtc-node';

const [url, token, mode] = process.argv.slice(2);
const RATE = 48_000;
const SAMPLES = RATE / 100;
const TONE_HZ = 700;
const LOUD = 3000;
const ENOUGH = 30;

const say = (what, detail = null) => process.stdout.write(`${JSON.stringify({ what, detail })}\n`);

async function listen(track, identity) {
  let loud = 0;
  for await (const frame of new AudioStream(track, RATE, 1)) {
    if (frame.data.some((sample) => Math.abs(sample) > LOUD)) loud += 1;
    if (loud === ENOUGH) say('heard', identity);
  }
}

async function play(source) {
  for (let at = 0; ; at += SAMPLES) {
    const wave = Int16Array.from({ length: SAMPLES }, (_, i) =>
      Math.round(12_000 * Math.sin((2 * Math.PI * TONE_HZ * (at + i)) / RATE)),
    );
    await source.captureFrame(new AudioFrame(wave, RATE, 1, SAMPLES));
  }
}

const room = new Room();
room.on(RoomEvent.TrackSubscribed, (track, publication, person) => {
  if (track.kind === TrackKind.KIND_AUDIO) listen(track, person.identity);
});
room.on(RoomEvent.DataReceived, (payload, person, kind, topic) =>
  say('data', [new TextDecoder().decode(payload), person?.identity ?? '', topic ?? '']),
);
room.on(RoomEvent.Disconnected, (reason) => say('disconnected', reason));
await room.connect(url, token, { autoSubscribe: true, dynacast: true, singlePeerConnection: mode === 'single' });
say('connected', room.localParticipant.identity);

const source = new AudioSource(RATE, 1);
const track = LocalAudioTrack.createAudioTrack('tone', source);
const options = new TrackPublishOptions();
options.source = TrackSource.SOURCE_MICROPHONE;
await room.localParticipant.publishTrack(track, options);
say('published');
play(source).catch(() => {});
await room.localParticipant.publishData(new TextEncoder().encode('from node'), { reliable: true, topic: 'chat' });

process.stdin.resume();
process.stdin.on('end', async () => {
  await room.disconnect();
  await dispose();
  process.exit(0);
});
