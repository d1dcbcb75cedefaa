import { ICONS } from './icons.js';

const COLOURS = ['#5eead4', '#93c5fd', '#fcd34d', '#f9a8d4', '#c4b5fd', '#86efac', '#fdba74'];
const TILE_RATIO = 16 / 9;
const GAP_PX = 14;

/** The grid of tiles: one for each participant, one more for each shared screen. */
export class Tiles {
  /** @param {HTMLElement} grid */
  constructor(grid) {
    this.grid = grid;
    /** @type {Map<string, HTMLElement>} */
    this.tiles = new Map();
    new ResizeObserver(() => this.layout()).observe(grid);
  }

  /** The tile of a participant, or of its screen. @param {{identity: string, name: string, kind?: string}} participant */
  of(participant, screen = false, mine = false) {
    const key = screen ? `${participant.identity}/screen` : participant.identity;
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = build(participant, screen, mine);
      this.tiles.set(key, tile);
      this.grid.append(tile);
      this.layout();
    }
    return tile;
  }

  remove(participant, screen = false) {
    const keys = screen ? [`${participant.identity}/screen`]
      : [participant.identity, `${participant.identity}/screen`];
    for (const key of keys) {
      this.tiles.get(key)?.remove();
      this.tiles.delete(key);
    }
    this.layout();
  }

  clear() {
    for (const tile of this.tiles.values()) tile.remove();
    this.tiles.clear();
  }

  /** Columns that make the tiles largest in the space there is. */
  layout() {
    const count = this.tiles.size;
    if (count === 0) return;
    const { clientWidth: width, clientHeight: height } = this.grid;
    let best = { columns: 1, tile: 0 };
    for (let columns = 1; columns <= count; columns += 1) {
      const rows = Math.ceil(count / columns);
      const byWidth = (width - GAP_PX * (columns - 1)) / columns;
      const byHeight = ((height - GAP_PX * (rows - 1)) / rows) * TILE_RATIO;
      const tile = Math.floor(Math.min(byWidth, byHeight));
      if (tile > best.tile) best = { columns, tile };
    }
    this.grid.style.setProperty('--columns', String(best.columns));
    this.grid.style.setProperty('--tile', `${best.tile}px`);
  }
}

function build(participant, screen, mine) {
  const tile = document.createElement('article');
  tile.className = `tile${screen ? ' screen' : ''}${mine && !screen ? ' mirrored' : ''}`;
  tile.dataset.identity = participant.identity;
  tile.innerHTML = `<video autoplay playsinline muted></video><div class="avatar"></div>
    <div class="held" hidden></div>
    <div class="numbers"></div>
    <div class="label"><span class="bars" title="connection: excellent">${ICONS.bars}</span><span class="muted-icon" hidden>${ICONS.microphoneOff}</span><span class="who"></span><span class="badge"></span></div>`;
  const avatar = tile.querySelector('.avatar');
  avatar.style.background = COLOURS[hash(participant.identity) % COLOURS.length];
  name(tile, participant, screen, mine);
  return tile;
}

/** Show who it is. */
export function name(tile, participant, screen = false, mine = false) {
  tile.querySelector('.avatar').textContent = initials(participant.name);
  tile.querySelector('.who').textContent = `${participant.name}${mine ? ' (you)' : ''}${screen ? ', screen' : ''}`;
  // What it does just now, in the words of LiveKit's agents.
  const state = participant.attributes?.['lk.agent.state'];
  // From somebody's last word to its first, as the server measured it.
  const turn = participant.attributes?.['airside.turn_s'];
  const badge = ['agent', state, turn && `answered in ${Number(turn).toFixed(2)} s`].filter(Boolean).join(', ');
  tile.querySelector('.badge').textContent = participant.kind === 'agent' ? badge : '';
}

export function setVideo(tile, on) { tile.classList.toggle('has-video', on); }

export function setMuted(tile, muted) { tile.querySelector('.muted-icon').hidden = !muted; }

/** How good somebody's connection is. @param {import('/client/airside.js').Participant} participant */
export function setQuality(tile, participant) {
  const bars = tile.querySelector('.bars');
  bars.dataset.quality = participant.quality;
  bars.title = `connection: ${participant.quality}, score ${participant.score.toFixed(1)} of 4.5`;
}

/** The network is why there is no picture. @param {string} message or '' */
export function setHeld(tile, message) {
  const held = tile.querySelector('.held');
  held.hidden = message === '';
  held.textContent = message;
}

/** @param {HTMLElement} tile @param {Array<{kind: string, width: number, height: number, fps: number, bitrate: number, lossPercent: number, rttMs: number|null}>} rows @param {string[]} reasons why the picture is as it is */
export function setNumbers(tile, rows, reasons = []) {
  const lines = rows.map((s) => {
    const size = s.kind === 'video' && s.height > 0 ? `${s.width}×${s.height} ${Math.round(s.fps)} fps  ` : '';
    return `${size}${rate(s.bitrate)}  ${s.lossPercent.toFixed(1)} % loss`;
  });
  const rtt = rows.find((s) => s.rttMs !== null)?.rttMs;
  if (rtt !== undefined) lines.push(`${rtt.toFixed(rtt < 10 ? 1 : 0)} ms round trip`);
  tile.querySelector('.numbers').textContent = [...lines, ...reasons].join('\n');
}

function rate(bitsPerSecond) {
  return bitsPerSecond >= 1e6 ? `${(bitsPerSecond / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
}

function initials(text) {
  return text.trim().split(/\s+/).slice(0, 2).map((w) => [...w][0] ?? '').join('').toUpperCase();
}

function hash(text) {
  let value = 7;
  for (const char of text) value = (value * 31 + char.codePointAt(0)) >>> 0;
  return value;
}
