"""Order, addresses and replacement in a scratchpad, against all schedules of tiny graphs and against hand-made ones."""

from dataclasses import replace

import pytest

from einloom.mapping.allocation.allocate import Allocation, allocate, greedy_allocations
from einloom.mapping.allocation.graph import Operator, OperatorGraph
from einloom.mapping.allocation.order_program import OrderProgram
from einloom.mapping.allocation.orders import frugal_order, least_peak_order, peak_of
from einloom.mapping.allocation.packing import lowest_runs, pack
from einloom.mapping.allocation.replay import replay
from einloom.mapping.allocation.schedule import Run, ScheduleStep, extra_words, live_words, runs_of
from einloom.mapping.allocation.window import Window
from einloom.spec.errors import CheckFailed, InputError
from tests.allocation_truth import fewest_extra_words, random_graph

pytest.importorskip("highspy", reason="HiGHS is not installed: pip install einloom[allocation]")
DIAMOND = OperatorGraph(
    "diamond",
    (
        Operator("a", ("x",), ("p",)),
        Operator("b", ("x",), ("q",)),
        Operator("c", ("p",), ("r",)),
        Operator("d", ("q", "r"), ("y",)),
    ),
    {"x": 4, "p": 3, "q": 3, "r": 1, "y": 2},
    frozenset({"y"}),
)
GOOD = (
    ScheduleStep("a", loads={"x": 0}, places={"p": 4}),
    ScheduleStep("c", places={"r": 7}, drops=("p",)),
    ScheduleStep("b", places={"q": 4}, drops=("x",)),
    ScheduleStep("d", places={"y": 0}, stores=("y",), drops=("q", "r", "y")),
)


@pytest.mark.parametrize("seed", [0, 2, 7, 9, 17, 20, 22, 23, 52, 63, 79, 93, 96, 97, 117])
def test_no_schedule_of_a_tiny_graph_moves_less(seed: int) -> None:
    """In most of these graphs words are lost between tensors, and addresses decide what has to leave."""
    graph = random_graph(seed, operators=5)
    words = graph.largest_footprint
    found, truth = allocate(graph, words), fewest_extra_words(graph, words)
    assert found.traffic.extra == truth
    assert found.proven


@pytest.mark.parametrize("seed", range(1, 4))
def test_the_greedy_allocator_is_never_below_the_truth_and_never_below_ours(seed: int) -> None:
    graph = random_graph(seed, operators=14, largest=9)
    for words in (graph.largest_footprint, graph.largest_footprint + 4):
        best = allocate(graph, words, seconds=4)
        for greedy in greedy_allocations(graph, words):
            assert greedy.traffic.extra >= best.traffic.extra >= best.bound


def test_the_order_alone_saves_what_the_list_moves() -> None:
    """In the list's order x, p and q are there at once; with c before b nothing has to leave."""
    assert least_peak_order(DIAMOND) == ((0, 2, 1, 3), 8, True)
    assert peak_of(DIAMOND, (0, 1, 2, 3)) == 10
    best = allocate(DIAMOND, 8)
    assert [step.operator for step in best.schedule] == ["a", "c", "b", "d"]
    assert best.traffic.extra == 0
    listed, *_ = greedy_allocations(DIAMOND, 8)
    assert (listed.method, listed.traffic.extra) == ("list order, Belady, first fit", 6)  # p goes out and comes back


def test_the_frugal_order_takes_what_leaves_least() -> None:
    assert frugal_order(DIAMOND) == (0, 2, 1, 3)


def test_a_scratchpad_that_is_too_small_names_the_operator() -> None:
    with pytest.raises(InputError, match=r"diamond: a scratchpad of 6 words is too small: a needs 7 at once"):
        allocate(DIAMOND, 6)


def test_replay_counts_the_words() -> None:
    traffic = replay(DIAMOND, GOOD, 8)
    assert (traffic.loaded, traffic.stored, traffic.extra, traffic.peak) == (4, 2, 0, 8)
    spilled = (
        ScheduleStep("a", loads={"x": 0}, places={"p": 4}, stores=("p",), drops=("p",)),
        ScheduleStep("b", places={"q": 4}, drops=("x",)),
        ScheduleStep("c", loads={"p": 0}, places={"r": 3}, drops=("p",)),
        ScheduleStep("d", places={"y": 0}, stores=("y",), drops=("q", "r", "y")),
    )
    assert replay(DIAMOND, spilled, 7).extra == 6


@pytest.mark.parametrize(
    ("step", "change", "message"),
    [
        (0, {"loads": {"x": 1}}, r"step 0 \(a\): p at word 4 overlaps x at word 1"),
        (0, {"places": {"p": 6}}, r"step 0 \(a\): p at words 6 to 8 is not within 8"),
        (0, {"loads": {}}, r"step 0 \(a\): reads x, which is not in the scratchpad"),
        (0, {"drops": ("p",)}, r"step 1 \(c\): reads p, which is not in the scratchpad"),
        (1, {"loads": {"q": 0}}, r"step 1 \(c\): loads q, which is not outside"),
        (1, {"operator": "a"}, r"step 1 \(a\): runs twice"),
        (1, {"operator": "e"}, r"step 1 \(e\): no such operator"),
        (1, {"places": {}}, r"step 1 \(c\): places \[\], but writes \['r'\]"),
        (2, {"loads": {"x": 0}}, r"step 2 \(b\): x is in the scratchpad already"),
        (2, {"drops": ("y",)}, r"step 2 \(b\): stores or drops y, which is not in the scratchpad"),
        (3, {"stores": ()}, "the output y is not outside in the end"),
    ],
)
def test_replay_finds_what_breaks_a_rule(step: int, change: dict[str, object], message: str) -> None:
    steps = list(GOOD)
    steps[step] = replace(steps[step], **change)
    with pytest.raises(CheckFailed, match=message):
        replay(DIAMOND, steps, 8)


def test_replay_misses_no_operator() -> None:
    with pytest.raises(CheckFailed, match="d never runs"):
        replay(DIAMOND, GOOD[:3], 8)


def test_a_packing_keeps_runs_that_meet_apart() -> None:
    runs = [Run(0, 2, "a", 3), Run(1, 4, "b", 2), Run(3, 5, "c", 4), Run(5, 6, "d", 5)]
    addresses, height = lowest_runs(runs)
    assert height == max(live_words(runs, 7)) == 9
    for one in runs:
        for other in runs:
            if one is not other and one.meets(other):
                assert (
                    addresses[one] + one.words <= addresses[other] or addresses[other] + other.words <= addresses[one]
                )
    assert pack(runs, 8) is None


def test_a_window_improves_a_schedule_and_leaves_the_rest() -> None:
    """Any window of a greedy schedule, solved, costs at most what it cost, and all windows together the best."""
    graph = random_graph(3, operators=9, largest=9)
    words = graph.largest_footprint
    order = tuple(range(9))
    keeps = {tensor: (False,) * (len(steps) - 1) for tensor, steps in Window(graph, order, {}, 0, 9).uses.items()}
    whole = extra_words(graph, OrderProgram(Window(graph, order, keeps, 0, 9), words).solve(20)[1])
    for start in (0, 3, 5):
        before = extra_words(graph, keeps)
        new_order, keeps, _ = OrderProgram(Window(graph, order, keeps, start, start + 4), words).solve(20)
        assert new_order[:start] == order[:start]
        assert new_order[start + 4 :] == order[start + 4 :]
        assert whole <= extra_words(graph, keeps) <= before
        assert max(live_words(runs_of(graph, new_order, keeps), 9)) <= words
        order = new_order


def test_large_graphs_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces between cuts, and windows in pieces, find no less than the whole program here."""
    blocks = list[Operator]()
    sizes = {"x": 6}
    x = "x"
    for n in range(4):
        blocks += [
            Operator(f"a{n}", (x,), (f"p{n}",)),
            Operator(f"b{n}", (f"p{n}",), (f"q{n}",)),
            Operator(f"c{n}", (x, f"q{n}"), (f"y{n}",)),
        ]
        sizes |= {f"p{n}": 10, f"q{n}": 5, f"y{n}": 6}
        x = f"y{n}"
    graph = OperatorGraph("residual blocks", tuple(blocks), sizes, frozenset({x}))
    found = allocate(graph, 17)
    assert (found.traffic.extra, found.proven) == (6 + 3 * 12, True)  # x and each y leave while p and q are there
    monkeypatch.setattr("einloom.mapping.allocation.allocate.LARGEST_PIECE", 2)
    same: Allocation = allocate(graph, 17, seconds=5)
    assert same.traffic.extra == found.traffic.extra
