"""A run that is killed at any moment and resumed leaves all that an uninterrupted run leaves, bit for bit."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from compare import equal
from reliability.crashes import CASES, Interrupted, uninterrupted

SHORT = "validation in mid-epoch, at the step of a save"
NUM_RANDOM_KILLS = 20  # of each case; those at renames come on top


@pytest.fixture(scope="module")
def references(words_text, tmp_path_factory):
    """Traces, seconds and renames of an uninterrupted run of each case, made when first asked for."""
    made = {}

    def reference(case):
        if case not in made:
            made[case] = uninterrupted(CASES[case], folder_with_words(tmp_path_factory.mktemp("whole"), words_text))
        return made[case]

    return reference


def folder_with_words(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "words.txt").write_text(text)
    return folder


def differences(whole, resumed, key="run"):
    """Dotted keys of the traces that differ."""
    if isinstance(whole, dict) and isinstance(resumed, dict):
        keys = sorted(whole.keys() | resumed.keys(), key=str)
        return [found for k in keys for found in differences(whole.get(k), resumed.get(k), f"{key}.{k}")]
    return [] if equal(whole, resumed) else [key]


def test_a_run_killed_at_a_save_is_resumed_as_if_nothing_had_been(references, words_text, tmp_path):
    """Catches a validation, sample, point of a curve or best checkpoint that a kill beside a save loses or doubles."""
    whole, _, num_renames = references(SHORT)
    assert num_renames > 10
    for number, is_done in ((num_renames // 2, True), (num_renames - 1, False), (num_renames, True)):
        run = Interrupted(CASES[SHORT], folder_with_words(tmp_path / f"{number}", words_text))
        run.kill_at_rename(number, is_done)
        assert run.num_kills == 1
        assert differences(whole, run.finish()) == [], (number, is_done)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_run_killed_at_random_is_resumed_as_if_nothing_had_been(references, words_text, tmp_path, case):
    """Catches whatever a kill at any moment loses or doubles."""
    whole, seconds, num_renames = references(case)
    is_long = "compiled" in case  # each process compiles
    numbers = range(1, num_renames + 1, 5 if is_long else 1)
    moments = random.Random(case)
    kills = [
        *[("kill_at_rename", (number, is_done)) for number in numbers for is_done in (False, True)],
        *[("kill_after", (moments.uniform(0, seconds),)) for _ in range(NUM_RANDOM_KILLS // (5 if is_long else 1))],
    ]

    def interrupt(index):
        run = Interrupted(CASES[case], folder_with_words(tmp_path / str(index), words_text))
        how, arguments = kills[index]
        getattr(run, how)(*arguments)
        return run.num_kills, differences(whole, run.finish())

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(interrupt, range(len(kills))))
    print(f"{case}: {sum(n for n, _ in results)} kills, {sum(bool(d) for _, d in results)} different")
    assert sum(n for n, _ in results) > len(kills) / 2
    assert not [(kills[i], difference) for i, (_, difference) in enumerate(results) if difference]
