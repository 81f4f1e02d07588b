"""A process that records a model into a store and is killed: `test_activations_streams.py` starts it."""

import sys
import time

import torch

from neurointerp.loaders import activations
from neurointerp.models import gpt
from neurointerp.store import chunks

SITES = ["mlp.post", "resid.post"]


def model():
    """Give the model, the same in every process."""
    return gpt.GPT(gpt.Config(layers=2, width=16, heads=4, vocab_size=40), seed=3)


def prompts(count=60):
    """Give prompts of several lengths."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 30, (count,), generator=generator)
    return [torch.randint(40, (int(size),), generator=generator).tolist() for size in sizes]


class Slow(torch.nn.Module):
    """The model, telling of each pass and taking its time, so that a kill finds it at work."""

    def __init__(self, inner):
        super().__init__()
        self.blocks, self.inner, self.config = inner.blocks, [inner], inner.config

    def forward(self, input_ids, attention_mask=None):
        """Run one pass."""
        sys.stdout.write("pass\n")
        sys.stdout.flush()
        time.sleep(0.02)
        return self.inner[0](input_ids, attention_mask)


if __name__ == "__main__":
    chunks.CHUNK_BYTES = 2**13
    activations.record(Slow(model()), prompts(), sites=SITES, batch_size=4, out=sys.argv[1])
    sys.stdout.write("done\n")
