// A pytest that repeats a conversation: it sends what the person sent, and expects what the bot did.

import { isDone, sentMessageId } from "../model/exchanges.js";

/** @import { Call, Message, Observation, Poll } from "../client/types.d.ts" */

/**
 * One event of a conversation. `data` is the event's, `calls` are what the bot did, `turns` what it reported.
 * `messages` holds the bot's messages as the phone shows them. `poll` is the poll that the event is about, and `place`
 * the location that was shared. `ms` is the time, if the test lets the time between the steps pass.
 * @typedef {{ eventType: string, data: any, calls: Call[], turns: Observation[], messages: Map<string, Message>,
 *   poll?: Poll | null, place?: { latitude: number, longitude: number } | null, ms?: number }} Step
 */

/**
 * Who is in the chat: the bot's number, and all others. `module` is the name of the bot's file, without `.py`.
 * @typedef {{ line: string, people: string[], module: string }} Cast
 */

const FIRST_PERSON = "+14155550142";
const EVENTS = new Set([
  ...["message.received", "message.edited", "reaction.added", "reaction.removed", "poll.reaction.added"],
  ...["poll.received", "poll.updated", "poll.vote.added", "poll.vote.removed"],
  ...["payment.authorized", "payment.succeeded", "payment.declined", "connection.created", "contact_card.received"],
  ...["location.sharing.started", "location.sharing.stopped", "participant.added", "participant.removed"],
]);

/**
 * Return true if a test can repeat an event of this type.
 * @param {string | null} eventType
 */
export const canRepeat = (eventType) => EVENTS.has(eventType ?? "");

/** The events that linqbot makes itself once their time has come. */
const OF_TIME = new Set(["linqbot.ask", "linqbot.send", "linqbot.schedule"]);

/**
 * Return true if an event comes by itself when the clock is moved.
 * @param {string | null} eventType
 */
export const comesWithTime = (eventType) => OF_TIME.has(eventType ?? "");

/** A test lets no shorter time pass than this between two acts of people. */
const PAUSE_S = 60;

/**
 * Return true if a call asked for a payment: with a payment request, or by charging a customer.
 * @param {Call} call
 */
export const createsPayment = ({ method, path, status, answer }) =>
  method === "POST" && /\/(?:payment_requests|payments)$/.test(path) && isDone(status) && Boolean(answer?.id);

/**
 * Return true if a payment charges a customer. It is authorized by the customer, and then collected by the bot.
 * @param {string} id
 */
export const isCharge = (id) => id.startsWith("pay_");

/**
 * Return a text as a literal of Python. JSON's escapes are Python's too.
 * @param {unknown} value
 */
const literal = (value) => (value === null || value === undefined ? "None" : JSON.stringify(String(value)));

/**
 * Return the source of the test.
 * @param {Step[]} steps In order, all of one chat.
 * @param {Cast} cast
 */
export const pytestOf = (steps, cast) => new PythonTest(steps, cast).source();

class PythonTest {
  /** @type {string[]} */
  #lines = [];
  /** @type {Map<string, string>} The variable of a message, by its id. */
  #names = new Map();
  /** @type {Map<string, string>} The variable of a payment or a payment request, by its id. */
  #payments = new Map();
  /** @type {Set<string>} The bot's messages that were expected: a call may be repeated after a lost answer. */
  #expected = new Set();
  /** @type {Set<string>} The lines that import acts. */
  #imports = new Set();
  #isGroup;
  #owner;
  /** The time on the test's clock, as far as the test moves it. */
  #ms;

  /**
   * @param {Step[]} steps
   * @param {Cast} cast
   */
  constructor(steps, cast) {
    this.steps = steps;
    this.cast = cast;
    this.#isGroup = cast.people.length > 1;
    this.#owner = senderOf(steps[0].data) ?? cast.people[0] ?? FIRST_PERSON;
    this.#ms = steps[0].ms ?? 0;
  }

  source() {
    for (const step of this.steps) {
      this.#letTimePass(step);
      if (!comesWithTime(step.eventType)) this.#send(step);
      this.#expect(step, step === this.steps.at(-1));
    }
    const phone = this.#isGroup ? "group" : "phone";
    this.#lines.push(`assert await ${phone}.replies() == []`);
    return this.#file(this.#lines.map((line) => `        ${line}`).join("\n"));
  }

  /** @param {string} body */
  #file(body) {
    const { module } = this.cast;
    const others = this.cast.people.filter((handle) => handle !== this.#owner).map(literal);
    const service = this.steps[0].data.service ?? "iMessage";
    const options = [
      this.#owner === FIRST_PERSON ? "" : `, handle=${literal(this.#owner)}`,
      service === "iMessage" ? "" : `, service=${literal(service)}`,
    ];
    return [
      `"""A conversation copied from the emulator's page. Save this file next to ${module}.py, and run: pytest"""`,
      "",
      `from ${module} import bot`,
      "",
      ...[...this.#imports].sort(),
      "from linqbot.testing import PhoneFor",
      "",
      "",
      `async def test_${this.#testName()}(phone_for: PhoneFor) -> None:`,
      `    async with phone_for(bot${options.join("")}) as phone:`,
      ...(this.#isGroup ? [`        group = phone.group(${others.join(", ")})`] : []),
      body,
      "",
    ].join("\n");
  }

  #testName() {
    const last = this.steps.at(-1);
    const text = textOf(messageOf(last?.data)) || last?.eventType || "conversation";
    const words = text
      .normalize("NFKD")
      .toLowerCase()
      .match(/[a-z0-9]+/g) ?? ["conversation"];
    return words.join("_").slice(0, 40).replace(/_$/, "");
  }

  /** @param {Step} step */
  #letTimePass({ eventType, ms }) {
    const seconds = ((ms ?? this.#ms) - this.#ms) / 1000;
    if (seconds >= PAUSE_S || (comesWithTime(eventType) && seconds > 0)) this.#advance(Math.ceil(seconds));
  }

  /** @param {number} seconds */
  #advance(seconds) {
    this.#ms += seconds * 1000;
    this.#lines.push(`await phone.advance(${seconds})`);
  }

  /** @param {Step} step */
  #send(step) {
    const { eventType, data } = step;
    const phone = this.#phoneOf(senderOf(data));
    if (eventType === "message.received") this.#write(phone, data);
    else if (eventType === "message.edited") {
      this.#lines.push(`await ${phone}.edit(${this.#nameOf(data.id)}, ${literal(data.part?.text)})`);
    } else if (eventType.startsWith("poll.") && eventType !== "poll.reaction.added") this.#doWithPoll(phone, step);
    else if (eventType.startsWith("payment.")) this.#pay(step);
    else if (eventType.startsWith("location.")) this.#share(phone, step);
    else if (eventType.startsWith("participant.")) this.#changeMembers(step);
    else if (eventType === "connection.created") this.#connect(data.metadata?.handle);
    else if (eventType === "contact_card.received") {
      const names = [data.first_name, data.last_name].filter(Boolean).map(literal);
      this.#lines.push(`await ${phone}.share_card(${names.join(", ")})`);
    } else this.#react(phone, step);
  }

  /**
   * @param {string} phone
   * @param {Step} step
   */
  #react(phone, { eventType, data }) {
    const message = this.#nameOf(data.message_id);
    if (data.reaction_type === "sticker") {
      const name = literal(data.sticker?.file_name ?? "sticker.png");
      this.#lines.push(`await ${phone}.sticker(${message}, b"a sticker", ${name})`);
      return;
    }
    const kind = literal(data.custom_emoji || data.reaction_type);
    const remove = eventType === "reaction.removed" ? ", remove=True" : "";
    this.#lines.push(`await ${phone}.react(${message}, ${kind}${remove})`);
  }

  /**
   * @param {string} phone
   * @param {Step} step
   */
  #doWithPoll(phone, { eventType, data, poll }) {
    if (eventType === "poll.received") {
      const said = this.#isNeeded(data.message_id) ? `${this.#newName("said", data.message_id)} = ` : "";
      this.#lines.push(`${said}await ${phone}.poll(${textsOf(data.poll.options)})`);
      return;
    }
    const message = this.#nameOf(data.message_id);
    if (eventType === "poll.updated") {
      this.#lines.push(`await ${phone}.add_option(${message}, ${textsOf(data.added_options)})`);
      return;
    }
    const option = poll?.options.find((one) => one.option_id === data.option_id);
    const remove = eventType === "poll.vote.removed" ? ", remove=True" : "";
    this.#lines.push(`await ${phone}.vote(${message}, ${literal(option?.text)}${remove})`);
  }

  /** @param {Step} step */
  #pay({ eventType, data }) {
    // The bot itself has collected it.
    if (eventType === "payment.succeeded" && isCharge(data.id)) return;
    const verb = eventType === "payment.declined" ? "decline" : "pay";
    this.#lines.push(`await phone.${verb}(${this.#payments.get(data.id)})`);
  }

  /**
   * Connect a customer to the payment provider. A phone has no method for it.
   * @param {string} handle
   */
  #connect(handle) {
    this.#imports.add("from linqbot.emulator.acts.chat_acts import Connect");
    this.#lines.push(`phone.emulator.do(Connect(from_=${literal(handle)}))`, "await phone.emulator.flush()");
  }

  /**
   * Add or remove a member. The event does not say who did it: a member who left did so, and any other may add one.
   * @param {Step} step
   */
  #changeMembers({ eventType, data }) {
    const { handle } = data;
    const member = handle === this.cast.line ? "phone.line" : literal(handle);
    const other = this.#phoneOf(this.cast.people.find((one) => one !== handle));
    if (eventType === "participant.added") this.#lines.push(`await ${other}.bring(${member})`);
    else if (data.participant?.status === "left") this.#lines.push(`await ${this.#phoneOf(handle)}.leave()`);
    else this.#lines.push(`await ${handle === this.#owner ? other : "group"}.remove(${member})`);
  }

  /**
   * @param {string} phone
   * @param {Step} step
   */
  #share(phone, { eventType, data, place }) {
    if (eventType === "location.sharing.stopped") {
      this.#lines.push(`await ${phone}.stop_sharing_location()`);
      return;
    }
    const { latitude, longitude } = place ?? { latitude: 0, longitude: 0 };
    const seconds = data.ends_at ? (Date.parse(data.ends_at) - Date.parse(data.began_at)) / 1000 : null;
    const until = seconds === null ? "" : `, for_s=${seconds}`;
    this.#lines.push(`await ${phone}.share_location(${latitude}, ${longitude}${until})`);
  }

  /**
   * @param {string} phone
   * @param {any} data
   */
  #write(phone, data) {
    const message = messageOf(data);
    const said = this.#isNeeded(message.id) ? `${this.#newName("said", message.id)} = ` : "";
    const text = textOf(message);
    const mention = mentionIn(message);
    const media = message.parts.find((/** @type {any} */ part) => part.type === "media");
    const isLink = message.parts.length === 1 && message.parts[0].type === "link";
    const options = [
      message.reply_to ? `, reply_to=${this.#nameOf(message.reply_to.message_id)}` : "",
      message.effect ? `, effect=${literal(message.effect.name)}` : "",
    ].join("");
    if (media) {
      const also = text ? `, text=${literal(text)}` : "";
      this.#lines.push(`${said}await ${phone}.media(b"a file", ${literal(media.filename ?? "file")}${also})`);
    } else if (isLink) this.#lines.push(`${said}await ${phone}.link(${literal(text)})`);
    else {
      const marked = mention === null ? "" : `, mention=${literal(mention)}`;
      this.#lines.push(`${said}await ${phone}.text(${literal(text)}${marked}${options})`);
    }
  }

  /**
   * @param {Step} step
   * @param {boolean} isLast
   */
  #expect(step, isLast) {
    const phone = this.#isGroup ? "group" : "phone";
    this.#expectErrors(step.turns, isLast);
    /** @type {string[]} The payment requests that no variable holds yet. */
    const asked = [];
    for (const call of step.calls.filter(({ status }) => isDone(status))) {
      const isTapback = call.path.endsWith("/reactions") && call.body?.operation !== "remove";
      const id = sentMessageId(call);
      // The bot repeats a charge to collect it.
      if (createsPayment(call)) asked.push(...[call.answer.id].filter((one) => !this.#payments.has(one)));
      // After a lost answer the bot makes the call again.
      else if (isTapback && !call.lost) {
        const name = call.body?.custom_emoji || call.body?.type;
        this.#lines.push(`assert await ${phone}.next_tapback() == ${literal(name)}`);
      } else if (id && !this.#expected.has(id)) {
        this.#expected.add(id);
        this.#expectReply(phone, step.messages.get(id) ?? sentBy(call), asked);
      }
    }
    if (asked.length > 0) this.#lines.push(`await ${phone}.quiet()`);
    this.#namePayments(asked);
  }

  /**
   * Put payment requests into variables: each run of the test has other ids.
   * @param {string[]} ids They are removed.
   */
  #namePayments(ids) {
    for (const id of ids.splice(0)) {
      const count = this.#payments.size;
      const name = count ? `payment_${count + 1}` : "payment";
      this.#payments.set(id, name);
      this.#lines.push(`${name} = phone.payments[${count}]`);
    }
  }

  /**
   * Expect the exceptions of the turns. An event that has failed so far is expected to fail once, unless more follows in
   * the test: then the bot must be done with it.
   * @param {Observation[]} turns
   * @param {boolean} isLast
   */
  #expectErrors(turns, isLast) {
    const succeeds = turns.at(-1)?.outcome === "acked";
    for (const { error, retry_in_s: retryIn } of succeeds || !isLast ? turns : turns.slice(0, 1)) {
      if (!error) continue;
      this.#lines.push("(error,) = await phone.errors()", `assert type(error).__name__ == ${literal(error.type)}`);
      if (succeeds || (retryIn && !isLast)) this.#advance(Math.ceil((retryIn ?? 1) / 0.75));
    }
  }

  /**
   * @param {string} phone
   * @param {Message} message
   * @param {string[]} asked Payment requests before this message.
   */
  #expectReply(phone, message, asked) {
    const name = this.#newName("reply", message.id);
    this.#lines.push(`${name} = await ${phone}.next_reply()`);
    this.#namePayments(asked);
    if (message.poll) this.#lines.push(`assert list(${name}.votes) == [${textsOf(message.poll.options)}]`);
    else this.#lines.push(`assert ${name} == ${this.#expectedText(textOf(message))}`);
    if (message.effect) this.#lines.push(`assert ${name}.effect == ${literal(message.effect.name)}`);
    const thread = this.#names.get(message.reply_to?.message_id ?? "");
    if (thread) this.#lines.push(`assert ${name}.thread == ${thread}.id`);
    const files = (message.parts ?? []).filter((part) => part.type === "media").map((part) => literal(part.filename));
    if (files.length > 0) this.#lines.push(`assert [file.filename for file in ${name}.media] == [${files.join(", ")}]`);
  }

  /**
   * Return a text in which ids of payments, as in the address of a request, are those of the run.
   * @param {string} text
   */
  #expectedText(text) {
    for (const [id, name] of this.#payments) {
      const tail = id.slice(id.indexOf("_") + 1);
      if (text.includes(tail)) return `${literal(text)}.replace(${literal(tail)}, ${name}.partition("_")[2])`;
    }
    return literal(text);
  }

  /** @param {string | undefined} handle */
  #phoneOf(handle) {
    if (!this.#isGroup) return "phone";
    return handle === this.#owner ? "group" : `group.by(${literal(handle)})`;
  }

  /** @param {string} id */
  #isNeeded(id) {
    return this.steps.some(
      ({ data, messages }) =>
        [data.message_id, data.part && data.id, messageOf(data).reply_to?.message_id].includes(id) ||
        [...messages.values()].some((message) => message.reply_to?.message_id === id),
    );
  }

  /**
   * @param {string} word
   * @param {string} id
   */
  #newName(word, id) {
    const taken = [...this.#names.values()].filter((name) => name.startsWith(word)).length;
    const name = taken ? `${word}_${taken + 1}` : word;
    this.#names.set(id, name);
    return name;
  }

  /** @param {string} id */
  #nameOf(id) {
    return this.#names.get(id) ?? literal(id);
  }
}

/**
 * Return a message event's message in one shape: version 2025-01-01 has it in `message`.
 * @param {any} data
 */
const messageOf = (data) => ({ parts: [], ...(data?.message ?? data), from: senderOf(data) });

/**
 * @param {any} data
 * @returns {string | undefined}
 */
export const senderOf = (data) =>
  // Linq names its own line as the sender of an option that was added.
  data?.added_options?.[0]?.creator_handle?.handle ??
  data?.sender_handle?.handle ??
  (typeof data?.sender_handle === "string" ? data.sender_handle : undefined) ??
  data?.from_handle?.handle ??
  data?.shared_by ??
  data?.from;

/** @param {{ text: string }[]} options */
const textsOf = (options) => options.map(({ text }) => literal(text)).join(", ");

/**
 * Return the message that a call has sent, as its answer shows it.
 * @param {Call} call
 * @returns {Message}
 */
const sentBy = ({ answer }) =>
  answer.poll ? { ...answer, id: answer.message_id } : (answer.message ?? answer.chat?.message ?? answer.voice_memo);

/** @param {{ parts?: { type: string, value?: string }[] }} message */
const textOf = ({ parts = [] }) =>
  parts
    .filter((part) => part.type === "text" || part.type === "link")
    .map((part) => part.value)
    .join("\n");

/**
 * Return the piece of the text that mentions the bot.
 * @param {any} message
 * @returns {string | null}
 */
function mentionIn({ parts }) {
  for (const part of parts) {
    const mention = part.mentions?.find((/** @type {any} */ one) => one.is_me);
    if (mention) return mention.range ? part.value.slice(...mention.range) : part.value;
  }
  return null;
}
