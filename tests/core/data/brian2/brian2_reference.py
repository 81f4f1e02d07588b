"""Run the networks of `networks.py` in Brian2 and write what it gives beside this file.

    python -m venv brian2 && brian2/bin/pip install "brian2==2.9.0" "numpy<2.4" cython setuptools
    brian2/bin/python brian2_reference.py [FOLDER]

Brian2 2.9 does not run with numpy 2.4, which is why it has an environment of its own and its answers are kept.
`reference.json` says which versions made them.
"""

import json
import sys
from pathlib import Path

import brian2 as b
import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import networks  # noqa: E402

b.prefs.codegen.target = "cython"
SECOND, HELD = b.second, "(unless refractory)"


def group(net, equations, *, method, refractory=0.0, reset="v = v_reset", **more):
    names = {
        "v_rest": net["rest"], "v_reset": net["reset"], "v_threshold": net["threshold"], "tau": net["tau"], **more
    }  # fmt: skip
    fields = "\n".join(f"{name} : {'second' if name.startswith('tau') else '1'} (constant)" for name in names)
    cells = b.NeuronGroup(
        net["size"], equations + "\ndrive : 1 (constant)\n" + fields, threshold="v >= v_threshold", reset=reset,
        refractory=refractory * SECOND if refractory else False, method=method,
    )  # fmt: skip
    for name, value in names.items():
        setattr(cells, name, value * SECOND if name.startswith("tau") else value)
    cells.v, cells.drive = net["initial"], net["current"]
    return cells


def synapses(source, target, weights, on_pre, delay):
    made = b.Synapses(source, target, "weight : 1", on_pre=on_pre)
    pre, post = np.nonzero(weights)
    made.connect(i=pre, j=post)
    made.weight = weights[pre, post]
    made.delay = (delay[pre, post] if np.ndim(delay) else delay) * SECOND
    return made


def jump(net):
    cells = group(
        net, f"dv/dt = (v_rest + drive - v) / tau : 1 {HELD}", method="exact", refractory=net["refractory"]
    )  # fmt: skip
    wires = synapses(cells, cells, net["weights"], "v_post += weight * int(not_refractory_post)", net["delay"])
    return cells, [cells, wires]


def current(net):
    cells = group(
        net,
        f"dv/dt = (v_rest + drive + amplitude * wave(t) + s_e + s_i - v) / tau : 1 {HELD}\n"
        "ds_e/dt = -s_e / tau_e : 1\nds_i/dt = -s_i / tau_i : 1",
        method="exact", refractory=net["refractory"], tau_e=net["tau_e"], tau_i=net["tau_i"],
        amplitude=net["amplitude"],
    )  # fmt: skip
    cells.namespace["wave"] = b.TimedArray(net["waveform"], dt=net["hold"] * SECOND)
    return cells, [
        cells,
        synapses(cells[:80], cells, net["excitatory"], "s_e_post += weight", net["delay"]),
        synapses(cells[80:], cells, net["inhibitory"], "s_i_post += weight", net["delay"]),
    ]


def conductance(net):
    cells = group(
        net,
        f"dv/dt = (v_rest + drive - v + g_e * (reversal_e - v) + g_i * (reversal_i - v)) / tau : 1 {HELD}\n"
        "dg_e/dt = -g_e / tau_e : 1\ndg_i/dt = -g_i / tau_i : 1",
        method="exponential_euler", refractory=net["refractory"], tau_e=net["tau_e"], tau_i=net["tau_i"],
        reversal_e=net["reversal_e"], reversal_i=net["reversal_i"],
    )  # fmt: skip
    return cells, [
        cells,
        synapses(cells[:80], cells, net["excitatory"], "g_e_post += weight", net["delay"]),
        synapses(cells[80:], cells, net["inhibitory"], "g_i_post += weight", net["delay"]),
    ]


def adaptive(net):
    cells = group(
        net,
        "dv/dt = (v_rest + drive - w - v) / tau : 1\ndw/dt = (coupling * (v - v_rest) - w) / tau_w : 1",
        method="exact", reset="v = v_reset; w += kick", tau_w=net["tau_w"], coupling=net["coupling"], kick=net["kick"],
    )  # fmt: skip
    return cells, [cells, synapses(cells, cells, net["weights"], "v_post += weight", net["delay"])]


def izhikevich(net):
    names = ("a", "b", "c", "d")
    cells = b.NeuronGroup(
        net["size"],
        "v : 1\nu : 1\nds/dt = -s / tau_s : 1\ntau_s : second (shared)\ndrive : 1\n"
        + "\n".join(f"{name}_ : 1 (constant)" for name in names),
        threshold="v >= 30", reset="v = c_; u += d_", method="exact",
    )  # fmt: skip
    for name in names:
        setattr(cells, f"{name}_", net[name])
    cells.v, cells.drive, cells.tau_s = net["initial"], net["current"], net["tau_s"] * SECOND
    cells.u = "b_ * v"
    half = "v += 0.5 * ((0.04 * v + 5) * v + 140 - u + (drive + s))\n"
    cells.run_regularly(half + half + "u += a_ * (b_ * v - u)", when="groups", order=-1)
    return cells, [cells, synapses(cells, cells, net["weights"], "s_post += weight", net["delay"])]


def stdp(net):
    cells = group(net, "dv/dt = (v_rest + drive - v) / tau : 1", method="exact")
    source = b.SpikeGeneratorGroup(net["sources"], net["index"], net["times"] * SECOND)
    constants = {name: net[name] for name in ("potentiation", "depression", "least", "most")}
    # Not tau_pre and tau_post: in Brian2 those are the tau of the two groups.
    taus = {"before": net["tau_pre"] * SECOND, "behind": net["tau_post"] * SECOND}
    wires = b.Synapses(
        source, cells,
        "weight : 1\ndx/dt = -x / before : 1 (event-driven)\ndy/dt = -y / behind : 1 (event-driven)",
        on_pre="v_post += weight; x += potentiation; weight = clip(weight + y, least, most)",
        on_post="y -= depression; weight = clip(weight + x, least, most)",
        namespace={**constants, **taus},
    )  # fmt: skip
    wires.pre.order, wires.post.order = 0, 1
    pre, post = np.nonzero(net["weights"])
    wires.connect(i=pre, j=post)
    wires.weight = net["weights"][pre, post]
    wires.pre.delay = net["delay"] * SECOND
    return cells, [cells, source, wires]


def run(name, net):
    b.start_scope()
    b.defaultclock.dt = net["step"] * SECOND
    cells, parts = globals()[name](net)
    monitor = b.SpikeMonitor(cells)
    b.Network(*parts, monitor).run(net["duration"] * SECOND)
    step, unit = np.rint(np.asarray(monitor.t) / net["step"]).astype(int), np.asarray(monitor.i)
    return step, unit, parts


def irregular(net, seed):
    b.start_scope()
    b.seed(seed)
    b.defaultclock.dt = net["step"] * SECOND
    cells, parts = jump({**net, "current": 0.0})
    # Not PoissonInput: it would also move neurons that are refractory.
    cells.run_regularly(
        f"v += {net['jump']} * poisson({net['rate'] * net['step']}) * int(not_refractory)", when="synapses"
    )
    monitor = b.SpikeMonitor(cells)
    b.Network(*parts, monitor).run(net["duration"] * SECOND)
    step = np.rint(np.asarray(monitor.t) / net["step"]).astype(int)
    return networks.irregularity(step, np.asarray(monitor.i), net["size"], net["duration"])


def main(folder):
    about = {"brian2": b.__version__, "numpy": np.__version__, "networks": {}}
    for name, made in networks.EXACT.items():
        step, unit, parts = run(name, made())
        rows = np.column_stack([step, unit])[np.lexsort((unit, step))]
        np.savetxt(folder / f"{name}.csv", rows, "%d", delimiter=",", header="step,unit", comments="")
        about["networks"][name] = {"spikes": len(rows)}
        if name == "stdp":
            weights = np.column_stack([np.asarray(parts[2].i), np.asarray(parts[2].j), np.asarray(parts[2].weight)])
            np.savetxt(folder / "stdp_weights.csv", weights, ("%d", "%d", "%.15g"), delimiter=",",
                       header="source,target,weight", comments="")  # fmt: skip
    seeds = [irregular(networks.stochastic(), seed) for seed in range(4)]
    about["networks"]["stochastic"] = {"rate": [one[0] for one in seeds], "cv": [one[1] for one in seeds]}
    (folder / "reference.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
