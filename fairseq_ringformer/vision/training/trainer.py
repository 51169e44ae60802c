"""Training a classifier: the loop over updates, evaluations and checkpoints."""

import dataclasses
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy
import timm
import torch
import yaml
from accelerate.utils import broadcast_object_list, gather_object
from timm.utils import ModelEmaV3

from ... import __version__
from ...errors import UserError
from ...files import write_checkpoint, write_text
from ..checkpoint import build_model, check_outputs
from ..data import no_images
from . import run
from .distillation import Teacher
from .evaluation import Scores, evaluate
from .exits import Exits
from .loading import TrainingBatches, evaluation_batches
from .log import Log, require_tensorboard
from .options import Options, as_plain
from .preparation import (
    INITIAL,
    Dataset,
    Loss,
    compile_by_trial,
    learning_rate,
    load_initial,
    make_optimizer,
    make_schedule,
    model_arguments,
    model_input,
    open_both,
    refuse_damaged,
    set_transforms,
)
from .runtime import machine, make_accelerator, seed_all
from .survey import becoming, losses, survey


class Trainer:
    """A training, begun or gone on with: ``Trainer(options).train()``.

    Making one does every check that needs no training; nothing of an earlier run in DIR is touched before.

    Raises:
        UserError: in one line, for whatever cannot work.
    """

    def __init__(self, options: Options):
        options.check()
        require_tensorboard()
        self.options = options
        self.accelerator = make_accelerator(options)
        self.main = self.accelerator.is_main_process
        self.folder = run.output_folder(options)
        state = self._last_state()

        train, self.valid = open_both(options)
        self.classes = list(train.classes)
        seed_all(options.seed)
        self._make_model(begun=state is not None)
        set_transforms(train, self.valid, self.input, options)
        self.seen = survey(train)
        self.notes = losses(self.seen, self.input) + no_images(train.others) + no_images(self.valid.others)
        data = [run.fingerprint(train, "training"), run.fingerprint(self.valid, "validation")]
        teacher = None
        if options.teacher:
            teacher = Teacher(options, self.classes, self.model.num_classes, self.input, self.accelerator)
            self.notes.append(teacher.about)
            data.append(teacher.fingerprint)
        self.data = "; ".join(data)
        self.batches = TrainingBatches(
            train, options.batch_size, options.grad_accum, options.workers, options.seed, self.accelerator
        )
        self.total = options.max_update or options.epochs * self.batches.updates
        optimizer = make_optimizer(self.model, options)
        # Not prepared by accelerate, which would step it once per process.
        self.schedule = make_schedule(optimizer, options, self.total)
        self.loss = Loss(options, self.model.num_classes, teacher)
        if state is not None:
            run.check_continues(self.folder, state, self.model, options.model, options, self.data, self.batches)
        elif options.init_from:
            run.check_outside("--init-from", options.init_from, options.output)
            load_initial(self.model, options.init_from)
        if options.damaged == "refuse" and state is None:
            self._refuse_damaged(train)
        self._place(optimizer)
        self.progress = run.Progress()
        if state is not None:
            self._restore(state)
        else:
            self._begin()

    def _last_state(self) -> Any:
        """What the run has saved before, if it is to be gone on with."""
        self.accelerator.wait_for_everyone()
        exists = os.path.exists(os.path.join(self.folder, run.LAST))
        if self.accelerator.num_processes > 1 and len(set(gather_object([exists]))) > 1:
            raise UserError(f"not every process sees {self.folder}/{run.LAST}: put --output on a shared file system")
        if self.options.restart:
            return None
        if self.options.resume and not exists:
            raise UserError(f"--resume: there is no {os.path.join(self.folder, run.LAST)} to go on from")
        state = run.read_last(self.folder)
        if state is None:
            run.check_free(self.folder)
        return state

    def _make_model(self, begun: bool) -> None:
        options = self.options
        outputs = options.num_classes or len(self.classes)
        if outputs < len(self.classes):
            raise UserError(f"--num-classes {outputs}: the data has {len(self.classes)} classes")
        arguments = model_arguments(options, outputs)
        self.arguments = {name: value for name, value in arguments.items() if name not in INITIAL}
        self.model = build_model(options.model, self.arguments if begun else arguments)
        self.input = model_input(self.model, options)
        check_outputs("the model", self.model.eval(), torch.zeros(1, *self.input.size), outputs)
        self.model.train()
        self.trained = Exits(self.model, options, self.input) if options.exit_weight else self.model
        self.parameters = sum(weight.numel() for weight in self.model.parameters())
        if options.checkpoint_activations:
            try:
                self.model.set_grad_checkpointing(True)
            except (AttributeError, AssertionError):  # timm's convolutional models assert that nobody asks for it
                raise UserError(f"--checkpoint-activations: {options.model} does not have it") from None

    def _refuse_damaged(self, train: Any) -> None:
        """Look through the images in one process; all end if any is damaged."""
        problem: list[Any] = [None]
        if self.main:
            try:
                refuse_damaged(train, self.valid, self.options.workers, progress=True)
            except UserError as error:
                problem = [str(error)]
        if broadcast_object_list(problem)[0]:
            raise UserError(problem[0])

    def _place(self, optimizer: torch.optim.Optimizer) -> None:
        """Put everything on the device, for all processes."""
        device = self.accelerator.device
        self.model.to(device)
        # Before accelerate wraps the model's forward pass: a copy would run the original's.
        self.ema = ModelEmaV3(self.model, decay=self.options.ema) if self.options.ema else None
        if self.options.compile:
            compile_by_trial(self.trained, self.input, self.options.batch_size, self.accelerator)
        self.wrapped, self.optimizer = self.accelerator.prepare(self.trained, optimizer)
        self.plain_optimizer = optimizer

    def _begin(self) -> None:
        if self.main:
            run.clear(self.folder)
            text = yaml.safe_dump(as_plain(self.options), sort_keys=False)
            write_text(os.path.join(self.folder, run.OPTIONS), text)
        self.accelerator.wait_for_everyone()

    def _restore(self, state: dict[str, Any]) -> None:
        training = state["training"]
        self.model.load_state_dict(state["state_dict"])
        self.plain_optimizer.load_state_dict(training["optimizer"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["state_dict_ema"])
        if self.accelerator.scaler is not None and training["scaler"]:
            self.accelerator.scaler.load_state_dict(training["scaler"])
        self.progress = run.Progress(**training["progress"])
        if self.progress.best and not os.path.exists(os.path.join(self.folder, run.BEST)):
            raise UserError(
                f"{self.folder} has a {run.LAST}, which tells of a {run.BEST}, but not that: put it back, or begin anew "
                "with --restart"
            )

    def train(self) -> dict[str, Any]:
        """Train to the end, and return what is in DIR/result.json.

        Raises:
            UserError: if the loss is no longer a number, or too many images are damaged.
        """
        self.log = Log(self.folder, self.total, self.progress.update, self.main)
        for line in (self.describe(), *self.notes):
            self.log.note(line)
        self.interval = run.Interval()
        try:
            while self.progress.update < self.total:
                self._epoch()
            if self.progress.latest.get("update") != self.progress.update:
                self._evaluate()  # it ended before within an epoch, where there is only a checkpoint
        finally:
            self.log.close()
        result = self.result()
        if self.main:
            text = json.dumps(result, indent=2, ensure_ascii=False)
            write_text(os.path.join(self.folder, run.RESULT), text + "\n")
        return result

    def describe(self) -> str:
        """The training in a line."""
        options, processes, update = self.options, self.accelerator.num_processes, self.progress.update
        begun = f", goes on after update {update:,}" if update else ""
        begun = ", all done before" if update >= self.total else begun
        return (
            f"{options.model}: {self.parameters:,} parameters, {becoming(self.seen, self.input)}, "
            f"{len(self.classes)} classes, batch "
            f"{self.batches.effective} ({options.batch_size} x {processes} process{'es' if processes > 1 else ''} x "
            f"{options.grad_accum} step{'s' if options.grad_accum > 1 else ''}), {self.total:,} updates{begun}"
        )

    def _epoch(self) -> None:
        """The rest of the epoch under way, to its evaluation."""
        progress, options = self.progress, self.options
        self.wrapped.train()
        last = min(self.batches.updates, progress.position + self.total - progress.update)
        before = progress.update
        for step, batch in self.batches.epoch(progress.epoch, progress.position, last):
            if not self._step(step, batch):
                continue
            progress.update += 1
            progress.position += 1
            self.log.advance()
            if progress.update % options.log_interval == 0:
                self._end_interval()
            if progress.update % options.save_interval == 0 and progress.position < last:
                self._end_interval()
                self._check_weights()
                self._save()
        if progress.update == before and not progress.position:
            raise UserError("the data gave no whole batch in an epoch")
        self._end_interval()
        self._evaluate()
        self.interval = run.Interval()

    def _step(self, step: int, batch: Any) -> bool:
        """One forward and backward pass; whether it ended with an update of the weights."""
        images, targets, damaged = batch
        # All random choices come from here, so that a resumed training makes the same ones.
        seed_all(self.options.seed, self.progress.epoch, step, self.accelerator.process_index)
        with self.accelerator.accumulate(self.wrapped):
            loss, logits = self.loss(self.wrapped, images, targets)
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients:
                if self.options.clip_grad:
                    self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.options.clip_grad)
                # Only now: the learning rate is that of this update, also of the first after a checkpoint.
                self.schedule.step_update(self.progress.update)
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.interval.add(loss.detach(), logits.detach(), targets, damaged)
        if not self.accelerator.sync_gradients:
            return False
        if self.ema is not None:
            self.ema.update(self.model, step=self.progress.update + 1)
        return True

    def _end_interval(self) -> None:
        """Put together what the processes have done since the last interval."""
        interval = self.interval
        if not interval.losses:
            return
        accelerator, progress, steps = self.accelerator, self.progress, self.options.grad_accum
        losses = accelerator.reduce(torch.stack(interval.losses).double(), "mean").view(-1, steps).mean(1).tolist()
        for number, loss in enumerate(losses, progress.update - len(losses) + 1):
            if not numpy.isfinite(loss):
                raise UserError(
                    f"the loss is {loss} at update {number}: lower --lr, or raise --warmup-updates; "
                    f"{self.folder}/{run.LAST} is from before, if there is one"
                )
        correct = int(accelerator.reduce(torch.stack(interval.hits).sum(), "sum"))
        images = interval.images * accelerator.num_processes
        seconds = time.monotonic() - interval.begun
        mean = sum(losses) / len(losses)
        progress.loss_sum += mean * images
        progress.correct += correct
        progress.counted += images
        progress.seconds += seconds
        progress.speeds.append(images / seconds)
        damaged = [index for index in torch.cat(interval.damaged).tolist() if index >= 0]
        if accelerator.num_processes > 1:
            damaged = gather_object(damaged)
        progress.damaged += len(damaged)
        self._name_damaged(self.batches.images, damaged)
        self.log.interval(progress.epoch + 1, progress.update, mean, learning_rate(self.optimizer), images / seconds)
        self.interval = run.Interval()

    def _name_damaged(self, images: Dataset, damaged: Sequence[int]) -> None:
        """Name the damaged images that are not yet in DIR/damaged.txt, by their indices."""
        new = sorted(set(images.damaged_names(damaged)) - set(self.progress.names))
        self.progress.names += new
        if new and self.main:
            for name in new:
                self.log.note(f"damaged image: {name}")
            write_text(os.path.join(self.folder, "damaged.txt"), "\n".join(self.progress.names) + "\n")

    def _evaluate(self) -> None:
        """The end of an epoch: evaluate, log, save."""
        progress = self.progress
        row = {
            "epoch": progress.epoch + 1,
            "update": progress.update,
            "lr": learning_rate(self.optimizer),
            "train_loss": progress.loss_sum / progress.counted,
            "images_per_second": statistics.median(progress.speeds),
            "damaged": progress.damaged,
        }
        if self.loss.mix is None:
            row["train_top1"] = 100 * progress.correct / progress.counted
        models = {"valid": self.model} if self.ema is None else {"valid": self.model, "ema": self.ema.module}
        for kind, model in models.items():
            if self.accelerator.num_processes > 1:
                # Batch norms have seen other images in each process. The first one's are saved.
                timm.utils.distribute_bn(model, self.accelerator.num_processes)
            scores = self._scores(model)
            row.update({f"{kind}_loss": scores.loss, f"{kind}_top1": scores.top1})
            if scores.top5 is not None:
                row[f"{kind}_top5"] = scores.top5
        row["seconds"] = progress.seconds
        metric = scores.top1
        # With --max-update the last epoch may not be whole: with a higher one it goes on where it is.
        whole = progress.position >= self.batches.updates or progress.update < self.total
        progress.latest = {
            "epoch": row["epoch"],
            "update": progress.update,
            "damaged": progress.damaged,
            "top1": metric,
        }
        if scores.top5 is not None:
            progress.latest["top5"] = scores.top5
        better = not progress.best or metric > progress.best["top1"]
        if better:
            progress.best = progress.latest
        if whole:
            progress.end_epoch()
        self._check_weights()
        # Before last.pt: a row that is newer goes when the training goes on, one that is missing would stay so.
        self.log.epoch(row)
        self._save(metric, better)

    def _scores(self, model: torch.nn.Module) -> Scores:
        batches = evaluation_batches(self.valid, self.options.batch_size, self.options.workers, self.accelerator)
        scores = evaluate(model, batches, self.model.num_classes, self.accelerator)
        if not numpy.isfinite(scores.loss):
            raise UserError(f"the validation loss is {scores.loss} after update {self.progress.update}: lower --lr")
        self._name_damaged(self.valid, scores.damaged)
        return scores

    def _check_weights(self) -> None:
        if not all(bool(weight.isfinite().all()) for weight in self.model.state_dict().values()):
            raise UserError(
                f"the weights are no longer numbers at update {self.progress.update}: lower --lr; "
                f"{self.folder}/{run.LAST} is from before, if there is one"
            )

    def _save(self, metric: float = float("nan"), best: bool = False) -> None:
        """Write last.pt, and before it best.pt, that last.pt tells of."""
        if not self.main:
            return
        state = {
            "arch": self.options.model,
            "model_args": self.arguments,
            "num_classes": self.model.num_classes,
            "classes": self.classes,
            "input": {**vars(self.input)},
            "epoch": self.progress.epoch,
            "update": self.progress.update,
            "metric": metric,
            "options": as_plain(self.options),
            "state_dict": self.model.state_dict(),
        }
        if self.ema is not None:
            state["state_dict_ema"] = self.ema.module.state_dict()
        if best:
            write_checkpoint(state, os.path.join(self.folder, run.BEST))
        scaler = self.accelerator.scaler
        state["training"] = {
            "optimizer": self.plain_optimizer.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "progress": dataclasses.asdict(self.progress),
            "effective_batch": self.batches.effective,
            "layout": self.batches.layout,
            "data": self.data,
        }
        write_checkpoint(state, os.path.join(self.folder, run.LAST))

    def result(self) -> dict[str, Any]:
        """What the training has come to."""
        progress = self.progress
        return {
            "model": self.options.model,
            "parameters": self.parameters,
            "classes": len(self.classes),
            **{name: progress.best[name] for name in ("top1", "top5") if name in progress.best},
            "best_epoch": progress.best["epoch"],
            **{f"last_{name}": progress.latest[name] for name in ("top1", "top5") if name in progress.latest},
            "epochs": progress.epoch,
            "updates": progress.update,
            "effective_batch": self.batches.effective,
            "seed": self.options.seed,
            "training_seconds": round(progress.seconds, 1),
            "images_per_second": round(statistics.median(progress.speeds), 1),
            # Different ones; of a stream, those of the last epoch.
            "damaged": len(progress.names) or progress.latest["damaged"],
            "versions": {
                "fairseq_ringformer": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "timm": timm.__version__,
            },
            "machine": machine(self.accelerator),
        }
