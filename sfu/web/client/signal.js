/** The signaling WebSocket: requests with answers, sequence numbers, a heartbeat. No room state. */

const REQUEST_TIMEOUT_MS = 15_000;

/** An error the server sent, or a connection that could not be made. `code` is for programs. */
export class AirsideError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = 'AirsideError';
    this.code = code;
  }
}

export class Signal {
  /**
   * @param {string} url with the token
   * @param {(message: object) => void} onMessage every message after the first answer
   * @param {() => void} onLost the socket ended though nobody here closed it
   */
  constructor(url, onMessage, onLost) {
    this.url = url;
    this.onMessage = onMessage;
    this.onLost = onLost;
    /** `seq` of the newest event; a resumed session continues from it. */
    this.lastSeq = 0;
    this._limits = { ping_interval_s: 10, ping_timeout_s: 25 };
    this._socket = null;
    this._requests = new Map();
    this._nextRequest = 1;
    this._timer = null;
    this._heard = 0;
  }

  /**
   * Connect, send the first message and give its answer.
   * @param {object} first `join` or `resume`
   * @returns {Promise<object>} `joined` or `resumed`
   * @throws {AirsideError} `unreachable`, or what the server says
   */
  open(first) {
    this.close();
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(this.url);
      this._socket = socket;
      let answered = false;
      socket.onopen = () => socket.send(JSON.stringify(first));
      socket.onmessage = ({ data }) => {
        if (this._socket !== socket) return;
        this._heard = Date.now();
        const message = JSON.parse(data);
        if (answered) {
          this._take(message);
        } else if (message.type === 'joined' || message.type === 'resumed') {
          answered = true;
          this._begin(message);
          resolve(message);
        } else {
          this._socket = null;
          reject(new AirsideError(message.code ?? 'protocol', message.message ?? message.type));
          socket.close();
        }
      };
      socket.onclose = (event) => {
        if (!answered) reject(new AirsideError('unreachable', event.reason || 'cannot reach the server'));
        else if (this._socket === socket) this._lose();
      };
    });
  }

  /** Fire and forget; what cannot be sent now is dropped. @param {object} message */
  send(message) {
    if (this._socket?.readyState === WebSocket.OPEN) this._socket.send(JSON.stringify(message));
  }

  /**
   * Send and wait for the answer with the same `request_id`.
   * @param {object} message
   * @throws {AirsideError} refused, `timeout`, or `connection_lost`
   */
  request(message) {
    return new Promise((resolve, reject) => {
      const id = this._nextRequest;
      this._nextRequest += 1;
      const timer = setTimeout(() => {
        this._requests.delete(id);
        reject(new AirsideError('timeout', `no answer to ${message.type}`));
      }, REQUEST_TIMEOUT_MS);
      const settle = (act) => (value) => { clearTimeout(timer); act(value); };
      this._requests.set(id, { resolve: settle(resolve), reject: settle(reject) });
      this.send({ ...message, request_id: id });
    });
  }

  /** End it without `onLost`. */
  close() {
    const socket = this._socket;
    this._socket = null;
    this._end();
    socket?.close(1000);
  }

  _begin(message) {
    if (message.seq) this.lastSeq = message.seq;
    if (message.type === 'joined') this._limits = message;
    clearInterval(this._timer);
    this._timer = setInterval(() => {
      if (Date.now() - this._heard > this._limits.ping_timeout_s * 1000) {
        const dead = this._socket;
        this._lose();
        dead?.close();
      } else this.send({ type: 'ping', time: Date.now() });
    }, this._limits.ping_interval_s * 1000);
  }

  _take(message) {
    if (message.seq) this.lastSeq = message.seq;
    const request = this._requests.get(message.request_id);
    if (request) {
      this._requests.delete(message.request_id);
      if (message.type === 'error') request.reject(new AirsideError(message.code, message.message));
      else request.resolve(message);
    }
    this.onMessage(message);
  }

  _lose() {
    this._socket = null;
    this._end();
    this.onLost();
  }

  _end() {
    clearInterval(this._timer);
    for (const { reject } of this._requests.values()) {
      reject(new AirsideError('connection_lost', 'connection lost before the answer'));
    }
    this._requests.clear();
  }
}
