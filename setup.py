import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

# Each extra is complete: it brings torch where its task needs torch (analysis and shortlist come beside another). What a module
# of the package belongs to is in fairseq_ringformer/extras.py, which names the extra to whom a module is missing.
# docs/install.md has sizes and times.
TORCH = ["torch>=2.6"]
SENTENCEPIECE = ["sentencepiece>=0.2"]
SENTENCES = ["sentencex>=1.0.32"]
SUBWORDS = [*SENTENCEPIECE, "subword-nmt>=0.3.8", "sacremoses>=0.1.1", "tokenizers>=0.20", "huggingface_hub"]
FIGURES = ["matplotlib"]
SCORES = ["sacrebleu>=2.4"]
DEPLOY = ["ctranslate2>=4.5", *SENTENCEPIECE, *SENTENCES]
FAIRSEQ = [*TORCH, "fairseq-fixed>=0.12.3.1", *SCORES, *SENTENCES, *SUBWORDS]
EXTRAS = {
    # The ring alone, fairseq_ringformer.modules, for other people's code.
    "torch": TORCH,
    # Translation: train, generate, translate, average, fold. fairseq-fixed is built with a C++ compiler.
    "fairseq": FAIRSEQ,
    # Images: train, evaluate, predict, fold, export to ONNX.
    "vision": [
        *TORCH,
        *FIGURES,
        "timm>=1.0.31",
        "torchvision",
        "accelerate>=1.10",
        "tensorboard",
        "webdataset",
        "onnx",
        "onnxruntime",
        "onnxscript",
    ],
    # A translator that was exported to CTranslate2, without torch; the export itself is fairseq's with this.
    "deploy": DEPLOY,
    # That translator as a service over HTTP.
    "serve": [*DEPLOY, "starlette>=0.40", "uvicorn>=0.30"],
    # To export with a shortlist of target sub-words. It is built with a C compiler.
    "shortlist": ["eflomal>=2.0"],
    # A translator that was exported to Hugging Face's transformers; the export itself is fairseq's with this.
    "transformers": [*TORCH, "transformers>=5.24", "safetensors", *SENTENCEPIECE, "protobuf"],
    # Sub-words that are not sentencepiece's, for a deployed translator or for text by itself.
    "subwords": SUBWORDS,
    # Beside fairseq or vision: CKA, probes, maps, distances, benchmark, studies.
    "analysis": [*FIGURES, *SCORES, "psutil", "scikit-learn>=1.5"],
    # From raw text to a translator, as in examples/.
    "recipes": [*FAIRSEQ, *FIGURES, "lxml", "num2words"],
}
# ruff's style and mypy's findings change with their versions.
DEV = ["pytest>=8", "pytest-xdist", "ruff==0.17.*", "mypy==2.4.*", "pre-commit", "peft", "libretranslatepy"]
TYPES = ["types-PyYAML", "types-psutil", "types-tabulate", "types-tqdm"]

setup(
    name="fairseq-ringformer",
    version=re.search(r'__version__ = "(.+)"', (ROOT / "fairseq_ringformer/__init__.py").read_text()).group(1),
    description="RingFormer (arXiv 2502.13181) for fairseq and timm: one Transformer block run in a ring",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["fairseq_ringformer", "fairseq_ringformer.*"]),
    package_data={"fairseq_ringformer": ["py.typed", "**/*.yaml", "**/*.html"]},
    # What every command prints and reads with: settings, tables, progress. Pure Python, about 1 MB.
    install_requires=["pyyaml", "tabulate", "tqdm"],
    extras_require={**EXTRAS, "dev": sorted({*DEV, *TYPES, *sum(EXTRAS.values(), [])})},
    entry_points={"console_scripts": ["ringformer=fairseq_ringformer.cli.main:main"]},
    classifiers=[
        "License :: OSI Approved :: MIT License",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
