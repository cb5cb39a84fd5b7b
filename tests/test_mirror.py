"""Mirrors: whatever happens to a copy, training continues, and what is restored is whole and of this run."""

import errno
import functools
import hashlib
import io
import shutil
import tarfile
import threading
import time
from types import SimpleNamespace

import chex
import pytest
import tiny
from watching import At, stop

from jaxattn import Config, fit, load_run, resume, train
from jaxattn.errors import InputError, Interrupted
from jaxattn.observers import archive, mirror
from jaxattn.observers.mirror import Mirror
from jaxattn.report import page
from jaxattn.runs.console import Console
from jaxattn.runs.store import METRICS, MONITORED

pytestmark = pytest.mark.usefixtures("small_network")

CONFIG = Config(**tiny.CONFIG | {"epochs": 3})


class Killed(BaseException):
    """What stands for a kill: nothing may catch it."""


def until(condition):
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.002)


def names(root):
    return sorted(path.name for path in root.iterdir())


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def timeless(metrics):
    return [{key: line[key] for key in METRICS + MONITORED} for line in metrics]


def assert_same_run(folder, whole):
    for which in ("best", "last"):
        expected, found = load_run(whole, which), load_run(folder, which)
        assert timeless(found.metrics) == timeless(expected.metrics)
        assert {**found.result, "seconds": 0} == {**expected.result, "seconds": 0}
        chex.assert_trees_all_equal(found.variables, expected.variables)


@pytest.fixture(scope="module")
def run(small_network):
    """`fit` with a mirror, if one is named, and other observers."""

    def run(out, root=None, *others, config=CONFIG, console=None):
        observers = [*others, *([Mirror(root)] if root else [])]
        return fit(config, out, console or Console(), observers=observers)

    return run


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """A run that nothing disturbed."""
    return run(tmp_path_factory.mktemp("whole") / "run").folder


class Now:
    """A thread that does its work when it is started, so that each copy is tried and none is left out."""

    def __init__(self, target, args, daemon):
        self.start = functools.partial(target, *args)

    def is_alive(self):
        return False

    def join(self, seconds):
        pass


@pytest.fixture
def copied_at_once(monkeypatch):
    monkeypatch.setattr(mirror, "threading", SimpleNamespace(Thread=Now))


@pytest.fixture(scope="module")
def mirror_of_two_epochs(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(mirror, "threading", SimpleNamespace(Thread=Now))
        run(folder / "lost", folder / "mirror", At(3, stop))
    return folder / "mirror"


@pytest.fixture
def stopped(mirror_of_two_epochs, tmp_path, copied_at_once):
    """The mirror of a run that was stopped after its second epoch and whose folder is lost."""
    return shutil.copytree(mirror_of_two_epochs, tmp_path / "mirror")


def test_the_mirror_of_a_finished_run_is_one_archive_that_is_a_run_folder(run, whole, tmp_path, capsys):
    root = tmp_path / "drive" / "run"
    done = run(tmp_path / "run", root)
    assert names(root) == ["epoch-3.sha256", "epoch-3.tar", "result.json"]
    digest = hashlib.sha256((root / "epoch-3.tar").read_bytes()).hexdigest()
    assert (root / "epoch-3.sha256").read_text() == f"{digest}  epoch-3.tar\n"  # as sha256sum -c reads it
    assert (root / "result.json").read_bytes() == (done.folder / "result.json").read_bytes()
    with tarfile.open(root / "epoch-3.tar") as opened:
        opened.extractall(tmp_path / "by-hand", filter="data")
    chex.assert_trees_all_equal(load_run(tmp_path / "by-hand", "last").variables, load_run(whole, "last").variables)
    assert f"mirrored in {root}" in capsys.readouterr().out
    assert_same_run(done.folder, whole)


def test_resumed_from_the_mirror_alone_a_run_ends_with_the_same_bytes(stopped, whole, tmp_path, capsys):
    assert names(stopped) == ["epoch-2.sha256", "epoch-2.tar"]
    capsys.readouterr()
    done = resume(tmp_path / "new", observers=[Mirror(stopped)])
    printed = capsys.readouterr().out
    assert f"restored epoch 2 from the mirror {stopped}" in printed and "resuming after epoch 2 of 3" in printed
    assert names(stopped) == ["epoch-3.sha256", "epoch-3.tar", "result.json"] and "WARNING" not in printed
    assert_same_run(done.folder, whole)


def test_the_same_call_on_a_new_machine_goes_on_from_the_mirror(run, stopped, whole, tmp_path):
    assert_same_run(run(tmp_path / "new", stopped).folder, whole)


def test_a_finished_run_is_restored_and_tested_again(run, whole, tmp_path, copied_at_once):
    run(tmp_path / "run", tmp_path / "mirror")
    assert_same_run(run(tmp_path / "new", tmp_path / "mirror").folder, whole)


def test_a_run_folder_with_as_many_epochs_is_left_as_it_is(run, stopped, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "unpack", None)
    run(shutil.copytree(whole, tmp_path / "ahead"), stopped)
    assert names(stopped) == ["epoch-3.sha256", "epoch-3.tar", "result.json"]


def killed_at(moment, write):
    """A `write` that is killed halfway through its n-th call."""
    calls = []

    def killed(path, data):
        calls.append(path)
        if len(calls) > moment:
            write(path, data[: len(data) // 2])
            raise Killed
        write(path, data)

    return killed


@pytest.mark.parametrize("moment", range(4))
def test_killed_in_the_middle_of_a_copy_the_mirror_still_holds_an_epoch(
    run, tmp_path, monkeypatch, copied_at_once, moment, whole
):
    root = tmp_path / "mirror"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(mirror, "write", killed_at(moment, archive.write))
        run(tmp_path / "lost", root)
    found = mirror.newest(root, Console(quiet=True))
    assert (found[0] if found else 0) == moment // 2  # two files an epoch
    assert_same_run(run(tmp_path / "new", root).folder, whole)
    assert names(root) == ["epoch-3.sha256", "epoch-3.tar", "result.json"]


@pytest.mark.parametrize("moment", [0, 1, 3])
def test_killed_while_it_is_restored_a_run_is_restored_again(run, stopped, whole, tmp_path, monkeypatch, moment):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(archive, "write", killed_at(moment, archive.write))
        run(tmp_path / "new", stopped)
    assert_same_run(run(tmp_path / "new", stopped).folder, whole)
    assert names(tmp_path / "new" / "checkpoints") == names(whole / "checkpoints")


def test_a_damaged_archive_is_left_out_with_a_warning(run, stopped, whole, tmp_path, capsys):
    data = (stopped / "epoch-2.tar").read_bytes()
    (stopped / "epoch-2.tar").write_bytes(data[:-600] + b"?" + data[-599:])
    done = run(tmp_path / "new", stopped)
    printed = capsys.readouterr().out
    assert f"epoch 2 in the mirror {stopped} is damaged and left out" in printed and "restored" not in printed
    assert_same_run(done.folder, whole)


def test_the_result_of_a_shorter_run_leaves_the_mirror_when_it_grows(run, tmp_path, copied_at_once):
    root, seen = tmp_path / "mirror", []
    run(tmp_path / "run", root, config=Config(**tiny.CONFIG | {"epochs": 1}))
    (root / "report.html").write_text("of one epoch")
    run(tmp_path / "run", root, At(2, lambda: seen.extend(names(root))))
    assert seen == ["epoch-1.sha256", "epoch-1.tar"]
    assert names(root) == ["epoch-3.sha256", "epoch-3.tar", "result.json"]


# folders that fail


def failing(monkeypatch, times):
    """Has the first so many writes to the mirror fill the disk."""
    calls = []

    def full(path, data):
        calls.append(path)
        if len(calls) <= times:
            archive.write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        archive.write(path, data)

    monkeypatch.setattr(mirror, "write", full)


def test_a_full_disk_is_warned_of_once_and_the_next_epoch_tries_again(
    run, whole, tmp_path, capsys, monkeypatch, copied_at_once
):
    failing(monkeypatch, 2)
    root, seen = tmp_path / "mirror", []
    done = run(tmp_path / "run", root, At(2, lambda: seen.extend(names(root))))
    printed = capsys.readouterr().out
    reason = "No space left on device; training continues, and every epoch tries again"
    assert f"the mirror {root} lacks epoch 1: {reason}" in printed and printed.count("WARNING") == 1
    assert seen == []  # half an archive does not fill the disk
    assert f"mirrored in {root}" in printed and "epoch-3.tar" in names(root)
    assert_same_run(done.folder, whole)


def test_a_folder_that_fails_to_the_end_is_warned_of_once_and_what_it_lacks_is_said(
    run, whole, tmp_path, capsys, monkeypatch
):
    failing(monkeypatch, 10**9)
    done = run(tmp_path / "run", tmp_path / "mirror")
    printed = capsys.readouterr().out
    assert printed.count("WARNING") == 1
    assert f"the mirror {tmp_path / 'mirror'} lacks epoch 3 and the result\n" in printed
    assert_same_run(done.folder, whole)


def test_a_mirror_that_cannot_be_read_is_warned_of_and_never_written_to(
    run, stopped, whole, tmp_path, capsys, monkeypatch
):
    before = files(stopped)

    def broken(root, console):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(mirror, "newest", broken)
    done = run(tmp_path / "new", stopped)
    assert (
        f"the mirror {stopped} cannot be read: Input/output error; the run continues without it"
        in capsys.readouterr().out
    )
    assert files(stopped) == before
    assert_same_run(done.folder, whole)


@pytest.fixture
def slow(monkeypatch):
    """Has the mirror's writes wait for an event; the second event says that one waits."""
    go_on, waiting = threading.Event(), threading.Event()

    def blocked(path, data):
        waiting.set()
        go_on.wait(30)
        archive.write(path, data)

    monkeypatch.setattr(mirror, "write", blocked)
    yield go_on, waiting
    go_on.set()


def test_training_does_not_wait_for_a_slow_folder_but_the_end_does(run, whole, tmp_path, capsys, slow, monkeypatch):
    go_on, waiting = slow
    packed = []
    monkeypatch.setattr(mirror, "pack", lambda folder: (packed.append(folder), archive.pack(folder))[1])
    line = Console.line

    def watched(console, text, style=""):
        line(console, text, style)
        if text.startswith("waiting for the last copy to the mirror"):
            go_on.set()

    monkeypatch.setattr(Console, "line", watched)
    done = run(tmp_path / "run", tmp_path / "mirror", At(2, lambda: until(waiting.is_set)))
    assert len(packed) == 2  # the first epoch's and the last's: the second was left out
    assert names(tmp_path / "mirror") == ["epoch-3.sha256", "epoch-3.tar", "result.json"]
    assert_same_run(done.folder, whole)


def test_ctrl_c_ends_the_wait_for_the_last_copy(run, whole, tmp_path, slow, monkeypatch):
    line = Console.line

    def interrupting(console, text, style=""):
        line(console, text, style)
        if text.startswith("waiting for the last copy"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Console, "line", interrupting)
    with pytest.raises(Interrupted, match="3 complete epochs are kept"):
        run(tmp_path / "run", tmp_path / "mirror")
    assert_same_run(tmp_path / "run", whole)


# what cannot be a mirror


def test_wrong_mirrors_are_refused_in_one_line_and_nothing_is_written(run, stopped, whole, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.docx").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("mine")
    new, before = tmp_path / "new", files(tmp_path)
    cases = [
        (new, new, CONFIG, r"new is a run folder; choose another one for the mirror"),
        (new, whole, CONFIG, r"run is a run folder; choose another one"),
        (new, tmp_path / "full", CONFIG, r"full holds other files; choose an empty or a new folder for the mirror"),
        (
            new,
            stopped,
            Config(**tiny.CONFIG | {"seed": 1}),
            r"mirror holds a run with seed 0, not 1; choose another folder",
        ),
        (tmp_path / "other", stopped, CONFIG, r"other is not a run folder; choose an empty or a new one"),
    ]
    for out, root, config, message in cases:
        with pytest.raises(InputError, match=message):
            run(out, root, config=config)
    assert files(tmp_path) == before and not new.exists()


def test_neither_folder_nor_mirror_holds_a_run(tmp_path):
    with pytest.raises(InputError, match=r"run holds no run: there is no config.json in it$"):
        resume(tmp_path / "run", observers=[Mirror(tmp_path / "mirror")])


# what others may have put into a mirror


def plain(name, content=b"x"):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, io.BytesIO(content)


def special(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, None


def rewritten(stopped, *members, without=""):
    """The mirror, whose archive holds other members, too, or lacks one; its digest is right."""
    stream = io.BytesIO()
    with tarfile.open(stopped / "epoch-2.tar") as old, tarfile.open(fileobj=stream, mode="w") as new:
        for member in old:
            if not (without and member.name.startswith(without)):
                new.addfile(member, old.extractfile(member))
        for member, content in members:
            new.addfile(member, content)
    replace(stopped, stream.getvalue())


def replace(stopped, content):
    (stopped / "epoch-2.tar").write_bytes(content)
    (stopped / "epoch-2.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  epoch-2.tar\n")


def assert_refused(run, stopped, tmp_path, reason):
    before = files(tmp_path)
    for out in (tmp_path / "new", tmp_path / "ahead"):
        with pytest.raises(InputError, match=reason) as caught:
            run(out, stopped)
        assert "\n" not in str(caught.value) and str(stopped) in str(caught.value)
    assert files(tmp_path) == before and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "member",
    [
        plain("../escaped"),
        plain("/tmp/escaped"),
        plain("checkpoints/../../escaped"),
        plain("checkpoints/best/x"),
        plain("checkpoints/epoch-x.safetensors"),
        plain("checkpoints/epoch-02.safetensors"),
        plain("tensorboard/../escaped"),
        plain("tensorboard/.hidden"),
        plain("tensorboard/a\\..\\b"),
        plain("result.json"),
        plain("anything"),
        plain("tensorboard/" + "/".join("a" * 1500)),
        plain("tensorboard/" + "a" * 300),
        plain("config.json/within"),
        special("tensorboard/link", tarfile.SYMTYPE, "/etc/passwd"),
        special("tensorboard/hard", tarfile.LNKTYPE, "config.json"),
        special("tensorboard/device", tarfile.CHRTYPE),
        special("tensorboard/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: member[0].name[:40],
)
def test_an_archive_that_holds_anything_but_a_run_is_refused_and_nothing_is_written(run, stopped, tmp_path, member):
    rewritten(stopped, member)
    assert_refused(run, stopped, tmp_path, r"is no archive of a run: .*; choose another mirror")


@pytest.mark.parametrize("without", ["config.json", "metrics.jsonl", "checkpoints/epoch-2"])
def test_an_archive_that_lacks_what_a_run_needs_is_refused(run, stopped, tmp_path, without):
    rewritten(stopped, without=without)
    assert_refused(run, stopped, tmp_path, "must hold config.json, metrics.jsonl and the checkpoint, all of epoch 2")


def test_a_file_within_a_file_is_refused(run, stopped, tmp_path):
    rewritten(stopped, plain("tensorboard/a"), plain("tensorboard/a/b"))
    assert_refused(run, stopped, tmp_path, "it holds 'tensorboard/a/b' within a file")


def test_an_archive_with_a_name_twice_is_refused(run, stopped, tmp_path):
    rewritten(stopped, plain("config.json"))
    assert_refused(run, stopped, tmp_path, "it holds config.json twice")


def test_a_file_with_a_right_digest_that_is_no_archive_is_refused(run, stopped, tmp_path):
    for content in (b"", b"no archive", (stopped / "epoch-2.tar").read_bytes()[:5000]):
        replace(stopped, content)
        assert_refused(run, stopped, tmp_path, "is no archive of a run|must hold config.json")


def test_an_archive_above_the_limits_is_refused(run, stopped, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(archive, "MAX_FILES", 3)
        assert_refused(run, stopped, tmp_path, "it has more than 3 files")
    monkeypatch.setattr(mirror, "MAX_BYTES", 1000)
    assert_refused(run, stopped, tmp_path, "epoch-2.tar must have at most 1,000 bytes")


def test_a_new_run_folder_is_restored_whole_or_not_at_all(run, stopped, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(archive, "write", killed_at(2, archive.write))
        run(tmp_path / "new", stopped)
    assert not (tmp_path / "new").exists()
    assert_same_run(run(tmp_path / "new", stopped).folder, whole)
    assert names(tmp_path) == ["mirror", "new"]


def test_where_a_run_folder_cannot_be_written_nothing_of_it_is_left(run, stopped, tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive, "write", full)
    with pytest.raises(InputError, match=r"cannot write the run folder .*new: No space left on device"):
        run(tmp_path / "new", stopped)
    assert names(tmp_path) == ["mirror"]


def test_no_link_in_a_mirror_is_followed(run, stopped, tmp_path):
    for name in ("result.json", "epoch-3.tar"):
        (stopped / name).symlink_to(tmp_path / "mine")
    run(tmp_path / "new", stopped)
    assert names(stopped) == ["epoch-3.sha256", "epoch-3.tar", "result.json"]
    assert not any(path.is_symlink() for path in stopped.iterdir()) and names(tmp_path) == ["mirror", "new"]


def test_what_a_user_keeps_beside_the_tensorboard_files_does_not_spoil_the_mirror(unfinished, tmp_path):
    folder = shutil.copytree(unfinished, tmp_path / "run")
    (folder / "tensorboard").mkdir()
    (folder / "tensorboard" / "my notes.txt").write_text("mine")
    (folder / "tensorboard" / "events.out.tfevents.1").write_text("events")
    held = archive.read_files(archive.pack(folder), tmp_path, 2)
    assert "tensorboard/events.out.tfevents.1" in held and "tensorboard/my notes.txt" not in held


# the command


def test_the_command_copies_the_report_too(tmp_path, monkeypatch, capsys):
    def write(runs):
        (runs[0].folder / "report.html").write_text("page")

    monkeypatch.setattr(page, "write_report", write)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in (tiny.CONFIG | {"epochs": 1}).items()]
    root = tmp_path / "mirror"
    train.main([*flags, "--out", str(tmp_path / "run"), "--mirror", str(root)])
    assert (root / "report.html").read_text() == "page"
    (root / "result.json").unlink()
    mirror.copy_report(load_run(tmp_path / "run"), root, Console())
    assert capsys.readouterr().out.endswith(f"the mirror {root} lacks the report: No such file or directory\n")
