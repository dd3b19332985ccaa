"""Chat templates: messages as the text that a model was trained to answer."""

import datetime
from collections.abc import Mapping, Sequence
from typing import NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from einloom.spec.errors import InputError

Message = Mapping[str, str]
"""`role` (system, user or assistant) and `content`."""


def render_chat(template: str, messages: Sequence[Message], *, bos: str = "", eos: str = "") -> str:
    """The text after which the model writes its answer to the last message.

    `template` is Jinja in the manner of Hugging Face; it comes with a model, so it runs in Jinja's sandbox. InputError
    when it can't be rendered or refuses the messages.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    try:
        text: str = environment.from_string(template).render(
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
