"""A chosen config as YAML, with the reasons of its keys as comments."""

from collections.abc import Mapping

from einloom.fpga.design.candidates import Candidate
from einloom.fpga.design.choose import Choice
from einloom.fpga.design.core_config import DEEP_QUEUE
from einloom.fpga.design.on_chip import URAM_LEAST_BITS
from einloom.fpga.design.wish import Wish
from einloom.spec.config import Config
from einloom.spec.registers import WORD_BITS

ENGINES = {
    "sparse_dsp": "chains of DSPs",
    "bitmod": "bit-serial, in LUTs",
    "lut": "look-up tables",
    "int_mac": "a DSP a product, one scale per output channel",
}
"""What each kind of engine is."""


def config_text(wish: Wish, choice: Choice, model: str, head: list[str]) -> str:
    """The YAML file of a choice; `head` are sentences at its top."""
    reasons = _reasons(wish, choice, model)
    entries: list[tuple[str, str]] = [(f"name: {choice.config.name}", "")]
    for section, keys in _sections(choice.config).items():
        entries.append((f"{section}:", ""))
        entries += [(f"  {key}: {value}", reasons.get(f"{section}.{key}", "")) for key, value in keys.items()]
    column = max(len(entry) for entry, reason in entries if reason) + 2
    lines = [f"{entry.ljust(column)}# {reason}" if reason else entry for entry, reason in entries]
    return "\n".join([*(f"# {sentence}" for sentence in head), *lines]) + "\n"


def _sections(config: Config) -> dict[str, dict[str, str]]:
    """Keys that differ from their defaults, and those that say what a core is."""
    whole = config.model_dump(mode="json", exclude_defaults=True)
    # The space of choices sets these; a reader looks for them even where they are the default.
    always = {
        "engine": ("kind", "rows", "columns", "lanes", "formats", "group"),
        "memory": ("channels", "beat_bits"),
        "attention": ("kind", "rows", "columns"),
        "core": ("lanes", "cache_bits", "cache_memory", "attention_lanes", "fifo_beats"),
    }
    full = config.model_dump(mode="json")
    found = {}
    for section, keys in always.items():
        shown = {key: full[section][key] for key in keys if key in full[section]}
        found[section] = {key: _text(value) for key, value in (shown | whole.get(section, {})).items()}
    return found


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value)


def _reasons(wish: Wish, choice: Choice, model: str) -> Mapping[str, str]:
    """Why each key has its value."""
    config, candidate = choice.config, choice.candidate
    attention = wish.graph.attention
    group = attention.heads // attention.groups
    lanes, columns = config.core_section.attention_lanes, config.attention.columns if config.attention else 1
    stripes = config.cache_stripes
    banks = wish.board.weight_banks
    has = f"{banks} banks" if banks > 1 else "one bank"
    turns = -(-attention.groups // lanes)
    words = config.memory_words()["vector_words"]
    in_ultra = words * WORD_BITS * config.core_section.lanes >= URAM_LEAST_BITS
    parts = -(-group // columns)
    return {
        "engine.rows": f"tokens at once, for {wish.goal}",
        "engine.columns": _pace(candidate),
        "engine.kind": ENGINES[config.gemm.kind] + (", faster than other engines" if len(wish.engines) > 1 else ""),
        "engine.lanes": "inputs multiplied at once",
        "engine.formats": f"{wish.format.stored_bits:.2g} bits a weight",
        "engine.group": "inputs that share a scale",
        "engine.table_inputs": "tables of so few take the fewest LUTs",
        "engine.precompute": "tables are made once, where the vector unit writes activations",
        "engine.packing": "how products share a DSP",
        "memory.channels": f"of {has} on the {wish.board.name}",
        "memory.beat_bits": f"{wish.board.bank_bytes_per_second / 1e9:.1f} GB/s a bank at {wish.clock_mhz:g} MHz",
        "attention.rows": f"keys of a tile; a lane reads {stripes} channel{'s' if stripes > 1 else ''}",
        "attention.columns": (
            f"all {group} query heads that share keys"
            if parts == 1 and group > 1
            else "each head has keys of its own"
            if group == 1
            else f"{group} query heads share keys: {parts} turns, each reading them again"
        ),
        "attention.max_head": f"{attention.size} elements of a head",
        "attention.exponentials": "one unit for each column: far fewer LUTs",
        "core.lanes": f"of the vector unit; a word is {32 * config.core_section.lanes} bits",
        "core.cache_memory": "keys and values lie beside the weights",
        "core.attention_lanes": f"{attention.groups} heads of keys and values: {turns} turn{'s' if turns > 1 else ''}",
        "core.fifo_beats": (
            "UltraRAM: weights come in while attention works"
            if config.core_section.fifo_beats == DEEP_QUEUE
            else "in block memory"
        ),
        "core.vector_words": f"{'in UltraRAM, ' if in_ultra else ''}what {model} needs, or more",
    }


def _pace(candidate: Candidate) -> str:
    """What the array's size means."""
    bound = candidate.bound
    return (
        f"array busy {bound.array:,} cycles, attention {bound.attention:,}, memory {round(bound.memory):,}, "
        f"vector unit {bound.vector:,}"
    )
