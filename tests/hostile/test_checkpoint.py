"""A checkpoint is data: whatever it holds, nothing of it is executed and nothing is fetched or written."""

from __future__ import annotations

import pickle
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import segkit
from segkit.types import UserError


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


TARGETS = [
    "os.system", "posix.system", "builtins.eval", "builtins.exec", "builtins.__import__",
    "subprocess.Popen", "subprocess.run", "subprocess.check_output", "importlib.import_module",
    "segkit.files.os.system", "segkit.model.unet.torch.hub.load", "segkit.model.weights.pickle.loads",
    "segkit.model.weights.importlib.import_module", "segkit.data.folder.Path", "segkit.data.cache.os.system",
    "segkit.data.parallel.pickle.loads", "segkit.data.parallel._receive", "segkit.data.frozen.write_split",
    "segkit.data.table.save", "segkit.model.weights.read_tensors", "segkit.modelevil.Net",
    "segkit.model.unet.UNet.__init__.__globals__", "segkit.model.unet.UNet.__subclasses__",
    "segkit.model.unet", "segkit.checkpoint.load", "segkit.files.write_bytes",
    "torchvision.models.get_model", "torchvision.models.resnet18", "torch.hub.load", "torch.load",
    "segmentation_models_pytorch.Unet", "timm.create_model", "lightning.Trainer",
    "hydra.utils.get_method", "hydra.utils.get_class", "hydra.utils.get_object", "hydra.utils.instantiate",
    "hydra._internal.utils._locate", "omegaconf.OmegaConf.register_new_resolver",
    " os.system", "os.system ", "os:system", "OS.SYSTEM", "os.\u200bsystem", "..os.system", "", "null",
    "${oc.env:HOME}", "${oc.decode:'os.system'}", "${base_width}",
    ["os.system"], ("os", "system"), {"_target_": "os.system"}, {"a": "segkit.model.unet.UNet"},
    7, True, 1.5, b"os.system",
]  # fmt: skip


def refused(file: Path) -> str:
    """The one line that says why a file is not used."""
    with pytest.raises(UserError) as caught:
        segkit.load(file)
    line = str(caught.value)
    assert "\n" not in line
    assert file.name in line
    return line


@pytest.fixture
def canary(tmp_path):
    (tmp_path / "outside").mkdir()
    yield tmp_path / "outside" / "canary"
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("target", TARGETS, ids=repr)
def test_a_network_of_any_other_name_is_not_called(target, honest, canary, watched, tmp_path):
    content = honest()
    command = f"touch {canary}"
    content["segkit"]["config"]["model"] = {
        **{"_target_": target, "_partial_": True, "base_width": "os.system", "command": command},
        **{"path": str(canary), "args": command, "given": pickle.dumps(Payload(canary))},
    }
    torch.save(content, tmp_path / "bad.ckpt")
    with watched():
        refused(tmp_path / "bad.ckpt")


EVIL = {"_target_": "os.system", "command": "touch CANARY"}
PLACES = {
    "in a value": {"model.norm": EVIL},
    "in a list": {"model.norm": [1, [EVIL]]},
    "in a tuple": {"model.norm": (EVIL,)},
    "deep in mappings": {"model.norm": {"a": {"b": [{"c": EVIL}]}}},
    "partial": {"model.norm": {**EVIL, "_partial_": True}},
    "not recursive": {"model._recursive_": False, "model.norm": EVIL},
    "as arguments": {"model._args_": [EVIL]},
    "with arguments": {"model._args_": ["touch CANARY"]},
    "converted": {"model._convert_": "object", "model.norm": EVIL},
    "a partial that is code": {"model._partial_": EVIL},
    "made by a resolver": {"model.norm": "${oc.create:{_target_:os.system,command:'touch CANARY'}}"},
    "decoded by a resolver": {"model.norm": "${oc.decode:'{_target_: os.system}'}"},
    "a resolver by parts": {"model.norm": "${oc.${model.depth}:HOME}"},
    "a secret of the environment": {"model.norm": "${oc.env:HOME}"},
    "a selection": {"model.norm": "${oc.select:_target_}"},
    "an escaped resolver": {"model.norm": "\\${oc.env:HOME}"},
    "a key that is a resolver": {"model.${oc.env:HOME}": 1},
    "a shipped target at another place": {"model.norm": {"_target_": "segkit.data.pets.pets", "download": 1}},
    "a shipped target of another group": {"model._target_": "segkit.data.folder.folder"},
    "in the data": {"data.labels": EVIL, "data.root": EVIL},
    "data of another kind": {"data._target_": "os.system"},
    "bytes": {"model.norm": b"touch CANARY"},
    "a tensor": {"model.norm": torch.zeros(1)},
    "no mapping": {"model": "os.system"},
    "no name": {"name": EVIL},
    "no seed": {"seed": "touch CANARY"},
    "no size": {"data.size": [EVIL, EVIL]},
    "an absurd size": {"data.size": [2**40, 2**40]},
    "no fit": {"data.fit": EVIL},
}  # fmt: skip


def put(content, changes, canary):
    """Change dotted keys of the configuration in a checkpoint."""

    def said(value):
        if isinstance(value, dict):
            return {k: said(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(said, value))
        return value.replace("CANARY", str(canary)) if isinstance(value, str) else value

    for key, value in changes.items():
        node = content["segkit"]["config"]
        *above, last = key.split(".", 1)
        for part in above:
            node = node[part]
        node[last] = said(value)


@pytest.mark.parametrize("place", PLACES)
def test_nor_is_what_stands_anywhere_else_in_its_configuration(place, honest, canary, watched, tmp_path):
    content = honest()
    put(content, PLACES[place], canary)
    torch.save(content, tmp_path / "bad.ckpt")
    with watched():
        refused(tmp_path / "bad.ckpt")


ENCODER = {"_target_": "segkit.model.smp.smp", "_partial_": True, "encoder_name": "tu-resnet18"}
FILES = {
    "a file of weights": {"checkpoint_path": "EVIL"},
    "weights of the hub": {"pretrained": True},
    "an address": {"pretrained_cfg": {"url": "http://example.org/evil.pth"}},
    "another address": {"pretrained_cfg_overlay": {"file": "EVIL", "custom_load": True}},
}


@pytest.mark.parametrize("way", FILES)
def test_an_encoder_does_not_open_or_fetch_files_that_a_checkpoint_names(
    way, honest, canary, watched, attempts, tmp_path
):
    content, evil = honest(), tmp_path / "evil.pth"
    evil.write_bytes(pickle.dumps(Payload(canary)))
    more = {k: str(evil) if v == "EVIL" else v for k, v in FILES[way].items()}
    content["segkit"]["config"]["model"] = {**ENCODER, "encoder_params": more}
    torch.save(content, tmp_path / "bad.ckpt")
    before = list(attempts)
    with watched():
        assert "model.encoder_weights" in refused(tmp_path / "bad.ckpt")
    assert attempts == before


def laughs():
    """A few lists that stand for a billion texts."""
    value: list = ["ha"]
    for _ in range(30):
        value = [value, value]
    return value


def deep(levels=3000):
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


LABELS = {
    "a name of two lines": {"names": ["a\nsegkit: all is well", *"bcdefgh"]},
    "a name that moves the cursor": {"names": ["\x1b[2J\x1b[1;1H", *"bcdefgh"]},
    "a name that is no text": {"names": [7, *"bcdefgh"]},
    "one name twice": {"names": ["a"] * 8},
    "an id of 2^60": {"ids": [[2**60], *[[i] for i in range(1, 8)]]},
    "a negative id": {"ids": [[-1], *[[i] for i in range(1, 8)]]},
    "a colour of text": {"colors": [["red", 0, 0]] * 8},
    "a colour of 10^9": {"colors": [[10**9, 0, 0]] * 8},
    "no colours": {"colors": []},
    "another task": {"task": "__import__('os')"},
    "another key": {"__class__": "os"},
    "a bomb": {"names": laughs()},
}


@pytest.mark.parametrize("case", LABELS)
def test_a_label_space_that_none_could_be_is_refused(case, honest, watched, tmp_path):
    content = honest()
    content["segkit"]["labels"] |= LABELS[case]
    torch.save(content, tmp_path / "bad.ckpt")
    with watched():
        refused(tmp_path / "bad.ckpt")


@pytest.mark.parametrize("bomb", [laughs, deep], ids=["a billion laughs", "deep"])
def test_a_configuration_that_would_fill_the_memory_is_refused_at_once(bomb, honest, tmp_path):
    content = honest()
    content["segkit"]["config"]["model"]["norm"] = bomb() if bomb is laughs else bomb(400)
    torch.save(content, tmp_path / "bad.ckpt")
    assert "configuration" in refused(tmp_path / "bad.ckpt")


def archive(path: Path, pickled: bytes, compression=zipfile.ZIP_STORED, more=b"") -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("a/data.pkl", pickled)
        file.writestr("a/version", b"3\n")
        file.writestr("a/byteorder", b"little")
        file.writestr("a/data/0", more)


def write_tar(path, canary):
    path.with_suffix(".pkl").write_bytes(pickle.dumps(Payload(canary)))
    with tarfile.open(path, "w") as file:
        for name in ("storages", "tensors", "pickle"):
            file.add(path.with_suffix(".pkl"), name)


class Scripted(torch.nn.Module):
    def forward(self, x):
        return x


GLOBAL = b"\x80\x02cos\nsystem\nX\x05\x00\x00\x00touch\x85R."
FORMATS = {
    "a pickle": lambda path, canary: path.write_bytes(pickle.dumps(Payload(canary))),
    "a pickle of protocol 0": lambda path, canary: path.write_bytes(pickle.dumps(Payload(canary), 0)),
    "a pickle of protocol 5": lambda path, canary: path.write_bytes(pickle.dumps(Payload(canary), 5)),
    "torch's own": lambda path, canary: torch.save({"segkit": Payload(canary), "state_dict": {}}, path),
    "torch's old": lambda path, canary: torch.save(
        {"segkit": Payload(canary)}, path, _use_new_zipfile_serialization=False
    ),
    "torch's oldest": write_tar,
    "an archive": lambda path, canary: archive(path, pickle.dumps(Payload(canary))),
    "a bare global": lambda path, canary: archive(path, GLOBAL),
    "a compressed archive": lambda path, canary: archive(path, GLOBAL, zipfile.ZIP_DEFLATED, bytes(2**28)),
    "deep": lambda path, canary: archive(path, b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    "TorchScript": lambda path, canary: archive(path, GLOBAL) or torch.jit.script(Scripted()).save(str(path)),
    "objects of numpy": lambda path, canary: np.save(path, np.array([Payload(canary)], object)),
    "nothing": lambda path, canary: path.write_bytes(b""),
    "zeros": lambda path, canary: path.write_bytes(bytes(10_000)),
}  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:`torch.jit:FutureWarning")
def test_no_format_of_a_file_brings_code_with_it(kind, canary, watched, tmp_path):
    file = tmp_path / "bad.npy" if kind == "objects of numpy" else tmp_path / "bad.ckpt"
    FORMATS[kind](file, canary)
    with watched():
        refused(file)


def test_the_payload_would_work(tmp_path):
    """Else the tests above would prove nothing."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "made")))
    assert (tmp_path / "made").exists()


OWN = """
import os
from segkit.model.unet import UNet
class Net(UNet):
    pass
"""


@pytest.fixture
def own_package(tmp_path, monkeypatch):
    """A package of the user's own, with a network in it."""
    (tmp_path / "path" / "own_nets").mkdir(parents=True)
    (tmp_path / "path" / "own_nets" / "__init__.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path / "path")
    yield "own_nets"
    sys.modules.pop("own_nets", None)


@pytest.mark.parametrize("trust", [["own_nets"], ["own_nets.Net"]])
def test_a_network_of_the_users_own_is_called_when_the_user_says_so(trust, own_package, honest, tmp_path):
    content = honest()
    content["segkit"]["config"]["model"]["_target_"] = "own_nets.Net"
    torch.save(content, tmp_path / "own.ckpt")
    assert "trust=[PACKAGE]" in refused(tmp_path / "own.ckpt")
    assert "own_nets" not in sys.modules
    image = np.zeros((32, 64, 3), np.uint8)
    assert segkit.load(tmp_path / "own.ckpt", trust=trust).predict(image).shape == (32, 64)


def test_what_a_trusted_package_only_imports_is_not_trusted(own_package, honest, canary, tmp_path):
    content = honest()
    content["segkit"]["config"]["model"] = {"_target_": "own_nets.os.system", "command": f"touch {canary}"}
    torch.save(content, tmp_path / "own.ckpt")
    with pytest.raises(UserError, match="may not call"):
        segkit.load(tmp_path / "own.ckpt", trust=["own_nets"])
