import os
from dataclasses import replace

import pytest

from fairseq_ringformer.analysis.benchmark.translation.candidates import choose
from fairseq_ringformer.analysis.benchmark.translation.ctranslate2 import (
    CTranslate2Generation,
    check_ctranslate2,
    export_to_ctranslate2,
)
from fairseq_ringformer.analysis.benchmark.translation.workload import forced_length
from fairseq_ringformer.export.runtime import layout


@pytest.mark.parametrize("beam, batch_size", ((3, 8), (1, 8), (3, 1)))
def test_outputs_have_the_forced_length_that_fairseqs_have(candidates, task, samples, beam, batch_size):
    """Queued batches, and one after another."""
    candidate = replace(candidates[1], quantization="int8")
    engine = CTranslate2Generation(candidate, beam, batch_size, "cpu", 2, None)
    assert engine.run(samples) == [(forced_length(sample) + 1,) * 8 for sample in samples]
    assert engine.queued == (batch_size > 1) and engine.layout == layout(2, None, 0, not engine.queued)


def test_the_number_of_translators_can_be_set(candidates, task):
    candidate = replace(candidates[1], quantization="float32")
    assert CTranslate2Generation(candidate, 1, 8, "cpu", 6, 3).layout == (3, 2)


def test_quantised_weights_are_smaller(candidates, task, tmp_path):
    full, small = (
        export_to_ctranslate2(replace(candidates[1], quantization=kind), str(tmp_path / kind))
        for kind in ("float32", "int8")
    )
    assert small < 0.6 * full and os.listdir(tmp_path / "int8")


def test_what_ctranslate2_cannot_run_is_refused_in_words(candidates, task):
    with pytest.raises(ValueError, match="CTranslate2 has no int3 on this cpu: it has .*float32"):
        check_ctranslate2(replace(candidates[1], quantization="int3"), "cpu")
    universal = choose("universal_transformer_tiny", "transformer", (), (), 60, 1, quantizations=["int8"])[2]
    assert universal.name == "universal_transformer_tiny CTranslate2 int8"
    with pytest.raises(ValueError, match="_tiny cannot be exported to CTranslate2: static signals"):
        check_ctranslate2(universal, "cpu")
