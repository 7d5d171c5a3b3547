"""The tasks of a turn: each has a name that is the same in every run, so that its calls can be told apart.

Calls are known by their number. Where a handler runs several tasks side by side, the order of their calls is chance,
so each task numbers its own: `gather(weather(), news())` gives `weather#0/0` and `news#0/0` in any order. A task is
known by the function it runs and by how many of that function its parent started before it.

The event loop tells of new tasks through its task factory, which the worker wraps when it starts. Outside of a turn
the wrapped factory does what it did before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import ContextVar, copy_context
from typing import Any, Final, TypeVar

T = TypeVar("T")

_LONGEST_NAME: Final = 60
_branch: ContextVar[Branch | None] = ContextVar("linqbot_branch", default=None)


class Branch:
    """One task of a turn, and the numbers of its calls.

    Attributes:
        path: Names of the tasks from the turn's own down to this one, each with a slash; empty for the turn's own.
        has_children: On the root: True once any task of the turn has started another.
    """

    __slots__ = ("_children", "_counts", "_root", "has_children", "path")

    def __init__(self, path: str = "", root: Branch | None = None) -> None:
        self.path = path
        self._root = root
        self.has_children = False
        self._counts: dict[str, int] = {}
        self._children: dict[str, int] = {}

    @property
    def root(self) -> Branch:
        """The branch of the turn's own task."""
        return self if self._root is None else self._root

    def number(self, kind: str) -> str:
        """Return the next slot of a kind of calls: `0`, `1`, …, behind the path."""
        count = self._counts.get(kind, 0)
        self._counts[kind] = count + 1
        return f"{kind}{self.path}{count}"

    def child(self, function: str) -> Branch:
        """Return the branch of a task that this one starts."""
        self.root.has_children = True
        count = self._children.get(function, 0)
        self._children[function] = count + 1
        return Branch(f"{self.path}{function[-_LONGEST_NAME:]}#{count}/", self.root)


def begin_turn() -> Branch:
    """Make the running task the first one of a turn, for as long as it runs."""
    root = Branch()
    _branch.set(root)
    return root


def leave_turn() -> None:
    """Make what runs in this context belong to no turn."""
    _branch.set(None)


def current_branch(root: Branch) -> Branch:
    """Return the branch of the running task; `root` where the task does not belong to its turn, as in a callback."""
    branch = _branch.get()
    return branch if branch is not None and branch.root is root else root


def follow_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop tell of the tasks that turns start. A task factory that is set already keeps its work."""
    inner = loop.get_task_factory()
    if isinstance(inner, _Factory):
        return
    loop.set_task_factory(_Factory(inner))


class _Factory:
    """A task factory that gives each task of a turn a branch of its own."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], /, **how: Any
    ) -> asyncio.Future[T]:
        parent = _branch.get()
        # A context that was given is shared with other code on purpose; it stays as it is.
        if parent is not None and how.get("context") is None:
            context = copy_context()
            context.run(_branch.set, parent.child(getattr(coro, "__qualname__", type(coro).__name__)))
            how["context"] = context
        if self._inner is not None:
            task: asyncio.Future[T] = self._inner(loop, coro, **how)
            return task
        return asyncio.Task(coro, loop=loop, **how)
