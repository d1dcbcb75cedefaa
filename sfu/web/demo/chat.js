const TOPIC = 'chat';

/** Text for everyone in the room, on the reliable data channel. */
export class Chat {
  /** @param {import('/client/airside.js').Room} room */
  constructor(room) {
    this.room = room;
    this.list = document.getElementById('messages');
    this.list.replaceChildren();
    room.addEventListener('data', ({ detail }) => {
      if (detail.topic === TOPIC) this.show(detail.sender, new TextDecoder().decode(detail.payload), false);
    });
    const form = document.getElementById('say');
    const input = document.getElementById('text');
    form.onsubmit = (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (!text) return;
      room.sendData(text, { topic: TOPIC });
      this.show(room.me.identity, text, true);
      input.value = '';
    };
  }

  show(identity, text, mine) {
    const item = document.createElement('li');
    const who = document.createElement('b');
    who.textContent = mine ? 'You' : this.room.participants.get(identity)?.name ?? identity;
    item.append(who, text);
    item.classList.toggle('mine', mine);
    this.list.append(item);
    item.scrollIntoView({ block: 'end' });
    if (!mine) document.dispatchEvent(new CustomEvent('chatmessage'));
  }
}
