"""What is worth a measurement: the worst places for int8, each as small as it can be."""

from __future__ import annotations

import pytest
from planted import VALUES, WEIGHTS, ruined_values, ruined_weights

from pipeline.progress import silent
from pipeline.quantizers.post_training import PostTraining
from pipeline.stage import Context
from pipeline.tuners._scouting import Scouting

STAGE = PostTraining(images=8)


@pytest.fixture(scope="module")
def weights(context: Context) -> Scouting:
    model = ruined_weights(context)
    return Scouting(STAGE.mixed(STAGE.calibrated(model, context)), context.data.validation.x_NCHW(0, 2), silent)


def test_the_ruined_layer_comes_first_and_alone(weights: Scouting) -> None:
    assert weights.proposed(4, 16, ())[0] == (WEIGHTS,)


def test_a_ruined_tensor_needs_both_its_ends(context: Context) -> None:
    network = STAGE.mixed(STAGE.calibrated(ruined_values(context), context))
    found = Scouting(network, context.data.validation.x_NCHW(0, 2), silent)
    assert found.proposed(4, 16, ())[0] == VALUES


@pytest.mark.parametrize("floats", [(), (WEIGHTS,), ("conv2d", "linear")])
def test_choices_are_wider_different_and_few(weights: Scouting, floats: tuple[str, ...]) -> None:
    for candidates, most in ((3, 16), (100, 16), (100, len(floats) + 1), (5, len(floats))):
        choices = weights.proposed(candidates, most, floats)
        assert len(choices) == len(set(choices)) <= candidates
        assert all(set(floats) < set(choice) for choice in choices)
        assert all(len(choice) <= most for choice in choices)
        assert all(choice == weights.network.ordered(choice) for choice in choices)
    assert weights.proposed(5, len(floats), floats) == []


def test_one_layer_is_int8_in_any_case(weights: Scouting) -> None:
    layers = weights.network.layers
    assert weights.proposed(100, 100, layers[:-1]) == []


@pytest.mark.parametrize("most", [1, 3, 16])
def test_the_loudest_together_are_as_many_as_may_be(weights: Scouting, most: int) -> None:
    loudest = weights.loudest(most, ("linear",))
    assert len(loudest) == min(most, len(weights.network.layers) - 1)
    assert loudest == weights.network.ordered(loudest)
    assert "linear" in loudest
    assert (WEIGHTS in loudest) == (most > 1)


def test_choices_are_weighed_once(weights: Scouting, monkeypatch: pytest.MonkeyPatch) -> None:
    weights.loudest(3, ())
    monkeypatch.setattr("pipeline.tuners._scouting.noise", None)
    assert weights.proposed(4, 16, ())[0] == (WEIGHTS,)
