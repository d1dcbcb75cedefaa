import { CAMERA_DEFAULTS, Room } from '/client/airside.js';
import { Chat } from './chat.js';
import { Controls } from './controls.js';
import { name, setHeld, setMuted, setNumbers, setQuality, setVideo, Tiles } from './tiles.js';

const STATS_INTERVAL_MS = 1000;
const TOAST_MS = 5000;
const $ = (id) => document.getElementById(id);
const tiles = new Tiles($('grid'));

const query = new URLSearchParams(location.search);
$('name').value = query.get('name') ?? localStorage.getItem('airside.name') ?? '';
$('room').value = query.get('room') ?? 'lounge';
$('with-camera').onchange = preview;
$('join').onsubmit = async (event) => {
  event.preventDefault();
  const button = $('join').querySelector('button');
  button.disabled = true;
  $('join-error').textContent = '';
  try {
    await enter($('room').value.trim(), $('name').value.trim());
  } catch (error) {
    $('join-error').textContent = error.message;
  } finally {
    button.disabled = false;
  }
};
if (query.get('join') !== null && $('name').value) $('join').requestSubmit();
else preview();
$('show-stats').onchange = () => $('grid').classList.toggle('no-numbers', !$('show-stats').checked);

/** What our camera sees, before anybody else does. */
async function preview() {
  const video = $('preview');
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  $('preview-note').textContent = 'Camera is off';
  if (!$('with-camera').checked || !navigator.mediaDevices) return;
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: CAMERA_DEFAULTS });
  } catch (error) {
    $('preview-note').textContent = error.message;
  }
}

async function token(room, displayName) {
  const given = query.get('token');
  if (given) return given;
  const identity = `${displayName.toLowerCase().replace(/[^a-z0-9]+/g, '-')}-${Math.random().toString(36).slice(2, 6)}`;
  const answer = await fetch(`/dev/token?${new URLSearchParams({ room, identity, name: displayName })}`);
  if (!answer.ok) throw new Error('This server gives no tokens: open the page with ?token=…');
  return (await answer.json()).token;
}

async function enter(roomName, displayName) {
  localStorage.setItem('airside.name', displayName);
  for (const track of $('preview').srcObject?.getTracks() ?? []) track.stop();
  const room = await Room.connect(location.origin, await token(roomName, displayName));
  globalThis.airside = room;
  $('lobby').hidden = true;
  $('call').hidden = false;
  $('room-name').textContent = room.info.name;
  document.title = `${room.info.name} · Airside`;
  new Chat(room);
  const controls = new Controls(room, toast);
  wire(room);
  const wanted = [];
  if ($('with-microphone').checked) wanted.push(() => room.publishMicrophone());
  if ($('with-camera').checked) wanted.push(() => room.publishCamera());
  for (const publish of wanted) await controls.guard(publish);
  await controls.listDevices();
}

function wire(room) {
  const on = (types, action) => types.split(' ').forEach((t) => room.addEventListener(t, (e) => action(e.detail)));
  const people = () => {
    const count = room.participants.size + 1;
    $('people').textContent = count === 1 ? 'only you' : `${count} people`;
  };
  const state = () => {
    const text = room.state === 'connected' ? room.connectionState : room.state;
    $('state').textContent = text;
    $('state').className = `pill ${text === 'connected' ? 'good' : 'bad'}`;
  };
  const refresh = (participant) => {
    const tile = tiles.of(participant);
    name(tile, participant);
    const tracks = [...participant.tracks.values()];
    const microphone = tracks.find((t) => t.source === 'microphone');
    setMuted(tile, !microphone || microphone.muted);
    const held = tracks.find((t) => t.source !== 'screen_share' && t.stream?.paused);
    setHeld(tile, held?.stream.message ?? '');
    setQuality(tile, participant);
    setVideo(tile, tracks.some((t) => t.source !== 'screen_share' && t.kind === 'video' && t.subscribed && !t.muted));
  };
  const refreshMe = () => {
    const mine = tiles.of(room.me, false, true);
    setQuality(mine, room.me);
    const camera = room.localTracks.find((t) => t.source === 'camera');
    const video = mine.querySelector('video');
    if (camera && video.srcObject?.getTracks()[0] !== camera.mediaStreamTrack) {
      video.srcObject = new MediaStream([camera.mediaStreamTrack]);
    }
    setVideo(mine, Boolean(camera && !camera.muted));
    const microphone = room.localTracks.find((t) => t.source === 'microphone');
    setMuted(mine, !microphone || microphone.muted);
  };

  tiles.clear();
  refreshMe();
  people();
  state();
  for (const participant of room.participants.values()) {
    refresh(participant);
    for (const track of participant.tracks.values()) if (track.subscribed) show(track);
  }
  on('participantjoined participantupdated', ({ participant }) => { refresh(participant); people(); });
  on('participantleft', ({ participant }) => { tiles.remove(participant); people(); });
  on('tracksubscribed', ({ track, participant }) => { show(track); refresh(participant); });
  on('trackunsubscribed trackunpublished', ({ track, participant }) => { hide(track); refresh(participant); });
  on('trackupdated trackpublished', ({ participant }) => refresh(participant));
  on('localpublished localunpublished localmuted', refreshMe);
  on('statechange connectionstate', state);
  on('subscriptionfailed', ({ message }) => toast(message));
  on('playbackblocked', () => toast('Click anywhere to hear the others'));
  on('speakers', () => {
    for (const participant of [room.me, ...room.participants.values()]) {
      tiles.of(participant, false, participant === room.me).classList.toggle('speaking', participant.speaking);
    }
  });
  on('quality', () => {
    for (const participant of [room.me, ...room.participants.values()]) {
      setQuality(tiles.of(participant, false, participant === room.me), participant);
    }
  });
  on('streamstate', ({ track, participant }) => {
    const { paused, message } = track.stream;
    if (track.source === 'screen_share') setHeld(tiles.of(participant, true), paused ? message : '');
    else refresh(participant);
  });
  document.addEventListener('click', () => document.querySelectorAll('audio').forEach((a) => a.play().catch(() => {})));
  document.addEventListener('chatmessage', () => { if ($('chat').hidden) $('chat-toggle').click(); });
  const timer = setInterval(() => numbers(room), STATS_INTERVAL_MS);
  on('closed', ({ code, message }) => {
    clearInterval(timer);
    tiles.clear();
    document.querySelectorAll('audio').forEach((a) => a.remove());
    $('call').hidden = true;
    $('lobby').hidden = false;
    if (code !== 'client_left') $('join-error').textContent = message;
    preview();
  });
}

/** Play a track where it belongs. @param {import('/client/airside.js').RemoteTrack} track */
function show(track) {
  if (track.kind === 'video') {
    const tile = tiles.of(track.participant, track.source === 'screen_share');
    track.attach(tile.querySelector('video'));
    if (track.source === 'screen_share') setVideo(tile, true);
    return;
  }
  const audio = document.createElement('audio');
  audio.autoplay = true;
  audio.dataset.track = track.id;
  document.body.append(audio);
  track.attach(audio);
}

function hide(track) {
  document.querySelector(`audio[data-track="${track.id}"]`)?.remove();
  if (track.source === 'screen_share' && track.kind === 'video') tiles.remove(track.participant, true);
}

async function numbers(room) {
  const stats = await room.stats();
  const rows = (tracks) => tracks.map((t) => stats.get(t.id)).filter(Boolean);
  const reasons = (tracks) => tracks.map((t) => t.stream?.message).filter(Boolean);
  setNumbers(tiles.of(room.me, false, true), rows(room.localTracks.filter((t) => t.source !== 'screen_share')));
  for (const participant of room.participants.values()) {
    const tracks = [...participant.tracks.values()];
    const screen = tracks.find((t) => t.source === 'screen_share' && t.kind === 'video');
    const others = tracks.filter((t) => t !== screen);
    setNumbers(tiles.of(participant), rows(others), reasons(others));
    if (screen?.subscribed) setNumbers(tiles.of(participant, true), rows([screen]), reasons([screen]));
  }
}

function toast(text) {
  const note = document.createElement('div');
  note.textContent = text;
  $('toasts').append(note);
  setTimeout(() => note.remove(), TOAST_MS);
}
