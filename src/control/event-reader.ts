/** Reads server-sent events (HTML Standard, section 9.2) as the engine writes them: one `data` line with JSON, an `id`, an `event` name. */
import { ApiError } from './api-error.ts';

export interface ServerEvent {
  /** Left out in the text: `message`. */
  readonly event: string;
  readonly data: string;
}

/** Characters of one event; beyond it whoever sends is no engine. */
const EVENT_CHARACTERS_MAX = 1024 * 1024;

/** Events of a text that comes in pieces. Comments, which only show that the engine lives, are left out. */
export async function* readEvents(pieces: AsyncIterable<string>): AsyncGenerator<ServerEvent, void, undefined> {
  let rest = '';
  for await (const piece of pieces) {
    rest += piece;
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const event = parseEvent(rest.slice(0, end));
      rest = rest.slice(end + 2);
      if (event !== undefined) yield event;
    }
    if (rest.length > EVENT_CHARACTERS_MAX) {
      throw new ApiError(0, 'answer-too-large', `an event has more than ${EVENT_CHARACTERS_MAX} characters`);
    }
  }
}

function parseEvent(block: string): ServerEvent | undefined {
  let event = 'message';
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    const [field, value] = [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
    if (field === 'event') event = value;
    else if (field === 'data') data.push(value);
  }
  return data.length === 0 ? undefined : { event, data: data.join('\n') };
}
