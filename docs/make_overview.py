"""Draw `docs/_static/overview.png`, the picture of the README, from the embedded recordings.

    python docs/make_overview.py

Everything in it is what the package gave: the recordings as `comparison.compare` matched them, their correlations by
community, and five of its figures beside their nulls.
"""

from pathlib import Path

import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import comparison

TARGET = Path(__file__).parent / "_static" / "overview.png"
SHOWN = ("effective_dimension", "semi_nmf_explained_rank4", "tensor_fit_rank4", "connectivity_density", "modularity")
SAMPLES = 120


def main() -> None:
    """Compare the embedded recordings and write the picture."""
    names = [entry.id for entry in ni.datasets().values() if entry.embedded]
    tree = comparison.compare({name: ni.load(name) for name in names})
    figure = Figure(figsize=(11, 7), dpi=116, layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subfigures(2, 1, height_ratios=[2.6, 1])
    recordings(tree, names, top)
    summary = tree.to_dataset(inherit=False)
    plot.figure_strips(xr.DataTree(summary.sel(metric=list(SHOWN))), bottom)
    shown = f"{len(SHOWN)} of {summary.sizes['metric']} figures"
    bottom.suptitle(f"{shown}; grey: the null (mean and 2 sd of circular shifts)", fontsize=9)
    figure.savefig(TARGET, metadata={"Software": None}, pil_kwargs={"optimize": True})
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} kB")


def recordings(tree, names, figure) -> None:
    """Draw each recording as it was matched, and its correlation matrix, simulated ones marked."""
    axes = figure.subplots(2, len(names), height_ratios=[1, 1])
    for name, (above, below) in zip(names, axes.T, strict=True):
        rec = tree[f"matched/{name}/matched"]
        simulated = rec.attrs["system"] == "simulated"
        plot.traces(rec[:SAMPLES], above)
        above.set_title(
            f"{rec.attrs['modality']} ({'simulated' if simulated else 'real'})",
            fontsize=10, color="#D55E00" if simulated else "black",
        )  # fmt: skip
        graph = tree[f"connectivity/{name}/correlation"].to_dataset(inherit=False)
        plot.connectivity_matrix(graph, below, community=tree[f"connectivity/{name}/communities/community"])
        below.images[0].colorbar.remove()
    figure.colorbar(axes[1, -1].images[0], ax=axes.ravel().tolist(), anchor=(0, 0.08), shrink=0.4, pad=0.01, label="r")
    for ax in figure.axes:
        ax.tick_params(labelsize=7)
        ax.xaxis.label.set_fontsize(7.5)
        ax.yaxis.label.set_fontsize(7.5)


if __name__ == "__main__":
    main()
