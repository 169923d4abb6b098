"""The callbacks inside a real training of a network with two weights."""

import csv
import signal
from types import SimpleNamespace

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from segkit.callback.board import Board
from segkit.callback.csv_log import CsvLog
from segkit.callback.ema import Ema
from segkit.callback.last import Last
from segkit.callback.lr_monitor import LrMonitor
from segkit.callback.pictures import Pictures
from segkit.callback.plots import Plots
from segkit.callback.progress import Progress
from segkit.metric.counts import OverlapCounts
from segkit.metric.overlap import overlap
from segkit.metric.scored import Scored
from segkit.types import Batch, LabelSpace, UserError

# A run that goes on writes into its own folder.
pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
LABELS = LabelSpace(("dark", "light"), ((40, 40, 40), (230, 159, 0)), ((0,), (1,)))


class Module(lightning.LightningModule):
    """Tells light from dark pixels, with the attributes of the real module that callbacks use."""

    def __init__(self, rate=0.1):
        super().__init__()
        self.net = torch.nn.Conv2d(1, 2, 1)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.labels, self.loss = LABELS, SimpleNamespace(names=("ce", "dice"))
        self.measured, self.numbers, self.counts = None, {}, OverlapCounts(LABELS)
        self.rate, self.interrupt_at, self.left_out = rate, None, False
        self.trace = []

    def forward(self, image):
        return self.net(image[:, :1].float() / 255 - 0.5)

    def training_step(self, batch, batch_idx):
        if self.interrupt_at == self.trainer.global_step:
            self.interrupt_at = None
            signal.raise_signal(signal.SIGINT)  # as Ctrl-C does, in the middle of a step
        self.steps += 1
        loss = torch.nn.functional.cross_entropy(self(batch.image), batch.target.long())
        size = len(batch.names)
        self.log_dict({"train/loss": loss, "lr": self.rate}, on_step=False, on_epoch=True, batch_size=size)
        return loss

    def on_train_batch_end(self, *_):
        self.trace.append({k: v.detach().clone() for k, v in self.state_dict().items()})

    def validation_step(self, batch, batch_idx):
        self.seen = self.net.weight.detach().clone()
        rows = zip(self(batch.image), batch.target, batch.index.tolist(), strict=True)
        for logits, target, index in rows:
            self.counts.update(Scored(logits, target, index, LABELS))

    test_step = validation_step

    def on_validation_epoch_end(self):
        self.measured = self.counts.count()
        self.counts.reset()
        self.numbers = overlap(self.measured, LABELS)
        mean = self.numbers["mean"]
        self.log_dict({"val/miou": mean["miou"], "val/loss": 1 - mean["miou"], "val/iou/dark": 0.5})

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.rate, momentum=0.9)


def samples(count, size=8):
    generator = np.random.default_rng(0)
    target = generator.integers(0, 2, (count, size, size)).astype(np.uint8)
    image = (target * 100 + generator.integers(0, 100, target.shape)).astype(np.uint8)
    return [(i, np.repeat(image[i][None], 3, 0), target[i]) for i in range(count)]


def collate(rows):
    index, image, target = zip(*rows, strict=True)
    sizes = tuple(t.shape for t in target)
    return Batch(
        torch.from_numpy(np.stack(image)),
        torch.from_numpy(np.stack(target)),
        torch.tensor(index),
        tuple(f"street/{i}" for i in index),
        sizes,
        sizes,
    )


def loader(count=4, batch_size=2):
    return DataLoader(samples(count), batch_size, collate_fn=collate)


def checkpoints(run):
    folder, common = run / "checkpoints", {"enable_version_counter": False, "save_on_train_epoch_end": True}
    best = ModelCheckpoint(folder, "best", monitor="val/miou", mode="max", **common)
    return [best, ModelCheckpoint(folder, "last", **common)]


def fit(run, callbacks=(), epochs=2, module=None, resume=None, logger=False, **options):
    trainer = lightning.Trainer(
        max_epochs=epochs,
        default_root_dir=run,
        callbacks=[*callbacks, *checkpoints(run)],
        logger=logger,
        accelerator="cpu",
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(c, Progress) for c in callbacks),
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        **options,
    )
    torch.manual_seed(0)
    module = module or Module()
    ckpt = str(run / "checkpoints" / "last.ckpt") if resume else None
    trainer.fit(module, loader(), loader(), ckpt_path=ckpt, weights_only=True)
    return trainer, module


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def timeless(table):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in table]


# ---- csv_log ----------------------------------------------------------------------------


def test_metrics_csv_has_one_row_per_epoch_in_the_promised_order(tmp_path):
    fit(tmp_path, [CsvLog()], epochs=3)
    table = rows(tmp_path / "metrics.csv")
    assert list(table[0]) == [
        *("epoch", "step", "lr", "train/loss", "val/loss", "val/miou", "val/iou/dark", "seconds")
    ]
    assert [(r["epoch"], r["step"]) for r in table] == [("0", "2"), ("1", "4"), ("2", "6")]
    assert all(float(r["train/loss"]) > 0 for r in table)
    assert len({r["train/loss"] for r in table}) == 3, "each epoch has its own loss"


def test_a_resumed_run_has_the_rows_of_one_that_was_never_stopped(tmp_path):
    fit(tmp_path / "whole", [CsvLog()], epochs=4)
    fit(tmp_path / "parts", [CsvLog()], epochs=2)
    # Killed after the row of epoch 2 and before its checkpoint.
    with (tmp_path / "parts" / "metrics.csv").open("a") as file:
        file.write("2,6,1,1,1,1,1,1\n")
    fit(tmp_path / "parts", [CsvLog()], epochs=4, resume=True)
    whole, parts = (timeless(rows(tmp_path / n / "metrics.csv")) for n in ("whole", "parts"))
    assert parts == whole


def test_a_new_run_in_an_old_folder_starts_a_new_table(tmp_path):
    fit(tmp_path, [CsvLog()], epochs=3)
    fit(tmp_path, [CsvLog()], epochs=1)
    assert [r["epoch"] for r in rows(tmp_path / "metrics.csv")] == ["0"]


# ---- ema --------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_average_follows_its_formula_once_per_optimiser_step(tmp_path, accumulate):
    torch.manual_seed(0)
    start = {k: v.clone() for k, v in Module().state_dict().items()}
    _, module = fit(tmp_path, [Ema(0.5)], epochs=3, accumulate_grad_batches=accumulate)
    average = start
    for t, weights in enumerate(module.trace[accumulate - 1 :: accumulate]):
        d = min(0.5, (1 + t) / (10 + t))
        average = {k: d * average[k] + (1 - d) * w for k, w in weights.items()} | {"steps": weights["steps"]}
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, average[name], rtol=1e-5, atol=1e-7)
    assert not torch.allclose(average["net.weight"], module.trace[-1]["net.weight"], rtol=1e-3)
    assert torch.equal(module.seen, module.net.weight), "the last validation measured the average"


def test_checkpoints_hold_the_average_where_readers_look_and_load_safely(tmp_path):
    trainer, module = fit(tmp_path, [Ema(0.5)])
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert torch.equal(content["state_dict"]["net.weight"], module.net.weight)
    assert torch.equal(content["raw_state_dict"]["net.weight"], module.trace[-1]["net.weight"])
    # Testing a checkpoint afterwards measures the average, too.
    trainer.test(module, loader(), ckpt_path=str(tmp_path / "checkpoints" / "last.ckpt"), verbose=False)
    assert torch.equal(module.seen, content["state_dict"]["net.weight"])


def test_a_resumed_average_ends_as_one_that_was_never_stopped(tmp_path):
    _, whole = fit(tmp_path / "whole", [Ema(0.9)], epochs=4)
    fit(tmp_path / "parts", [Ema(0.9)], epochs=2)
    _, parts = fit(tmp_path / "parts", [Ema(0.9)], epochs=4, module=Module(), resume=True)
    assert torch.equal(whole.net.weight, parts.net.weight)
    assert torch.equal(whole.trace[-1]["net.weight"], parts.trace[-1]["net.weight"])


def test_switched_off_it_changes_nothing_and_goes_on_with_the_raw_weights(tmp_path):
    _, plain = fit(tmp_path / "plain", epochs=2)
    _, off = fit(tmp_path / "off", [Ema(0.0)], epochs=2)
    assert torch.equal(plain.net.weight, off.net.weight)
    assert "raw_state_dict" not in torch.load(tmp_path / "off/checkpoints/last.ckpt", weights_only=True)
    fit(tmp_path / "on", [Ema(0.9)], epochs=1)
    _, resumed = fit(tmp_path / "on", [Ema(0.0)], epochs=2, resume=True)
    assert torch.equal(plain.net.weight, resumed.net.weight)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_an_impossible_decay_is_refused(decay):
    with pytest.raises(UserError, match=r"callback\.ema\.decay"):
        Ema(decay)


# ---- interrupt --------------------------------------------------------------------------


def test_ctrl_c_in_an_epoch_saves_last_and_draws_plots(tmp_path):
    module = Module()
    module.interrupt_at = 5
    with pytest.raises(SystemExit):
        fit(tmp_path, [CsvLog(), Plots("run"), Last()], epochs=9, module=module)
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 6
    assert torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] in (2, 4)
    assert (tmp_path / "plots" / "loss.png").is_file()


# ---- pictures and plots -----------------------------------------------------------------


def test_pictures_plots_and_rates_of_a_run(tmp_path):
    logger = Board(str(tmp_path))
    callbacks = [CsvLog(), LrMonitor("step"), Pictures(count=2, width=640), Plots("my run")]
    fit(tmp_path, callbacks, epochs=2, logger=logger)
    names = sorted(p.name for p in (tmp_path / "predictions").iterdir())
    assert names == ["0_street_1.png", "1_street_3.png", "all.png"]
    assert sorted(p.name for p in (tmp_path / "plots").glob("*.png")) == [
        *("learning_rate.png", "loss.png", "overlap.png", "val_class_iou.png", "val_confusion.png")
    ]
    confusion = rows(tmp_path / "plots" / "val_confusion.csv")
    assert sum(int(r["pixels"]) for r in confusion) == 4 * 8 * 8
    images, scalars = events(tmp_path / "tensorboard")
    assert images == {"validation/street/1": 2, "validation/street/3": 2}
    assert "val/miou" in scalars
    assert any(k.startswith("lr-") for k in scalars)


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(folder), size_guidance={"images": 0})
    board.Reload()
    tags = board.Tags()
    return {t: len(board.Images(t)) for t in tags["images"]}, tags["scalars"]


def test_a_run_without_logger_needs_no_change_of_callbacks(tmp_path):
    fit(tmp_path, [LrMonitor("step"), Pictures(count=3, width=640)], epochs=1)
    assert len(list((tmp_path / "predictions").iterdir())) == 4


def test_a_rehearsal_writes_nothing(tmp_path):
    fit(tmp_path, [CsvLog(), Pictures(), Plots("run")], fast_dev_run=True)
    assert list(tmp_path.iterdir()) == []


# ---- progress ---------------------------------------------------------------------------


def test_without_a_terminal_there_is_one_line_per_epoch(tmp_path, capsys):
    fit(tmp_path, [Progress()], epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all(word in lines[0] for word in ("train loss", "val loss", "mIoU", "gone", "left"))
    assert lines[1].endswith("0 s left")


def test_in_a_terminal_a_bar_shows_loss_miou_and_time_left(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    fit(tmp_path, [Progress(refresh_rate=1)], epochs=2)
    last = capsys.readouterr().out.replace("\r", "\n").split("\n")
    bars = [line for line in last if "loss=" in line and "mIoU=" in line]
    assert bars
    assert all("left" in line for line in bars)
    assert any("100%" in line for line in bars)


def test_refresh_rate_0_is_silent(tmp_path, capsys):
    fit(tmp_path, [Progress(refresh_rate=0)], epochs=1)
    assert capsys.readouterr().out == ""
