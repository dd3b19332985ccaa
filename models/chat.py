"""Chat templates: messages as the text that a model was trained to answer."""

import datetime
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from einloom.spec.errors import InputError

Message = Mapping[str, str]
"""`role` (system, user or assistant) and `content`."""
SECONDS = 2.0
"""Most time that a template may take; real ones take milliseconds."""
LARGEST = 1 << 20
"""Most characters, or elements, of a text or list that a template may multiply; numbers have at most so many bits."""


def render_chat(template: str, messages: Sequence[Message], *, bos: str = "", eos: str = "") -> str:
    """The text after which the model writes its answer to the last message.

    `template` is Jinja in the manner of Hugging Face; it comes with a model, so it runs in Jinja's sandbox. InputError
    when it can't be rendered, takes longer than SECONDS, or refuses the messages.
    """
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    try:
        compiled = environment.from_string(template)
        with _time_limit(SECONDS):
            text: str = compiled.render(
                messages=list(messages), add_generation_prompt=True, bos_token=bos, eos_token=eos
            )
    except InputError:
        raise
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        raise InputError(f"the model's chat template cannot be rendered: {error}") from error
    return text


def _refuse(message: str) -> NoReturn:
    raise InputError(f"the model's chat template refuses the messages: {message}")


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which one operator can't take all time and memory either."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The product or power; InputError when it is too large."""
        if _size(operator, left, right) > LARGEST:
            raise InputError(f"the model's chat template makes something too large with {operator}")
        return super().call_binop(context, operator, left, right)


def _size(operator: str, left: Any, right: Any) -> int:
    """Bits of a power, elements of a text or list that is repeated; 0 for all that stays small."""
    match left, right:
        case int(), int():
            return left.bit_length() * right if operator == "**" else 0
        case int(), str() | list() | tuple():
            return left * len(right)
        case str() | list() | tuple(), int():
            return len(left) * right
    return 0


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """InputError from within what runs longer: an endless loop, or loops in loops.

    The interpreter asks before each line of Python. Nothing else can end a loop in every thread and on every system.
    """
    end, before = time.monotonic() + seconds, sys.gettrace()

    def check(_frame: FrameType, _event: str, _argument: Any) -> Any:
        if time.monotonic() > end:
            raise InputError(f"the model's chat template takes more than {seconds:g} seconds")
        return check

    sys.settrace(check)
    try:
        yield
    finally:
        sys.settrace(before)
