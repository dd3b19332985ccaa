"""models/chat.py: messages become the text that a model's template makes of them, in a sandbox."""

import sys
from pathlib import Path

import pytest

from einloom.models.chat import render_chat
from einloom.models.importer.huggingface import load_folder
from einloom.spec.errors import InputError
from tests.tiny_llama import write_tiny_llama

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
HELLO = [{"role": "user", "content": "Hello {{ 7 * 7 }}"}]


def test_messages_are_put_into_the_template_as_they_are() -> None:
    text = render_chat(CHATML, [{"role": "system", "content": "Be brief."}, *HELLO])
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello {{ 7 * 7 }}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_templates_know_the_tokens_and_the_ways_of_hugging_face() -> None:
    template = (
        "{{ bos_token }}{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content | trim }}"
    )
    assert render_chat(template + "{% endfor %}{{ eos_token }}", HELLO * 2, bos="<s>", eos="</s>") == (
        "<s>Hello {{ 7 * 7 }}</s>"
    )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('roles must alternate') }}", "refuses the messages: roles must alternate"),
        ("{% for m in messages %}", "cannot be rendered: Unexpected end of template"),
        ("{{ messages[7].content.strip() }}", "cannot be rendered: "),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "cannot be rendered: access to attribute '__class__'"),
        ("{{ messages.append(1) }}", "cannot be rendered: access to attribute 'append'"),
        ("{{ 1 // 0 }}", "cannot be rendered: integer division"),
        ("{{ 'x' * 10000000 }}", r"makes something too large with \*"),
        ("{{ 3 * ([1] * 500000) }}", r"makes something too large with \*"),
        ("{{ 7 ** 10000000 }}", r"makes something too large with \*\*"),
    ],
)
def test_templates_that_fail_or_reach_out_are_refused(template: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"the model's chat template {message}"):
        render_chat(template, HELLO)


def test_templates_may_multiply() -> None:
    assert render_chat("{{ '-' * 3 }}{{ 2 * '+' }}{{ 2 * 3 }}{{ 2 ** 3 }}{{ 0.5 * 3 }}", HELLO) == "---++681.5"


def test_endless_templates_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("einloom.models.chat.SECONDS", 0.2)
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    before = sys.gettrace()
    with pytest.raises(InputError, match=r"the model's chat template takes more than 0\.2 seconds"):
        render_chat(loops, HELLO)
    assert sys.gettrace() is before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("chat_template.jinja", "{{ messages[0].content }}!"),
        ("tokenizer_config.json", '{"chat_template": "{{ messages[0].content }}!"}'),
        (
            "tokenizer_config.json",
            '{"chat_template": [{"name": "x"}, {"name": "default", "template": "{{ messages[0].content }}!"}]}',
        ),
    ],
)
def test_a_folder_brings_its_template(tmp_path: Path, file: str, text: str) -> None:
    folder = write_tiny_llama(tmp_path)
    with pytest.raises(InputError, match=r"^the model has no chat template: leave out --chat"):
        load_folder(folder).encode_chat(HELLO)
    (folder / file).write_text(text)
    model = load_folder(folder)
    assert model.encode_chat([{"role": "user", "content": "Hi"}]) == model.encode("Hi!")
