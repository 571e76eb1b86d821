"""The peers without their environments: the server's protocol, what is a failure, and the table."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import environments, together
from benchmarks.peers.client import Client, PeerFailed
from benchmarks.peers.peer import PEERS, load
from benchmarks.peers.record import Network, Record, Row, markdown, read
from pipeline.errors import UnavailableError
from pipeline.measure import latency as ruler
from pipeline.results import Conditions, Difference, Interval, Latency
from pipeline.study import Benchmark

FAKE = "tests.benchmarks.fake_peer"
IMAGES = 6
SHORT = Benchmark(seconds=2.0, sittings=4, rounds=1, calls=1)


@pytest.fixture
def order(tmp_path: Path) -> Path:
    """Images whose largest channel is their label, but for the last."""
    folder = tmp_path / "order"
    folder.mkdir()
    labels_N = np.arange(IMAGES) % 3
    x_NCHW = np.zeros((IMAGES, 3, 2, 2), np.float32)
    x_NCHW[np.arange(IMAGES), labels_N] = 1
    labels_N[-1] = 0
    np.save(folder / "test.npy", x_NCHW)
    np.save(folder / "image.npy", x_NCHW[:1])
    np.save(folder / "labels.npy", labels_N)
    return folder


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every environment is this one, and nobody waits for another measurement."""
    monkeypatch.setattr(together, "environment", lambda _: Path(sys.executable))
    monkeypatch.setattr(ruler, "measuring_alone", contextlib.nullcontext)


def test_a_peer_makes_opens_answers_and_is_timed(order: Path, tmp_path: Path) -> None:
    with Client(FAKE, sys.executable) as client:
        assert client.facts() == {"versions": {"numpy": np.__version__}}
        made = client.make(order, tmp_path / "out", "float")
        assert (made.file.read_text(), made.note) == ("weights", "from order")
        timer = client.open(made.file, 1, order / "image.npy")
        assert len(times := timer(5)) == 5
        assert all(1 <= ms < 1000 for ms in times)
        logits_NK = client.answers(order / "test.npy")
        assert np.array_equal(logits_NK, np.load(order / "test.npy").sum(axis=(2, 3)))


def test_what_cannot_be_done_is_told_and_the_peer_lives(order: Path, tmp_path: Path) -> None:
    with Client(FAKE, sys.executable) as client:
        with pytest.raises(PeerFailed, match=r"fake_peer, make: ValueError: no such kernel"):
            client.make(order, tmp_path, "impossible")
        with pytest.raises(PeerFailed, match="nothing is open"):
            client.answers(order / "test.npy")
        assert client.make(order, tmp_path, "float").file.is_file()


def test_a_crash_names_the_peer_and_its_last_words(order: Path, tmp_path: Path) -> None:
    with Client(FAKE, sys.executable) as client:
        with pytest.raises(PeerFailed, match=r"fake_peer died in make with exit status 3") as raised:
            client.make(order, tmp_path, "crash")
        assert raised.value.lines()[-1] == "the last thing it said"
        with pytest.raises(PeerFailed, match="died in facts"):
            client.facts()


def test_a_peer_that_hangs_is_ended(order: Path, tmp_path: Path) -> None:
    with (
        Client(FAKE, sys.executable, limit_s=3) as client,
        pytest.raises(PeerFailed, match="died in make with exit status -9"),
    ):
        client.make(order, tmp_path, "slow")


def test_a_peer_whose_packages_are_missing_is_named() -> None:
    with (
        Client("tests.benchmarks.nobody", sys.executable) as client,
        pytest.raises(PeerFailed, match=r"No module named 'tests\.benchmarks\.nobody'"),
    ):
        client.facts()


@pytest.mark.usefixtures("here")
def test_who_fails_is_a_row_with_its_reason(order: Path) -> None:
    network = together.compare("net", order.parent, (FAKE,), SHORT)
    works, impossible, mortal = network.rows
    assert works.top1 is not None
    assert works.top1.value == pytest.approx(5 / 6)
    assert (works.agreement, works.bytes, works.failure) == (1, len("weights"), "")
    assert works.latency is not None
    assert works.latency.verdict in ("reference", "unstable")
    assert "no such kernel" in impossible.failure
    assert "died in time with exit status 4" in mortal.failure
    assert impossible.latency is mortal.latency is None


@pytest.mark.usefixtures("here")
def test_what_was_made_is_used_again(order: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = together.Entry(FAKE, "float")
    first = together.make(entry, Path(sys.executable), order, order.parent / "out")
    monkeypatch.setattr(together, "Client", None)
    assert together.make(entry, Path("nowhere"), order, order.parent / "out") == first


def test_an_environment_holds_the_lines_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.txt").write_text("# why\nb==2\n\n a==1 \n")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    assert environments.names() == ["one"]
    assert environments.described("one").requirements == ("b==2", "a==1")


def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.txt").write_text("not a requirement !!\n")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    monkeypatch.setenv("EDGEWRIGHT_ENVIRONMENTS", str(tmp_path / "root"))
    with pytest.raises(UnavailableError, match=r"the environment .*bad-\w+ cannot be made"):
        environments.environment("bad")


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_is_described_and_its_packages_pinned(name: str) -> None:
    peer = load(name)
    assert peer.TITLE
    assert peer.PRECISIONS
    lines = (environments.REQUIREMENTS / f"{peer.ENVIRONMENT}.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pinned)
    wanted = {package.replace("_", "-") for package in peer.PACKAGES}
    assert wanted <= {line.partition("==")[0].replace("_", "-") for line in pinned}


def interval(value: float) -> Interval:
    return Interval(value=value, low=0.9 * value, high=1.1 * value)


def latency(ms: float, ratio: float, verdict: str) -> Latency:
    return Latency(
        **dict.fromkeys(("p50_ms", "p90_ms", "p99_ms", "mean_ms"), interval(ms)),
        ratio=interval(ratio),
        verdict=verdict,
        sittings_ms=(ms,),
        calls=1,
        openings=1,
        warm_up_calls=1,
    )


def record(unstable: tuple[str, ...] = ()) -> Record:
    answered = {
        "top1": interval(0.8),
        "versus_ours": Difference(difference=interval(-0.02), p_value=0.1, only_reference=8, only_variant=2),
        "agreement": 0.95,
        "bytes": 5_000_000,
    }
    rows = (
        Row(peer="ours", title="Ours", precision="float", latency=latency(20, 1, "reference"), **answered),
        Row(peer="b", title="B | C", precision="int8", latency=latency(5, 4, "faster"), note="a note", **answered),
        Row(peer="d", title="D", precision="float", failure="no such\nkernel"),
    )
    conditions = Conditions(
        **{"seconds": 1, "sittings": 4, "set_aside": 0, "others": 0, "steal": 0, "drift": 1, "precision": 0.1},
        energy="not measured",
        unstable=unstable,
    )
    network = Network(name="net", images=300, rows=rows, conditions=conditions)
    return Record(command="do", created="now", machine={}, versions={}, threads=1, networks=(network,))


def test_the_table_is_made_from_the_record(tmp_path: Path) -> None:
    (tmp_path / "peers.json").write_text(record().model_dump_json())
    text = markdown(read(tmp_path / "peers.json"))
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    ours, other, failed = [re.split(r" +(?<!\\)\| +", line) for line in lines[2:]]  # after header and rule
    assert ours[0] == "| **Ours**"
    assert ours[6] == "reference"
    assert other[:3] == [r"| B \| C", "int8", "80.0 [72.0, 88.0]"]
    assert other[4:7] == ["95.0", "5.00 [4.50, 5.50]", "4.00× [3.60, 4.40] faster"]
    assert failed[2:7] == ["—"] * 5
    assert "- B \\| C, int8: a note" in text
    assert "- D, float: not measured: no such kernel" in text
    assert "300 test images" in text


def test_an_unstable_run_says_so_before_its_table() -> None:
    text = markdown(record(unstable=("somebody compiled",)))
    assert text.index("Unstable: do not rely on these latencies.** somebody compiled") < text.index("| **Ours**")
