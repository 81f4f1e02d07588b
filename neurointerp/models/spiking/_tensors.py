"""The same steps on torch, vectorised over neurons, on any device. torch is imported where it is used."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from neurointerp.models.spiking._plan import ADAPTIVE, GIVEN, PLAIN, POISSON, QUADRATIC, Plan


def run(
    laid: Plan, length: int, seed: int, every: int, position: np.ndarray, edges: np.ndarray, device: str
) -> tuple[Any, Any, np.ndarray, Any]:
    """Run all steps; give what the compiled kernel gives."""
    import torch

    with torch.no_grad():
        net = _Tensors(laid, seed, device)
        spikes: list[tuple[int, Any]] = []
        kept: list[tuple[Any, Any, Any]] = []
        where = torch.as_tensor(position, device=device), torch.as_tensor(edges, device=device)
        for t in range(length):
            if t % every == 0:
                v = torch.where(t <= net.ready, net.reset, net.x[: net.size])
                kept.append((v[where[0]], net.w[where[0]], net.weight[where[1]]))
            net.currents(t)
            fired = net.step(t)
            spikes += [(t, units) for units in fired if units.numel()]
    steps = np.repeat(np.array([t for t, _ in spikes], dtype=np.int64), [units.numel() for _, units in spikes])
    units = np.concatenate([np.zeros(0, dtype=np.int64), *(units.cpu().numpy() for _, units in spikes)])
    states = [torch.stack([row[k] for row in kept]).cpu().numpy() for k in range(3)]
    final = SimpleNamespace(x=net.x.cpu().numpy(), w=net.w.cpu().numpy(), weight=net.weight.cpu().numpy())
    return (steps, units), (states[0], states[1]), states[2], final


class _Tensors:
    """A plan on a device, and its state."""

    def __init__(self, laid: Plan, seed: int, device: str) -> None:
        import torch

        self.torch, self.plan, self.device = torch, laid, device
        self.size = laid.w.size
        self.rng = torch.Generator(device=device).manual_seed(seed)
        cells, channels, wires, drives = laid.cells, laid.channels, laid.wires, laid.drives
        self.x, self.w, self.weight = self._on(laid.x), self._on(laid.w), self._on(laid.weights)
        self.threshold, self.reset, self.kick = map(self._on, (cells.threshold, cells.reset, cells.kick))
        self.terms, self.refractory = self._on(cells.terms), self._on(cells.refractory.astype(np.int64))
        self.fade, self.gain_v, self.gain_w = map(self._on, (channels.fade, channels.gain_v, channels.gain_w))
        self.pointer, self.target = self._on(wires.pointer), self._on(wires.target.astype(np.int64))
        self.origin, self.end = (self._on(ends.astype(np.int64)) for ends in (wires.origin, wires.end))
        self.base, self.amplitude, self.deviation, self.expected, self.jump, self.event = map(
            self._on,
            (drives.base, drives.amplitude, drives.deviation, drives.expected, drives.weight, drives.event_unit),
        )
        self.back_pointer, self.back_edge = self._on(laid.plastic.back_pointer), self._on(laid.plastic.back_edge)
        self.drive, self.noise = self.base, self.torch.zeros_like(self.deviation)
        self.ready = torch.full((self.size,), -1, dtype=torch.int64, device=device)
        self.trace = torch.zeros(
            int(np.max(laid.plastic.post + laid.plastic.high - laid.plastic.low, initial=0)),
            dtype=self.x.dtype, device=device,
        )  # fmt: skip
        self.past: list[list[Any]] = [[] for _ in range(laid.depth)]

    def _on(self, values: np.ndarray) -> Any:
        return self.torch.tensor(values, device=self.device)

    def currents(self, t: int) -> None:
        """Set the current of every neuron from constants, waveforms and noise."""
        drives = self.plan.drives
        if not drives.wave.size + drives.noise.size:
            return
        self.drive = self.base.clone()
        for low, high, at, first, size, hold in drives.wave.tolist():
            if t // hold < size:
                self.drive[low:high] += self.amplitude[at : at + high - low] * float(drives.waveform[first + t // hold])
        for low, high, at, hold in drives.noise.tolist():
            row = slice(at, at + high - low)
            if t % hold == 0:
                drawn = self.torch.randn(high - low, generator=self.rng, device=self.device, dtype=self.x.dtype)
                self.noise[row] = drawn * self.deviation[row]
            self.drive[low:high] += self.noise[row]

    def step(self, t: int) -> list[Any]:
        """Advance by one step; give who fired, population by population."""
        cells = self.plan.cells
        fired = []
        for p, (kind, low, high) in enumerate(zip(cells.kind, cells.low, cells.high, strict=True)):
            at = slice(int(low), int(high))
            if kind < POISSON:
                self._integrate(p, kind, at, t)
                over = self.x[at] >= self.threshold[at]
            else:
                over = self._sources(kind, at, t)
            fired.append(over.nonzero().reshape(-1) + int(low))
        self.past[t % self.plan.depth] = fired
        self._deliver(t)
        self._trains()
        for q in range(self.plan.plastic.group.size):
            self._potentiate(q, fired[self.plan.plastic.target[q]])
        for kind, units in zip(cells.kind, fired, strict=True):
            if kind < POISSON:
                self.x[units] = self.reset[units]
                self.w[units] += self.kick[units]
                self.ready[units] = t + self.refractory[units]
        return fired

    def _integrate(self, p: int, kind: int, at: slice, t: int) -> None:
        torch, terms = self.torch, self.terms[:, at]
        ready, drive, reset, w = self.ready[at], self.drive[at], self.reset[at], self.w[at]
        held, start = t < ready, torch.where(t <= ready, reset, self.x[at])
        channels = [
            (slice(int(first), int(first) + start.numel()), float(reversal))
            for first, owner, reversal in zip(*self.plan.channels[1::-1], self.plan.channels.reversal, strict=True)
            if owner == p
        ]
        if kind in (PLAIN, ADAPTIVE):
            v, rest = drive + (start - drive) * terms[0], terms[8]
            if kind == ADAPTIVE:
                y, u = start - rest, drive - rest
                v = rest + terms[0] * y + terms[1] * w + terms[2] * u
                pinned = terms[6] * (reset - rest)
                pinned = pinned + (w - pinned) * terms[7]
                w = terms[3] * y + terms[4] * w + terms[5] * u
                for place, _ in channels:
                    w = w + self.gain_w[place] * self.x[place]
                self.w[at] = torch.where(held, pinned, w)
            for place, _ in channels:
                v = v + self.gain_v[place] * self.x[place]
        else:
            v = self._nonlinear(kind, at, start, drive, channels)
        self.x[at] = torch.where(held, reset, v)
        for place, _ in channels:
            self.x[place] *= self.fade[place]

    def _nonlinear(self, kind: int, at: slice, start: Any, drive: Any, channels: list[tuple[slice, float]]) -> Any:
        terms, w = self.terms[:, at], self.w[at].clone()
        total, pull = self.torch.zeros_like(start), drive
        for place, reversal in channels:
            s = self.x[place]
            if np.isnan(reversal):
                pull = pull + s
            else:
                total, pull = total + s, pull + s * reversal
        if kind == QUADRATIC:
            y = start
            for _ in range(2):
                y = y + terms[2] / 2 * ((terms[3] * y + terms[4]) * y + terms[5] - w + pull - total * y)
            self.w[at] = w + terms[0] * (terms[1] * y - w)
            return y
        goal, limit = terms[6] * (start - terms[8]), (pull - w) / (1 + total)
        self.w[at] = goal + (w - goal) * terms[7]
        return limit + (start - limit) * self.torch.exp(-terms[0] * (1 + total))

    def _sources(self, kind: int, at: slice, t: int) -> Any:
        torch, size = self.torch, at.stop - at.start
        if kind == GIVEN:
            steps = self.plan.drives.event_step
            low, high = np.searchsorted(steps, [t, t + 1])
            units = self.event[low:high]
            over = torch.zeros(size, dtype=torch.bool, device=self.device)
            over[units[(units >= at.start) & (units < at.stop)] - at.start] = True
            return over
        drawn = torch.rand(size, generator=self.rng, device=self.device, dtype=torch.float64)
        return drawn < -torch.expm1(self.terms[0, at].to(torch.float64))

    def _edges(self, pointer: Any, units: Any) -> tuple[Any, Any]:
        """Give the entries that a pointer bounds for these rows, and which row each is of."""
        torch = self.torch
        begin, count = pointer[units], pointer[units + 1] - pointer[units]
        row = torch.repeat_interleave(torch.arange(units.numel(), device=self.device), count)
        offset = torch.arange(row.numel(), device=self.device) - (torch.cumsum(count, 0) - count)[row]
        return begin[row] + offset, row

    def _deliver(self, t: int) -> None:
        wires, plastic = self.plan.wires, self.plan.plastic
        for q in range(plastic.group.size):
            pre, post, size = plastic.pre[q], plastic.post[q], plastic.high[q] - plastic.low[q]
            self.trace[pre:post] *= float(plastic.rule[q, 2])
            self.trace[post : post + size] *= float(plastic.rule[q, 3])
        for g in range(wires.source.size):
            if t < wires.delay[g]:
                continue
            units = self.past[(t - wires.delay[g]) % self.plan.depth][wires.source[g]]
            if not units.numel():
                continue
            local, q = units - int(self.plan.cells.low[wires.source[g]]), int(wires.plastic[g])
            edge, _ = self._edges(self.pointer, local + int(wires.first[g]))
            self.x.index_add_(0, self.target[edge], self.weight[edge])
            if q >= 0:
                rule = plastic.rule[q]
                self.trace[local + int(plastic.pre[q])] += float(rule[0])
                change = self.trace[self.end[edge] + int(plastic.post[q] - plastic.low[q])]
                self.weight[edge] = (self.weight[edge] + change).clamp(float(rule[4]), float(rule[5]))

    def _trains(self) -> None:
        for low, high, at, place in self.plan.drives.poisson.tolist():
            row = slice(at, at + high - low)
            events = self.torch.poisson(self.expected[row], generator=self.rng)
            self.x[place : place + high - low] += events * self.jump[row]

    def _potentiate(self, q: int, units: Any) -> None:
        plastic, rule = self.plan.plastic, self.plan.plastic.rule[q]
        if not units.numel():
            return
        local = units - int(plastic.low[q])
        self.trace[local + int(plastic.post[q])] -= float(rule[1])
        found, _ = self._edges(self.back_pointer, local + int(plastic.back_first[q]))
        edge = self.back_edge[found]
        first = int(plastic.pre[q] - self.plan.cells.low[self.plan.wires.source[plastic.group[q]]])
        self.weight[edge] = (self.weight[edge] + self.trace[self.origin[edge] + first]).clamp(
            float(rule[4]), float(rule[5])
        )
