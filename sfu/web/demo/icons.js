/** Line icons, 24 by 24. @param {string} paths */
const icon = (paths) => `<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${paths}</svg>`;

const MICROPHONE = '<rect x="9" y="3" width="6" height="11" rx="3"/><path d="M5 11a7 7 0 0 0 14 0M12 18v3"/>';
const CAMERA = '<rect x="3" y="6" width="12" height="12" rx="2"/><path d="m15 10 6-3v10l-6-3z"/>';
const SLASH = '<path d="M4 4l16 16"/>';

export const ICONS = {
  microphone: icon(MICROPHONE),
  microphoneOff: icon(MICROPHONE + SLASH),
  camera: icon(CAMERA),
  cameraOff: icon(CAMERA + SLASH),
  screen: icon('<rect x="3" y="4" width="18" height="12" rx="2"/><path d="M12 20v-4M8 20h8M9 10l3-3 3 3M12 7v6"/>'),
  chat: icon('<path d="M4 5h16v11H9l-5 4z"/>'),
  bars: '<svg viewBox="0 0 16 16" aria-hidden="true"><rect x="1" y="10" width="3.5" height="5" rx="1"/><rect x="6.2" y="6" width="3.5" height="9" rx="1"/><rect x="11.5" y="1" width="3.5" height="14" rx="1"/></svg>',
  leave: icon('<path d="M3 14c5-5 13-5 18 0l-3 3-3-2v-3a12 12 0 0 0-6 0v3l-3 2z"/>'),
};
