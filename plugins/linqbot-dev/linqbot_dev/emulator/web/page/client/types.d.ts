/**
 * The JSON of the control API, as far as this page reads it. The emulator writes these shapes in
 * `linqbot_dev/emulator/model/shapes.py`. Times are ISO 8601.
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
  left_at?: string | null;
}

export interface Reaction {
  id: string;
  type: string;
  is_me?: boolean;
  handle?: Member;
  custom_emoji?: string | null;
  sticker?: { url?: string };
  placement?: Placement;
}

/** The place of a sticker: the edges of the bubble are -1 and 1. */
export interface Placement {
  x: number;
  y: number;
  scale?: number;
  rotation?: number;
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
  layout?: {
    caption?: string;
    subcaption?: string;
    trailing_caption?: string;
    trailing_subcaption?: string;
    image_title?: string;
    image_subtitle?: string;
    image_url?: string;
  };
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
  reactions?: Reaction[];
}

/** The text of a part before an edit. */
export interface EarlierText {
  part_index: number;
  text: string;
  until: string;
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
  /** The texts before each edit, oldest first. */
  earlier?: EarlierText[];
  poll?: Poll;
}

export interface Background {
  type: "color" | "dynamic" | "photo";
  variant?: string | null;
  style?: string | null;
  shades?: string[] | null;
  image_url?: string | null;
}

/** A change of a chat that is noted between its messages. */
export interface Notice {
  kind: "joined" | "added" | "left" | "removed" | "named" | "icon" | "background";
  created_at: string;
  /** The handle that made the change. */
  by: string;
  /** The member that joined, left, was added or removed. */
  handle?: string | null;
  /** The new name, icon or background; null if it was taken away. */
  value?: string | null;
  /** The id of the message before it. */
  after?: string | null;
}

/** A location that a person shares with the chat's line. */
export interface SharedLocation {
  handle: string;
  latitude: number;
  longitude: number;
}

/** A request for payment (`pr_…`), or a charge of a connected customer (`pay_…`). */
export interface Payment {
  id: string;
  status: string;
  currency: string;
  /** The amount of a request, in minor units. */
  amount?: number;
  /** The amount of a charge, in minor units. */
  amount_cents?: number;
  description?: string | null;
  /** The address that the payer of a request opens. */
  checkout_url?: string;
  /** The addresses at which a customer adds a card to a charge, and approves it. */
  attach_url?: string | null;
  approval_url?: string | null;
  /** The customer of a charge. */
  handle?: string;
  merchant?: { name?: string } | null;
}

export interface ContactCard {
  first_name: string;
  last_name?: string | null;
  image_url?: string | null;
}

/** A chat without its messages, as the stream sends it; the state adds `earlier`, `messages` and `typing`. */
export interface ChatData {
  id: string;
  name?: string | null;
  service?: Service;
  is_group?: boolean;
  handles?: Member[];
  created_at?: string;
  group_chat_icon?: string | null;
  health_status?: { status?: string };
  background?: Background | null;
  notices?: Notice[];
  location_asked_at?: string | null;
  locations?: SharedLocation[];
  /** The card of the line, if the bot has shared it in this chat. */
  card?: ContactCard | null;
  /** The number of messages before those that the page has. */
  earlier?: number;
  messages?: Message[];
  /** The handles of those who type. */
  typing?: string[];
}

export interface Attempt {
  at?: string;
  /** The HTTP status; null when no answer came. */
  status: number | null;
  ms?: number;
  /** Why the attempt failed, in words; missing when it succeeded. */
  reason?: string;
  /** The beginning of the receiver's answer to a failed attempt. */
  answer?: string | null;
}

export interface Delivery {
  event_id: string;
  event_type: string;
  subscription_id: string;
  chat_id?: string | null;
  /** The message that the event is about. */
  message_id?: string | null;
  /** True if the bot caused the event, such as a tapback of its own. */
  by_bot?: boolean;
  /** The voter and the option, if the event is a vote in a poll, or its end. */
  vote?: { by: string; option_id: string } | null;
  /** True if a test of the event can be copied. */
  repeatable?: boolean;
  created_at?: string;
  attempts?: Attempt[];
}

/** A delivery with everything that was sent; the page asks for it when an entry is opened. */
export interface SentDelivery extends Delivery {
  target_url: string | null;
  /** Of the latest attempt. */
  headers: Record<string, string>;
  /** The JSON, byte for byte: the signature fits it. */
  body: string;
}

export interface Call {
  id?: string;
  at: string;
  method: string;
  path: string;
  query?: string;
  /** What Linq answered; null if a fault broke the connection before anything was done. */
  status: number | null;
  /** What a fault has broken: the answer on its way to the bot, the request, or the connection before a byte of answer. */
  lost?: Fault["drop"] | null;
  ms?: number;
  chat_id?: string | null;
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any endpoint, which each reader looks into with ?.
  body?: any;
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any endpoint, which each reader looks into with ?.
  answer?: any;
}

export interface TriedHandler {
  handler: string;
  file?: string | null;
  line?: number | null;
  filter?: string | null;
  fits?: boolean;
}

export interface TurnError {
  type: string;
  message: string;
  file?: string | null;
  line?: number | null;
  code?: string | null;
  traceback?: string | null;
}

/** Advice on a turn. */
export interface TurnNote {
  title?: string | null;
  message: string;
  file?: string | null;
  line?: number | null;
}

/** A step of a run: a request to a model, the call of a tool, or another step of `ctx.once`. */
export interface RunStep {
  name: string;
  said?: string;
  remembered?: boolean;
  failed?: boolean;
  arguments?: unknown;
  result?: unknown;
}

/** A message as a person would see it on one service. */
export interface PreviewedMessage {
  kind: string;
  text: string;
  files: string[];
  parts: Part[];
  effect?: string | null;
}

/** What a person would see on one service, and what that service does not have. */
export interface PreviewedForm {
  messages: PreviewedMessage[];
  degraded: string[];
}

/** A send of the bot, as it looks on each service. */
export interface PreviewedSend {
  message_ids: string[];
  imessage: PreviewedForm;
  rcs: PreviewedForm;
  sms: PreviewedForm;
}

/** An open question that an event concerns, and what became of it. */
export interface MetQuestion {
  text: string;
  handler: string;
  result:
    | "answered"
    | "invalid"
    | "given_up"
    | "cancelled"
    | "timed_out"
    | "kept_open"
    | "counted"
    | "passed_on"
    | "late";
}

/** A turn of the bot, as `linqbot dev` reports it. */
export interface Observation {
  at?: string;
  chat_id?: string | null;
  event_id?: string | null;
  message_id?: string | null;
  joined?: string[];
  /** The id of the event whose handler took this one while it ran. */
  taken_by?: string | null;
  /** The open question that the event concerns. */
  question?: MetQuestion | null;
  /** The question with which the handler ended, to wait for its answer. */
  asks?: string | null;
  /** The handles of the people who are asked it in chats of their own. */
  asks_elsewhere?: string[];
  started_at?: string;
  duration_ms?: number | null;
  attempt?: number;
  handler?: string | null;
  file?: string | null;
  line?: number | null;
  tried?: TriedHandler[] | null;
  reason?: string | null;
  /** What became of the event, as `linqbot why` says it. */
  why?: string | null;
  replies?: number | null;
  retry_in_s?: number | null;
  error?: TurnError | null;
  steps?: RunStep[];
  /** The tokens and the cost of the steps that were made. */
  used?: string;
  notes?: TurnNote[];
  previews?: PreviewedSend[];
  kind?: string;
  outcome?: string;
  event_type?: string | null;
}

/** A fault that is switched on; fields without an effect are missing. */
export interface Fault {
  id: string;
  on: "api" | "delivery" | "message" | "chat";
  match: string;
  /** The number of matches left; null is until it is switched off. */
  times: number | null;
  status?: number;
  code?: number;
  retry_after?: number;
  delay_ms?: number;
  drop?: "answer" | "request" | "connection";
  duplicate?: boolean;
  reorder?: boolean;
}

export type NewFault = Partial<Omit<Fault, "id">> & { on: Fault["on"] };

/** Everything that makes the emulator differ from an ordinary Linq. */
export interface Conditions {
  now: string;
  ahead_s: number;
  is_frozen: boolean;
  faults: Fault[];
  opted_out: string[];
  flagged_lines: string[];
}

export interface ScheduledSend {
  id: string;
  due: string;
  chat_id: string;
  text: string;
  calls: string[];
}

/** A question of `ctx.ask`. `person` must answer it; `*` is any person of the chat. */
export interface AskedQuestion {
  handler: string;
  /** Null if another release of linqbot has stored the question. */
  question: string | null;
  person: string;
  status: "waiting" | "failed" | "timed_out";
  until: string;
  /** The number of invalid answers so far. */
  invalid_answers: number | null;
}

/** What the bot stores. Without a chat only the scheduled sends and the bot's state are there; without a runner nothing is. */
export interface Stored {
  available: boolean;
  is_running?: boolean;
  scheduled?: ScheduledSend[];
  bot_state?: Record<string, unknown>;
  questions?: AskedQuestion[];
  waiting?: {
    id: string;
    type: string;
    state: "ready" | "leased" | "retrying" | "deferred";
    attempts: number;
    not_before: string | null;
    error: string | null;
  }[];
  dead?: { id: string; type: string; attempts: number; dead_lettered_at: string; error: string }[];
  state?: Record<string, unknown>;
  people?: { handle: string; state: Record<string, unknown> }[];
}

/** The report of kind `bot`: whether the bot's file was loaded. */
export interface BotReport extends Observation {
  status?: string;
  message?: string | null;
  traceback?: string | null;
}

export interface State {
  now: string;
  conditions?: Conditions;
  /** True if a program runs the bot that can look into its storage: `linqbot dev`. */
  has_runner?: boolean;
  /** Those that the emulator began with. */
  people?: { handle: string; name: string | null }[];
  lines?: Line[];
  chats?: ChatData[];
  payments?: Payment[];
  deliveries?: Delivery[];
  calls?: Call[];
  observations?: Observation[];
  bot?: BotReport | null;
}

/** A file of this computer. */
export interface InboundFile {
  type: "media";
  filename: string;
  mime_type?: string;
  data_base64: string;
}

/** A part of a message that a person sends. */
export type InboundPart =
  | { type: "text"; value: string; mentions?: { handle: string; range: Range }[]; text_decorations?: Decoration[] }
  | { type: "link"; value: string }
  | InboundFile;

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
