"""prepare.sh from its command line: steps, errors, report and provenance, without network and packages."""

import json
import os
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import corpus.packages
import prepare
import pytest
from corpus.packages import Package
from recipe import steps

from fairseq_ringformer.errors import UserError
from fairseq_ringformer.text.prepared import recipe_normalisation

RECIPE = Path(prepare.__file__).parent


def sentences(seed, count):
    """German and English sentences, each pair of its own."""
    generator = random.Random(seed)
    subjects = [("Der Hund", "the dog"), ("Die Katze", "the cat"), ("Das Kind", "the child"), ("Ein Vogel", "a bird")]
    verbs = [("sieht", "sees"), ("hört", "hears"), ("findet", "finds"), ("sucht", "seeks"), ("zieht", "pulls")]
    objects = [("den Ball", "the ball"), ("das Haus", "the house"), ("die Uhr", "the clock"), ("Brot", "bread")]
    for number in range(count):
        parts = [generator.choice(choices) for choices in (subjects, verbs, objects)]
        german, english = (" ".join(part[side] for part in parts) for side in (0, 1))
        yield f"{german} am Tag {number}.", f"{english[0].upper()}{english[1:]} on day {number}."


def help_page(texts):
    paragraphs = "".join(f'<p id="p{number}">{text}</p>' for number, text in enumerate(texts))
    return f'<html><body><div id="DisplayArea">{paragraphs}</div></body></html>'.encode()


@pytest.fixture
def archive(monkeypatch):
    """Stands in for apt: packages with a few hundred sentences; returns their files, to be changed by a test."""
    ding = "\n".join(
        f"Wort{number} {{n}} | {german} :: word{number} | {english}"
        for number, (german, english) in enumerate(sentences(1, 150))
    )
    files = {"trans-de-en": {"usr/share/trans/de-en": ding.encode()}, "libreoffice-l10n-de": {}}
    for name, language, side in (("libreoffice-help-de", "de", 0), ("libreoffice-help-en-us", "en-US", 1)):
        files[name] = {
            f"usr/share/libreoffice/help/{language}/text/page{page}.html": help_page(
                [pair[side] for pair in sentences(100 + page, 4)]
            )
            for page in range(60)
        }

    def find(names):
        return {name: Package(name, "1.0-2", f"{name}_1.0-2_all.deb", 1, "ab" * 32) for name in names if name in files}

    monkeypatch.setattr(corpus.packages, "find", find)
    monkeypatch.setattr(corpus.packages, "download", lambda packages, cache: None)
    monkeypatch.setattr(corpus.packages, "read", lambda package, cache, wanted: (files[package.name], "Licence: test"))
    monkeypatch.setattr(prepare.shutil, "which", lambda program: f"/usr/bin/{program}")
    return files


@pytest.fixture
def no_fairseq(monkeypatch):
    """Leaves fairseq out: ``bin/`` gets one file."""
    monkeypatch.setattr(
        prepare, "binarise", lambda sub, folder, languages: (folder / "dict.de.txt").write_text("x 1\n")
    )


def run(tmp_path, *options):
    return prepare.main(["--output", str(tmp_path / "out"), "--vocab-size", "120", *options])


def test_report_provenance_and_recipe_are_written(tmp_path, archive, no_fairseq, capsys):
    assert run(tmp_path) == 0
    out = tmp_path / "out"
    report = json.loads((out / "report.json").read_text())
    ding = report["sources"]["ding"]
    assert ding["extracted"] == 150
    assert sum(ding["kept"].values()) + sum(ding["dropped"].values()) == 150
    for split in ("train", "valid", "test"):
        for language in ("de", "en"):
            lines = (out / "raw" / f"{split}.{language}").read_text(encoding="utf-8").splitlines()
            assert len(lines) == report["totals"][split] > 0
            assert len((out / "sub" / f"{split}.{language}").read_text(encoding="utf-8").splitlines()) == len(lines)
    provenance = (out / "PROVENANCE.md").read_text()
    assert f"| trans-de-en | 1.0-2 | 1 | `{'ab' * 32}` |" in provenance
    assert "Licence: GPL-2+" in provenance
    assert "with seed 1" in provenance
    assert "prepare.sh --output" in provenance
    assert (out / "licences" / "trans-de-en.copyright").read_text() == "Licence: test"
    recipe = json.loads((out / "recipe.json").read_text())
    assert (recipe["bpe"], recipe["tokenizer"]) == ("sentencepiece", None)
    assert (out / recipe["bpe_model"]).is_file()
    normalise = recipe_normalisation(str(out / "bin"))
    assert normalise("„A\u0308“ so…\u00a0ﬁn") == '"Ä" so... fin'
    for line in (out / "raw/train.de").read_text(encoding="utf-8").splitlines():
        assert normalise(line) == line
    printed = capsys.readouterr().out
    assert "libreoffice-help" in printed
    assert f"{report['totals']['train']:,}" in printed


def test_the_same_seed_gives_the_same_files_and_another_seed_another_split(tmp_path, archive, no_fairseq):
    def contents(name, seed):
        assert prepare.main(["--output", str(tmp_path / name), "--vocab-size", "120", "--seed", seed]) == 0
        files = sorted((tmp_path / name / "sub").glob("*.??"))
        return {file.name: file.read_bytes() for file in [*files, tmp_path / name / "sentencepiece.bpe.model"]}

    first = contents("one", "1")
    assert len(first) == 7
    assert contents("two", "1") == first
    assert contents("three", "2")["test.de"] != first["test.de"]


def test_finished_steps_are_skipped_and_changed_options_redo_what_depends_on_them(
    tmp_path, archive, no_fairseq, capsys
):
    def done(*options):
        assert run(tmp_path, *options) == 0
        lines = capsys.readouterr().out.splitlines()
        return {line.split(": ")[0] for line in lines if line.endswith(": done")}

    everything = done()
    assert len(everything) == 6
    assert done() == set()
    assert done("--vocab-size", "110") == {"sub-words in sub/", "fairseq data in bin/"}
    assert done("--vocab-size", "110", "--seed", "2") == {"text in raw/", "sub-words in sub/", "fairseq data in bin/"}
    assert done("--vocab-size", "110", "--seed", "2", "--force") == everything


def test_an_interrupted_step_is_done_again_and_the_finished_ones_are_not(tmp_path, archive, no_fairseq, monkeypatch):
    def stop_half_way(raw, folder, *rest):
        (folder / "train.de").write_text("half a li")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "segment", stop_half_way)
        assert run(tmp_path) == 130
    assert not (tmp_path / "out" / "sub").exists()
    before = (tmp_path / "out" / "raw" / "train.de").stat().st_mtime_ns
    assert run(tmp_path) == 0
    assert (tmp_path / "out" / "raw" / "train.de").stat().st_mtime_ns == before
    assert "half a li" not in (tmp_path / "out" / "sub" / "train.de").read_text()


def test_a_folder_of_somebody_elses_is_not_replaced(tmp_path, archive, no_fairseq, capsys):
    own = tmp_path / "out" / "bin" / "tool"
    own.parent.mkdir(parents=True)
    own.touch()
    assert run(tmp_path, "--force") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"prepare.sh: {own.parent} holds what prepare.sh has not made") and error.count("\n") == 1
    assert own.exists() and list((tmp_path / "out").iterdir()) == [own.parent]


def test_a_model_that_is_lost_or_of_other_text_is_mended(tmp_path, archive, no_fairseq):
    assert run(tmp_path) == 0
    model = tmp_path / "out" / "sentencepiece.bpe.model"
    content = model.read_bytes()
    for spoil in (model.unlink, lambda: model.write_bytes(b"of another vocabulary, interrupted")):
        spoil()
        assert run(tmp_path) == 0
        assert model.read_bytes() == content


def test_another_kind_of_subwords_replaces_the_model(tmp_path, archive, no_fairseq):
    assert run(tmp_path) == 0
    assert run(tmp_path, "--subwords", "subword-nmt") == 0
    out = tmp_path / "out"
    assert (out / "bpe.codes").is_file()
    assert not (out / "sentencepiece.bpe.model").exists()
    recipe = json.loads((out / "recipe.json").read_text())
    assert (recipe["bpe"], recipe["tokenizer"], recipe["bpe_model"]) == ("subword_nmt", "moses", "bpe.codes")


def test_a_missing_package_is_named(tmp_path, archive, no_fairseq, capsys):
    del archive["libreoffice-l10n-de"]
    assert run(tmp_path) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("prepare.sh: package libreoffice-l10n-de, needed for libreoffice-ui, is in no package list")
    assert "apt-get update" in error
    assert "\n" not in error


def test_optional_packages_are_left_out_with_a_warning(tmp_path, archive, capsys):
    from corpus.catalogue import Source
    from corpus.extract import extract
    from corpus.sources import ding

    source = Source("ding", "t", "l", ding.align, ding.WANTED, ("trans-de-en",), ("trans-more",))
    folder = tmp_path / "new"
    folder.mkdir()
    extract(source, tmp_path, folder)
    assert "warning: ding goes without trans-more" in capsys.readouterr().err
    assert json.loads((folder / "origin.json").read_text())["left out"] == ["trans-more"]


# The command itself


def shell(*options, **environment):
    return subprocess.run(
        ["/bin/bash", str(RECIPE / "prepare.sh"), *options],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_without_apt_get_the_error_says_what_to_use_instead(tmp_path):
    # Only what prepare.sh itself needs is on the path.
    for program in ("dirname", "python3"):
        (tmp_path / program).symlink_to(subprocess.check_output(["which", program], text=True).strip())
    result = shell("--output", str(tmp_path / "out"), PATH=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr.strip().startswith("prepare.sh: apt-get is not on this machine")
    assert "--source numbers" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_output_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    result = shell("--source", "numbers", "--output", str(tmp_path / "file" / "out"))
    assert result.returncode == 1
    assert result.stderr.startswith(f"prepare.sh: cannot write to {tmp_path}/file/out")
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--vocab-size", "0"], "0 is not a whole number of at least 1"),
        (["--source-lang", "fr"], "--source-lang is for --source numbers: leave it out"),
        (["--source", "numbers", "--set", "quick"], "--set is for --source debian: leave it out"),
    ],
)
def test_wrong_options_are_refused(options, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        prepare.main(options)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_empty_package_lists_are_one_line(tmp_path, monkeypatch, capsys):
    """apt-get and apt-cache that know of no package, as on a fresh machine."""
    for program in ("apt-get", "apt-cache", "dpkg-deb"):
        (tmp_path / program).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(tmp_path) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("prepare.sh: apt has no package lists: run 'apt-get update' as root")
    assert "--source numbers" in error


def test_a_failed_download_is_one_line_and_whole_packages_stay(tmp_path, monkeypatch):
    whole = Package("a", "1", "a_1_all.deb", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    lost = Package("b", "1", "b_1_all.deb", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    script = "#!/bin/sh\nprintf abc > a_1_all.deb\nprintf ab > b_1_all.deb\necho 'E: Failed to fetch b' >&2\nexit 100\n"
    (tmp_path / "apt-get").write_text(script)
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"could not download b \(Failed to fetch b\): check the network"):
        corpus.packages.download([whole, lost], tmp_path / "cache")
    assert (tmp_path / "cache" / "a_1_all.deb").read_text() == "abc"
    assert not (tmp_path / "cache" / "b_1_all.deb").exists()


def test_sources_that_download_at_a_time_leave_each_other_alone(tmp_path, monkeypatch):
    checksum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    slow, quick = (Package(name, "1", f"{name}_1_all.deb", 3, checksum) for name in ("slow", "quick"))
    started, go = tmp_path / "started", tmp_path / "go"
    (tmp_path / "apt-get").write_text(
        f"#!/bin/sh\nname=${{3%=1}}\n[ $name = quick ] || {{ : > {started}; until [ -e {go} ]; do :; done; }}\n"
        "printf abc > ${name}_1_all.deb\n"
    )
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(corpus.packages.download, [slow], tmp_path / "cache")
        while not (started.exists() or waiting.done()):
            time.sleep(0.01)
        try:
            corpus.packages.download([quick], tmp_path / "cache")
        finally:
            go.touch()
        waiting.result()
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [quick.file, slow.file]


def test_steps_never_show_half_a_folder(tmp_path):
    def fail(folder):
        (folder / "file").write_text("new")
        raise RuntimeError

    steps.make(tmp_path / "out", {"a": 1}, lambda folder: (folder / "file").write_text("old"))
    with pytest.raises(RuntimeError):
        steps.make(tmp_path / "out", {"a": 2}, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and (tmp_path / "out" / "file").read_text() == "old"
    assert steps.is_done(tmp_path / "out", {"a": 1})
    assert not steps.is_done(tmp_path / "out", {"a": 2})


def test_numbers_to_binary_data_from_any_folder(tmp_path):
    options = ["--source", "numbers", "--source-lang", "fr", "--target-lang", "pt_BR", "--output", "made"]
    result = subprocess.run(
        ["/bin/bash", RECIPE / "prepare.sh", *options, "--sizes", "1200", "20", "20", "--vocab-size", "120"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    made = tmp_path / "made"
    for split, count in (("train", 1200), ("valid", 20), ("test", 20)):
        assert len((made / "raw" / f"{split}.fr").read_text(encoding="utf-8").splitlines()) == count
        assert (made / "bin" / f"{split}.fr-pt_BR.pt_BR.idx").is_file()
    assert (made / "bin" / "dict.fr.txt").read_bytes() == (made / "bin" / "dict.pt_BR.txt").read_bytes()
    recipe = json.loads((made / "recipe.json").read_text())
    assert (recipe["source"], recipe["source_lang"], recipe["target_lang"]) == ("numbers", "fr", "pt_BR")
    assert "made by num2words" in (made / "PROVENANCE.md").read_text()
    assert "kinds left out for fr to pt_BR: year, price in EUR, price in USD, price in GBP, time\n" in result.stdout


@pytest.fixture
def own_text(tmp_path):
    """Two files of 600 lines, of which some are of no use, and most stand in documents of six lines."""
    lines = [
        (f"Satz {document} über {word}.", f"Sentence {document} about {word}.")
        for document in range(100)
        for word in ("Aal", "Bär", "Chor", "Dorf", "Esel")
    ]
    lines += [lines[0], ("", "Empty"), ("Leer", " ")] + [("Wort " * 201, "word")]
    for side, name in enumerate(("my.de", "my.text")):
        text = "".join(line[side] + "\r\n" for line in lines)
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    return tmp_path


def test_two_files_to_binary_data(own_text, capsys):
    made = own_text / "made"
    files = str(own_text / "my.de"), str(own_text / "my.text")
    command = ["--files", *files, "--target-lang", "en", "--vocab-size", "110", "--output", str(made)]
    assert prepare.main(command) == 0
    assert "dropped: empty 2, duplicate 1, too long 1" in capsys.readouterr().out
    sides = {
        (split, language): (made / "raw" / f"{split}.{language}").read_text(encoding="utf-8").splitlines()
        for split in ("train", "valid", "test")
        for language in ("de", "en")
    }
    assert {split: len(sides[split, "de"]) for split, _ in sides} == {"train": 400, "valid": 50, "test": 50}
    # Neighbours stay together, and pairs stay pairs.
    for split in ("valid", "test"):
        numbers = [line.split()[1] for line in sides[split, "de"]]
        assert numbers == [line.split()[1] for line in sides[split, "en"]] and len(set(numbers)) == 10
    recipe = json.loads((made / "recipe.json").read_text())
    assert (recipe["source"], recipe["source_lang"], recipe["target_lang"]) == ("files", "de", "en")
    assert (made / "bin" / "test.de-en.en.idx").is_file()
    assert prepare.main(command) == 0 and "text in raw/: was done already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "flags", "message"),
    [
        (("my.de", "no.en"), (), "no.en: No such file or directory"),
        (("my.de", "short.en"), (), "the files have unlike numbers of lines, 504 ("),
        (("short.de", "short.en"), (), "3 of 3 pairs of lines are of use, and 20 are the fewest to begin with"),
        (("my.de", "latin.en"), (), "latin.en is not in UTF-8"),
        (("my.de", "my.text"), ("--target-lang", "pt-BR"), "--target-lang is 'pt-BR': name a language by letters"),
        (("my.de", "other.de"), (), "both files are in de: name two languages"),
    ],
)
def test_files_that_are_no_pair_are_one_line(own_text, monkeypatch, capsys, files, flags, message):
    monkeypatch.chdir(own_text)
    for name in ("short.de", "short.en"):
        Path(name).write_text("eins\nzwei\ndrei\n")
    Path("latin.en").write_bytes(b"\xe4\n" * 504)
    Path("other.de").touch()
    assert prepare.main(["--files", *files, *flags, "--output", "made"]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not list(Path().glob("made/*"))


def test_a_language_that_is_not_known_is_one_line(tmp_path, capsys):
    command = ["--source", "numbers", "--target-lang", "xx", "--output", str(tmp_path / "out")]
    assert prepare.main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith("prepare.sh: --target-lang xx: num2words knows ar, ") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_wordpieces_are_learnt_or_taken(tmp_path, archive, no_fairseq, capsys):
    assert run(tmp_path, "--subwords", "wordpiece") == 0
    out = tmp_path / "out"
    recipe = json.loads((out / "recipe.json").read_text())
    assert {key: recipe[key] for key in ("subwords", "vocab_size", "bpe", "bpe_model", "tokenizer")} == {
        "subwords": "wordpiece",
        "vocab_size": 120,
        "bpe": "wordpiece",
        "bpe_model": "tokenizer.json",
        "tokenizer": None,
    }
    model = (out / "tokenizer.json").read_bytes()
    known = tmp_path / "known.json"
    known.write_bytes(model)
    command = ["--output", str(tmp_path / "other"), "--subwords", "wordpiece", "--wordpiece-model", str(known)]
    for _ in range(2):
        capsys.readouterr()
        assert prepare.main(command) == 0
    assert "sub-words in sub/: was done already" in capsys.readouterr().out
    assert (tmp_path / "other" / "tokenizer.json").read_bytes() == model
    assert json.loads((tmp_path / "other" / "recipe.json").read_text())["vocab_size"] == 120
    known.write_text(model.decode().replace('"lowercase": false', '"lowercase": true'))
    assert prepare.main(command) == 0
    assert "sub-words in sub/: done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--wordpiece-model", "x"], "--wordpiece-model needs --subwords wordpiece"),
        (
            ["--subwords", "wordpiece", "--wordpiece-model", "no.txt"],
            "--wordpiece-model: no.txt: no such file or folder",
        ),
        (
            ["--subwords", "wordpiece", "--wordpiece-model", "x", "--vocab-size", "9"],
            "--vocab-size is for a vocabulary",
        ),
    ],
)
def test_wordpiece_mistakes(tmp_path, archive, no_fairseq, capsys, flags, text):
    assert prepare.main(["--output", str(tmp_path / "out"), *flags]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"prepare.sh: {text}") and error.count("\n") == 1
    assert not (tmp_path / "out" / "raw").exists()
