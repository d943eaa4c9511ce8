import io

from rich.console import Console

from streams.demo.screen import SHOWN_RELEASES, Lines, Now, drawn, facts


def now(releases: int = 1) -> Now:
    shown = Now(workers=1, plays=5_000, lag=12)
    for n in range(releases):
        shown.timing.announced(f"n{n}", f"Song {n}")
        shown.timing.acknowledged(f"n{n}", 1.0)
        shown.timing.queried(f"n{n}", 50, 5)
        shown.timing.chosen(f"n{n}", ["ann"])
        shown.timing.targeted(f"n{n}", "ann", 1.25)
    return shown


def text_of(shown: Now) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(drawn(shown))
    return console.file.getvalue()


def test_the_table_shows_each_release_with_its_neighbours_crowds_targets_and_times():
    row = next(line for line in text_of(now()).splitlines() if "Song 0" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["Song 0", "50", "5", "1", "0", "250 ms", "250 ms"]


def test_above_the_table_stand_plays_lag_and_latencies():
    said = facts(now())
    for fact in ("5,000 plays", "lag 12", "1 releases", "1 targets", "first 250 ms"):
        assert fact in said


def test_before_the_first_release_there_is_a_line_and_no_table():
    shown = Now()
    shown.begin("training the model")
    shown.detail = "step 100 of 600"
    assert text_of(shown).strip() == "training the model  0 s, step 100 of 600"


def test_only_the_newest_releases_have_room():
    text = text_of(now(SHOWN_RELEASES + 3))
    assert "Song 2 " not in text and "Song 3 " in text and f"Song {SHOWN_RELEASES + 2} " in text


def test_without_a_terminal_each_phase_is_one_plain_line_on_standard_error(capsys):
    shown = Now()
    lines = Lines(shown)
    lines.phase("making a world")
    lines.refresh()
    lines.phase("training the model")
    said = capsys.readouterr()
    assert said.err.splitlines() == ["bcl demo: making a world", "bcl demo: training the model"]
    assert said.out == ""
