"""Random configs of the engine, for tests."""

from hypothesis import strategies as st

from einloom.sim.strategies import make_config
from einloom.spec.config import Config


@st.composite
def addsub_configs(draw: st.DrawFn, max_size: int = 6) -> Config:
    """Any addsub design of up to max_size x max_size PEs."""
    channels = draw(st.sampled_from([1, 2]))
    engine: dict[str, object] = {
        "kind": "addsub",
        "rows": draw(st.integers(1, max_size)),
        "columns": channels * draw(st.integers(1, max_size // channels)),
        "lanes": draw(st.sampled_from([1, 2, 4, 8, 16])),
    }
    return make_config(engine, channels=channels, beat_bits=draw(st.sampled_from([32, 64, 256])))
