/**
 * The JSON of the control API, as far as this page reads it. The emulator writes these shapes in
 * `linqbot/emulator/model/shapes.py`. Times are ISO 8601.
 */

export type Service = "iMessage" | "RCS" | "SMS";

/** From the first UTF-16 code unit up to, but without, the second. */
export type Range = [number, number];

export interface Line {
  phone_number: string;
}

export interface Member {
  handle: string;
  /** True for the bot's line, false for a person. */
  is_me?: boolean;
  /** `active`, `left` or `removed`; active when it is missing. */
  status?: string;
}

export interface Reaction {
  id: string;
  type: string;
  is_me?: boolean;
  handle?: Member;
  custom_emoji?: string | null;
  sticker?: { url?: string };
}

export interface Decoration {
  range: Range;
  style?: string;
  animation?: string;
}

export interface Mention {
  handle?: string;
  range?: Range | null;
}

export interface InlineSticker {
  range: Range;
  url?: string;
}

/** The fields depend on `type`, and Linq may add types: each reader takes those it knows. */
export interface Part {
  type: string;
  id?: string;
  value?: string;
  text_decorations?: Decoration[] | null;
  mentions?: Mention[] | null;
  inline_stickers?: InlineSticker[] | null;
  reactions?: Reaction[];
  filename?: string;
  mime_type?: string;
  size_bytes?: number;
  url?: string;
  sticker?: unknown;
  app?: { name?: string };
  layout?: { caption?: string; subcaption?: string; image_title?: string; image_url?: string };
  fallback_text?: string;
  title?: string;
  caption?: string;
  description?: string;
  image_url?: string;
}

export interface PollOption {
  option_id: string;
  text: string;
  voters?: { handle: string }[];
}

export interface Poll {
  options: PollOption[];
  total_voters?: number;
}

export interface Message {
  id: string;
  chat_id: string;
  created_at: string;
  /** True when the bot sent it. */
  is_from_me?: boolean;
  from?: string;
  from_handle?: Member;
  parts?: Part[];
  effect?: { name: string; type?: string } | null;
  reply_to?: { message_id: string; part_index?: number } | null;
  service?: Service;
  delivery_status?: string;
  read_at?: string | null;
  /** The number of times it was edited. */
  edits?: number;
  poll?: Poll;
}

/** A chat without its messages, as the stream sends it; the state adds `messages` and `typing`. */
export interface ChatData {
  id: string;
  display_name?: string;
  service?: Service;
  is_group?: boolean;
  handles?: Member[];
  created_at?: string;
  group_chat_icon?: string | null;
  health_status?: { status?: string };
  messages?: Message[];
  /** The handles of those who type. */
  typing?: string[];
}

export interface Attempt {
  at?: string;
  /** The HTTP status; null when no answer came. */
  status: number | null;
  ms?: number;
}

export interface Delivery {
  event_id: string;
  event_type: string;
  subscription_id: string;
  chat_id?: string | null;
  created_at?: string;
  attempts?: Attempt[];
}

export interface Call {
  at: string;
  method: string;
  path: string;
  status: number;
  ms?: number;
  chat_id?: string | null;
}

/** A turn of the bot, or anything else that a program reported to `/emulator/observations`. */
export interface Observation {
  at?: string;
  chat_id?: string | null;
  handler?: string;
  name?: string;
  kind?: string;
  type?: string;
  status?: string;
  outcome?: string;
  ms?: number;
  event_type?: string;
}

export interface State {
  now: string;
  lines?: Line[];
  chats?: ChatData[];
  deliveries?: Delivery[];
  calls?: Call[];
  observations?: Observation[];
}

/** A part of a message that a person sends. */
export type InboundPart =
  | { type: "text"; value: string; mentions?: { handle: string; range: Range }[] }
  | { type: "link"; value: string }
  | { type: "media"; filename: string; mime_type: string; data_base64: string };

export interface Inbound {
  from: string;
  to: string | undefined;
  parts: InboundPart[];
  chat_id?: string;
  group?: string[];
  service?: Service;
  reply_to?: { message_id: string; part_index: number };
  effect?: { name: string; type: "bubble" | "screen" };
}
