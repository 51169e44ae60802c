import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VISION = ["timm>=1.0.31", "torchvision", "accelerate>=1.10", "tensorboard", "onnx", "onnxruntime", "onnxscript"]

setup(
    name="fairseq-ringformer",
    version=re.search(r'__version__ = "(.+)"', (ROOT / "fairseq_ringformer/__init__.py").read_text()).group(1),
    description="RingFormer (arXiv 2502.13181) for fairseq and timm: one Transformer block run in a ring",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=["fairseq_ringformer", "fairseq_ringformer.*"]),
    package_data={"fairseq_ringformer": ["analysis/counts/paper.yaml", "analysis/inspection/attention_page.html"]},
    install_requires=[
        "fairseq-fixed>=0.12.3.1",
        "torch>=2.6",
        "sacrebleu>=2.4",
        "sentencepiece>=0.2",
        "subword-nmt>=0.3.8",
        "sacremoses>=0.1.1",
        "ctranslate2>=4.5",
        "huggingface_hub",
        "lxml",
        "matplotlib",
        "psutil",
        "pyyaml",
        "tabulate",
        "tokenizers>=0.20",
        "tqdm",
    ],
    extras_require={"vision": VISION, "dev": ["pytest>=8", "pytest-xdist", "webdataset", *VISION]},
    entry_points={"console_scripts": ["ringformer=fairseq_ringformer.cli.main:main"]},
    classifiers=[
        "License :: OSI Approved :: MIT License",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
