"""Distance correlation: measured fixtures, the slow loop of the definition, the bias table, and the moving average."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bcl_model import correlation
from bcl_model.correlation import (
    RunningCorrelation,
    distances_of,
    estimate,
    rows_for,
    squared_correlations,
    squared_correlations_of_numbers,
    units_of,
)
from bcl_model.encoder import Encoder, tensors_of
from bcl_model.errors import BadModelSettings
from bcl_model.settings import CorrelationOn, CorrelationSettings, EncoderSettings, Estimator, FieldUnit
from tests.builders.songs import FIELDS, content, random_content

Doubles = npt.NDArray[np.float64]


def distances(rows: Doubles) -> Doubles:
    rows = rows.reshape(len(rows), -1)
    return np.linalg.norm(rows[:, None] - rows[None], axis=2)


def slow_plain(a: Doubles, b: Doubles) -> float:
    """dCov² from doubly centred distances."""
    centred = [d - d.mean(0) - d.mean(1)[:, None] + d.mean() for d in (a, b)]
    return float((centred[0] * centred[1]).mean())


def slow_u_centred(a: Doubles, b: Doubles) -> float:
    n, total = len(a), 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                product = 1.0
                for d in (a, b):
                    product *= d[i, j] - d[i].sum() / (n - 2) - d[:, j].sum() / (n - 2) + d.sum() / ((n - 1) * (n - 2))
                total += product
    return total / (n * (n - 3))


def fast(parts: list[Doubles], estimator: Estimator, present: npt.NDArray[np.bool_] | None = None) -> Doubles:
    stacked = torch.from_numpy(np.stack([distances(part) for part in parts]))
    has = torch.ones(stacked.shape[:2], dtype=torch.bool) if present is None else torch.from_numpy(present)
    return squared_correlations(stacked, has, estimator).numpy()


def of_numbers(columns: list[Doubles], estimator: Estimator, present: npt.NDArray[np.bool_] | None = None) -> Doubles:
    stacked = torch.from_numpy(np.stack(columns))
    has = torch.ones(stacked.shape, dtype=torch.bool) if present is None else torch.from_numpy(present)
    return squared_correlations_of_numbers(stacked, has, estimator).numpy()


LINE = np.arange(1.0, 6)
FIXTURES = [  # data, dCov², dCor, U-centred covariance, R*²
    (LINE, LINE**2, 7.296, 0.9869160440537484, 6.4, 0.9931270663228416),
    (LINE - 3, (LINE - 3) ** 2, 0.448, 0.5159234568589329, -0.8, -0.4082482904638631),
    (
        np.array([(0, 0), (3, 4), (6, 8), (0, 5), (1, 1)], float),
        np.array([0, 1, 0, 2, 5], float),
        1.4013638519627614,
        0.6002187220290833,
        -0.8695291319,
        -0.42778818370752,
    ),
]


@pytest.mark.parametrize(("x", "y", "covariance", "correlation", "omega", "squared"), FIXTURES)
def test_the_fixtures_hold(
    x: Doubles, y: Doubles, covariance: float, correlation: float, omega: float, squared: float
) -> None:
    assert slow_plain(distances(x), distances(y)) == pytest.approx(covariance, rel=1e-12)
    assert slow_u_centred(distances(x), distances(y)) == pytest.approx(omega, rel=1e-9)
    assert fast([x, y], Estimator.PLAIN)[0, 1] ** 0.5 == pytest.approx(correlation, rel=1e-12)
    assert fast([x, y], Estimator.U_CENTRED)[0, 1] == pytest.approx(squared, rel=1e-12)
    if x.ndim == 1:
        assert of_numbers([x, y], Estimator.PLAIN)[0, 1] ** 0.5 == pytest.approx(correlation, rel=1e-12)
        assert of_numbers([x, y], Estimator.U_CENTRED)[0, 1] == pytest.approx(squared, rel=1e-12)


@pytest.mark.parametrize("n", [5, 12, 40])
def test_the_matrix_equals_the_slow_loops(n: int) -> None:
    rng = np.random.default_rng(n)
    parts = [rng.normal(size=(n, 3)), rng.integers(3, size=n).astype(float), rng.normal(size=(n, 8))]
    parts[2][:, :3] += parts[0]
    far = [distances(part) for part in parts]

    for estimator, slow in ((Estimator.PLAIN, slow_plain), (Estimator.U_CENTRED, slow_u_centred)):
        matrix = fast(parts, estimator)
        for i in range(3):
            for j in range(3):
                expected = slow(far[i], far[j]) / (slow(far[i], far[i]) * slow(far[j], far[j])) ** 0.5
                assert matrix[i, j] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [4, 5, 50, 200])
@pytest.mark.parametrize("estimator", Estimator)
def test_the_fast_form_for_numbers_agrees_also_with_ties_and_gaps(n: int, estimator: Estimator) -> None:
    rng = np.random.default_rng(n)
    columns = [rng.normal(size=n), rng.normal(size=n), np.sort(rng.normal(size=n)), np.ones(n)]
    columns += [rng.integers(most, size=n).astype(float) for most in (4, 3)]
    present = rng.random((len(columns), n)) < 0.8

    for has in (None, present):
        np.testing.assert_allclose(of_numbers(columns, estimator, has), fast(columns, estimator, has), atol=1e-11)


def test_numbers_are_compared_on_more_songs_than_distances_have_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(13)
    songs = [content(tempo=float(tempo)) for tempo in rng.normal(120, 20, size=60)]
    fields = FIELDS.learned(songs)
    batch = tensors_of(fields.encode(songs))
    joined = torch.zeros(60, fields.width)
    asked = CorrelationSettings(unit=FieldUnit.DIMENSION, rows=60)
    words_too = units_of(fields, asked)
    numbers = [unit for unit in words_too if not unit.field.has_words]
    with_distances = estimate(numbers, batch, joined, asked)

    monkeypatch.setattr(correlation, "MOST_DISTANCES", 1000)

    assert rows_for(words_too, asked) == int((1000 / len(words_too)) ** 0.5)
    assert rows_for(numbers, asked) == 60
    torch.testing.assert_close(estimate(numbers, batch, joined, asked), with_distances)


def test_songs_that_lack_a_part_do_not_count_for_its_pairs() -> None:
    rng = np.random.default_rng(9)
    parts = [rng.normal(size=(30, 4)) for _ in range(3)]
    present = rng.random((3, 30)) < 0.7
    for part, has in zip(parts, present, strict=True):
        part[~has] = 0.0

    for estimator in Estimator:
        whole = fast(parts, estimator, present)
        for i in range(3):
            for j in range(3):
                both = present[i] & present[j]
                alone = fast([parts[i][both], parts[j][both]], estimator)[0, 1]
                assert whole[i, j] == pytest.approx(alone if i != j else 1.0, abs=1e-12)


def test_a_shared_block_of_absent_songs_does_not_make_parts_look_correlated() -> None:
    rng = np.random.default_rng(10)
    parts = [rng.normal(size=(400, 4)) + 3 for _ in range(2)]
    absent = np.arange(400) < 150
    for part in parts:
        part[absent] = 0.0

    assert fast(parts, Estimator.U_CENTRED)[0, 1] > 0.5
    assert abs(fast(parts, Estimator.U_CENTRED, np.stack([~absent, ~absent]))[0, 1]) < 0.05


def test_too_few_songs_say_nothing_and_a_constant_part_correlates_with_none() -> None:
    assert np.isnan(fast([LINE[:3], LINE[:3]], Estimator.U_CENTRED)).all()
    assert fast([LINE, np.ones(5)], Estimator.U_CENTRED)[0, 1] == 0
    assert fast([LINE, np.ones(5)], Estimator.PLAIN)[0, 1] == 0


@pytest.mark.parametrize(  # mean plain dCor of independent Gaussian fields: the measured table; true value 0
    ("width", "n", "measured"),
    [
        *((1, 32, 0.287), (1, 128, 0.135), (1, 512, 0.075)),
        *((16, 32, 0.818), (16, 128, 0.572), (16, 512, 0.328)),
        *((64, 32, 0.943), (64, 128, 0.816), (64, 512, 0.576)),
    ],
)
def test_the_bias_table_holds(width: int, n: int, measured: float) -> None:
    rng = np.random.default_rng(width * n)
    draws = {32: 24, 128: 12, 512: 4}[n]
    parts = [rng.normal(size=(n, width)) for _ in range(draws)]  # every two of them are one draw
    apart = np.triu_indices(draws, 1)

    plain = np.sqrt(fast(parts, Estimator.PLAIN)[apart]).mean()
    u_centred = fast(parts, Estimator.U_CENTRED)[apart].mean()

    assert plain == pytest.approx(measured, abs=0.02 if width > 1 else 0.05)  # one draw of width 1 scatters by .1
    assert abs(u_centred) < 0.02


def test_averaging_signed_squares_leaves_less_than_averaging_roots() -> None:
    rng = np.random.default_rng(11)
    running, roots = RunningCorrelation(0.9), []
    for _ in range(40):
        estimate = torch.from_numpy(fast([rng.normal(size=(64, 16)) for _ in range(2)], Estimator.U_CENTRED))
        running.update(estimate)
        roots.append(float(estimate[0, 1].clamp(min=0).sqrt()))

    assert float(running.read()[0, 1]) < np.mean(roots)


def test_decay_is_the_weight_of_the_old_matrix_and_the_first_is_taken_whole() -> None:
    running = RunningCorrelation(0.75)
    running.update(torch.tensor([[1.0, 0.36]]))
    torch.testing.assert_close(running.read(), torch.tensor([[1.0, 0.6]]))

    running.update(torch.tensor([[1.0, -0.36]]))
    torch.testing.assert_close(running.signed, torch.tensor([[1.0, 0.75 * 0.36 - 0.25 * 0.36]]))

    running.update(torch.tensor([[1.0, torch.nan]]))  # nothing was learned of this pair
    torch.testing.assert_close(running.signed, torch.tensor([[1.0, 0.18]]))

    for _ in range(9):
        running.update(torch.tensor([[1.0, -5.0]]))
    assert running.read()[0, 1] == 0  # a root of the positive part only


def test_a_decay_that_forgets_nothing_is_refused() -> None:
    with pytest.raises(BadModelSettings, match="weight of the old matrix"):
        RunningCorrelation(1.0)


def test_units_are_fields_chunks_or_dimensions() -> None:
    fields = FIELDS.learned([content()])

    def names(settings: CorrelationSettings) -> list[tuple[str, int, int]]:
        return [(one.field.name, one.columns.start, one.columns.stop) for one in units_of(fields, settings)]

    whole = [("language", 0, 4), ("genres", 4, 8), ("tempo", 8, 10), ("audio", 10, 13)]
    assert names(CorrelationSettings()) == whole
    assert names(CorrelationSettings(unit=FieldUnit.CHUNK, chunks=2)) == [
        *whole[:3],
        ("audio", 10, 11),
        ("audio", 11, 13),
    ]
    assert len(names(CorrelationSettings(unit=FieldUnit.DIMENSION))) == 6
    assert len(names(CorrelationSettings(unit=FieldUnit.DIMENSION, on=CorrelationOn.EMBEDDING))) == 13


@pytest.mark.parametrize("on", CorrelationOn)
@pytest.mark.parametrize("unit", FieldUnit)
def test_every_unit_of_real_content_has_distances(on: CorrelationOn, unit: FieldUnit) -> None:
    rng = np.random.default_rng(12)
    songs = [random_content(rng) for _ in range(50)]
    fields = FIELDS.learned(songs)
    batch = tensors_of(fields.encode(songs))
    units = units_of(fields, CorrelationSettings(unit=unit, on=on, chunks=2))
    joined = Encoder(fields, EncoderSettings((8,), ())).join(batch).detach()

    far, present = distances_of(units, batch, joined, on)
    squared = squared_correlations(far, present, Estimator.U_CENTRED)

    assert far.shape == (len(units), 50, 50)
    torch.testing.assert_close(far, far.transpose(1, 2))
    assert (far.diagonal(dim1=1, dim2=2) < 1e-6)[present].all()
    torch.testing.assert_close(squared.diagonal(), torch.ones(len(units), dtype=torch.float64))
    assert (squared.abs() < 1 + 1e-9).all()


def test_sets_of_words_are_as_far_apart_as_their_unit_vectors() -> None:
    fields = FIELDS.learned([content(genres=["a", "b", "c"])])
    batch = tensors_of(fields.encode([content(genres=list(words)) for words in ("a", "ab", "bc", "abc")]))
    [unit] = [one for one in units_of(fields, CorrelationSettings()) if one.field.name == "genres"]
    far, _ = distances_of([unit], batch, torch.zeros(4, 13), CorrelationOn.INPUT)

    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], float)
    np.testing.assert_allclose(far[0], distances(sets / np.linalg.norm(sets, axis=1, keepdims=True)), atol=1e-12)
