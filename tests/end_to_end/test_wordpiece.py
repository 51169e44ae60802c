"""WordPieces from raw text to raw text: dictionary, training, and every way to translate."""

import json
import random

import fairseq_ringformer.models.wordpiece  # noqa: F401  registers it
from fairseq_ringformer.cli.main import main
from fairseq_ringformer.text.wordpieces import WordPieces

LINKS = (" ", ", ", " - ", "-", "/", " / ", ' "', '" ')
SIZE = 53


def write_corpus(folder):
    """Numbers with punctuation between them, the same in both languages."""
    rng = random.Random(1)
    for split, size in (("train", 200), ("valid", 6), ("test", 6)):
        lines = [[(rng.randrange(4), rng.choice(LINKS)) for _ in range(rng.randint(1, 4))] for _ in range(size)]
        for language, words in (("de", "eins zwei drei vier".split()), ("en", "one two three four".split())):
            texts = ("".join(words[number] + link for number, link in line).strip() for line in lines)
            (folder / f"{split}.{language}").write_text("".join(f"{text}.\n" for text in texts))


def test_from_text_to_text(fairseq, tmp_path, capsysbinary):
    raw, sub, data = tmp_path / "raw", tmp_path / "sub", tmp_path / "bin"
    raw.mkdir(), sub.mkdir()
    write_corpus(raw)
    pieces = WordPieces.train([raw / "train.de", raw / "train.en"], SIZE)
    pieces.save(tmp_path / "tokenizer.json")
    command = ("wordpiece", "--model", tmp_path / "tokenizer.json", "--dictionary", tmp_path / "dict.txt", "--encode")
    assert main([*map(str, command), *map(str, sorted(raw.iterdir())), "--output", str(sub)]) == 0
    flags = [f"--{split}pref={sub / split}" for split in ("train", "valid", "test")]
    flags += ["-s", "de", "-t", "en", "--workers", "1", "--srcdict", tmp_path / "dict.txt", "--joined-dictionary"]
    fairseq.call("preprocess", *flags, "--destdir", data)
    run = fairseq.train(data, "--max-update", "80", "--disable-validation", "--share-all-embeddings")
    assert run.weights()["encoder.embed_tokens.weight"].shape[0] == len(pieces) == SIZE

    text = (raw / "test.de").read_text().splitlines()
    bpe = ("--bpe", "wordpiece", "--wordpiece-model", tmp_path / "tokenizer.json", "--beam", "2", "--max-len-b", "20")
    common = (*fairseq.common, "--path", run.last)
    generated, _ = fairseq.call("generate", data, *common, *bpe)
    interactive, _ = fairseq.call("interactive", data, *common, *bpe, "--input", raw / "test.de")
    translations = detokenised(generated, pieces)
    assert len(set(translations)) > 1 and detokenised(interactive, pieces) == translations
    assert sources(generated) == text  # put together again
    assert sources(interactive) == [pieces.encode(line) for line in text]
    assert any(pieces.marker in pieces.encode(line).split() for line in text)

    recipe = {"source_lang": "de", "target_lang": "en", "bpe": "wordpiece", "bpe_model": "tokenizer.json", "bin": "bin"}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    model = ("--path", run.last, "--data", str(data))
    by_name = ("--bpe", "wordpiece", "--wordpiece-model", str(tmp_path))  # a folder is a name too
    for folder, own in (("one", ()), ("two", by_name)):
        assert main(["export", *model, *own, "--to", "ctranslate2", "--output", str(tmp_path / folder)]) == 0
        assert WordPieces.load(tmp_path / folder).to_json() == pieces.to_json()
    outputs = []
    for engine in (model, (*model, *by_name), ("--model", str(tmp_path / "one")), ("--model", str(tmp_path / "two"))):
        capsysbinary.readouterr()
        assert main(["translate", *engine, "--beam", "2", *text]) == 0
        outputs.append(capsysbinary.readouterr().out.decode().splitlines())
    assert outputs[0] == outputs[1] and outputs[2] == outputs[3] and len(outputs[2]) == len(text)


def fields(output, kind):
    """What fairseq printed after the number of a line of this kind, in the order of the sentences."""
    lines = (line.split("\t") for line in output.splitlines() if line.startswith(kind + "-"))
    return [rest for _, rest in sorted((int(name[2:]), rest) for name, *rest in lines)]


def sources(output):
    return [text for (text,) in fields(output, "S")]


def detokenised(output, pieces):
    """The natural text of fairseq's hypotheses, which is that of their pieces."""
    natural = [text for _, text in fields(output, "D")]
    assert natural == [pieces.decode(text) for _, text in fields(output, "H")]
    assert not any("##" in text or str(pieces.marker) in text for text in natural)
    return natural
