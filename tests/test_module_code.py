"""A module of the reader's own is known by its code, and imported only where that was asked for."""

import dataclasses
import functools
import importlib
import json
import shutil
import sys
import zipfile

import pytest
import tiny

from jaxattn import Config, fit, load_run, resume
from jaxattn.attention import source
from jaxattn.cli.command import run_command
from jaxattn.comparison import page
from jaxattn.comparison.compare import compare, of_runs, show
from jaxattn.comparison.variants import file_names
from jaxattn.errors import InputError
from jaxattn.exports import safetensors
from jaxattn.exports.folder import export
from jaxattn.observers.mirror import Mirror
from jaxattn.runs import code
from jaxattn.runs.console import Console
from jaxattn.runs.manifest import read_manifest

pytestmark = pytest.mark.usefixtures("small_network")
SHAPE = (32, 32, 3)
CONFIG = tiny.CONFIG | {"epochs": 1}

SOURCE = """
from flax import linen as nn
from jaxattn.attention import Gate, source
{imports}

class Own(Gate):
    @nn.compact
    def gate(self, x):
        return nn.sigmoid({factor} * x.mean(axis=(1, 2), keepdims=True))
"""


PACKAGE = "package_of_a_reader"


def write_package(parent, **files):
    """Writes files of the package, forgets what was imported of it, and gives the name of its attention."""
    (parent / PACKAGE).mkdir(exist_ok=True)
    for file, text in files.items():
        (parent / PACKAGE / f"{file}.py").write_text(text)
    for name in [name for name in sys.modules if name.partition(".")[0] in (PACKAGE, "beside")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    return f"{PACKAGE}.gates:Own"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """`write_package` into a folder of this test, from which it is imported as a new process would."""
    monkeypatch.syspath_prepend(tmp_path)
    yield functools.partial(write_package, tmp_path)
    write_package(tmp_path)


def own(factor=1, imports=""):
    return SOURCE.format(factor=factor, imports=imports)


def test_a_digest_is_of_the_class_and_of_what_it_imports_from_its_own_package(package, tmp_path):
    everything = {
        "__init__": "", "gates": own(imports="from . import near\nimport beside\nimport numpy"),
        "near": "from .far import LIMIT", "far": "LIMIT = 1", "unused": "",
    }  # fmt: skip
    (tmp_path / "beside.py").write_text("")

    def digest(**changed):
        name = package(**everything | changed)
        return code.digests(Config(attention=name))[name]

    first = digest()
    assert digest() == first == digest(unused="LIMIT = 2")
    changed = {
        digest(gates=own(2, everything["gates"])), digest(near="from .far import LIMIT\n"), digest(far="LIMIT = 2"),
        digest(__init__="NEW = 1"),
    }  # fmt: skip
    (tmp_path / "beside.py").write_text("NEW = 1")
    changed.add(digest())
    assert len(changed) == 5 and first not in changed
    assert code.digests(Config(attention="se+eca")) == code.digests(Config(attention="wide:se")) == {}
    assert (
        code.digests(Config(attention=f"wide:{package()}")).keys()
        == code.digests(Config(attention=f"se+{package()}")).keys()
        == {package()}
    )


def test_a_class_that_was_defined_in_no_file_is_known_by_its_methods():
    def define(body):
        head = "from flax import linen as nn\nclass Own(nn.Module):\n    @nn.compact\n    def __call__(self, x):\n"
        text = head + body
        return source.digest(namespace_of(text)["Own"], "__main__")

    first = define("        return x * 2\n")
    assert first == define("        return x * 2\n") != define("        return x * 3\n")


@pytest.mark.parametrize(
    "part",
    [
        "def f(x): return {n} * x\nclass Own(Gate):\n    def gate(self, x): return f(x)",
        "K = {n}\nclass Own(Gate):\n    def gate(self, x): return K * x",
        "class Own(Gate):\n    K = {n}\n    def gate(self, x): return self.K * x",
        "class B(Gate):\n    def gate(self, x): return {n} * x\nclass Own(B): pass",
        "class Own(Gate):\n    @staticmethod\n    def k(): return {n}\n    def gate(self, x): return self.k() * x",
        "class Own(Gate):\n    @property\n    def k(self): return {n}\n    def gate(self, x): return self.k * x",
        "class In(nn.Module):\n    def __call__(self, x): return {n} * x\n"
        "class Own(Gate):\n    @nn.compact\n    def gate(self, x): return In()(x)",
        "class Own(Gate):\n    k: tuple = dataclasses.field(default_factory=lambda: ({n},))\n"
        "    def gate(self, x): return self.k[0] * x",
        "def d(f):\n    return lambda self, x: {n} * f(self, x)\n"
        "class Own(Gate):\n    @d\n    def gate(self, x): return x",
    ],
    ids=["function", "constant", "attribute", "base", "staticmethod", "property", "submodule", "factory", "decorator"],
)
def test_what_a_class_in_a_notebook_names_belongs_to_its_code(part):
    head = "import dataclasses\nfrom flax import linen as nn\nfrom jaxattn.attention import Gate\n"
    first, same, other = (
        source.digest(namespace_of(head + part.replace("{n}", n))["Own"], "__main__") for n in ("1", "1", "7")
    )
    assert first == same != other


def namespace_of(source):
    """What a notebook's cell defines: its source is known, in no file."""
    import linecache

    name = f"<cell {hash(source)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), namespace)
    return namespace


BY_NAME = {
    "by name": "'.near', __package__",
    "by a name of another package": f"'.near', package='{PACKAGE}'",
    "by a keyword": f"package=None, name='{PACKAGE}.near'",
}


@pytest.mark.parametrize("way", ["linked file", "linked package", "another folder", *BY_NAME, "zip", "no Python"])
def test_helpers_belong_to_the_code_wherever_they_are(package, tmp_path, monkeypatch, way):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def digest(value):
        helper, name = f"VALUE = {value}", package(__init__="", gates=own(imports="import beside"))
        if way == "zip":
            with zipfile.ZipFile(elsewhere / "z.zip", "w") as file:
                file.writestr("beside.py", helper)
            monkeypatch.syspath_prepend(elsewhere / "z.zip")
        elif way == "linked package":
            (elsewhere / "gates.py").write_text(own(imports="from . import near"))
            (elsewhere / "__init__.py").write_text("")
            (elsewhere / "near.py").write_text(helper)
            shutil.rmtree(tmp_path / PACKAGE)
            (tmp_path / PACKAGE).symlink_to(elsewhere)
        elif way in BY_NAME:
            name = package(gates=own(imports=f"import importlib\nimportlib.import_module({BY_NAME[way]})"))
            package(near=helper)
        elif way == "no Python":
            name = package(gates=own(imports="try:\n    from . import near\nexcept SyntaxError: pass"))
            package(near=f"print {value}")
        else:
            (elsewhere / "beside.py").write_text(helper)
            monkeypatch.syspath_prepend(elsewhere)
        if way == "linked file":
            target = (tmp_path / PACKAGE / "gates.py").rename(elsewhere / "gates.py")
            (tmp_path / PACKAGE / "gates.py").symlink_to(target)
        return code.digests(Config(attention=name))[name]

    first = digest(1)
    (tmp_path / PACKAGE).unlink() if way == "linked package" else (tmp_path / PACKAGE / "gates.py").unlink()
    assert digest(22) != first


def test_the_digest_is_of_the_code_in_memory(package, tmp_path):
    name = package(__init__="", gates=own(imports="from . import near"), near="VALUE = 1")
    first = code.digests(Config(attention=name))
    (tmp_path / PACKAGE / "near.py").write_text("VALUE = 200")
    assert code.digests(Config(attention=name)) == first
    importlib.reload(sys.modules[f"{PACKAGE}.near"])
    assert code.digests(Config(attention=name)) != first


def test_a_file_that_was_edited_after_its_import_is_refused(package, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    name = package(__init__="", gates=own())
    importlib.import_module(f"{PACKAGE}.gates")
    (tmp_path / PACKAGE / "gates.py").write_text(own(factor=200))
    with pytest.raises(InputError, match=r"gates.py was edited after .*gates was imported, so .*; restart Python"):
        code.digests(Config(attention=name))


@pytest.fixture(scope="module")
def trained_once(small_network, tmp_path_factory):
    """The folder of a run of a module of the reader's own."""
    parent = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(parent)
        config = Config(attention=write_package(parent, __init__="", gates=own()), **CONFIG)
        fit(config, parent / "run", Console(quiet=True))
        write_package(parent)
    return parent / "run", config


@pytest.fixture
def trained(trained_once, package, tmp_path):
    """A copy of the run, its configuration, and a function that changes the module's code."""
    folder, config = trained_once
    importlib.import_module(package(__init__="", gates=own()).partition(":")[0])  # as in the process that trained it
    return shutil.copytree(folder, tmp_path / "run"), config, lambda factor=2: package(gates=own(factor))


def export_of(folder, out):
    out.mkdir()
    for name, content in safetensors.contents(load_run(folder), SHAPE).items():
        (out / name).write_bytes(content)
    return out


def test_other_code_is_refused_by_name_wherever_a_run_is_opened_or_goes_on(trained, tmp_path, quiet):
    folder, config, change = trained
    exported = export_of(folder, tmp_path / "export")
    change()
    trust = {"trust_code": True}
    for number, opened in enumerate((
        lambda **flags: load_run(folder, **trust, **flags),
        lambda **flags: safetensors.load(exported, **trust, **flags),
        lambda **flags: fit(config, folder, quiet, **flags),  # which is finished
        lambda **flags: fit(dataclasses.replace(config, epochs=2), folder, quiet, **flags),
        lambda **flags: resume(folder, epochs=3, console=quiet, **trust, **flags),
    )):  # fmt: skip
        if number < 4:  # then the new code is that of the run
            with pytest.raises(InputError, match=f"^the code of {config.attention} has changed since") as caught:
                opened()
            assert caught.value.setting == "accept_changed_code"
        run = opened(accept_changed_code=True)
        other = f"from epoch 2 on: other code of {config.attention}, planned for 2 epochs instead of 1"
        assert number < 3 or run.result["notes"][0] == other
        assert any("has changed since it was trained (accepted)" in note or "other code" in note for note in run.notes)
    assert [start.epoch for start in read_manifest(folder).starts] == [0, 1, 2]


def test_an_export_records_the_code_of_its_weights_and_says_what_was_accepted(trained, tmp_path, quiet):
    folder, config, change = trained
    change()
    fit(dataclasses.replace(config, epochs=2), folder, quiet, accept_changed_code=True)
    other = f"from epoch 2 on: other code of {config.attention}, planned for 2 epochs instead of 1"
    assert safetensors.load(export_of(folder, tmp_path / "resumed")).notes == (other,)  # this code is the last one's
    change(3)
    changed = f"the code of {config.attention} has changed since it was trained (accepted)"
    run = load_run(folder, trust_code=True, accept_changed_code=True)
    for to in ("safetensors", "stablehlo"):
        export(run, to, tmp_path / to)
        card = (tmp_path / to / "README.md").read_text().replace("\\", "")
        assert f"Note: {other}.\nNote: {changed}.\n" in card
    with pytest.raises(InputError, match=f"^the code of {config.attention} has changed since"):
        safetensors.load(tmp_path / "safetensors")
    assert safetensors.load(tmp_path / "safetensors", accept_changed_code=True).notes == (other, changed)
    change(2)
    assert safetensors.load(tmp_path / "safetensors", trust_code=True).notes == (other,)


def test_changed_code_is_accepted_with_a_mirror_too(trained, tmp_path, quiet):
    folder, config, change = trained
    mirrored = {"observers": [Mirror(tmp_path / "mirror")]}
    fit(config, folder, quiet, **mirrored)
    change()
    longer = dataclasses.replace(config, epochs=2)
    with pytest.raises(InputError, match=f"^the code of {config.attention} has changed since"):
        fit(longer, folder, quiet, **mirrored)
    run = fit(longer, folder, quiet, accept_changed_code=True, **mirrored)
    assert run.notes == (f"from epoch 2 on: other code of {config.attention}, planned for 2 epochs instead of 1",)
    assert (tmp_path / "mirror" / "epoch-2.sha256").exists()


def test_code_that_was_not_recorded_is_noted(trained):
    folder, config, _ = trained
    values = json.loads((folder / "config.json").read_text())
    values["starts"] = []
    (folder / "config.json").write_text(json.dumps(values))
    assert load_run(folder).notes == (f"the code of {config.attention} when it was trained was not recorded",)


# imported only where that was asked for


def test_opening_what_a_stranger_sends_imports_no_module_that_it_names(trained, package, tmp_path):
    folder, config, _ = trained
    exported = export_of(folder, tmp_path / "export")
    marker = tmp_path / "imported"
    package(gates=own(imports=f"open({str(marker)!r}, 'w')"))
    for opened in (load_run, safetensors.load, lambda path: resume(folder)):
        with pytest.raises(InputError, match=f"names the attention module {config.attention}, whose code") as caught:
            opened(exported if opened is safetensors.load else folder)
        assert caught.value.setting == "trust_code" and not marker.exists()
    load_run(folder, trust_code=True, accept_changed_code=True)
    assert marker.exists()


@pytest.mark.parametrize("network", ["wide:os:N", "wide:jaxattn.x:N", "beside_us+os:N", "os.beside_us:N"])
def test_a_network_is_trusted_by_the_name_that_would_be_imported(unfinished, tmp_path, monkeypatch, network):
    folder = shutil.copytree(unfinished, tmp_path / "run")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("wide", "beside_us+os"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"network": network, "recipe": "standard"}))
    with pytest.raises(InputError, match=r"names the network .*, whose code would run") as caught:
        load_run(folder)
    assert caught.value.setting == "trust_code"


def test_a_module_that_exits_while_it_is_imported_is_one_line(package):
    name = package(gates="import sys\nsys.exit(0)")
    with pytest.raises(InputError, match=f"cannot import attention '{name}': SystemExit: 0$"):
        code.digests(Config(attention=name))


@pytest.mark.parametrize("command", ["visualize RUN", "predict RUN IMAGE", "report RUN", "export RUN --to safetensors",
                                     "train --resume RUN"])  # fmt: skip
def test_no_command_imports_a_module_that_nobody_asked_for(command, trained, package, tmp_path, monkeypatch, capsys):
    folder, config, _ = trained
    package()  # as in a new process
    (tmp_path / "image.png").write_bytes(png())
    words = [str(folder) if word == "RUN" else str(tmp_path / "image.png") if word == "IMAGE" else word
             for word in command.split()]  # fmt: skip
    module = importlib.import_module("jaxattn.report.__main__" if words[0] == "report" else f"jaxattn.{words[0]}")
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as caught:
        run_command(module.main)
    printed = capsys.readouterr().err
    assert caught.value.code == 2 and printed.count("\n") == 1 and not sys.modules.keys() & {PACKAGE}
    assert f"names the attention module {config.attention}" in printed and "(--trust-code)" in printed
    importlib.import_module(PACKAGE)  # it would have been found


def png():
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (32, 32)).save(stream, "png")
    return stream.getvalue()


def test_a_run_may_start_from_weights_whose_code_is_not_imported(trained, package, tmp_path, quiet):
    folder, _, _ = trained
    package(gates="raise RuntimeError")
    done = fit(Config(init=str(folder), **CONFIG), tmp_path / "plain", quiet)
    assert done.result["epochs"] == 1


# compared


def test_old_and_new_code_are_never_averaged_as_one_variant(package, tmp_path, quiet, monkeypatch):
    monkeypatch.setattr(page, "_draw", lambda *arguments: {})  # figures take most of the time
    monkeypatch.setattr(page, "_gates", lambda *arguments: {})
    name = package(__init__="", gates=own())
    flags = {k: v for k, v in CONFIG.items() if k != "dataset"} | {"dataset": "tiny"}
    compare(["none", name], 1, tmp_path / "compared", quiet, **flags)
    package(gates=own(factor=2))
    with pytest.raises(InputError, match=f"^the code of {name} has changed since .*-s0 was trained with it") as caught:
        compare(["none", name], 2, tmp_path / "compared", quiet, **flags)
    assert caught.value.setting == "accept_changed_code"
    assert not (tmp_path / "compared" / "none-s1").exists()  # nothing more was trained
    result = compare(["none", name], 2, tmp_path / "compared", quiet, accept_changed_code=True, **flags)
    folder = f"{file_names([name])[name]}-s0"
    note = f"{folder}: the code of {name} has changed since it was trained (accepted)"
    assert result.notes == (note,) and f"note: {note}" in str(result)
    assert f"{note}." in (tmp_path / "compared" / "compare.html").read_text()
    package(gates=own(imports="raise RuntimeError"))
    for opened in (lambda: compare(["none", "se"], 2, tmp_path / "compared", quiet, **flags),
                   lambda: show(tmp_path / "compared"),
                   lambda: of_runs([tmp_path / "compared" / folder], tmp_path / "of")):  # fmt: skip
        with pytest.raises(InputError, match=f"names the attention module {name}, whose code would run"):
            opened()
