"""The command `jaxattn`: its list, what it runs, completion, and what a bug report needs."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import jaxattn
from jaxattn import doctor
from jaxattn.attention import ATTENTION
from jaxattn.cli import commands
from jaxattn.cli.commands import COMMANDS, COMPLETION, SHELLS
from jaxattn.cli.parser import attention

ROOT = Path(__file__).parent.parent


def run(*words, **environment):
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


def answer(monkeypatch, capsys, *words):
    """What `jaxattn` prints, in this process, and its exit code."""
    monkeypatch.setattr(sys, "argv", ["jaxattn", *words])
    with pytest.raises(SystemExit) as exit:
        commands.main()
    out, err = capsys.readouterr()
    return out, err, exit.value.code


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_without_a_command_they_are_listed(monkeypatch, capsys, words):
    out, err, code = answer(monkeypatch, capsys, *words)
    assert (err, code) == ("", 0)
    assert [line.split()[0] for line in out.splitlines()[2:-2]] == list(COMMANDS)
    assert max(map(len, out.splitlines())) <= 100


def test_every_command_module_is_listed():
    modules = {name.removesuffix(".__main__") for name, _ in COMMANDS.values()}
    thin = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for path in (ROOT / "jaxattn").rglob("*.py")
        if "run_command(main)" in path.read_text() and path.parent.name != "cli"
    }
    assert modules == thin


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_parser_of_its_name(name):
    module = importlib.import_module(COMMANDS[name].module)
    assert module.parser().prog == f"jaxattn {name}" and callable(module.main)


def test_a_command_is_the_same_by_any_name(monkeypatch, capsys):
    out, _, code = answer(monkeypatch, capsys, "train", "--help")
    assert code == 0 and out.startswith("usage: jaxattn train [-h]")
    assert out == run("jaxattn.train", "--help").stdout == run("jaxattn", "train", "--help").stdout
    out, err, code = answer(monkeypatch, capsys, "report")
    assert code == 2 and err == run("jaxattn.report").stderr and err.endswith("see jaxattn report --help\n")


def test_version_unknown_commands_and_shells(monkeypatch, capsys):
    assert answer(monkeypatch, capsys, "--version") == (f"jaxattn {jaxattn.__version__}\n", "", 0)
    for words, message in (
        (("trian",), "error: unknown command 'trian'; known are train, compare,"),
        (("--colour",), "error: unknown command '--colour'; known are"),
        ((COMPLETION,), f"error: {COMPLETION} takes one of bash, zsh, fish, got nothing"),
        ((COMPLETION, "tcsh"), f"error: {COMPLETION} takes one of bash, zsh, fish, got tcsh"),
    ):
        out, err, code = answer(monkeypatch, capsys, *words)
        assert (out, code) == ("", 2) and err.startswith(message) and err.count("\n") == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_is_printed_for_each_shell(monkeypatch, capsys, shell):
    out, _, code = answer(monkeypatch, capsys, COMPLETION, shell)
    assert code == 0 and "jaxattn" in out and "_ARGCOMPLETE" in out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("jaxattn tra", {"train"}),
        ("jaxattn ", {*COMMANDS}),
        ("jaxattn train", {"train"}),
        ("jaxattn compare --see", {"--seeds"}),
        ("jaxattn  train --epochs 3 --attention-p", {"--attention-position"}),
        ("jaxattn train --dataset ", {"cifar10", "shapes"}),
        ("jaxattn visualize run --plot gates-by-d", {"gates-by-depth"}),
        ("jaxattn compare --attention none cba", {"cbam", "cbam-code"}),
        ("jaxattn modules si", {"simam", "simam-code"}),
    ],
)
def test_words_are_completed(tmp_path, line, expected):
    environment = {
        "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9",
        "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "out"),
    }  # fmt: skip
    run("jaxattn", **environment)
    assert expected <= set((tmp_path / "out").read_text().split())


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"networks"}))  # whose package needs Flax
def test_help_and_completion_load_nothing_that_takes_long(name):
    """Each answers in 0.3 s, which leaves no time to import JAX or Matplotlib."""
    code = f"""
import importlib, sys
parser = importlib.import_module({COMMANDS[name].module!r}).parser()
parser.format_help()
for action in parser._actions:
    assert not hasattr(action, "completer") or action.completer(prefix="", action=action, parser=parser)
assert not {{"jax", "flax", "matplotlib"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_of_attention_modules_are_those_of_the_registry():
    assert attention() == [*ATTENTION]


def test_the_function_compare_stays_one_whatever_was_imported_before():
    code = "import jaxattn.comparison.__main__, jaxattn.comparison.compare, jaxattn; print(callable(jaxattn.compare))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n" and importlib.util.find_spec("jaxattn.compare") is None


def test_a_module_in_the_current_folder_is_found_by_the_script_too(tmp_path):
    """A script's own folder is first on the path, not the current one, as `python -m` has it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "mine.py").write_text("from jaxattn.attention import SE\n")
    script = tmp_path / "bin" / "jaxattn"
    script.write_text("import sys\nfrom jaxattn.cli.commands import main\nmain()\n")
    words = ["train", "--attention", "mine:SE", "--dataset", "shapes", "--epochs", "0"]
    for name, message in (("mine", "epochs must be"), ("yours", "in this folder and on PYTHONPATH")):
        words[2] = f"{name}:SE"
        words[6] = "0" if name == "mine" else "1"
        done = subprocess.run([sys.executable, script, *words], cwd=tmp_path, capture_output=True, text=True,
                              env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)  # fmt: skip
        assert done.returncode == 2 and message in done.stderr, done.stderr


# doctor


def examined(capsys, *words):
    doctor.main([*map(str, words)])
    return dict(line.split(maxsplit=1) for line in capsys.readouterr().out.replace("run folder", "folder").splitlines())


def test_a_bug_report_has_versions_devices_and_what_works_and_no_path(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS_OF_MINE", "secret")
    said = examined(capsys, "--out", tmp_path / "not" / "there", "--data-dir", tmp_path)
    assert said["jaxattn"].startswith(f"{jaxattn.__version__}, Python 3.")
    assert f"jax {importlib.metadata.version('jax')}, " in said["versions"] and "MISSING" not in said["versions"]
    assert said["devices"].endswith("x cpu (cpu)") and "XLA_FLAGS_OF_MINE" in said["environment"]
    assert said["folder"] == "rename works; locks work" and not list(tmp_path.iterdir())
    text = "\n".join(said.values())
    assert all(word not in text for word in (str(tmp_path), str(Path.home()), str(Path.cwd()), "secret"))
    said = examined(capsys, "--out", tmp_path, "--data-dir", tmp_path, "--paths")
    assert str(tmp_path) in said["data"] and str(tmp_path) in said["folder"]
    assert "XLA_FLAGS_OF_MINE=secret" in said["environment"]


def test_what_does_not_work_is_said(tmp_path, capsys, monkeypatch):
    import jax

    def refused(*arguments, **options):
        raise RuntimeError("Unable to initialize backend\nfor many reasons")

    monkeypatch.setattr(jax, "devices", refused)
    monkeypatch.setattr(
        doctor.tempfile, "TemporaryDirectory", lambda **options: (_ for _ in ()).throw(OSError(30, "x"))
    )
    said = examined(capsys, "--out", tmp_path, "--data-dir", tmp_path)
    assert said["devices"] == "none: RuntimeError" and said["folder"] == "CANNOT BE WRITTEN: x"
    said = examined(capsys, "--out", tmp_path, "--data-dir", tmp_path, "--paths")
    assert said["devices"] == "none: RuntimeError: Unable to initialize backend"


@pytest.mark.parametrize("name", ["file", "file/in", "link", "loop"])
def test_what_is_no_folder_is_said(tmp_path, capsys, name):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("gone")
    (tmp_path / "loop").symlink_to("loop")
    said = examined(capsys, "--out", tmp_path / name, "--data-dir", tmp_path / "file")
    assert said["folder"].startswith("CANNOT BE USED") and said["data"].startswith("CANNOT BE USED")


def test_what_is_wrong_stops_no_other_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JAXATTN_CACHE_LIMIT", "much")
    monkeypatch.setenv("JAX_OF_MINE", "two\nlines")
    said = examined(capsys, "--out", tmp_path, "--data-dir", tmp_path, "--paths")
    assert said["cache"].startswith("InputError: JAXATTN_CACHE_LIMIT must be gigabytes") and "cpu" in said["devices"]
    assert "JAX_OF_MINE=two" in said["environment"] and len(said) == 8


def test_a_file_system_without_locks_is_said(tmp_path, capsys, monkeypatch):
    import filelock

    monkeypatch.setattr(filelock.FileLock, "acquire", lambda self: (_ for _ in ()).throw(NotImplementedError))
    said = examined(capsys, "--out", tmp_path, "--data-dir", tmp_path)
    assert said["folder"] == "rename works; locks DO NOT WORK: start no two processes in one folder"
