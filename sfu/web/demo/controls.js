import { devices } from '/client/airside.js';
import { ICONS } from './icons.js';

const $ = (id) => document.getElementById(id);

/** The buttons under the grid: what we send, with which device. */
export class Controls {
  /** @param {import('/client/airside.js').Room} room @param {(text: string) => void} notify */
  constructor(room, notify) {
    this.room = room;
    this.notify = notify;
    $('leave').innerHTML = ICONS.leave;
    $('chat-toggle').innerHTML = ICONS.chat;
    $('screen').innerHTML = ICONS.screen;
    $('microphone').onclick = () => this.guard(() => this.toggle('microphone'));
    $('camera').onclick = () => this.guard(() => this.toggle('camera'));
    $('screen').onclick = () => this.guard(() => this.toggleScreen());
    $('leave').onclick = () => room.leave();
    $('chat-toggle').onclick = () => {
      $('chat').hidden = !$('chat').hidden;
      this.render();
    };
    $('microphones').onchange = (e) => this.guard(() => this.change('microphone', { deviceId: { exact: e.target.value } }));
    $('cameras').onchange = (e) => this.guard(() => this.change('camera', { deviceId: { exact: e.target.value } }));
    $('speakers').onchange = (e) => {
      for (const audio of document.querySelectorAll('audio')) audio.setSinkId?.(e.target.value);
    };
    for (const event of ['localpublished', 'localunpublished', 'localmuted']) {
      room.addEventListener(event, () => this.render());
    }
    this.render();
    this.listDevices();
    navigator.mediaDevices.ondevicechange = () => this.listDevices();
  }

  find(source) { return this.room.localTracks.find((t) => t.source === source); }

  async toggle(source) {
    const track = this.find(source);
    if (track) await track.setMuted(!track.muted);
    else if (source === 'microphone') await this.room.publishMicrophone();
    else await this.room.publishCamera();
    await this.listDevices();
    this.render();
    this.room.dispatchEvent(new CustomEvent('localmuted', { detail: { track: this.find(source) } }));
  }

  async toggleScreen() {
    const shared = this.room.localTracks.filter((t) => t.source.startsWith('screen'));
    if (shared.length > 0) await Promise.all(shared.map((t) => this.room.unpublish(t)));
    else await this.room.publishScreen();
    this.render();
  }

  async change(source, constraints) {
    const track = this.find(source);
    if (!track) return;
    const wanted = source === 'microphone' ? { audio: constraints } : { video: constraints };
    const stream = await navigator.mediaDevices.getUserMedia(wanted);
    await track.replace(stream.getTracks()[0]);
    this.room.dispatchEvent(new CustomEvent('localmuted', { detail: { track } }));
  }

  async listDevices() {
    const found = await devices();
    const fill = (id, list, current) => {
      $(id).replaceChildren(...list.map((d, i) => new Option(d.label || `Device ${i + 1}`, d.deviceId, false, d.deviceId === current)));
      $(id).hidden = list.length === 0;
    };
    const id = (source) => this.find(source)?.mediaStreamTrack.getSettings().deviceId;
    fill('microphones', found.microphones, id('microphone'));
    fill('cameras', found.cameras, id('camera'));
    fill('speakers', found.speakers, '');
  }

  async guard(action) {
    try {
      await action();
    } catch (error) {
      if (error.name !== 'NotAllowedError') console.error(error);
      this.notify(error.message);
    }
  }

  render() {
    const button = (id, on, onIcon, offIcon) => {
      $(id).innerHTML = on ? onIcon : offIcon;
      $(id).classList.toggle('off', !on);
      $(id).setAttribute('aria-pressed', String(on));
    };
    const live = (source) => Boolean(this.find(source) && !this.find(source).muted);
    button('microphone', live('microphone'), ICONS.microphone, ICONS.microphoneOff);
    button('camera', live('camera'), ICONS.camera, ICONS.cameraOff);
    $('screen').classList.toggle('on', Boolean(this.find('screen_share')));
    $('chat-toggle').classList.toggle('on', !$('chat').hidden);
  }
}
