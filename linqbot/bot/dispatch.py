"""Route an event to the first handler that fits: through middleware, the bot's settings and the filters.

It decides nothing about retries: the errors of handlers go on to the worker. Next step: the handler, called by its route in
`bot/routes.py`, which replies through `bot/context.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from linqbot.bot import from_plugins, handlers
from linqbot.bot.bot import Bot
from linqbot.bot.context import Context
from linqbot.bot.never_awaited import error_of
from linqbot.bot.routes import Routes
from linqbot.bot.turn_context import TurnContext
from linqbot.branch import UnawaitedCoroutine
from linqbot.clock import Clock
from linqbot.content.message_split import files_of
from linqbot.content.typing import BackgroundTasks, TypingIndicator
from linqbot.engine.deadline import DEADLINE_S
from linqbot.engine.dispatching import Dispatching
from linqbot.engine.failure import Failure
from linqbot.engine.filters import Fit, takes_muted
from linqbot.engine.handling import OWN_TYPES, Rules
from linqbot.engine.routing import HandlerRun, Route, handler_name
from linqbot.engine.turn import Turn
from linqbot.errors import AskCancelled, AskEnded, NeverAwaited, NoVerdict, PersonUnreachable, error_name
from linqbot.features.addressed import is_answer
from linqbot.features.handler_options import ForOptOut, Overlap
from linqbot.features.loops import Loop, LoopBreaker
from linqbot.features.manners.conduct import manners_of
from linqbot.features.schedules import Schedule
from linqbot.features.turn_data import OptedOut, Overtaken
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.events.proactive import BroadcastDone, ScheduleDue
from linqbot.linq.rules.keywords import keyword_of
from linqbot.linq.types.files import running_turn
from linqbot.plugins.registry import Plugins
from linqbot.turn_events import ErrorHandled, Routed, Tried

if TYPE_CHECKING:
    from linqbot.features.asking.session import AskSession
    from linqbot.language.spoken import Language
    from linqbot.storage.backend import Storage


log = structlog.get_logger("linqbot.bot")

_END: Final = "end without an answer"
"""The label of the call that says so."""


class Dispatcher(Dispatching):
    """Runs the handlers of a bot.

    Args:
        clock: The clock by which the age of a message is measured.
        deadline_s: Seconds that a handler may run, unless it was registered with its own `deadline_s`.
        threads: Maximum number of handlers that are a plain `def` and run at once, each in a thread.
        plugins: The plugins whose additions are used. Their middleware wraps the bot's own.
    Attributes:
        routes: The handlers of the bot and of its plugins.
    Raises:
        BotError, ConfigError: as Routes raises them.
    """

    routes: Routes

    def __init__(
        self,
        bot: Bot,
        clock: Clock,
        *,
        deadline_s: float = DEADLINE_S,
        threads: int = 200,
        plugins: Plugins | None = None,
    ) -> None:
        self._bot = bot
        self._clock = clock
        self._plugins = plugins = plugins or Plugins()
        routes = Routes(bot, plugins, threads=threads)
        self._languages = bot.languages
        middleware = [*from_plugins.inbound(plugins), *bot.added_middleware]
        super().__init__(routes, _rules_of(bot), bot.options, deadline_s=deadline_s, has_middleware=bool(middleware))
        self._entry = routes.wrapped(self._route, middleware)
        self._values = from_plugins.values(plugins)
        self._logged: set[str] = set()
        self._loops = LoopBreaker()
        self._background = BackgroundTasks()

    def context(self, turn: Turn, state_store: Storage) -> TurnContext:
        event, background = turn.event, self._background
        shown = self._bot.typing and event.service in (None, "iMessage")
        # The answer to a question may come from another chat.
        waiting = turn.opening.conversation
        chat_id = event.chat_id if waiting is None else waiting.chat_id
        ctx = TurnContext(
            turn,
            typing=TypingIndicator(turn.client, chat_id, shown=True, background=background) if shown else None,
            background=background,
            on_sent=self._note_sent,
            clock=self._clock,
            plugins=self._values,
            state_store=state_store,
        )
        if turn.opening.data:  # few turns concern questions
            from linqbot.features.asking.session import AskSession

            if (session := turn.helpers.find(AskSession)) is not None:
                ctx.resumption = None if waiting is None else session
                ctx.side = session if session.is_side else None
                ctx.after_ask = session.after_ask
        ctx.is_opt_out = OptedOut in turn.data
        ctx.is_overtaken = Overtaken in turn.data
        return ctx

    async def aclose(self) -> None:
        """Cancel the background tasks: read receipts and typing dots."""
        await self._background.aclose()

    def language_named(self, code: str | None) -> Language:
        """Return a question's language with the bot's own sentences; None is English, as is an unknown one."""
        if self._languages is None:
            from linqbot.language.spoken import ENGLISH  # only a bot that asks comes here

            if code is None:
                return ENGLISH
            # For what was asked before the bot was deployed without languages.
            from linqbot.bot.languages import Languages

            self._languages = Languages(None, {})
        return self._languages.named(code)

    def never_awaited(
        self, coroutines: Iterable[UnawaitedCoroutine], ctx: HandlerRun | None, delivery_id: str
    ) -> NeverAwaited | None:
        """Log the coroutines that a turn never awaited, and return the error of the turn; see `never_awaited.error_of`."""
        return error_of(coroutines, ctx, self.routes.after_middleware, delivery_id)

    def _note_sent(self, chat_id: str, text: str, files: str) -> None:
        self._loops.note_reply(chat_id, text, self._clock.now(), files=files)

    async def dispatch(self, event: Event, ctx: HandlerRun) -> None:
        """Run the first handler that fits the event, inside the middleware.

        Raises:
            Exception: the handler or middleware raised it, and no error handler fitted it.
            NoVerdict: a required plugin could not decide about a send; error handlers are not asked.
            AskEnded: the handler ended with a question that was not answered; error handlers are not asked.
        """
        assert isinstance(ctx, TurnContext)
        running_turn.set(ctx)
        ctx.leave_handler()
        try:
            with ctx.deadline:
                if ctx.side is not None and await self._answers(event, ctx, ctx.side):
                    ctx.is_answer = True
                else:
                    await self._entry(event, ctx)
        except AskEnded as ended:
            # A question that ended without an answer ends its handler, and is no error.
            await self._say_end(ended, event, ctx)
            raise
        except NoVerdict:
            raise  # The worker defers the turn. An error handler must not turn that into success.
        except Exception as error:  # noqa: BLE001 - raised again, unless a handler of the bot takes it
            await self._handle_error(error, event, ctx)
        finally:
            running_turn.set(None)  # else the task and its context would keep each other alive
            ctx.stop_typing()

    async def _handle_error(self, error: Exception, event: Event, ctx: TurnContext) -> None:
        """Run the bot's handler of an error. Without one, raise the error, or what its author meant."""
        error = _with_cause(error)
        if (handler := self.routes.error_handler(error)) is None:
            try:
                raise error
            finally:
                del error  # else its traceback and this frame would keep each other alive
        ctx.discard_writes()
        ctx.deadline.give_extra_time()
        with ctx.deadline:
            await self.routes.speaking(partial(handler, error))(event, ctx)
            if ctx.side is not None and ctx.handler is not None and not ctx.is_answer:
                await ctx.side.ask_again(ctx)
        ctx.recovered = f"{error_name(error)} was handled by {handler_name(handler)}"
        if (notify := self._plugins.observers.get(ErrorHandled)) is not None:
            notify(ErrorHandled(error, handler_name(handler)))

    async def _say_end(self, ended: AskEnded, event: Event, ctx: TurnContext) -> None:
        """Say the bot's text about a question that ended without an answer, or linqbot's own, if the person may expect it."""
        if isinstance(ended, PersonUnreachable):
            await self._say_unreachable(ended, event, ctx)
            return
        text = self._bot.on_ask_timeout
        if isinstance(ended, AskCancelled):
            text = self._bot.on_ask_cancelled if ended.reason in ("word", "invalid", "operator") else None
        if text is True:
            text = None if ctx.resumption is None else ctx.resumption.sentence_about(ended)
        if text is not None:
            ctx.deadline.give_extra_time()
            with ctx.deadline:
                await ctx.send(text, key=_END)

    async def _say_unreachable(self, ended: PersonUnreachable, event: Event, ctx: TurnContext) -> None:
        """Let the person whose event began the handler read that there is no answer, and the log say why.

        The bot's texts for a timeout and a cancel speak of other ends, so they are not said.
        """
        log.warning("ask.uncaught", handler=ctx.handler, error=type(ended).__name__, why=str(ended))
        root = event if ctx.resumption is None else ctx.resumption.root
        if self._bot.on_ask_cancelled is None or root.is_own or root.type in OWN_TYPES:
            return
        ctx.deadline.give_extra_time()
        with ctx.deadline:
            await self.routes.speaking(_say_unanswered)(event, ctx)

    async def answer_keyword(self, event: Event, ctx: HandlerRun) -> None:
        """Answer START or HELP, also where the bot is muted."""
        assert isinstance(ctx, TurnContext)
        await self.routes.speaking(_answer_keyword)(event, ctx)

    async def dispatch_dead_letter(self, failure: Failure, event: Event, ctx: HandlerRun) -> None:
        """Run the `on_dead_letter` handler for an event that was given up, unless the bot's settings exclude the event."""
        assert isinstance(ctx, TurnContext)
        route = self.routes.dead_letter_handler(type(event))
        if route is None or self._reason_to_ignore(event) is not None:
            return
        ctx.note_handler(route)
        running_turn.set(ctx)
        try:
            with ctx.deadline:
                await self.routes.speaking(partial(route.handler, failure))(event, ctx)
        finally:
            running_turn.set(None)  # else the task and its context would keep each other alive
            ctx.stop_typing()

    async def _route(self, event: Event, ctx: Context) -> None:
        assert isinstance(ctx, TurnContext)
        if ctx.resumption is not None:
            await self._resume(event, ctx, ctx.resumption)
            return
        only_during_ask = ctx.side is not None and not ctx.side.takes_any_handler
        reason = handlers.OVERTAKEN if ctx.is_overtaken else self._reason_to_ignore(event, is_side=only_during_ask)
        if reason is not None:
            self._ignore(event, ctx, reason)
            return
        if ctx.is_opt_out or (self.rules.answers_keywords and self.takes_keyword(event)):
            await self._take_keyword(event, ctx)
            return
        now = self._clock.now()
        sent_at = _sent_at(event, now)
        if self._is_loop(event, sent_at, now):
            self._pass_over(event, ctx, handlers.LOOP)
            return
        is_late = self._is_late(event, ctx, sent_at, now)
        chosen = ctx.chosen or await self._choose(event, ctx, is_late=is_late, only_during_ask=only_during_ask)
        if chosen is not None:
            await self._handle(event, ctx, *chosen)
            if ctx.side is not None:
                await ctx.side.ask_again(ctx)
            return
        if event.muted:
            self._pass_over(event, ctx, handlers.MUTED)
            return
        if is_late and ctx.rerun is not None:
            ctx.is_outdated = not self._is_late(event, ctx, sent_at, ctx.rerun.delivery.received_at)
        self._pass_over(event, ctx, handlers.reason(self.routes.of(type(event)), is_late=is_late))
        self._log_unhandled(event)

    async def _resume(self, event: Event, ctx: TurnContext, resumption: AskSession) -> None:
        """Go on with the handler whose question an event has ended."""
        now = self._clock.now()
        # A timeout or a payment names no person, and the handler of the question must learn of it.
        if event.actor is not None and not self.rules.allow(event):
            self._ignore(event, ctx, handlers.NOT_ALLOWED)
        elif self._is_loop(event, _sent_at(event, now), now):
            self._pass_over(event, ctx, handlers.LOOP)
        else:
            route = self.routes.named(resumption.handler)
            assert route is not None
            await self._handle(event, ctx, route, route.fits(resumption.root))

    async def _answers(self, event: Event, ctx: TurnContext, side: AskSession) -> bool:
        """Return True if an event answers the open question, because no handler with `during_ask=True` takes it.

        Else note the handler that takes it, as `ctx.chosen`. This comes before the middleware, which runs once: for the answer,
        or for the handler.
        """
        if side.takes_any_handler or self._reason_to_ignore(event, is_side=True) is not None:
            return False
        now = self._clock.now()
        is_late = self._is_late(event, ctx, _sent_at(event, now), now)
        ctx.chosen = await self._choose(event, ctx, is_late=is_late, only_during_ask=True)
        ctx.handler = None  # until it runs
        return ctx.chosen is None

    async def _choose(
        self, event: Event, ctx: TurnContext, *, is_late: bool, only_during_ask: bool
    ) -> tuple[Route, Fit] | None:
        """Return the first route whose filters and `when` take an event, and the fit of the filters; None if none does.

        `only_during_ask`: a question is open, and only handlers with `during_ask=True` may take the event.
        """
        ctx.tried = tried = list[Tried]()
        for place, route in enumerate(self.routes.tried(event)):
            before = len(tried)
            if is_late and not route.late:
                tried.append(route.misses(handlers.LATE))
            elif only_during_ask and not route.during_ask:
                tried.append(route.misses("during_ask"))
            elif event.muted and not takes_muted(route.filters):
                tried.append(route.misses("muted"))
            elif fit := route.fits(event, tried):
                if route.when is None or await self._agrees(route, place, event, ctx):
                    del tried[before:]
                    return route, fit
                tried.append(route.misses("when"))
        return None

    async def _agrees(self, route: Route, place: int, event: Event, ctx: TurnContext) -> bool:
        """Ask the `when` of a handler, once per event: a classifier that changes its mind would end a turn halfway."""
        when = route.when
        assert when is not None
        ctx.note_handler(route)

        async def ask() -> bool:
            return bool(await when(event, ctx))

        agrees = await ctx.recorded(f"when:{place}:{route.name}", ask, kind=bool)
        if not agrees:
            ctx.handler = None
        return agrees

    async def _handle(self, event: Event, ctx: TurnContext, route: Route, fit: Fit) -> None:
        assert route.handle is not None
        if (notify := self._plugins.observers.get(Routed)) is not None:
            notify(Routed(event, route.name, route.at, tuple(ctx.tried), None))
        ctx.note_handler(route, fit)
        # A person who opts out does not want to hear of the bot: no typing dots, and no read receipt.
        if isinstance(event, MessageReceived) and not ctx.is_opt_out:
            if self._bot.typing:
                ctx.show_typing_when_slow()
            if self._bot.read and (ctx.rerun is None or not ctx.rerun.attempts):
                # In the background, because a read receipt must neither delay a reply nor make it fail. A run that has failed
                # has sent it.
                self._background.start(ctx.mark_read())
        if route.deadline_s is not None:
            ctx.deadline.restart(route.deadline_s)
        # A question may be answered by something else than a message, such as a tapback, or by nothing in time.
        if ctx.overlap is not None and (isinstance(event, MessageReceived) or ctx.resumption is not None):
            found = route.options.find(Overlap)
            ctx.overlap.begin(route.name, "queue" if found is None else found.mode)
        await route.handle(event, ctx)
        ctx.turn_state.check()

    async def _take_keyword(self, event: Event, ctx: TurnContext) -> None:
        """Handle STOP with the bot's `on_opt_out` handler, and answer START and HELP."""
        if not ctx.is_opt_out:
            self._pass_over(event, ctx, handlers.KEYWORD)
            await self.answer_keyword(event, ctx)
        elif (route := next((each for each in self.routes.all if ForOptOut in each.options), None)) is not None:
            await self._handle(event, ctx, route, fit=True)
        else:
            self._pass_over(event, ctx, handlers.OPTED_OUT)

    def _ignore(self, event: Event, ctx: TurnContext, reason: str) -> None:
        """Pass over an event that must not reach a handler, and log the reason once."""
        self._log_once(f"ignored: {reason}", "event.ignored", event, reason=reason)
        self._pass_over(event, ctx, reason)

    def _pass_over(self, event: Event, ctx: TurnContext, reason: str) -> None:
        """Note why no handler takes an event, and notify the plugins that observe routing."""
        ctx.passed_over = reason
        if (notify := self._plugins.observers.get(Routed)) is not None:
            notify(Routed(event, None, None, tuple(ctx.tried), reason))

    def _is_loop(self, event: Event, sent_at: float, now: float) -> bool:
        if not isinstance(event, MessageReceived) or not self._bot.loop_breaker:
            return False
        files = files_of(event.parts)
        if event.is_group:
            # The same words of two people are two messages: nine of them may say "me too".
            files = f"{event.actor}\n{files}"
        loop = self._loops.judge(event.chat_id, event.text, sent_at, now, files=files, message_id=event.id)
        if not loop:
            return False
        if loop is Loop.FOUND:
            log.error(
                "loop.broken",
                event_id=event.event_id,
                chat_id=event.chat_id,
                why="The other side repeats itself or quotes the bot, and either the replies repeat too or the messages "
                "come faster than a person writes: another bot. The chat is answered again once something new is said, "
                "or after a pause. Bot(loop_breaker=False) turns this off.",
            )
        return True

    def _is_late(self, event: Event, ctx: TurnContext, sent_at: float, now: float) -> bool:
        if not isinstance(event, MessageReceived):
            return False
        if event.reconciled_at is not None:
            return True
        if ctx.rerun is not None and ctx.rerun.put_back:
            # An operator who puts a dead letter back wants it to be handled, however long ago it was given up.
            now = ctx.rerun.delivery.received_at
        max_age_s = self._bot.max_age_s
        return max_age_s is not None and now - sent_at > max_age_s

    def _log_unhandled(self, event: Event) -> None:
        if isinstance(event, ScheduleDue):
            known = [schedule.name for schedule in self.routes.of_option(Schedule)]
            log.warning("schedule.unknown", schedule=event.name, known=known, event_id=event.event_id)
            return
        if isinstance(event, BroadcastDone):
            log.info("broadcast.done", broadcast=event.name, people=event.people, sent=event.sent)
            return
        if event.type in EVENT_TYPES and not self.routes.of(type(event)) and not self.has_middleware:
            self._without_handler.add(event.type)
        # Most bots need no handler for events of our own sends, such as receipts, nor for new chats: no hint for those.
        if event.is_own or event.type == "chat.created":
            log.debug("event.unhandled", type=event.type, event_id=event.event_id)
            return
        if tried := [route.name for route in self.routes.of(type(event))]:
            self._log_once(f"unmatched: {event.type}", "event.unmatched", event, tried=tried)
            return
        kind = type(event)
        function = "on_" + (re.sub(r"\W+", "_", event.type) or "unknown")
        code = (
            f"from linqbot.events import {kind.__name__}\n\n"
            f"@bot.on({kind.__name__})\nasync def {function}(event: {kind.__name__}, ctx: Context) -> None:\n    ..."
        )
        self._log_once(f"unhandled: {event.type}", "event.unhandled", event, to_handle_it=code)

    def _log_once(self, what: str, name: str, event: Event, **facts: object) -> None:
        """Log an event at level info the first time for a kind of hint (`what`), and at level debug after that."""
        if what in self._logged:
            log.debug(name, type=event.type, event_id=event.event_id)
        else:
            self._logged.add(what)
            log.info(name, type=event.type, event_id=event.event_id, **facts)


def _rules_of(bot: Bot) -> Rules:
    return Rules(
        lambda event: bot.allow is None or bot.allow(event),  # an author may set another one while the bot runs
        bot.groups,
        on_trouble=bot.on_trouble,
        has_languages=bot.languages is not None,
        answers_keywords=manners_of(bot.options) is not None,
        is_own_command=is_answer,
    )


async def _answer_keyword(event: Event, ctx: Context) -> None:
    assert isinstance(ctx, TurnContext)
    from linqbot.language.spoken import sentences

    said = sentences()
    await ctx.answer_keyword(said.started if keyword_of(event) == "start" else said.help)


async def _say_unanswered(event: Event, ctx: Context) -> None:
    from linqbot.language.spoken import sentences

    await ctx.send(sentences().ask_unanswered, key=_END)


def _with_cause(error: Exception) -> Exception:
    """Return an error of a handler with what its author meant, where Python's own message does not say it."""
    if not isinstance(error, AttributeError | TypeError):
        return error
    from linqbot.bot.wrong_calls import with_cause  # few turns end so

    return with_cause(error)


def _sent_at(event: Event, now: float) -> float:
    """Return the Unix time at which a message was sent; `now` if Linq does not say, and for other events."""
    # Once per event: the conversion takes longer than the loop breaker's judgement.
    sent_at = event.sent_at if isinstance(event, MessageReceived) else None
    return now if sent_at is None else sent_at.timestamp()
