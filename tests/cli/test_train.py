"""ringformer train: what is wrong is said before fairseq starts, and what is right trains as by fairseq-train."""

import os
import subprocess
import sys

import pytest
import torch

from tests.cli.conftest import TINY
from tests.cli.dictionaries import turn

FLAGS = [*TINY, "--arch", "ringformer_tiny", "--encoder-embed-dim", "32", "--share-all-embeddings"]
FLAGS += "--optimizer adam --lr 0.005 --max-tokens 400 --num-workers 0 --data-buffer-size 0 --log-format none --max-update 2".split()


@pytest.fixture
def train(toy, tmp_path):
    """The arguments of a short training; later flags win."""
    return lambda *flags: ("train", toy.data, *FLAGS, "--cpu", "--save-dir", tmp_path / "run", *flags)


def weights(path):
    return torch.load(path, weights_only=True)["model"]


def test_it_trains_as_fairseq_train(train, tmp_path):
    ours = ["fairseq_ringformer.cli.main", *train()]
    theirs = ["fairseq_cli.train", *train("--save-dir", tmp_path / "fairseq", "--user-dir", "fairseq_ringformer")[1:]]
    for command in (ours, theirs):  # each in a process of its own: the last bit may depend on what ran before
        subprocess.run([sys.executable, "-m", *map(str, command)], check=True, stdout=subprocess.DEVNULL)
    found, expected = (weights(tmp_path / name / "checkpoint_last.pt") for name in ("run", "fairseq"))
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_update_freq(toy, ringformer, train, tmp_path):
    assert ringformer(*train("--update-freq", "2", "--save-dir", tmp_path / "one"))[0] == 0
    words = [str(word) for word in train("--processes", "2", "--save-dir", tmp_path / "two")]
    command = [sys.executable, "-m", "fairseq_ringformer.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (weights(tmp_path / name / "checkpoint_last.pt") for name in ("one", "two"))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--arch", "ringformer_tiney"], "invalid choice: 'ringformer_tiney' (did you mean ringformer_tiny, "),
        (["--signal-rnak", "2"], "unrecognized arguments: --signal-rnak 2"),
        (["--lr", "2e-3x"], "a flag of fairseq-train has a value that it cannot read: "),
        (["--adam-betas", "0.9", "0.98"], "unrecognized arguments: 0.98"),
        (["--signal-rank", "99"], "encoder: signal rank 99 must lie between 1 and the embedding width, 32"),
        (["--encoder-embed-path", "none.vec"], "none.vec: No such file or directory"),
        (["--seed", "-5"], "--seed -5 must lie between 0 and 4294967295"),
        (
            ["--max-tokens", "1"],
            "sentences of train are too long for a batch or the model: raise --max-tokens, --max-s",
        ),
        (["--max-source-positions", "8"], "tokens, the model 8 positions: raise --max-source-positions, or leave such"),
        (["--max-tokens-valid", "2"], "--max-tokens-valid 2 is less than the longest sentence of valid has ("),
        (["--valid-subset", "dev"], "Dataset not found: dev"),
        (["--fp16"], "--fp16 needs a GPU, this training is on the processor: use --autocast bf16 or leave it out"),
        (["--memory-efficient-fp16"], "--memory-efficient-fp16 needs a GPU"),
        (["--amp"], "--amp needs a GPU"),
        (["--exit-level", "1"], "--exit-level is for inference: to train fewer levels, set --decoder-layers"),
        (["--bf16"], "--bf16 needs a GPU"),
        (["--distributed-world-size", "2"], "for processes on CPUs use ringformer train --processes"),
        (["--best-checkpoint-metric", "bleu"], "--best-checkpoint-metric bleu needs --eval-bleu"),
        (["--best-checkpoint-metric", "accuracy"], "--best-checkpoint-metric accuracy needs --report-accuracy"),
        (["--lr-scheduler", "cosine", "--max-update", "0"], "--lr-scheduler cosine needs --max-update"),
        (["--criterion", "label_smoothed_cross_entropy_with_alignment"], "needs --load-alignments: without it nothing"),
        (["--load-alignments"], "--load-alignments: the data have none of train (fairseq-preprocess --align-suffix)"),
        (["--processes", "2", "--ddp-backend=legacy_ddp"], "--ddp-backend is set by --processes: leave it out"),
        (["--restore-file", "none.pt"], "none.pt: no such checkpoint"),
        (["--source-lang", "nl", "--target-lang", "en"], "dict.nl.txt: No such file or directory"),
        (["--save-dir", os.fsdecode(b"\xff")], "'\\udcff' is not UTF-8, as fairseq needs it"),
    ],
)
def test_mistakes(toy, refused, train, tmp_path, flags, text):
    assert text in refused(*train(*flags))
    assert not list(tmp_path.iterdir())


def test_a_language_model_needs_its_task(toy, refused):
    assert "is a language model: add --task language_modeling" in refused(
        "train", toy.data, "--arch", "ringformer_lm_tiny"
    )


def test_a_few_sentences_that_are_too_long_are_left_out(ringformer, train, tmp_path):
    for flags in (
        ("--max-source-positions", "8", "--skip-invalid-size-inputs-valid-test"),
        ("--max-tokens-valid", "400"),
    ):
        folder = tmp_path / flags[0]
        status, _, err = ringformer(
            *train("--max-tokens", "9", "--required-batch-size-multiple", "1", "--save-dir", folder, *flags)
        )
        assert status == 0, err
        assert (folder / "checkpoint_last.pt").exists()


@pytest.mark.parametrize("data", ["nowhere", "a:b"])
def test_data_that_fairseq_cannot_read(refused, train, tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    text = "nowhere: no such data folder: fairseq-preprocess writes one"
    if data != "nowhere":
        os.mkdir(data)
        text = "a:b: fairseq takes a name with a colon for a list of folders: rename it, or name a link"
    arguments = train()
    assert text in refused(arguments[0], data, *arguments[2:])


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--encoder-layers", "3"], "the checkpoint is of another architecture than this RingFormerModel: it lacks "),
        (["--store-ema"], "was trained without --store-ema, and fairseq cannot begin an average in the middle"),
        (
            ["--criterion", "label_smoothed_cross_entropy"],
            "was trained with the criterion CrossEntropyCriterion, not LabelSmoothedCrossEntropyCriterion: add "
            "--reset-optimizer",
        ),
        (["--optimizer", "sgd"], "was trained with the optimizer adam, not sgd: add --reset-optimizer"),
        (
            ["--lr-scheduler", "inverse_sqrt", "--warmup-updates", "1"],
            "was trained with the learning-rate scheduler fixed, not inverse_sqrt: add --reset-optimizer",
        ),
    ],
)
def test_a_training_that_cannot_go_on(toy, ringformer, refused, train, tmp_path, flags, text):
    assert ringformer(*train("--max-update", "1"))[0] == 0
    last = tmp_path / "run" / "checkpoint_last.pt"
    before = last.read_bytes()
    assert f"{last}: {text}" in refused(*train(*flags))
    if "--criterion" in flags:
        assert ringformer(*train(*flags, "--reset-optimizer"))[0] == 0
    else:
        assert last.read_bytes() == before


def test_other_dictionaries_of_the_same_size(toy, ringformer, refused, train, tmp_path):
    assert ringformer(*train("--max-update", "1"))[0] == 0
    turned = turn(toy.data, tmp_path / "turned")
    arguments = train()
    message = refused(arguments[0], turned, *arguments[2:])
    last = tmp_path / "run" / "checkpoint_last.pt"
    assert f"the data folder {turned} has other dictionaries than {last} was trained with: on the source" in message


def test_checkpoints_of_others(toy, refused, train, tmp_path):
    classifier, other = tmp_path / "classifier.pt", tmp_path / "other.pt"
    torch.save({"state_dict": {}, "arch": "vit_ring_tiny_patch4_28"}, classifier)
    torch.save({"weights": torch.ones(1)}, other)
    for flag in ("--restore-file", "--finetune-from-model"):
        assert f"{classifier}: an image classifier's checkpoint" in refused(*train(flag, classifier))
        assert f"{other}: a readable file, but no fairseq checkpoint" in refused(*train(flag, other))


def test_a_training_that_diverges_is_said_in_a_line(ringformer, train):
    status, _, err = ringformer(*train("--lr", "1e38", "--max-update", "20"))
    assert status == 2 and err.startswith("ringformer train: the gradients are not finite numbers any more: lower --lr")
    assert err.count("\n") == 1


def test_a_full_gpu_is_said_in_a_line(toy, ringformer, train, monkeypatch):
    def full():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore")

    monkeypatch.setattr("fairseq_cli.train.cli_main", full)
    status, _, err = ringformer(*train())
    assert (status, err) == (
        2,
        "ringformer train: out of GPU memory: lower --max-tokens and raise --update-freq by as much\n",
    )


def test_fairseqs_bf16_is_refused_beside_a_gpu(toy, refused, monkeypatch, tmp_path):
    """Its command line takes the flag for a TPU's."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    words = ("train", toy.data, *FLAGS, "--save-dir", tmp_path / "run", "--bf16")
    assert "--bf16: fairseq looks for a TPU then, even beside a GPU: use --autocast bf16 or --fp16" in refused(*words)
