"""Branches: names for the tasks of a turn, the same in every run, so that calls keep their journal slots.

The journal identifies a call by its number. If a handler runs several tasks concurrently, the order of their calls is
random, so each task numbers its own calls: `gather(weather(), news())` gives `weather#0/0` and `news#0/0` in any order.
A task is named for the function that it runs, and for the number of tasks with this function that its parent started
before it.

New tasks are noticed by a task factory, with which the worker wraps the event loop's own when it starts. Outside of a
turn, the wrapped factory behaves like the original.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, Final, NamedTuple, TypeVar

T = TypeVar("T")

_LONGEST_NAME: Final = 60
_branch: ContextVar[Branch | None] = ContextVar("linqbot_branch", default=None)


class UnawaitedCoroutine(NamedTuple):
    """A coroutine that the code of a turn made and never awaited.

    Attributes:
        call: The function as the author wrote it, such as `ctx.reply`.
        at: `file:line` of the author's code; None if the line of the call is not known.
        in_thread: True if it was made by a handler that is a plain `def`.
        is_call: True for linqbot's own functions, such as those of Context and Client.
        function: The `__qualname__` of the function.
        place: `file:line` of the author's code where it was deleted; None if no author's code ran.
    """

    call: str
    at: str | None
    in_thread: bool
    is_call: bool
    function: str
    place: str | None


class Branch:
    """One task of a turn, with the numbers of its calls.

    Attributes:
        path: The names of the tasks from the root down to this one, each followed by a slash. Empty for the root, which
            is the turn's own task.
        has_children: Set on the root only: True once any task of the turn has started another.
        never_awaited: Set on the root only: the coroutines that were never awaited; None once the turn has read them.
    """

    __slots__ = ("_children", "_counts", "_root", "has_children", "never_awaited", "path")

    def __init__(self, path: str = "", root: Branch | None = None) -> None:
        self.path = path
        self._root = root
        self.has_children = False
        self.never_awaited: tuple[UnawaitedCoroutine, ...] | None = ()
        self._counts: dict[str, int] = {}
        self._children: dict[str, int] = {}

    @property
    def root(self) -> Branch:
        """The branch of the turn's own task."""
        return self if self._root is None else self._root

    def number(self, kind: str) -> str:
        """Return the next slot for a kind of calls: the kind, the path, and `0`, `1`, …."""
        count = self._counts.get(kind, 0)
        self._counts[kind] = count + 1
        return f"{kind}{self.path}{count}"

    def child(self, function: str) -> Branch:
        """Return the branch for a task that this branch starts, named for its function."""
        self.root.has_children = True
        count = self._children.get(function, 0)
        self._children[function] = count + 1
        return Branch(f"{self.path}{function[-_LONGEST_NAME:]}#{count}/", self.root)


def begin_turn() -> Branch:
    """Make the running task the root of a new turn, and return its branch."""
    root = Branch()
    _branch.set(root)
    return root


def leave_turn() -> None:
    """Detach the current context from its turn, such as for a background task."""
    _branch.set(None)


def current_branch(root: Branch) -> Branch:
    """Return the branch of the running task; `root` if the task does not belong to the turn of `root`."""
    branch = _branch.get()
    return branch if branch is not None and (branch is root or branch.root is root) else root


@contextmanager
def in_branch(path: str, root: Branch) -> Iterator[None]:
    """Run the block in a branch of its own, which numbers its calls from 0.

    Args:
        path: The path of the branch; the same in every run of the turn.
        root: The branch of the turn's own task.
    """
    token = _branch.set(Branch(path, root))
    try:
        yield
    finally:
        _branch.reset(token)


def running_root() -> Branch | None:
    """Return the root of the turn that the running code belongs to; None outside of turns."""
    branch = _branch.get()
    return None if branch is None else branch.root


def follow_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Wrap the loop's task factory, so that tasks started by a turn get a branch. An existing factory is still used."""
    inner = loop.get_task_factory()
    if not has_inside(inner, _BranchFactory):
        loop.set_task_factory(_BranchFactory(inner))


def has_inside(factory: Any, kind: type) -> bool:
    """Return True if a task factory is of a kind, or if linqbot has wrapped one of this kind in it.

    Bots that start one after the other in one event loop would wrap each other's factories without end.
    """
    while factory is not None and not isinstance(factory, kind):
        factory = getattr(factory, "inner", None)
    return factory is not None


class _BranchFactory:
    """A task factory that gives each task of a turn its own branch."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], /, **how: Any
    ) -> asyncio.Future[T]:
        parent = _branch.get()
        # A context given by the caller may be shared with other code on purpose, so it stays unchanged.
        if parent is not None and how.get("context") is None:
            context = copy_context()
            context.run(_branch.set, parent.child(getattr(coro, "__qualname__", type(coro).__name__)))
            how["context"] = context
        if self.inner is not None:
            task: asyncio.Future[T] = self.inner(loop, coro, **how)
            return task
        return asyncio.Task(coro, loop=loop, **how)
