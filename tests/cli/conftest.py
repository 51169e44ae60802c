"""A toy language pair and tiny models of it, trained once for all tests of the commands."""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

GERMAN = "null eins zwei drei vier fünf sechs sieben acht neun".split()
ENGLISH = "zero one two three four five six seven eight nine".split()
TINY = (
    "--encoder-ffn-embed-dim 64 --encoder-layers 2 --decoder-layers 2 --encoder-attention-heads 2 "
    "--decoder-attention-heads 2 --dropout 0 --activation-dropout 0"
).split()


@dataclass
class Toy:
    """Where the toy's files lie.

    Attributes:
        data: binary data, with recipe.json and the sub-word model beside it.
        run: checkpoints of a run, with EMA.
        other: checkpoints of a run of another width, with EMA in fp32.
        ema: the trainer's EMA weights at the end of `run` and of `other`.
    """

    root: Path
    data: Path
    run: Path
    other: Path
    ema: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)


def sentence(numbers) -> tuple:
    """A German and an English sentence of the toy language."""
    return " ".join(GERMAN[n] for n in numbers) + ".", " ".join(ENGLISH[n] for n in numbers) + "."


def _write_corpus(root: Path) -> None:
    import sentencepiece

    rng = random.Random(1)
    for split, size in (("train", 200), ("valid", 10)):
        pairs = [sentence(rng.choices(range(10), k=rng.randint(1, 6))) for _ in range(size)]
        for language, side in zip(("de", "en"), zip(*pairs)):
            (root / f"{split}.{language}").write_text("\n".join(side) + "\n", encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=f"{root}/train.de,{root}/train.en",
        model_prefix=str(root / "toy"),
        model_type="bpe",
        vocab_size=70,
        num_threads=1,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(root / "toy.model"))
    for path in root.glob("*.??"):
        lines = path.read_text(encoding="utf-8").splitlines()
        cut = "".join(" ".join(model.encode(line, out_type=str)) + "\n" for line in lines)
        path.with_name(f"{path.stem}.sub{path.suffix}").write_text(cut, encoding="utf-8")
    recipe = {"source_lang": "de", "target_lang": "en", "bpe": "sentencepiece", "bpe_model": "toy.model"}
    (root / "recipe.json").write_text(json.dumps({**recipe, "tokenizer": None, "bin": "bin"}))


def _train(toy: Toy, folder: Path, *flags: str) -> None:
    from fairseq import checkpoint_utils, options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.trainer import Trainer
    from fairseq_cli import train

    save = Trainer.save_checkpoint

    def save_and_remember(trainer, filename, extra_state):
        toy.ema[folder.name] = {key: value.clone() for key, value in trainer.ema.get_model().state_dict().items()}
        return save(trainer, filename, extra_state)

    arguments = [str(toy.data), "--save-dir", str(folder), "--arch", "ringformer_tiny", *TINY, *flags]
    arguments += (
        "--cpu --seed 1 --optimizer adam --lr 0.005 --max-tokens 400 --max-source-positions 24 --share-all-embeddings "
        "--store-ema --ema-decay 0.9 --log-format none --num-workers 0"
    ).split()
    # fairseq keeps the best score in a function attribute, across the runs of a process.
    vars(checkpoint_utils.save_checkpoint).pop("best", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "save_checkpoint", save_and_remember)
        args = options.parse_args_and_arch(options.get_training_parser(), input_args=arguments)
        train.main(convert_namespace_to_omegaconf(args))


@pytest.fixture
def ringformer(capsysbinary):
    """Run the command in this process; its exit status, standard output and standard error."""
    from fairseq_ringformer.cli.main import main

    def run(*arguments) -> tuple:
        capsysbinary.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsysbinary.readouterr()
        return status, captured.out.decode(), captured.err.decode()

    return run


@pytest.fixture
def refused(ringformer):
    """Run the command and return its one line on standard error; it must fail with status 2 and print nothing else."""

    def run(*arguments) -> str:
        status, out, err = ringformer(*arguments)
        assert (status, out) == (2, "")
        assert err.startswith(f"ringformer {arguments[0]}: ") and err.count("\n") == 1
        return err

    return run


@pytest.fixture
def inspected(ringformer):
    """Run a command that writes pictures and figures to OUTPUT.png, .svg and .json; the figures, and what it printed."""
    from PIL import Image

    def run(command, output, *arguments) -> tuple:
        status, out, err = ringformer(command, *arguments, "--output", output, "--device", "cpu")
        assert (status, err) == (0, "")
        assert output.with_name(output.name + ".svg").stat().st_size > 5000
        with Image.open(output.with_name(output.name + ".png")) as image:
            assert min(image.size) > 200
        return json.loads(output.with_name(output.name + ".json").read_text()), out

    return run


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Toy:
    from fairseq import options
    from fairseq_cli import preprocess

    import fairseq_ringformer.models  # noqa: F401  registers them

    root = tmp_path_factory.mktemp("toy")
    toy = Toy(root, data=root / "bin", run=root / "run", other=root / "other")
    _write_corpus(root)
    arguments = ["-s", "de", "-t", "en", "--joined-dictionary", "--workers", "1", "--destdir", str(toy.data)]
    arguments += ["--trainpref", str(root / "train.sub"), "--validpref", str(root / "valid.sub")]
    preprocess.main(options.get_preprocessing_parser().parse_args(arguments))
    saved = "--save-interval-updates 40 --save-interval 10 --validate-interval 10 --keep-best-checkpoints 3".split()
    _train(toy, toy.run, "--encoder-embed-dim", "32", "--max-epoch", "30", *saved)
    _train(toy, toy.other, "--encoder-embed-dim", "16", "--max-update", "2", "--ema-fp32", "--no-epoch-checkpoints")
    return toy


@pytest.fixture(scope="session")
def exported(toy) -> Path:
    """The folder of the toy's model for CTranslate2, in fp32."""
    from fairseq_ringformer.cli.main import main

    folder = toy.root / "exported"
    source = ["--path", str(toy.run / "checkpoint_last.pt"), "--data", str(toy.data)]
    assert main(["export", *source, "--to", "ctranslate2", "--output", str(folder)]) == 0
    return folder
